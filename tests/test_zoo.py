"""What notebook 09 defines beside micro.layers, on random inputs; and how its long measurements choose and record."""
import json
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tests import course
from tests.bench import layers as bench
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=60, derandomize=True, deadline=None, database=None)
seeds = st.integers(0, 2**31)


def notebook(*names):
    """Definitions of the notebook, with its imports."""
    space, there = {}, course.definitions("09_layers")
    exec("\n\n".join([course.imports("09_layers"), *(there[name] for name in names)]), space)
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
