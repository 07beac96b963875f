"""micro.draw: what is drawn is the graph that was given, the same on every machine."""
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import graphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import draw
from micro.draw import draw_dot, draw_flow

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"


class Value:
    """As little as draw_dot needs."""

    def __init__(self, data, inputs=(), op="", label="", grad=0.0):
        self.data, self._prev, self._op, self.label, self.grad = data, tuple(inputs), op, label, grad


def neuron():
    """tanh(x w + b): 6 values, 3 operations."""
    x, w, b = (Value(d, label=name) for d, name in ((2.0, "x"), (-3.0, "w"), (1.0, "b")))
    xw = Value(-6.0, (x, w), "*", "xw")
    return Value(-0.9999, (Value(-5.0, (xw, b), "+", "n"),), "tanh", "o")


def chain(length):
    v = Value(0.0)
    for _ in range(length - 1):
        v = Value(0.0, (v,), "+")
    return v


class Seen:
    """What a reader of the picture sees: parsed from the SVG, not from our own DOT text."""

    def __init__(self, graph):
        svg = ET.fromstring(graph.pipe(encoding="utf-8"))
        self.width = float(svg.get("width").removesuffix("pt"))
        self.nodes, self.edges, self.heading = {}, [], []
        for g in svg.iter(SVG + "g"):
            title, classes = g.findtext(SVG + "title"), g.get("class").split()
            texts = [t.text.replace("\u200b", "") for t in g.findall(".//" + SVG + "text")]
            if classes[0] == "node":
                self.nodes[title] = (classes[1:], texts, g)
            elif classes[0] == "edge":
                self.edges.append(tuple(title.split("->")))
            elif classes[0] == "graph":
                self.heading = [t.text.replace("\u200b", "") for t in g.findall(SVG + "text")]

    def of(self, kind):
        return {name: texts for name, (classes, texts, _) in self.nodes.items() if kind in classes}

    def box(self, label):
        """The texts of the one value with this label."""
        return next(texts for texts in self.of("value").values() if texts[0] == label)


# -- what the picture says -----------------------------------------------------------------------------


def test_every_value_is_a_box_every_operation_a_circle_with_its_edges():
    seen = Seen(draw_dot(neuron(), title="One neuron"))
    assert len(seen.of("value")) == 6 and len(seen.of("leaf")) == 3 and len(seen.of("root")) == 1
    assert sorted(t for (t,) in seen.of("op").values()) == ["*", "+", "tanh"]
    assert seen.heading == ["One neuron"] and seen.width <= 600
    assert seen.box("x")[1:3] == ["data", "2.0000"] and seen.box("o")[2] == "-0.9999"
    first = {name: texts[0] for name, (_, texts, _) in seen.nodes.items()}
    assert {(first[a], first[b]) for a, b in seen.edges} == {
        ("x", "*"), ("w", "*"), ("*", "xw"), ("xw", "+"), ("b", "+"), ("+", "n"), ("n", "tanh"), ("tanh", "o")}
    assert Seen(draw_dot(Value(1.0))).nodes["v0"][0] == ["value", "leaf", "root"], "a root without inputs is a leaf too"


def test_leaves_results_and_root_differ_without_colour():
    seen = Seen(draw_dot(neuron()))

    def outline(classes):
        """Whether the box has round corners (an SVG path, not a polygon), and how thick its border is."""
        g = next(g for found, _, g in seen.nodes.values() if found == classes)
        drawn = [e for e in g.iter() if e.get("stroke") not in (None, "none")]
        return any(e.tag == SVG + "path" for e in drawn), max(float(e.get("stroke-width", 1)) for e in drawn)

    assert outline(["value", "leaf"]) == (True, 1)
    assert outline(["value"]) == (False, 1)
    assert outline(["value", "root"]) == (False, 3)


def test_gradients_read_not_yet_in_grey_until_one_arrives_at_a_leaf():
    root = neuron()
    x = root._prev[0]._prev[0]._prev[0]

    def grads():
        texts = {t[0]: t[-1] for t in Seen(draw_dot(root)).of("value").values()}
        return " ".join(texts[name].replace(" ", "_") for name in ("x", "w", "b", "xw", "n", "o"))

    assert grads() == "not_yet not_yet not_yet not_yet not_yet not_yet"
    root.grad = 1.0
    assert grads() == "not_yet not_yet not_yet not_yet not_yet 1.0000"
    boxes = [g for _, _, g in Seen(draw_dot(root)).nodes.values()]
    fills = {t.text: t.get("fill") for g in boxes for t in g.iter(SVG + "text")}
    assert fills["not yet"] == "#666666" and fills["1.0000"] in (None, "black")
    x.grad = -2e-9
    assert grads() == "-2.00e-09 0.0000 0.0000 0.0000 0.0000 1.0000"
    x.grad, root._prev = None, (*root._prev, Value(1.0, label="extra", grad=3.0))
    assert grads() == "not_yet 0.0000 0.0000 0.0000 0.0000 1.0000"


@pytest.mark.parametrize("number, text", [
    (1, "1.0000"), (-0.0, "0.0000"), (0.00012, "0.0001"), (1e-7, "1.00e-07"), (-123456.0, "-1.23e+05"),
    (float("nan"), "nan"), (float("inf"), "inf"), (99999.0, "99999.0000"),
])
def test_numbers_are_readable_at_any_size(number, text):
    assert Seen(draw_dot(Value(number, label="v"))).box("v")[2] == text


@pytest.mark.parametrize("label", [
    "{", "|", "<", '"', "\\", "\\n", "\\N", "a < b & c > d", "<b>bold</b>", "&amp;", "{x|y}", "'", "v0:p", "\\G \\T",
    "∂L/∂w", "漢字", "😀", "-->", "%s", "node",
])
def test_any_label_operation_and_title_comes_through(label):
    seen = Seen(draw_dot(Value(2.0, [Value(1.0, label=label)], label, "root"), title=label))
    assert seen.box(label)[0] == label and list(seen.of("op").values()) == [[label]] and seen.heading == [label]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_no_label_breaks_the_picture(label):
    seen = Seen(draw_dot(Value(1.0, (Value(2.0),), label, label), title=label))
    assert len(seen.of("value")) == 2


def test_labels_may_be_long_missing_or_no_text():
    assert Seen(draw_dot(Value(1.0, label="x" * 40))).box("x" * 40)
    assert Seen(draw_dot(Value(1.0, label="x" * 41))).box("x" * 39 + "…")
    assert Seen(draw_dot(Value(1.0, label=7))).box("7")
    del (v := Value(1.0)).label
    assert Seen(draw_dot(v)).of("value") == {"v0": ["data", "1.0000", "grad", "not yet"]}


def test_inputs_keep_their_order_and_the_same_one_twice_is_two_edges():
    a, b = Value(1.0, label="b"), Value(2.0, label="a")
    source = draw_dot(Value(3.0, (a, b), "-")).source
    assert source.index("<B>b</B>") < source.index("<B>a</B>")
    assert len(Seen(draw_dot(Value(2.0, (a, a), "+"))).edges) == 3


def test_micrograds_sets_are_drawn_too_in_an_order_of_their_own():
    """A set lists its entries by memory address; the picture has them by label, operation and numbers."""
    class Listed(set):
        def __iter__(self):
            return iter(sorted(super().__iter__(), key=lambda v: v.place))

    def source(places):
        leaves = [Value(data, label=label) for data, label in ((1.0, "a"), (2.0, ""), (3.0, ""))]
        root = Value(6.0, (), "+")
        for leaf, place in zip(leaves, places):
            leaf.place = place
        root._prev = Listed(leaves)
        return draw_dot(root).source

    assert source([0, 1, 2]) == source([2, 0, 1]) == source([1, 2, 0])


def test_wide_graphs_are_scaled_down_to_800_pixels():
    assert Seen(draw_dot(chain(40))).width <= 600  # points; 0.75 of a pixel each


def test_it_is_a_digraph_that_renders_and_says_its_size(tmp_path):
    graph = draw_dot(neuron(), rankdir="TB")
    assert isinstance(graph, graphviz.Digraph) and "rankdir=TB" in graph.source
    assert repr(graph) == "<graph of 6 values and 3 operations>"
    written = graph.render("picture", directory=tmp_path)
    assert Path(written).name == "picture.svg" and "</svg>" in Path(written).read_text(encoding="utf-8")
    assert list(graph._repr_mimebundle_()) == ["image/svg+xml"]


def test_graphviz_own_setting_is_left_as_it_was(capfd):
    draw_dot(neuron(), title="漢字 ∂").pipe()
    assert graphviz.backend.dot_command.DOT_BINARY == Path("dot")
    assert capfd.readouterr() == ("", ""), "nothing may be printed beside the picture"


# -- which Graphviz ------------------------------------------------------------------------------------


def test_another_process_without_the_environment_in_path_draws_the_same_bytes(tmp_path):
    code = ("from micro.draw import draw_dot\nfrom micro.engine import Value\nx = Value(2.0)\n"
            "picture = draw_dot((x * 3.0 + x).tanh()).pipe()")
    exec(code, here := {})
    env = os.environ | {"PATH": str(tmp_path), "PYTHONHASHSEED": "1"}
    out = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; sys.stdout.buffer.write(picture)"], cwd=ROOT,
                         env=env, capture_output=True, check=True)
    assert out.stdout == here["picture"] and out.stdout.rstrip().endswith(b"</svg>")


@pytest.fixture
def candidates(monkeypatch):
    """Sets where a Graphviz is looked for."""
    def use(*paths):
        monkeypatch.setattr(draw, "_candidates", lambda: iter(map(str, paths)))
        draw._dot_program.cache_clear()
    yield use
    draw._dot_program.cache_clear()


def test_without_graphviz_the_graph_is_text(candidates, tmp_path, capsys):
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    candidates(tmp_path / "missing", broken)
    x = Value(2.0, label="x")
    y = Value(4.0, (x,), "**2")
    tree = draw_dot(Value(6.0, (y, x), "+", "z", grad=1.0), title="z = x**2 + x")
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "pip install graphviz-pure" in said
    assert repr(tree) == (
        "z = x**2 + x\n"
        "z | data 6.0000 | grad 1.0000 | from +:\n"
        "  v1 | data 4.0000 | grad not yet | from **2:\n"
        "    x | data 2.0000 | grad not yet | leaf\n"
        "  x (shared: see above)")


def test_a_broken_graphviz_is_passed_over_for_one_that_works(candidates, tmp_path):
    works = next(p for p in draw._candidates() if os.path.exists(p))
    candidates(tmp_path / "missing", works)
    assert len(Seen(draw_dot(neuron())).of("value")) == 6


def test_a_system_dot_on_path_is_a_candidate(monkeypatch, tmp_path):
    for name in ("dot", "dot.exe"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(draw._candidates())[-1].startswith(str(tmp_path / "dot"))


# -- too much, or nothing to draw ----------------------------------------------------------------------


def test_a_large_graph_is_refused_with_its_size_and_the_way_out():
    draw_dot(chain(150))
    with pytest.raises(ValueError, match=r"151 values.*smaller piece.*max_nodes"):
        draw_dot(chain(151))
    assert "151 values" in repr(draw_dot(chain(151), max_nodes=151))
    assert "3000 values" in repr(draw_dot(chain(3000), max_nodes=3000)), "depth is no limit"


def test_the_count_of_a_graph_that_is_far_too_large_ends():
    class Endless:
        data, grad, _op, made = 1.0, 0.0, "+", 0

        @property
        def _prev(self):
            Endless.made += 1
            assert Endless.made < 100_000, "it counts and counts"
            return (Endless(),)

    with pytest.raises(ValueError, match="more than 10,000 values"):
        draw_dot(Endless())


@pytest.mark.parametrize("thing, named", [
    (1.0, "float"), (None, "NoneType"), ([Value(1.0)], "list"), (Value, "type"),
    (Value(1.0, (2.0,), "+"), "float in the _prev"), (Value([1]), r"\[1\]"), (Value(1.0, grad="much"), "much"),
    (SimpleNamespace(data=1.0, grad=None), r"SimpleNamespace.*no \._prev"),  # such as a torch tensor
])
def test_what_is_no_value_is_named(thing, named):
    with pytest.raises(TypeError, match=named) as caught:
        draw_dot(thing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, values", [("rankdir", ["left", None]), ("max_nodes", ["many", 0, True])])
def test_bad_arguments_are_named(name, values):
    for value in values:
        with pytest.raises(ValueError, match=name):
            draw_dot(neuron(), **{name: value})


def test_a_circle_from_a_broken_value_class_still_ends():
    a = Value(1.0, label="a")
    a._prev, a._op = (a,), "+"
    assert re.search("v0 -> v0op", draw_dot(a).source)


# === draw_flow ========================================================================================

STEPS = [("a", "<&>", "x"), ("b", "+", "a a2"), ("loss", "mean", "b a")]
TENSORS = {name: SimpleNamespace(shape=shape) for name, shape in
           {"x": (3, 4), "a": (3, 4), "a2": (1, 4), "b": (3, 4), "loss": ()}.items()}


def picture(**kwargs):
    return draw_flow(STEPS, TENSORS, **kwargs)


def test_every_tensor_stands_there_with_its_shape():
    svg = picture(title="here & there").pipe().decode()
    text = re.sub(r"<[^>]+>", " ", svg).replace("&#160;", " ")
    for name, tensor in TENSORS.items():
        shape = " × ".join(map(str, tensor.shape)) or "one number"
        assert re.search(rf"\b{name}\s+{shape}", text), (name, text)
    assert "here &amp; there" in text and "&lt;&amp;&gt;" in text


def test_arrows_go_there_and_back():
    source = picture().source
    there = re.findall(r"^\t(\w+) -> (\w+)$", source, re.M)
    back = re.findall(r"^\t(\w+) -> (\w+) \[.*style=dashed.*\]$", source, re.M)
    assert there == [("x", "a"), ("a", "b"), ("a2", "b"), ("b", "loss"), ("a", "loss")]
    assert back == [(b, a) for a, b in there]
    assert "dashed" not in picture(backward=False).source


def test_what_is_used_twice_has_a_thick_border_and_inputs_are_round():
    boxes = dict(re.findall(r"^\t(\w+) \[(.*)\]$", picture().source, re.M))
    assert [name for name in TENSORS if "penwidth=2.4" in boxes[name]] == ["a"]
    assert [name for name in TENSORS if "rounded" in boxes[name]] == ["x", "a2"]


def test_a_name_without_a_tensor_is_named():
    with pytest.raises(KeyError, match="'a2'"):
        draw_flow(STEPS, {k: v for k, v in TENSORS.items() if k != "a2"})


def test_the_same_bytes_twice_a_repr_without_addresses_and_text_without_graphviz(monkeypatch, capsys):
    assert picture().pipe() == picture().pipe()
    assert repr(picture()) == "<flow of 5 tensors in 3 steps>"
    monkeypatch.setattr(draw, "_dot_program", lambda: None)
    assert repr(picture()).splitlines()[1] == "b (3 × 4) = + of a, a2"
    assert "graphviz-pure" in capsys.readouterr().out
