"""What notebooks 05, 07, 09 and 10 define beside the package, on random inputs in float64."""
import json
import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tests import helpers
from tests.bench import layers as bench
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

# === layers of 09 and 10 =================================================================================

many = settings(max_examples=60, derandomize=True, deadline=None, database=None)

seeds = st.integers(0, 2**31)


@cache
def notebook(*names):
    """Definitions of the notebook, with its imports."""
    space = {}
    for book in ("09_images", "10_layers"):
        there = helpers.definitions(book)
        exec("\n\n".join([helpers.imports(book), *(there[name] for name in names if name in there)]), space)
    return space


# --- up and down -------------------------------------------------------------------------


@many
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.data())
def test_conv_transpose_is_torchs_and_the_gradient_of_a_convolution(seed, H, W, k, stride, dilation, data):
    space = notebook("conv_transpose", "size_after")
    padding = data.draw(st.integers(0, dilation * (k - 1) + 1))     # one more: the result is cut off
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))    # all that torch allows
    sizes = [space["size_after"](size, k, stride, padding, extra, dilation) for size in (H, W)]
    assume(min(sizes) > 0)
    x, weight = bell(seed, 2, 3, H, W).requires_grad_(), bell(seed + 1, 3, 2, k, k).requires_grad_()
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    ours = space["conv_transpose"](x, weight, output_padding=extra, **how)
    theirs = F.conv_transpose2d(x, weight, output_padding=extra, **how)
    assert list(ours.shape[2:]) == sizes
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    pull = bell(seed + 2, *ours.shape)
    for a, b in zip(*(torch.autograd.grad(y, (x, weight), pull) for y in (ours, theirs))):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    if extra < stride and padding <= dilation * (k - 1):
        large = torch.zeros(theirs.shape, dtype=torch.double, requires_grad=True)
        back = torch.autograd.grad(F.conv2d(large, weight, **how), large, x)[0]
        torch.testing.assert_close(ours, back, rtol=1e-9, atol=1e-9)


@many
@given(seeds)
def test_checkerboard_finds_the_share_that_alternates(seed):
    checkerboard = notebook("checkerboard")["checkerboard"]
    smooth = torch.nn.functional.interpolate(bell(seed, 4, 2, 4, 4), scale_factor=4.0).float()  # flat in each tile
    board = torch.tensor([1.0, -1.0]).repeat(8)
    assert checkerboard(smooth) < 1e-6
    for pattern in (board.expand(16, 16), board[:, None].expand(16, 16), board * board[:, None]):
        y = smooth + 2 * pattern
        assert checkerboard(y) == pytest.approx(4 / y.var().item(), rel=1e-3)


# --- activations and depth -----------------------------------------------------------------


@many
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_gelus(values):
    space = notebook("gelu", "gelu_tanh", "gelu_sigmoid", "slope")
    x = torch.tensor(values, dtype=torch.double)
    torch.testing.assert_close(space["gelu"](x), F.gelu(x), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(space["gelu_tanh"](x), F.gelu(x, approximate="tanh"), rtol=1e-9, atol=1e-12)
    assert (space["gelu_sigmoid"](x) - F.gelu(x)).abs().max() < 0.0204
    assert (space["gelu_tanh"](x) - F.gelu(x)).abs().max() < 0.0005
    numerical = (F.silu(x + 1e-6) - F.silu(x - 1e-6)) / 2e-6
    torch.testing.assert_close(space["slope"](F.silu, x), numerical, rtol=1e-6, atol=1e-6)


def by_formula(wiring, x, w1, w2):
    """One block, written out; its biases are 0."""
    def branch(x):
        return F.relu(x @ w1.T) @ w2.T

    def norm(x):
        return F.layer_norm(x, x.shape[-1:])
    return {"plain": F.relu(branch(x)), "identity": F.relu(branch(x)), "residual": x + branch(x), "zero": x,
            "pre": x + branch(norm(x)), "post": norm(x + branch(x))}[wiring]


@pytest.mark.parametrize("wiring", ["plain", "identity", "residual", "zero", "pre", "post"])
def test_blocks_are_wired_as_their_names_say(wiring):
    space = notebook("Block", "deep")
    net, x = space["deep"](6, wiring, n=8).double(), bell(1, 5, 8)
    for block in net[3:6]:
        assert isinstance(block, space["Block"])
        want = by_formula(wiring, x, block.one.weight, block.two.weight)
        torch.testing.assert_close(block(x), want, rtol=1e-9, atol=1e-9)
    assert isinstance(net[6], nn.LayerNorm) == (wiring == "pre")


@pytest.mark.parametrize("wiring", ["residual", "pre"])
def test_paths_add_up_to_the_jacobian(wiring):
    space = notebook("Block", "deep", "paths")
    torch.set_default_dtype(torch.double)                           # paths starts with torch.eye
    try:
        net, x = space["deep"](10, wiring, n=8), bell(3, 8)
        sums = space["paths"](net, x)
        assert len(sums) == 6
        whole = torch.autograd.functional.jacobian(net[3:8], x)
        torch.testing.assert_close(sum(sums), whole, rtol=1e-9, atol=1e-9)
        alone = torch.autograd.functional.jacobian(net[3].branch, x)    # one block: paths of length 0 and 1
        torch.testing.assert_close(space["paths"](net[3:4], x)[1], alone, rtol=1e-9, atol=1e-9)
    finally:
        torch.set_default_dtype(torch.float32)


# --- the measurements ---------------------------------------------------------------------


def test_the_grid_of_rates_grows_until_the_best_lies_inside():
    asked = []

    def run(lr, seed):
        asked.append((lr, seed))
        return abs(math.log(lr / 0.08)), {"loss": lr + seed}
    row = bench.measured(run, (0.01, 0.02), 2)
    assert row["lr"] == 0.08 and row["n"] == 2
    assert [lr for lr, seed in asked if seed == 0] == [0.01, 0.02, 0.04, 0.08, 0.16]
    assert row["loss"]["runs"] == [1.08, 2.08] and row["loss"]["se"] == 0.5
    assert bench.measured(run, (0.01, 0.02), 2, grow=False)["lr"] == 0.02
    nothing = bench.measured(lambda lr, seed: (math.nan, {"loss": math.nan}), (0.01, 0.02), 2)
    assert nothing["loss"]["mean"] == 99.0


def test_recording_keeps_the_other_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULT", tmp_path / "layers.json")
    bench.record({"pools": {"max": 1}})
    bench.record({"gated": {"ReLU": 2}})
    bench.record({"pools": {"max": 3}})
    found = json.loads((tmp_path / "layers.json").read_text(encoding="utf-8"))
    assert found["pools"] == {"max": 3} and found["gated"] == {"ReLU": 2}
    assert {"what", "made_by", "date", "device", "torch"} <= set(found) and len(list(tmp_path.iterdir())) == 1


def test_what_is_recorded_has_n_runs_and_their_mean():
    recorded = json.loads(bench.RESULT.read_text(encoding="utf-8"))
    assert set(bench.PARTS) <= set(recorded)
    rows = [recorded]
    while rows:
        row = rows.pop()
        if "runs" not in row:
            rows += [v for v in row.values() if isinstance(v, dict)]
            continue
        runs = torch.tensor(row["runs"], dtype=torch.double)
        assert len(runs) in (3, 5)
        assert row["mean"] == pytest.approx(runs.mean().item(), abs=2e-4)
        assert row["se"] == pytest.approx(runs.std().item() / len(runs)**0.5, abs=2e-4)


# === backward passes of 05, 07, 09 and 10 ================================================================

NB = {}
for _name in ("05_backprop", "09_images"):
    exec(helpers.imports(_name), NB)
    for _source in helpers.definitions(_name).values():
        exec(_source, NB)  # a class loses its decorators on the class itself; there are none
exec(helpers.definitions("07_gpt")["softmax_backward"], NB)
for _name in ("05_backprop", "07_gpt", "10_layers"):
    for _number, _, _source in helpers.exercises(_name):
        if _name == "05_backprop" or _number in ("07_9", "10_7"):
            exec(_source, NB)


few, small = st.integers(1, 6), st.integers(1, 4)


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
