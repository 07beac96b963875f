"""The layers of notebook 09 against torch.nn and against formulas written out in loops: numbers, gradients,
running statistics, state_dict, and what each norm does not see.
"""
import copy
import functools
import inspect
import io
import itertools
import math
import pickle
import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from micro.layers import BatchNorm1d, BatchRenorm, GatedFeedForward, GroupNorm, LayerNorm, RMSNorm, normalize
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)
from tests.test_layers import (
    close,
    epsilons,
    equip,
    leading,
    many,
    momenta,
    same_state,
    same_step,
    seeds,
    shake,
    sizes,
    with_threads,
)

places = st.lists(st.integers(1, 4), max_size=2)                    # (B, C), (B, C, L) or (B, C, H, W)
r_max = st.sampled_from([1.0, 1.2, 1.5, 3.0, 1e9, math.inf])
d_max = st.sampled_from([0.0, 0.1, 0.5, 2.0, 1e9, math.inf])
groupings = [(groups, dim) for dim in range(1, 13) for groups in range(1, dim + 1) if dim % groups == 0]


class Apply(nn.Module):
    """A function in the place of a layer."""

    def __init__(self, formula):
        super().__init__()
        self.forward = formula


def with_formula(layer, formula):
    """A copy of a layer, its own numbers in it, that computes formula(layer, x) in place of its forward."""
    twin = copy.deepcopy(layer)
    twin.forward = functools.partial(formula, twin)
    return twin


def shaken(layer, seed=0):
    """Random numbers in every parameter and running statistic, float64; a variance stays above 0."""
    torch.manual_seed(seed)
    shake(layer.double())
    for name, buffer in layer.named_buffers():
        if name == "running_mean":
            buffer.copy_(bell(seed, *buffer.shape))
        elif name == "running_var":
            buffer.copy_(bell(seed + 1, *buffer.shape).abs() + 0.1)
    return layer


def uneven(seed, *shape):
    """Numbers whose mean and width differ from channel to channel (dimension 1)."""
    x = bell(seed, *shape)
    channel = torch.arange(shape[1]).double().view(-1, *[1] * (len(shape) - 2))
    return x * (0.5 + channel % 3) + channel % 4 - 1


def unchanged(layer, before):
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was changed"


def norms():
    """Each norm once, with 4 features or channels, and its twin."""
    return {
        "layer": (LayerNorm(4), nn.LayerNorm(4)),
        "rms": (RMSNorm(4), nn.RMSNorm(4, eps=1e-5)),
        "group": (GroupNorm(2, 4), nn.GroupNorm(2, 4)),
        "batch": (BatchRenorm(4), nn.BatchNorm1d(4)),
    }


each_norm = pytest.mark.parametrize("name", list(norms()))


# --- normalize ---------------------------------------------------------------------------


def normalize_in_loops(x, dims, eps, center):
    """One set of places after the other, by the textbook."""
    dims = [d % x.dim() for d in ([dims] if isinstance(dims, int) else dims)]
    y = torch.zeros_like(x)
    kept = [[slice(None)] if d in dims else range(n) for d, n in enumerate(x.shape)]
    for where in itertools.product(*kept):
        numbers = x[where]
        n = numbers.numel()
        if center:
            numbers = numbers - sum(numbers.flatten()) / n
        y[where] = numbers / (sum(number * number for number in numbers.flatten()) / n + eps) ** 0.5
    return y


@st.composite
def shapes_and_dims(draw):
    """A shape of one to four dimensions and some of them: a number or a tuple, from the left or the right."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    dims = draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, unique=True))
    dims = tuple(d - len(shape) * draw(st.booleans()) for d in dims)
    return shape, dims[0] if len(dims) == 1 and draw(st.booleans()) else dims


@many
@given(seeds, shapes_and_dims(), epsilons, st.booleans())
def test_normalize_is_the_formula(seed, shape_and_dims, eps, center):
    shape, dims = shape_and_dims
    y = same_step(Apply(functools.partial(normalize, dims=dims, eps=eps, center=center)),
                  Apply(functools.partial(normalize_in_loops, dims=dims, eps=eps, center=center)),
                  3 * bell(seed, *shape) + 1)
    assert list(y.shape) == shape


@many
@given(seeds, st.integers(3, 30), st.booleans())
def test_normalize_gives_width_1_and_mean_0(seed, n, center):
    y = normalize(5 * bell(seed, 3, n) + 2, 1, 0, center)
    close(y.square().mean(1), torch.ones(3).double())
    if center:
        close(y.mean(1), torch.zeros(3).double())
    else:
        assert (y.mean(1).abs() > 1e-6).all()


def test_normalize_by_hand():
    x = torch.tensor([1.0, 5.0], dtype=torch.double)               # mean 3, variance 4, mean square 13
    close(normalize(x, 0, eps=5), torch.tensor([-2, 2]).double() / 3)          # under the root: 4 + 5
    close(normalize(x, 0, eps=3, center=False), torch.tensor([1, 5]).double() / 4)
    close(normalize(x, 0), torch.tensor([-2, 2]).double() / (4 + 1e-5) ** 0.5)
    assert str(inspect.signature(normalize)) == "(x, dims, eps=1e-05, center=True)"


@pytest.mark.parametrize("dims", [0, 1, -1, (0, 1), (-2, 1)], ids=str)
@pytest.mark.parametrize("center, value", [(True, 3.0), (True, 0.0), (False, 0.0)])
def test_a_constant_becomes_0_and_no_nan(dims, center, value):
    x = torch.full((4, 3), value, requires_grad=True)
    y = normalize(x, dims, center=center)
    (y * torch.linspace(-1, 1, 12).view(4, 3)).sum().backward()
    assert (y == 0).all() and x.grad.isfinite().all()


@each_norm
def test_layers_turn_a_constant_into_the_bias(name):
    layer = shaken(norms()[name][0])
    x = torch.full((3, 4, 4), 0.0 if name == "rms" else 2.0, dtype=torch.double, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    shape = (4, 1) if name in ("group", "batch") else (4,)
    close(y, layer.bias.view(shape).expand(y.shape) if name != "rms" else torch.zeros(3, 4, 4).double())
    assert x.grad.isfinite().all()


def test_normalize_leaves_its_input_alone():
    x = bell(0, 3, 4)
    kept = x.clone()
    normalize(x, 1), normalize(x, 1, center=False)
    assert torch.equal(x, kept)


def test_gradients_agree_with_a_nudge():
    x = bell(0, 3, 4).requires_grad_()
    for dims, center in itertools.product([0, -1, (0, 1)], [True, False]):
        assert torch.autograd.gradcheck(functools.partial(normalize, dims=dims, eps=0.01, center=center), (x,))
    for layer in (LayerNorm(4, 0.01), RMSNorm(4, 0.01), GroupNorm(2, 4, 0.01), BatchRenorm(4, 0.01),
                  BatchRenorm(4, 0.01, r_max=1.2, d_max=0.3).eval(), GatedFeedForward(4, 5)):
        shaken(layer)
        assert torch.autograd.gradcheck(layer, (x,)), type(layer).__name__


# --- LayerNorm and RMSNorm ---------------------------------------------------------------


@pytest.mark.parametrize("make, twin", [(LayerNorm, nn.LayerNorm), (RMSNorm, nn.RMSNorm)])
@many
@given(seeds, leading, sizes, epsilons)
def test_a_norm_of_tokens_is_its_twin(make, twin, seed, lead, dim, eps):
    ours, theirs = equip(shaken(make(dim, eps), seed), twin(dim, eps), torch.double)
    x = 3 * bell(seed, *lead, dim) + torch.arange(dim) - 2
    y = same_step(ours, theirs, x)
    assert y.shape == (*lead, dim)
    same_state(ours, theirs)


@many
@given(seeds, st.integers(3, 9), st.floats(0.01, 100), st.floats(-100, 100), epsilons)
def test_layernorm_sees_no_scale_and_no_shift(seed, dim, scale, shift, eps):
    a = scale * (1 + torch.arange(4).double().view(4, 1))           # of each token its own
    x, b = bell(seed, 4, dim), shift * bell(seed + 1, 4, 1)
    layer, wider = shaken(LayerNorm(dim, 0), seed), LayerNorm(dim, eps * scale**2).double()
    close(layer(a * x + b), layer(x), 100)                          # digits that a large shift takes
    close(layer(-a * x) - layer.bias, layer.bias - layer(x), 100)   # but it does see the sign
    narrower = LayerNorm(dim, eps).double()
    close(wider(scale * x + b), narrower(x), 100)                   # what scale is, epsilon decides


@many
@given(seeds, st.integers(3, 9), st.floats(0.01, 100), epsilons)
def test_rmsnorm_sees_no_scale_but_a_shift(seed, dim, scale, eps):
    a = scale * (1 + torch.arange(4).double().view(4, 1))
    x = bell(seed, 4, dim)
    layer = shaken(RMSNorm(dim, 0), seed)
    close(layer(a * x), layer(x))
    close(layer(-a * x), -layer(x))
    close(RMSNorm(dim, eps * scale**2).double()(scale * x), RMSNorm(dim, eps).double()(x))
    assert ((layer(x + 3) - layer(x)).abs().amax(1) > 1e-3).all()


@many
@given(seeds, st.integers(2, 4), st.integers(2, 4), sizes)
def test_tokens_do_not_see_each_other(seed, B, T, dim):
    x = bell(seed, B, T, dim)
    other = bell(seed + 1, B, T, dim)
    other[1, 0] = x[1, 0]
    for layer in (LayerNorm(dim), RMSNorm(dim), GatedFeedForward(dim, 3)):
        shaken(layer, seed)
        close(layer(other)[1, 0], layer(x)[1, 0])
        close(layer(x[1, 0]), layer(x)[1, 0])


# --- GroupNorm ---------------------------------------------------------------------------


@pytest.mark.parametrize("groups, dim", groupings)
def test_groupnorm_is_its_twin(groups, dim):
    for seed, (shape, eps) in enumerate(itertools.product([(), (1,), (5,), (3, 2), (2, 3, 2)], [1e-5, 0.1])):
        ours, theirs = equip(shaken(GroupNorm(groups, dim, eps), seed), nn.GroupNorm(groups, dim, eps), torch.double)
        y = same_step(ours, theirs, uneven(seed, 3, dim, *shape))
        assert y.shape == (3, dim, *shape)
    same_state(ours, theirs)


@many
@given(seeds, st.sampled_from(groupings), st.integers(1, 4), places, epsilons)
def test_groupnorm_is_its_twin_on_any_shape(seed, grouping, B, shape, eps):
    groups, dim = grouping
    B += B * dim * math.prod(shape) == groups           # one number a channel in all is too little for the twin
    ours, theirs = equip(shaken(GroupNorm(groups, dim, eps), seed), nn.GroupNorm(groups, dim, eps), torch.double)
    same_step(ours, theirs, uneven(seed, B, dim, *shape))


@many
@given(seeds, sizes, st.integers(1, 4), st.lists(st.integers(2, 4), min_size=1, max_size=2), epsilons)
def test_a_group_for_each_channel_is_instance_norm(seed, dim, B, shape, eps):
    twin = (nn.InstanceNorm1d, nn.InstanceNorm2d)[len(shape) - 1]
    ours, theirs = equip(shaken(GroupNorm(dim, dim, eps), seed), twin(dim, eps, affine=True), torch.double)
    same_step(ours, theirs, uneven(seed, B, dim, *shape))


def layer_norm_over_all(layer, x):
    per_channel = (-1, *[1] * (x.dim() - 2))
    weight, bias = (p.view(per_channel).expand(x.shape[1:]) for p in (layer.weight, layer.bias))
    return F.layer_norm(x, x.shape[1:], weight, bias, layer.eps)


@many
@given(seeds, sizes, st.integers(1, 4), places, epsilons)
def test_one_group_is_layer_norm_over_all(seed, dim, B, shape, eps):
    ours = shaken(GroupNorm(1, dim, eps), seed)
    x = uneven(seed, B, dim, *shape)
    same_step(ours, with_formula(ours, layer_norm_over_all), x)
    if not shape:
        same_step(*equip(ours, nn.LayerNorm(dim, eps), torch.double), x)


def groupnorm_in_loops(layer, x):
    y, size = torch.zeros_like(x), x.shape[1] // layer.groups
    for example, channel in itertools.product(range(x.shape[0]), range(x.shape[1])):
        first = channel // size * size                              # the group: neighbouring channels
        numbers = x[example, first:first + size]
        mean = numbers.sum() / numbers.numel()
        var = ((numbers - mean) ** 2).sum() / numbers.numel()
        y[example, channel] = layer.weight[channel] * (x[example, channel] - mean) / (var + layer.eps) ** 0.5 \
            + layer.bias[channel]
    return y


@many
@given(seeds, st.sampled_from(groupings), st.integers(1, 3), places, epsilons)
def test_groupnorm_is_the_formula(seed, grouping, B, shape, eps):
    ours = shaken(GroupNorm(*grouping, eps), seed)
    same_step(ours, with_formula(ours, groupnorm_in_loops), uneven(seed, B, grouping[1], *shape))


@many
@given(seeds, st.integers(2, 3), st.integers(2, 3), st.integers(2, 3), st.lists(st.integers(2, 4), max_size=2))
def test_groups_and_examples_do_not_see_each_other(seed, B, groups, size, shape):
    layer = shaken(GroupNorm(groups, groups * size), seed)
    x = uneven(seed, B, groups * size, *shape)
    other = uneven(seed + 1, B, groups * size, *shape)
    other[1, size:2 * size] = x[1, size:2 * size]                   # all but the second group of the second example
    close(layer(other)[1, size:2 * size], layer(x)[1, size:2 * size])
    other[1, size] += 1 + bell(seed + 2, *shape).abs()              # and one channel of that group
    changed = (layer(other)[1, size + 1] - layer(x)[1, size + 1]).abs()
    assert (changed > 1e-9).any(), "channels of one group see each other"


@many
@given(seeds, st.floats(0.01, 100), st.floats(-100, 100))
def test_groupnorm_sees_no_scale_and_no_shift_of_a_group(seed, scale, shift):
    layer, x = shaken(GroupNorm(3, 6, 0), seed), bell(seed, 2, 6, 4)
    a, b = (1 + bell(seed + 1, 2, 3).abs()) * scale, shift * bell(seed + 2, 2, 3)      # (example, group)
    a, b = (t.repeat_interleave(2, 1).unsqueeze(2) for t in (a, b))
    close(layer(a * x + b), layer(x), 100)


@pytest.mark.parametrize("groups, dim", [(2, 7), (8, 4), (0, 4), (-2, 4), (3, 4)])
def test_groups_that_do_not_fit_are_named(groups, dim):
    text = rf"^GroupNorm needs dim, a multiple of groups: {dim} channels make no {groups} groups\.$"
    with pytest.raises(ValueError, match=text):
        GroupNorm(groups, dim)


# --- inputs that lie differently in memory -----------------------------------------------


LAYOUTS = {  # of the same numbers (3, 4, 4), none of them one after the other
    "examples last": lambda x: x.transpose(0, 2).contiguous().transpose(0, 2),
    "channels last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "channels first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every second": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "a part": lambda x: torch.cat([x, x], 1)[:, 2:6],
    "one example for all": lambda x: x[:1].expand(x.shape),
    "one place for all": lambda x: x[:, :, :1].expand(x.shape),
}


def same_step_from(ours, theirs, x, layout):
    """same_step with layout(x) for an input, whose places in memory a clone would lose."""
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        inp = layout(leaf)
        assert not inp.is_contiguous()
        y = module(inp)
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).cos().view(y.shape)).sum().backward()
        results.append([y, leaf.grad, *(p.grad for p in module.parameters())])
    for a, b in zip(*results):
        close(a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@each_norm
def test_the_layout_in_memory_does_not_matter(name, layout):
    ours, theirs = norms()[name]
    equip(shaken(ours), theirs, torch.double)
    same_step_from(ours, theirs, uneven(0, 3, 4, 4), LAYOUTS[layout])
    same_state(ours, theirs)
    same_step_from(ours.eval(), theirs.eval(), uneven(0, 3, 4, 4), LAYOUTS[layout])


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_images_with_their_channels_last(groups):
    def channels_last(x):
        return x.contiguous(memory_format=torch.channels_last)

    for ours, theirs in ((GroupNorm(groups, 6), nn.GroupNorm(groups, 6)), (BatchRenorm(6), nn.BatchNorm2d(6))):
        equip(shaken(ours), theirs, torch.double)
        same_step_from(ours, theirs, uneven(0, 2, 6, 3, 4), channels_last)


# --- BatchRenorm with r_max = 1 and d_max = 0: batch norm --------------------------------


@many
@given(seeds, sizes, st.integers(2, 12), st.lists(st.integers(1, 3), max_size=3), momenta, epsilons, st.integers(1, 4))
def test_batchrenorm_without_leeway_is_batch_norm(seed, dim, B, shape, momentum, eps, steps):
    twin = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape)]
    ours, theirs = equip(shaken(BatchRenorm(dim, eps, momentum), seed), twin(dim, eps, momentum), torch.double)
    for step in range(1, steps + 1):
        y = same_step(ours, theirs, uneven(seed + step, B, dim, *shape), 4)
        same_state(ours, theirs, 4)
        assert y.shape == (B, dim, *shape)
        assert ours.num_batches_tracked.item() == step and ours.num_batches_tracked.dtype == torch.long
    ours.eval(), theirs.eval()
    before = copy.deepcopy(ours.state_dict())
    for examples in (B, 1, 0):
        same_step(ours, theirs, uneven(seed, examples, dim, *shape), 4)
    unchanged(ours, before)
    ours.train(), theirs.train()
    same_step(ours, theirs, uneven(seed, B, dim, *shape), 4)
    same_state(ours, theirs, 4)
    assert ours.num_batches_tracked.item() == steps + 1


def test_batchrenorm_is_the_batch_norm_of_notebook_04():
    renorm, batchnorm = equip(shaken(BatchRenorm(3)), BatchNorm1d(3), torch.double)
    for step in range(3):
        same_step(renorm, batchnorm, uneven(step, 5, 3))
        same_state(renorm, batchnorm)
    same_step(renorm.eval(), batchnorm.eval(), uneven(9, 5, 3))


@many
@given(seeds, sizes, st.integers(3, 12), st.lists(st.integers(1, 3), max_size=2), st.floats(0.01, 100),
       st.floats(-100, 100))
def test_without_leeway_no_scale_and_no_shift_of_a_channel_is_seen(seed, dim, B, shape, scale, shift):
    layer, x = shaken(BatchRenorm(dim, eps=0), seed), bell(seed, B, dim, *shape)
    a, b = ((t * bell(seed + 1, dim).abs() + t).view(dim, *[1] * len(shape)) for t in (scale, shift))
    close(layer(a * x + b), layer(x), 100)
    other = uneven(seed + 1, B, dim, *shape)
    other[:, 0] = x[:, 0]
    close(layer(other)[:, 0], layer(x)[:, 0])


# --- BatchRenorm with leeway -------------------------------------------------------------


def renorm_in_loops(layer, x):
    """Algorithm 1 of https://arxiv.org/abs/1702.03275, channel by channel, with σ² averaged (unbiased) for σ."""
    y = torch.zeros_like(x)
    for c in range(x.shape[1]):
        numbers = x[:, c]
        m = numbers.numel()
        mu_b = numbers.sum() / m
        var_b = ((numbers - mu_b) ** 2).sum() / m
        sigma_b = (layer.eps + var_b) ** 0.5
        mu, var = layer.running_mean[c].item(), layer.running_var[c].item()
        sigma = (layer.eps + var) ** 0.5
        r = min(max(sigma_b.item() / sigma, 1 / layer.r_max), layer.r_max)               # stop_gradient(clip ...)
        d = min(max((mu_b.item() - mu) / sigma, -layer.d_max), layer.d_max)
        y[:, c] = layer.weight[c] * ((numbers - mu_b) / sigma_b * r + d) + layer.bias[c]
        with torch.no_grad():
            layer.running_mean[c] = mu + layer.momentum * (mu_b.item() - mu)
            layer.running_var[c] = var + layer.momentum * (var_b.item() * m / (m - 1) - var)
    layer.num_batches_tracked += 1
    return y


@many
@given(seeds, sizes, st.integers(2, 6), places, momenta, epsilons, r_max, d_max)
def test_batchrenorm_is_algorithm_1(seed, dim, B, shape, momentum, eps, r_max, d_max):
    ours = shaken(BatchRenorm(dim, eps, momentum, r_max, d_max), seed)
    formula = with_formula(ours, renorm_in_loops)
    for step in range(3):
        y = same_step(ours, formula, uneven(seed + step, B, dim, *shape), 4)
        same_state(ours, formula, 4)
        assert y.shape == (B, dim, *shape)


@many
@given(seeds, sizes, st.integers(2, 6), places, epsilons, st.sampled_from([1e9, math.inf]))
def test_where_nothing_is_cut_off_training_gives_what_eval_gives(seed, dim, B, shape, eps, leeway):
    layer = shaken(BatchRenorm(dim, eps, 0.1, leeway, leeway), seed)
    for step in range(3):
        x = uneven(seed + step, B, dim, *shape)
        known = copy.deepcopy(layer).eval()             # with the statistics from before this step
        close(layer(x), known(x), 4)
    assert (layer.running_mean - known.running_mean).abs().max() > 1e-6, "and yet the statistics moved"


BY_HAND = {  # mean and deviation of the batch, r_max, d_max; what r and d must be (running: mean 2, deviation 4)
    "nothing cut off": (6.0, 8.0, 3.0, 3.0, 2.0, 1.0),
    "r above": (6.0, 8.0, 1.5, 3.0, 1.5, 1.0),
    "r below": (6.0, 2.0, 1.5, 3.0, 1 / 1.5, 1.0),
    "r within": (6.0, 2.0, 2.5, 3.0, 0.5, 1.0),
    "d above": (6.0, 8.0, 3.0, 0.25, 2.0, 0.25),
    "d below": (-6.0, 8.0, 3.0, 0.25, 2.0, -0.25),
    "both": (-6.0, 2.0, 1.25, 0.75, 0.8, -0.75),
    "batch norm": (6.0, 8.0, 1.0, 0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_r_and_d_by_hand(case):
    mean, deviation, r_max, d_max, r, d = BY_HAND[case]
    layer = BatchRenorm(1, eps=0, momentum=0.5, r_max=r_max, d_max=d_max).double()
    layer.running_mean += 2
    layer.running_var += 15
    xhat = torch.tensor([[-1.0], [1.0]]).double()
    close(layer(mean + deviation * xhat), r * xhat + d)
    close(layer.running_mean, torch.tensor([(2 + mean) / 2]).double())
    close(layer.running_var, torch.tensor([(16 + 2 * deviation**2) / 2]).double())      # unbiased: twice of two


@many
@given(seeds, sizes, st.integers(2, 6), places, r_max, d_max)
def test_no_gradient_flows_through_r_and_d(seed, dim, B, shape, r_max, d_max):
    x, pull = uneven(seed, B, dim, *shape), uneven(seed + 1, B, dim, *shape)
    layer = shaken(BatchRenorm(dim, 0.1, r_max=r_max, d_max=d_max), seed)
    grads = []
    for leeway in (True, False):
        module = copy.deepcopy(layer)
        if not leeway:
            module.r_max, module.d_max = 1.0, 0.0
        inp = x.clone().requires_grad_()
        (module(inp) * pull).sum().backward()
        grads.append(inp.grad)
    dims = [d for d in range(x.dim()) if d != 1]
    r = ((x.var(dims, correction=0) + 0.1) / (layer.running_var + 0.1)).sqrt().clamp(1 / r_max, r_max)
    close(grads[0], r.view(-1, *[1] * len(shape)) * grads[1])       # that of batch norm, r times


def test_the_leeway_can_be_widened_on_the_way():
    layer, theirs = equip(shaken(BatchRenorm(3)), nn.BatchNorm1d(3), torch.double)
    same_step(layer, theirs, uneven(0, 5, 3))
    layer.r_max, layer.d_max = math.inf, math.inf
    known, x = copy.deepcopy(layer).eval(), uneven(1, 5, 3)
    assert (layer(x) - theirs(x)).abs().max() > 0.01
    close(copy.deepcopy(known).train()(x), known(x))
    same_state(layer, theirs)                                       # the running statistics have no leeway


def test_eval_has_no_use_for_r_max_and_d_max():
    x = uneven(0, 5, 3, 2)
    layers = [shaken(BatchRenorm(3, r_max=r, d_max=d)).eval() for r, d in ((1.0, 0.0), (1.5, 0.1), (9.0, math.inf))]
    theirs = equip(copy.deepcopy(layers[0]), nn.BatchNorm1d(3), torch.double)[1].eval()
    for layer in layers:
        same_step(layer, theirs, x)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (0, 3), (0, 3, 5)], ids=str)
def test_one_number_a_channel_is_refused_without_a_trace(shape):
    layer = shaken(BatchRenorm(3, r_max=2.0, d_max=1.0))
    before = copy.deepcopy(layer.state_dict())
    text = f"BatchRenorm needs two numbers a channel to train on, not {shape}."
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        layer(uneven(0, *shape))
    unchanged(layer, before)
    y = layer.eval()(uneven(0, *shape))
    unchanged(layer, before)
    assert y.shape == shape and y.isfinite().all()


def test_another_number_of_channels_is_refused_without_a_trace():
    layer = BatchRenorm(3)
    before = copy.deepcopy(layer.state_dict())
    for shape in ((4, 2), (4, 5, 3)):
        with pytest.raises((ValueError, RuntimeError)):
            layer(torch.randn(shape))
        unchanged(layer, before)


def test_two_numbers_a_channel_are_enough():
    for shape in ((2, 3), (1, 3, 2), (1, 3, 2, 1)):
        twin = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[len(shape) - 2]
        ours, theirs = equip(shaken(BatchRenorm(3)), twin(3), torch.double)
        same_step(ours, theirs, uneven(0, *shape))
        same_state(ours, theirs)


def test_running_statistics_hold_no_graph_and_stay_the_same_tensors():
    layer = BatchRenorm(2, r_max=2.0, d_max=1.0)
    kept = dict(layer.named_buffers())
    early = [layer.eval()(torch.randn(4, 2, requires_grad=True)), layer.train()(torch.randn(4, 2, requires_grad=True))]
    layer(torch.randn(4, 2, requires_grad=True))
    for name, buffer in layer.named_buffers():
        assert buffer is kept[name] and not buffer.requires_grad and buffer.grad_fn is None
    for y in early:
        y.sum().backward()  # a later training step doesn't spoil an earlier graph


# --- GatedFeedForward --------------------------------------------------------------------


ACTIVATIONS = {  # what is passed in, and the same written out
    "sigmoid": (torch.sigmoid, lambda g: 1 / (1 + (-g).exp())),
    "identity": (lambda g: g, lambda g: g),
    "relu": (F.relu, lambda g: torch.where(g > 0, g, 0)),
    "gelu": (F.gelu, lambda g: g * (1 + torch.erf(g / 2**0.5)) / 2),
    "silu": (F.silu, lambda g: g / (1 + (-g).exp())),
}


@many
@given(seeds, leading, sizes, sizes, st.sampled_from(sorted(ACTIVATIONS)))
def test_the_gated_layer_is_its_formula(seed, lead, dim, hidden, name):
    activation, written_out = ACTIVATIONS[name]

    def formula(layer, x):
        gate = torch.einsum("hd, ...d -> ...h", layer.gate.weight, x)
        up = torch.einsum("hd, ...d -> ...h", layer.up.weight, x)
        return torch.einsum("dh, ...h -> ...d", layer.proj.weight, written_out(gate) * up)

    ours = shaken(GatedFeedForward(dim, hidden, activation), seed)
    y = same_step(ours, with_formula(ours, formula), bell(seed, *lead, dim))
    assert y.shape == (*lead, dim)
    assert sum(p.numel() for p in ours.parameters()) == 3 * dim * hidden


@many
@given(seeds, leading, sizes, sizes)
def test_with_a_sigmoid_it_is_glu(seed, lead, dim, hidden):
    def formula(layer, x):  # F.glu opens the first half by the sigmoid of the second
        return F.linear(F.glu(F.linear(x, torch.cat([layer.up.weight, layer.gate.weight]))), layer.proj.weight)

    ours = shaken(GatedFeedForward(dim, hidden, torch.sigmoid), seed)
    same_step(ours, with_formula(ours, formula), bell(seed, *lead, dim))


def test_a_closed_gate_lets_nothing_through_and_the_other_half_scales():
    layer, x = shaken(GatedFeedForward(4, 6, F.relu)), bell(0, 5, 4)
    y = layer(x)
    with torch.no_grad():
        layer.up.weight *= -3
    close(layer(x), -3 * y)                                         # linear in up: of any sign
    with torch.no_grad():
        layer.gate.weight.zero_()
    assert (layer(x) == 0).all()


@pytest.mark.parametrize("dim", [3, 48, 96])
def test_two_thirds_of_the_width_cost_the_same(dim):
    layer = GatedFeedForward(dim, 8 * dim // 3)
    plain = nn.Sequential(nn.Linear(dim, 4 * dim, bias=False), nn.ReLU(), nn.Linear(4 * dim, dim, bias=False))
    count = [sum(p.numel() for p in net.parameters()) for net in (layer, plain)]
    assert count[0] == count[1]


def test_the_gated_layers_names_and_start():
    torch.manual_seed(0)
    layer = GatedFeedForward(4, 6)
    assert [(k, tuple(v.shape)) for k, v in layer.state_dict().items()] == [
        ("gate.weight", (6, 4)), ("up.weight", (6, 4)), ("proj.weight", (4, 6))]
    assert layer.activation is F.silu and layer.gate.bias is layer.up.bias is layer.proj.bias is None
    assert not torch.equal(layer.gate.weight, layer.up.weight)
    torch.manual_seed(0)
    assert torch.equal(GatedFeedForward(4, 6).proj.weight, layer.proj.weight), "the seed decides the start"


def test_an_activation_may_learn():
    layer = GatedFeedForward(4, 6, nn.PReLU())
    layer(torch.randn(2, 4)).sum().backward()
    assert [name for name, _ in layer.named_parameters()][-1] == "activation.weight"
    assert all(p.grad is not None for p in layer.parameters())


# --- what all of them share --------------------------------------------------------------


def layers():
    """Every layer of notebook 09, for 4 features or channels."""
    return [pair[0] for pair in norms().values()] + [
        GroupNorm(1, 4), GroupNorm(4, 4), BatchRenorm(4, r_max=1.5, d_max=0.5), GatedFeedForward(4, 6)]


@each_norm
def test_names_and_start_are_the_twins(name):
    ours, theirs = norms()[name]
    same_state(ours, theirs)
    for books in ("named_parameters", "named_buffers"):
        a, b = ([(n, t.shape, t.dtype) for n, t in getattr(module, books)()] for module in (ours, theirs))
        assert a == b
    assert all(p.requires_grad for p in ours.parameters())


@each_norm
def test_state_dict_both_ways_strictly(name):
    for from_ours in (True, False):
        ours, theirs = norms()[name]
        source, target = (ours, theirs) if from_ours else (theirs, ours)
        shaken(source)
        source(uneven(0, 5, 4))                                     # moves running statistics, if any
        assert target.double().load_state_dict(source.state_dict(), strict=True).missing_keys == []
        same_state(ours, theirs)
        same_step(ours.eval(), theirs.eval(), uneven(1, 5, 4))


def test_defaults_are_those_of_the_course():
    for layer, text in {
        LayerNorm: "(dim, eps=1e-05)", RMSNorm: "(dim, eps=1e-05)", GroupNorm: "(groups, dim, eps=1e-05)",
        BatchRenorm: "(dim, eps=1e-05, momentum=0.1, r_max=1.0, d_max=0.0)",
    }.items():
        assert str(inspect.signature(layer)) == text
    assert list(inspect.signature(GatedFeedForward).parameters) == ["dim", "hidden", "activation"]


class Dtypes(TorchDispatchMode):
    """Notes the dtype of every tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        self.seen |= {t.dtype for t in (out if isinstance(out, tuple | list) else [out]) if torch.is_tensor(t)}
        return out


@pytest.mark.parametrize("i", range(len(layers())))
def test_float32_stays_float32(i):
    layer, x = layers()[i], 3 * torch.randn(16, 4, 4, generator=torch.Generator().manual_seed(0)) + 1
    x.requires_grad_()
    layer.eps = 0.1  # as below
    exact = copy.deepcopy(layer).double()
    for _ in ("train", "eval"):
        with Dtypes() as dtypes:
            y = layer(x)
            y.cos().sum().backward()
        assert torch.float32 in dtypes.seen and torch.float64 not in dtypes.seen
        assert y.dtype == x.grad.dtype == torch.float32
        torch.testing.assert_close(y.double(), exact(x.double()), rtol=1e-4, atol=1e-4)
        for name, p in layer.named_parameters():
            assert p.dtype == p.grad.dtype == torch.float32, name
        for name, buffer in layer.named_buffers():
            assert buffer.dtype == (torch.long if name == "num_batches_tracked" else torch.float32), name
        layer.eval(), exact.eval()


@each_norm
def test_float32_is_the_twins(name):
    torch.manual_seed(0)
    ours, theirs = norms()[name]
    ours.eps = theirs.eps = 0.1  # a smaller one lets rounding grow where numbers that share a mean lie close
    shake(ours)
    equip(ours, theirs, torch.float32)
    same_step(ours, theirs, 3 * torch.randn(32, 4, 4) + 1, 4)
    same_state(ours, theirs, 4)


@pytest.mark.parametrize("i", range(len(layers())))
def test_copies_and_saved_states(i):
    layer = shaken(layers()[i])
    x = uneven(0, 5, 4, 4)
    layer(x)
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    saved.seek(0)
    on_disk = torch.load(saved, weights_only=True)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    kept = copy.deepcopy(layer.state_dict())
    expected = copy.deepcopy(layer)(x)
    for twice in copies:
        assert type(twice) is type(layer)
        same_state(twice, layer)
        assert torch.equal(twice(x), expected)
        for p in twice.parameters():
            p.data += 1
        unchanged(layer, kept)                                      # the copy shares nothing
    fresh = layers()[i].double()
    fresh.load_state_dict(on_disk)
    assert torch.equal(fresh(x), expected)


@pytest.mark.parametrize("i", range(len(layers())))
def test_only_batch_statistics_depend_on_the_mode(i):
    layer, x = shaken(layers()[i]), uneven(0, 5, 4, 4)
    before = copy.deepcopy(layer.state_dict())
    differ = (layer(x) - copy.deepcopy(layer).eval()(x)).abs().max()
    if isinstance(layer, BatchRenorm):
        assert differ > 0.01
    else:
        assert differ == 0
        unchanged(layer, before)


def test_the_number_of_threads_does_not_matter():
    x = uneven(0, 64, 4, 16, 16)
    for layer in (GroupNorm(2, 4), BatchRenorm(4, r_max=1.5, d_max=0.5)):
        first, second = (with_threads(n, functools.partial(copy.deepcopy(layer.double()), x)) for n in (1, 2))
        close(first, second)
    x = uneven(0, 4096, 24)
    for layer in (LayerNorm(24), RMSNorm(24)):
        first, second = (with_threads(n, functools.partial(layer.double(), x)) for n in (1, 2))
        assert torch.equal(first, second)


# --- what is refused, and what is not ----------------------------------------------------


def test_group_norm_takes_sliding_windows():
    for step, size, groups in ((2, 9, 3), (3, 8, 2), (1, 6, 2)):
        ours, theirs = equip(shaken(GroupNorm(groups, size)), nn.GroupNorm(groups, size), torch.double)
        x = bell(0, 40)
        windows = x.unfold(0, size, step)                           # overlapping memory
        torch.testing.assert_close(ours(windows), theirs(windows))


@pytest.mark.parametrize("shape", [(4, 1), (4, 1, 5), (4, 2), (4, 6, 5), (3,)], ids=str)
def test_another_width_is_refused(shape):
    for layer in (BatchRenorm(3), BatchRenorm(3).eval(), GroupNorm(1, 3), GroupNorm(3, 3)):
        before = copy.deepcopy(layer.state_dict())
        with pytest.raises(ValueError, match="3 features"):
            layer(torch.randn(shape))
        unchanged(layer, before)

@pytest.mark.parametrize("shape", [(4, 1), (4, 3, 1), ()], ids=str)
def test_another_width_of_tokens_is_refused(shape):
    for layer in (LayerNorm(3), RMSNorm(3)):
        with pytest.raises(ValueError, match="features"):
            layer(torch.randn(shape))

def test_a_batch_of_no_examples():
    same_step(*equip(GroupNorm(2, 4), nn.GroupNorm(2, 4), torch.double), bell(0, 0, 4, 3))

def test_one_number_a_channel_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"eval\(\)"):
        BatchRenorm(3)(torch.randn(1, 3))


def test_batch_renorm_refuses_limits_that_exclude_batch_norm():
    for r_max, d_max in ((0.5, 0.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="r_max >= 1"):
            BatchRenorm(3, r_max=r_max, d_max=d_max)
