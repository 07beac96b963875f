"""micro.wavenet and 06's layers against torch.nn: convolutions, causality, receptive field, step = forward."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from micro.layers import BatchNorm1d, FeaturesLast, FlattenConsecutive
from micro.wavenet import CausalConv, GatedBlock, WaveNet
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=40, derandomize=True, deadline=None, database=None)
seeds, few, dilations = st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 6)


def shaken(net, seed):
    """Every parameter random, in float64, so that no bias of 0 hides a mistake."""
    torch.manual_seed(seed)
    net = net.double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) / max(1, p[0].numel())**0.5)
    return net


def torch_conv(x, linear, dilation):
    """F.conv1d with the weights of a CausalConv: x (B, T, C_in) -> (B, T, C_out)."""
    weight = torch.stack(linear.weight.split(x.shape[2], dim=1), dim=2)  # (C_out, C_in, 2)
    return F.conv1d(F.pad(x.transpose(1, 2), (dilation, 0)), weight, linear.bias, dilation=dilation).transpose(1, 2)


@many
@given(seeds, few, st.integers(1, 9), few, few, dilations)
def test_causal_conv_is_torchs_padded_on_the_left(seed, B, T, fan_in, fan_out, dilation):
    conv = shaken(CausalConv(fan_in, fan_out, dilation), seed)
    x, dy = bell(seed, B, T, fan_in).requires_grad_(), bell(seed + 1, B, T, fan_out)
    ours, theirs = conv(x), torch_conv(x, conv.linear, dilation)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    leaves = [x, *conv.parameters()]
    for a, b in zip(torch.autograd.grad(ours, leaves, dy), torch.autograd.grad(theirs, leaves, dy)):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)


def reference(net, ix):
    """The paper's formulas on torch's own convolutions."""
    x, skips = F.embedding(ix, net.embedding.weight), 0
    for block in net.blocks:
        value, gate = torch_conv(x, block.conv.linear, block.conv.dilation).split(x.shape[2], 2)
        out = F.linear(torch.tanh(value) * torch.sigmoid(gate), block.out.weight, block.out.bias)
        skips = skips + out[..., x.shape[2]:]
        x = x + out[..., :x.shape[2]]
    hidden = F.linear(F.relu(skips), net.hidden.weight, net.hidden.bias)
    return F.linear(F.relu(hidden), net.output.weight, net.output.bias)


nets = st.builds(lambda seed, C, n_skip, ds: shaken(WaveNet(7, C, n_skip, ds), seed), seeds, few, few,
                 st.lists(dilations, min_size=1, max_size=4))


@many
@given(nets, seeds, few, st.integers(1, 12))
def test_wavenet_is_the_papers_and_its_gradients_too(net, seed, B, T):
    ix = torch.randint(0, 7, (B, T), generator=torch.Generator().manual_seed(seed))
    ours, theirs = net(ix), reference(net, ix)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    used, dy = list(net.parameters()), bell(seed, *ours.shape)
    for a, b in zip(torch.autograd.grad(ours, used, dy), torch.autograd.grad(theirs, used, dy)):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)


@many
@given(nets, seeds, few, st.integers(1, 12))
def test_step_by_step_equals_all_at_once(net, seed, B, T):
    ix = torch.randint(0, 7, (B, T), generator=torch.Generator().manual_seed(seed))
    whole, queues = net(ix), net.empty_queues(B)
    for t in range(T):
        kept = [q.clone() for q in queues]
        logits, later = net.step(ix[:, t], queues)
        assert torch.allclose(logits, whole[:, t], rtol=0, atol=1e-9)
        assert all(torch.equal(a, b) for a, b in zip(queues, kept)), "step changed the queues it was given"
        queues = later


@many
@given(nets, seeds)
def test_no_output_sees_the_future_and_the_field_is_as_said(net, seed):
    T = net.receptive_field + 3
    x = torch.randint(0, 7, (1, T), generator=torch.Generator().manual_seed(seed))
    before, reach = net(x), set()
    for s in range(T):
        moved = x.clone()
        moved[0, s] = (moved[0, s] + 1) % 7
        changed = (net(moved) != before).any(-1)[0].nonzero().flatten().tolist()
        assert all(t >= s for t in changed)
        reach |= {t - s for t in changed}
    assert max(reach, default=0) < net.receptive_field == 1 + sum(b.conv.dilation for b in net.blocks)


def test_the_whole_receptive_field_is_used():
    net = shaken(WaveNet(7, 8, 8, (1, 2, 4)), 1)
    x = torch.zeros(1, 12, dtype=torch.long)
    moved = x.clone()
    moved[0, 2] = 3
    assert (net(moved) != net(x)).any(-1)[0].tolist() == [2 <= t < 2 + 8 for t in range(12)]


def test_dropout_acts_in_training_alone():
    torch.manual_seed(1)
    net, x = WaveNet(7, 8, 8, dropout=0.5), torch.zeros(1, 5, dtype=torch.long)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.5 for m in net.modules()) == 3


def test_a_fresh_wavenet_guesses_all_alike():
    torch.manual_seed(2)
    loss = F.cross_entropy(WaveNet(27)(torch.randint(0, 27, (64, 10))).flatten(0, 1), torch.randint(0, 27, (640,)))
    assert abs(loss.item() - math.log(27)) < 0.003


def test_a_block_adds_to_its_input():
    block = GatedBlock(3, 4, 2)
    with torch.no_grad():
        block.out.weight.zero_()
    x = torch.randn(2, 6, 3)
    same, skip = block(x)
    assert torch.equal(same, x) and skip.shape == (2, 6, 4) and not skip.any()


# -- the two layers of 06 --------------------------------------------------------------------------------

@many
@given(seeds, few, st.integers(1, 4), few, st.integers(1, 4))
def test_flatten_consecutive_lays_neighbours_side_by_side(seed, B, groups, C, n):
    x = bell(seed, B, groups * n, C)
    y = FlattenConsecutive(n)(x)
    wanted = torch.cat([x[:, k::n] for k in range(n)], 2)
    assert torch.equal(y, wanted.squeeze(1) if groups == 1 else wanted)


def test_flatten_consecutive_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"multiple of 3, not \(2, 8, 5\)"):
        FlattenConsecutive(3)(torch.zeros(2, 8, 5))


@many
@given(seeds, st.integers(2, 5), few, few)
def test_features_last_takes_statistics_over_all_but_the_last(seed, B, T, C):
    x, ours = 2 * bell(seed, B, T, C) + 1, FeaturesLast(BatchNorm1d(C)).double()
    theirs = nn.BatchNorm1d(C).double()
    y = ours(x)
    assert torch.allclose(y, theirs(x.transpose(1, 2)).transpose(1, 2), rtol=0, atol=1e-9)  # torch: (B, C, T)
    assert torch.allclose(ours.layer.running_var, theirs.running_var, rtol=0, atol=1e-9)
    flat = ours(x[:, 0])
    assert flat.shape == (B, C)
