"""micro.engine and micro.nn against PyTorch, numerical gradients and micrograd itself."""
import gc
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.engine import Value, dot, topological_order
from micro.nn import MLP

# --- random expression graphs ------------------------------------------------------------

UNARY = {
    "neg": lambda x: -x,
    "tanh": lambda x: x.tanh(),
    "exp of tanh": lambda x: x.tanh().exp(),
    "log of 1.5 + tanh": lambda x: (x.tanh() + 1.5).log(),
    "relu": lambda x: x.relu(),
    "square": lambda x: x**2,
    "cube over 1 + square": lambda x: x**3 / (1 + x**2),
    "reciprocal": lambda x: 1 / (2 + x.tanh()),
    "root": lambda x: (x**2 + 0.5) ** 0.5,
    "2 - x": lambda x: 2 - x,
    "x - 0.5": lambda x: x - 0.5,
    "1.5 ** tanh": lambda x: 1.5 ** x.tanh(),
}
BINARY = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y.tanh(),
    "/": lambda x, y: x / (1.5 + y.tanh()),
}
step = st.tuples(st.sampled_from(sorted(UNARY) + sorted(BINARY)), st.integers(0, 99), st.integers(0, 99))


def grow(leaves, steps):
    """A graph with shared nodes: each step applies an operation to nodes made before."""
    nodes = list(leaves)
    for op, i, j in steps:
        x, y = nodes[i % len(nodes)], nodes[j % len(nodes)]
        nodes.append(UNARY[op](x) if op in UNARY else BINARY[op](x, y))
    total = nodes[-1]
    for n in nodes[:-1]:
        total = total + n
    return total


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.lists(step, max_size=12))
def test_random_graphs_agree_with_pytorch(numbers, steps):
    ours = [Value(x) for x in numbers]
    theirs = [torch.tensor(x, dtype=torch.double, requires_grad=True) for x in numbers]
    a, b = grow(ours, steps), grow(theirs, steps)
    if not math.isfinite(b.item()) or abs(b.item()) > 1e12:
        return
    a.backward()
    b.backward()
    assert a.data == pytest.approx(b.item(), rel=1e-9, abs=1e-9)
    for v, t in zip(ours, theirs):
        assert v.grad == pytest.approx(t.grad.item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", sorted(UNARY))
def test_slopes_agree_with_a_nudge(name):
    fn, h = UNARY[name], 1e-6
    for x in (-1.3, -0.4, 0.7, 1.9):
        v = Value(x)
        fn(v).backward()
        nudge = (fn(Value(x + h)).data - fn(Value(x - h)).data) / (2 * h)
        assert v.grad == pytest.approx(nudge, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("fn", [lambda x: x.relu(), lambda x: x**0 + x, lambda x: x**1])
def test_slopes_at_0_are_pytorchs(fn):
    v, t = Value(0.0), torch.tensor(0.0, dtype=torch.double, requires_grad=True)
    fn(v).backward()
    fn(t).backward()
    assert v.grad == t.grad.item()


MICROGRAD_TOO = [op for op in sorted(UNARY) if op in {"neg", "relu", "square", "2 - x", "x - 0.5"}]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=3),
       st.lists(st.tuples(st.sampled_from([*MICROGRAD_TOO, "+", "-"]), st.integers(0, 99), st.integers(0, 99)),
                max_size=10))
def test_random_graphs_agree_with_micrograd(numbers, steps):
    """Whoever comes from micrograd gets the same numbers, for the operations that it has."""
    peer = pytest.importorskip("micrograd.engine").Value
    ours, theirs = [Value(x) for x in numbers], [peer(x) for x in numbers]
    a, b = grow(ours, steps), grow(theirs, steps)
    if abs(b.data) > 1e12:
        return
    a.backward()
    b.backward()
    assert a.data == pytest.approx(b.data, rel=1e-9, abs=1e-9)
    assert [v.grad for v in ours] == pytest.approx([v.grad for v in theirs], rel=1e-9, abs=1e-9)


# --- the way backward ----------------------------------------------------------------------

def test_depth_is_no_limit():
    y = x = Value(1.0)
    for _ in range(100_000):  # a hundred times as deep as Python may recurse
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0
    del y  # freeing it must not recurse either


def test_order_lists_inputs_first_and_nodes_once():
    rng = random.Random(0)
    nodes = [Value(rng.random()) for _ in range(3)]
    for _ in range(200):
        nodes.append(rng.choice(nodes) * rng.choice(nodes))
    order = topological_order(nodes[-1])
    place = {v: i for i, v in enumerate(order)}
    assert len(place) == len(order) and order[-1] is nodes[-1]
    assert all(place[p] < place[v] for v in order for p in v._prev)


def test_second_backward_adds_to_leaves_as_pytorch_does():
    v, t = Value(0.5), torch.tensor(0.5, dtype=torch.double, requires_grad=True)
    y, u = (v * v).tanh() * v, torch.tanh(t * t) * t
    for _ in range(3):
        y.backward()
        u.backward(retain_graph=True)
        assert v.grad == pytest.approx(t.grad.item(), rel=1e-12)


def test_a_dropped_graph_leaves_nothing_to_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        y = sum((Value(i) * 0.5).tanh() for i in range(1000))
        y.backward()
        del y
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- dot, and the layers -------------------------------------------------------------------

@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=8), st.floats(-3, 3))
def test_dot_equals_the_sum_written_out(pairs, bias):
    results = []
    for way in (dot, lambda ws, xs, b: sum((w * x for w, x in zip(ws, xs)), b)):
        ws, xs, b = [Value(w) for w, _ in pairs], [Value(x) for _, x in pairs], Value(bias)
        out = way(ws, xs, b)
        out.tanh().backward()
        results.append([out.data, b.grad, *[v.grad for v in ws + xs]])
    assert np.allclose(*results, rtol=1e-12, atol=1e-12)


def test_dot_counts_a_node_used_twice_twice():
    x = Value(3.0)
    dot([x, x], [x, Value(1.0)], x).backward()  # x·x + x + x
    assert x.grad == 8.0


@pytest.mark.parametrize("sizes", [[1], [4, 1], [3, 5, 2]])
def test_mlp_equals_torch(sizes):
    random.seed(3)
    ours = MLP(2, sizes)
    layers = []
    for layer in ours.layers:
        linear = torch.nn.Linear(len(layer.neurons[0].w), len(layer.neurons)).double()
        with torch.no_grad():
            linear.weight.copy_(torch.tensor([[w.data for w in n.w] for n in layer.neurons], dtype=torch.double))
            linear.bias.copy_(torch.tensor([n.b.data for n in layer.neurons], dtype=torch.double))
        layers += [linear, torch.nn.ReLU()]
    theirs = torch.nn.Sequential(*layers[:-1])
    out = ours([0.3, -1.2])
    out = out if isinstance(out, list) else [out]
    want = theirs(torch.tensor([0.3, -1.2], dtype=torch.double))
    assert np.allclose([v.data for v in out], want.detach().numpy(), rtol=1e-12)
    sum(v * v for v in out).backward()
    (want**2).sum().backward()
    grads = [g for lin in layers[::2] for row, b in zip(lin.weight.grad, lin.bias.grad) for g in [*row, b]]
    assert np.allclose([p.grad for p in ours.parameters()], [g.item() for g in grads], rtol=1e-9, atol=1e-12)
    ours.zero_grad()
    assert not any(p.grad for p in ours.parameters())


# --- bad input -----------------------------------------------------------------------------

@pytest.mark.parametrize("call, error, key", [
    (lambda: Value("3"), TypeError, "'3'"),
    (lambda: Value([1.0]), TypeError, "list of Values"),
    (lambda: Value(torch.ones(3)), TypeError, "one real number"),
    (lambda: Value(2.0) + "a", TypeError, "'a'"),
    (lambda: Value(2.0) ** Value(2.0), TypeError, r"k \* x.log\(\)"),
    (lambda: Value(0.0).log(), ValueError, r"log\(0.0\)"),
    (lambda: Value(-8.0) ** 0.5, ValueError, r"pow\(-8.0, 0.5\)"),
    (lambda: Value(0.0) ** -1, ValueError, r"pow\(0.0, -1\)"),
    (lambda: Value(1000.0).exp(), OverflowError, r"exp\(1000.0\)"),
    (lambda: dot([Value(1.0)], [1.0, 2.0], Value(0.0)), ValueError, "2 for 1"),
    (lambda: MLP(2, [3, 1])([1.0]), ValueError, "1 for 2"),
])
def test_bad_input_gets_one_sentence(call, error, key):
    with pytest.raises(error, match=key) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_numbers_of_every_kind_are_taken():
    for x in (2, 2.0, True + 1, np.float32(2), np.int64(2), torch.tensor(2.0)):
        assert (Value(x) * 3 + x).data == 8.0
    assert (np.float64(2) * Value(3.0)).data == 6.0
