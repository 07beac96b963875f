"""Dataflow pictures: every tensor with its shape, every step there and back, the same in every run."""
import re

import pytest

from micro import flow
from micro.flow import draw_flow


class Tensor:
    def __init__(self, *shape):
        self.shape = shape


STEPS = [("a", "<&>", "x"), ("b", "+", "a a2"), ("loss", "mean", "b a")]
TENSORS = {"x": Tensor(3, 4), "a": Tensor(3, 4), "a2": Tensor(1, 4), "b": Tensor(3, 4), "loss": Tensor()}


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
    with pytest.raises(KeyError, match="no tensor for 'a2'"):
        draw_flow(STEPS, {k: v for k, v in TENSORS.items() if k != "a2"})


def test_the_same_bytes_twice_and_a_repr_without_addresses():
    assert picture().pipe() == picture().pipe()
    assert repr(picture()) == "<flow of 5 tensors in 3 steps>"


def test_without_graphviz_the_steps_come_as_text(monkeypatch, capsys):
    monkeypatch.setattr(flow, "_dot_program", lambda: None)
    assert repr(picture()).splitlines()[1] == "b (3 × 4) = + of a, a2"
    assert "graphviz-pure" in capsys.readouterr().out
