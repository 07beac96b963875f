"""The gradients of notebook 05, its own functions and the solutions, against autograd on random shapes in float64."""
import math

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import course
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

NB = {"torch": torch, "F": F, "math": math}
for _source in [*course.definitions("05_backprop").values(),
                *[solution for _, _, solution in course.exercises("05_backprop")]]:
    exec(_source, NB)  # a class loses its decorators on the class itself; there are none

many = settings(max_examples=60, derandomize=True, deadline=None, database=None)
seeds, few, small = st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 4)


def agree(ours, f, leaves, dy=None, seed=0):
    """Are `ours` autograd's gradients of sum(f(*leaves) * dy)? ours: a function of dy."""
    leaves = [t.clone().requires_grad_() for t in leaves]
    y = f(*leaves)
    dy = bell(seed + 1, *y.shape) if dy is None else dy
    found = ours(dy)
    theirs = torch.autograd.grad(y, leaves, dy)
    assert len(found) == len(theirs)
    for a, b in zip(found, theirs):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-9 * max(1, b.abs().max().item()))


def pytorchs(X, T, P):
    """The network of section 11 in PyTorch's own words."""
    x = P["C"][X].flatten(1) @ P["W1"] + P["b1"]
    h = torch.tanh(F.batch_norm(x, None, None, P["bngain"], P["bnbias"], training=True))
    return F.cross_entropy(h @ P["W2"] + P["b2"], T)


@many
@given(seeds, st.integers(3, 20), few, few)
def test_the_whole_network(seed, n, n_hidden, n_embd):
    P = NB["new_parameters"](n_hidden, n_embd, seed)
    X = torch.randint(0, 27, (n, 3), generator=torch.Generator().manual_seed(seed))
    T = bell(seed, n, 27).softmax(1)
    leaves = {name: p.clone().requires_grad_() for name, p in P.items()}
    loss = pytorchs(X, T, leaves)
    ours, saved = NB["forward"](X, T, P)
    assert abs(ours.item() - loss.item()) < 1e-9
    grads = NB["backward"](X, T, P, saved)
    assert grads.keys() == P.keys()
    for name, theirs in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        scale = max(1, theirs.abs().max().item())
        assert grads[name].shape == theirs.shape
        assert torch.allclose(grads[name], theirs, rtol=0, atol=1e-9 * scale), name


@many
@given(seeds, st.integers(2, 9), few)
def test_the_short_forms(seed, n, width):
    x, gain, Y = 2 * bell(seed, n, width) + 1, bell(seed + 2, width), torch.arange(n) % width
    agree(lambda dy: [NB["dhprebn_at_once"](x, gain, dy)],
          lambda x: F.batch_norm(x, None, None, gain, None, training=True), [x])
    agree(lambda dy: [NB["dlogits_at_once"](x, Y)], lambda x: F.cross_entropy(x, Y), [x],
          torch.tensor(1.0, dtype=torch.double))
    agree(lambda dy: NB["back_layer_norm"](x, gain, dy),
          lambda x, g, b: F.layer_norm(x, (width,), g, b, 1e-5), [x, gain, gain])
    agree(lambda dy: NB["back_linear"](x, gain[:, None] * gain, dy),
          lambda h, W, b: h @ W + b, [x, gain[:, None] * gain, gain])


@many
@given(seeds, few, few, small, small, st.integers(0, 3), small)
def test_convolution_in_two_dimensions(seed, n, c_out, kh, kw, padding, stride):
    x, w = bell(seed, n, 2, kh + 3, kw + 5), bell(seed + 2, c_out, 2, kh, kw)
    agree(lambda dy: NB["conv2d_backward"](x, w, dy, stride, padding),
          lambda x, w: F.conv2d(x, w, stride=stride, padding=padding), [x, w], seed=seed)


@many
@given(seeds, st.integers(4, 12), small, st.integers(0, 2), small)
def test_convolution_by_loops(seed, size, k, padding, stride):
    x, w = bell(seed, size), bell(seed + 2, k)
    agree(lambda dy: NB["conv1d_backward"](x, w, dy, stride, padding),
          lambda x, w: F.conv1d(x[None, None], w[None, None], stride=stride, padding=padding)[0, 0], [x, w])


@many
@given(seeds, few, small, small, st.booleans())
def test_max_pooling_ties_included(seed, n, k, stride, ties):
    x = bell(seed, n, 2, k + 4, k + 3)
    x = x.round() if ties else x  # whole numbers: many are equal, and the first of the largest gets it
    agree(lambda dy: [NB["max_pool_backward"](x, dy, k, stride)], lambda x: F.max_pool2d(x, k, stride), [x])


@many
@given(seeds, few, few, few, st.booleans())
def test_attentions_scores(seed, n, T, d, masked):
    q, k = bell(seed, n, T, d), bell(seed + 2, n, T, d)
    future = torch.triu(torch.ones(T, T), 1).bool() & masked

    def weights(q, k):
        return (q @ k.transpose(1, 2) / d**0.5).masked_fill(future, -math.inf).softmax(-1)

    agree(lambda dy: NB["back_scores"](q, k, weights(q, k), dy)[1:], weights, [q, k])
    s = bell(seed, n, T, T)
    agree(lambda dy: [NB["softmax_backward"](s.softmax(-1), dy)], lambda s: s.softmax(-1), [s])


@many
@given(seeds, st.integers(2, 9), few)
def test_the_function_to_take_along(seed, n, width):
    x, gain, bias = bell(seed, n, width), bell(seed + 2, width), bell(seed + 3, width)

    def ours(dy):
        leaves = [t.clone().requires_grad_() for t in (x, gain, bias)]
        return torch.autograd.grad(NB["FastBatchNorm"].apply(*leaves), leaves, dy)

    agree(ours, lambda x, gain, bias: F.batch_norm(x, None, None, gain, bias, training=True), [x, gain, bias])
