"""Computation graphs: the picture says what the graph is, is the same in every run, and fails kindly."""

import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import graphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import draw
from micro.draw import draw_dot

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"


class Value:
    """As little as draw_dot needs; `_prev` is a set, as in micrograd, or what `kind` makes of it."""

    def __init__(self, data, inputs=(), op="", label="", grad=0.0, kind=set):
        self.data, self._prev, self._op, self.label, self.grad = data, kind(inputs), op, label, grad


def neuron(kind=set, labels=True):
    """tanh(x w + b): 6 values, 3 operations."""
    x, w, b = (Value(d, label=name * labels) for d, name in ((2.0, "x"), (-3.0, "w"), (1.0, "b")))
    xw = Value(-6.0, (x, w), "*", "xw" * labels, kind=kind)
    n = Value(-5.0, (xw, b), "+", "n" * labels, kind=kind)
    return Value(-0.9999, (n,), "tanh", "o" * labels, kind=kind)


def everything(root):
    found, stack = [], [root]
    while stack:
        v = stack.pop()
        if v not in found:
            found.append(v)
            stack.extend(v._prev)
    return found


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
    assert seen.heading == ["One neuron"]
    assert seen.box("x")[1:3] == ["data", "2.0000"] and seen.box("o")[2] == "-0.9999"
    first = {name: texts[0] for name, (_, texts, _) in seen.nodes.items()}
    assert {(first[a], first[b]) for a, b in seen.edges} == {
        ("x", "*"), ("w", "*"), ("*", "xw"), ("xw", "+"), ("b", "+"), ("+", "n"), ("n", "tanh"),
        ("tanh", "o"),
    }


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


def test_a_root_without_inputs_is_a_leaf_too():
    assert Seen(draw_dot(Value(1.0))).nodes["v0"][0] == ["value", "leaf", "root"]


def test_gradients_read_not_yet_until_one_arrives_at_a_leaf():
    root = neuron()
    x = next(v for v in everything(root) if v.label == "x")

    def grads():
        texts = {t[0]: t[-1] for t in Seen(draw_dot(root)).of("value").values()}
        return " ".join(texts[name].replace(" ", "_") for name in ("x", "w", "b", "xw", "n", "o"))

    assert grads() == "not_yet not_yet not_yet not_yet not_yet not_yet"
    root.grad = 1.0
    assert grads() == "not_yet not_yet not_yet not_yet not_yet 1.0000"
    x.grad = -2e-9
    assert grads() == "-2.00e-09 0.0000 0.0000 0.0000 0.0000 1.0000"
    x.grad, root._prev = None, (*root._prev, Value(1.0, label="extra", grad=3.0))
    assert grads() == "not_yet 0.0000 0.0000 0.0000 0.0000 1.0000"


def test_not_yet_is_grey_and_numbers_are_black():
    root = neuron()
    root.grad = 1.0
    boxes = [g for _, _, g in Seen(draw_dot(root)).nodes.values()]
    fills = {t.text: t.get("fill") for g in boxes for t in g.iter(SVG + "text")}
    assert fills["not yet"] == "#666666" and fills["1.0000"] in (None, "black")


@pytest.mark.parametrize("number, text", [
    (1, "1.0000"), (-0.0, "0.0000"), (0.00012, "0.0001"), (1e-7, "1.00e-07"), (-123456.0, "-1.23e+05"),
    (float("nan"), "nan"), (float("inf"), "inf"), (99999.0, "99999.0000"),
])
def test_numbers_are_readable_at_any_size(number, text):
    assert Seen(draw_dot(Value(number, label="v"))).box("v")[2] == text


@pytest.mark.parametrize("label", [
    "{", "}", "|", "<", ">", '"', "\\", "\\n", "\\N", "a < b & c > d", "<b>bold</b>", "&amp;", "{x|y}", "'",
    "v0:p", "\\G \\T", "∂L/∂w", "ñ", "漢字", "😀", "-->", "%s", "node",
])
def test_any_label_operation_and_title_comes_through(label):
    a = Value(1.0, label=label)
    seen = Seen(draw_dot(Value(2.0, (a,), label, "root"), title=label))
    assert seen.box(label)[0] == label
    assert list(seen.of("op").values()) == [[label]]
    assert seen.heading == [label]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_no_label_breaks_the_picture(label):
    seen = Seen(draw_dot(Value(1.0, (Value(2.0),), label, label), title=label))
    assert len(seen.of("value")) == 2


def test_long_labels_are_cut_where_it_shows():
    assert Seen(draw_dot(Value(1.0, label="x" * 40))).box("x" * 40)
    assert Seen(draw_dot(Value(1.0, label="x" * 41))).box("x" * 39 + "…")


def test_label_may_be_missing_or_no_text():
    v = Value(1.0)
    del v.label
    assert Seen(draw_dot(v)).of("value") == {"v0": ["data", "1.0000", "grad", "not yet"]}
    assert Seen(draw_dot(Value(1.0, label=7))).box("7")


def test_the_same_input_twice_is_two_edges_where_the_graph_tells():
    a = Value(3.0, label="a")
    assert len(Seen(draw_dot(Value(6.0, (a, a), "+", kind=tuple))).edges) == 3
    assert len(Seen(draw_dot(Value(6.0, (a, a), "+", kind=set))).edges) == 2


def test_a_tuple_keeps_its_order():
    a, b = Value(1.0, label="b"), Value(2.0, label="a")
    source = draw_dot(Value(3.0, (a, b), "-", kind=tuple)).source
    assert source.index("<B>b</B>") < source.index("<B>a</B>")


def test_wide_graphs_are_scaled_down_to_800_pixels():
    v = Value(1.0)
    for k in range(40):
        v = Value(float(k), (v,), "exp")
    assert Seen(draw_dot(v)).width <= 600  # points; 0.75 of a pixel each
    assert Seen(draw_dot(neuron())).width <= 600


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


# -- the same in every process -------------------------------------------------------------------------

TWINS = """
import random, sys
sys.path[:0] = [{root!r}]
from tests.test_draw import Value, draw_dot
clutter = [object() for _ in range(int(sys.argv[1]))]   # other addresses in every process
rng = random.Random(int(sys.argv[1]))
def make(*args, **kwargs):
    clutter.append([object() for _ in range(rng.randrange(50))])
    return Value(*args, **kwargs)
# Nothing here has a label; many values look alike and differ only by what they are connected to.
leaves = [make(1.0) for _ in range(6)]
hidden = [make(2.0, (a, b), "+") for a, b in zip(leaves, leaves[1:])]
rng.shuffle(hidden)
deep = [make(4.0, (h, g), "+") for h, g in zip(sorted(hidden, key=id), sorted(hidden, key=id)[1:])]
two = [make(3.0, (leaves[0],), "*"), make(3.0, (leaves[3],), "*"), make(3.0, (leaves[5], leaves[2]), "*")]
print(draw_dot(make(9.0, hidden + two, "sum")).pipe(encoding="utf-8"))
"""


def test_the_same_bytes_in_every_process():
    pictures = set()
    for k in range(6):
        out = subprocess.run([sys.executable, "-c", TWINS.format(root=str(ROOT)), str(k * 1000)], cwd=ROOT,
                             env=os.environ | {"PYTHONHASHSEED": str(k)}, capture_output=True, check=True)
        pictures.add(out.stdout)
    assert len(pictures) == 1 and b"</svg>" in pictures.pop()


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 14))
def test_the_picture_does_not_depend_on_the_order_of_a_set(rng, size):
    """The same graph made twice, its inputs handed over in another order, gives the same DOT text."""
    plan = [[rng.randrange(i) for _ in range(rng.randrange(4))] for i in range(1, size)]
    plan.append(range(size))  # the root has them all
    look = [(rng.choice([0.0, 1.0]), rng.choice(["", "+"])) for _ in range(size + 1)]

    class Listed(set):
        """A set that lists its entries in the order of `key`, as other addresses would."""

        def __iter__(self):
            return iter(sorted(super().__iter__(), key=lambda v: v.key))

    def build():
        values = []
        for (data, op), inputs in zip(look, [[]] + plan):
            values.append(Value(data, (values[i] for i in inputs), op, kind=Listed))
            values[-1].key = random.random()
        return values[-1]

    first = draw_dot(build()).source
    assert all(draw_dot(build()).source == first for _ in range(3))


# -- where there is little, too much, or nothing to draw -----------------------------------------------


def test_it_draws_without_the_environment_in_path(tmp_path):
    code = "from tests.test_draw import *; print(draw_dot(neuron()).pipe(encoding='utf-8'))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)},
                         capture_output=True, text=True, encoding="utf-8", check=True)
    assert out.stdout.rstrip().endswith("</svg>")


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
    tree = draw_dot(Value(6.0, (y, x), "+", "z", grad=1.0, kind=tuple), title="z = x**2 + x")
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


def chain(length):
    v = Value(0.0)
    for _ in range(length - 1):
        v = Value(0.0, (v,), "+", kind=tuple)
    return v


def test_a_large_graph_is_refused_with_its_size_and_the_way_out():
    draw_dot(chain(150))
    with pytest.raises(ValueError, match=r"has 151 values.*draw a smaller piece.*raise max_nodes") as caught:
        draw_dot(chain(151))
    assert "\n" not in str(caught.value)
    assert "151 values" in repr(draw_dot(chain(151), max_nodes=151))


def test_a_million_values_are_refused_at_once():
    root = chain(1_000_000)
    start = time.perf_counter()
    with pytest.raises(ValueError, match="more than 10,000 values"):
        draw_dot(root)
    assert time.perf_counter() - start < 1
    while root._prev:  # take it apart by hand: freeing a chain may recurse
        (root,) = root._prev


def test_depth_is_no_limit():
    assert "3000 values" in repr(draw_dot(chain(3000), max_nodes=3000))


@pytest.mark.parametrize("thing, named", [
    (1.0, "float"), (None, "NoneType"), ("x", "str"), ([Value(1.0)], "list"), (Value, "type"),
    (Value(1.0, (2.0,), "+", kind=tuple), "float in the _prev"), (Value([1]), r"\[1\]"),
    (Value(1.0, grad="much"), "much"),
])
def test_what_is_no_value_is_named(thing, named):
    with pytest.raises(TypeError, match=named) as caught:
        draw_dot(thing)
    assert "\n" not in str(caught.value)


def test_a_torch_tensor_is_no_value():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="Tensor.*_prev"):
        draw_dot(torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("name, value, said", [
    ("rankdir", "left", 'rankdir is "LR"'), ("max_nodes", "many", "max_nodes must be"),
    ("max_nodes", 0, "max_nodes must be"), ("max_nodes", True, "max_nodes must be"),
])
def test_bad_arguments_are_named(name, value, said):
    with pytest.raises(ValueError, match=said):
        draw_dot(neuron(), **{name: value})


def test_a_circle_from_a_broken_value_class_still_ends():
    a = Value(1.0, label="a")
    a._prev, a._op = (a,), "+"
    assert re.search("v0 -> v0op", draw_dot(a).source)
