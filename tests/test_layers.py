"""micro.layers against torch.nn and against formulas written out in loops: values, gradients, states."""
import copy
import functools
import io
import itertools
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from micro.layers import (
    BatchNorm1d,
    BatchRenorm,
    Embedding,
    Flatten,
    GatedFeedForward,
    GroupNorm,
    LayerNorm,
    Linear,
    RMSNorm,
    Sequential,
    Tanh,
    normalize,
)
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=50, derandomize=True, deadline=None, database=None)
fewer = settings(many, max_examples=15)

seeds = st.integers(0, 2**31)
dtypes = st.sampled_from([torch.float64, torch.float32])
sizes = st.integers(1, 9)
leading = st.lists(st.integers(0, 4), max_size=3)                   # the dimensions in front of the last
places = st.lists(st.integers(1, 3), max_size=3)                    # those behind the channels: none, L, H W or D H W
momenta = st.sampled_from([0.0, 0.001, 0.1, 0.5, 1.0])
epsilons = st.sampled_from([1e-5, 1e-3, 0.1, 2.0])
r_max = st.sampled_from([1.0, 1.2, 1.5, 3.0, 1e9, math.inf])
d_max = st.sampled_from([0.0, 0.1, 0.5, 2.0, 1e9, math.inf])
groupings = st.sampled_from([(g, dim) for dim in range(1, 13) for g in range(1, dim + 1) if dim % g == 0])


# === tools ===============================================================================================


def close(ours, theirs, factor=1.0):
    """Same shape and dtype, and the same numbers but for rounding, measured against the largest."""
    tol = {torch.float64: 1e-9, torch.float32: 1e-5}.get(theirs.dtype, 0) * factor
    largest = max(1.0, theirs.abs().max().item()) if theirs.numel() else 1.0
    torch.testing.assert_close(ours, theirs, rtol=tol, atol=tol * largest)


def equip(ours, theirs, dtype=torch.float64):
    """Both modules in `dtype`; theirs gets our names and numbers (strict), so both start alike."""
    ours.to(dtype)
    theirs.to(dtype)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def shaken(layer, seed=0):
    """Random numbers in every parameter and running statistic, so that no gain of 1 or bias of 0 hides a mistake."""
    torch.manual_seed(seed)
    layer.double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn_like(p))
    for name, buffer in layer.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(bell(seed, *buffer.shape))
        elif name.endswith("running_var"):
            buffer.copy_(bell(seed + 1, *buffer.shape).abs() + 0.1)
    return layer


def uneven(seed, *shape):
    """Numbers whose mean and width differ from channel to channel (dimension 1)."""
    x = bell(seed, *shape)
    if len(shape) < 2:
        return x
    channel = torch.arange(shape[1]).double().view(-1, *[1] * (len(shape) - 2))
    return x * (0.5 + channel % 3) + channel % 4 - 1


def inputs(layer, seed, *shape):
    """Something for a layer to work on: whole numbers where it looks them up in a table."""
    tables = [m for m in layer.modules() if isinstance(m, Embedding)]
    if tables:
        return torch.randint(len(tables[0].weight), shape, generator=torch.Generator().manual_seed(seed))
    return uneven(seed, *shape)


def same_state(ours, theirs, factor=1.0):
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for name in a:
        close(a[name], b[name], factor)


def unchanged(layer, before):
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was changed"


def same_step(ours, theirs, x, factor=1.0, layout=lambda x: x):
    """The same output, and the same gradients for x and for every parameter; x stays as it is.

    The loss weighs every output with a number of its own: a plain sum or mean would let the
    gradient through a batch normalisation vanish.  layout: a view of x, whose places in memory a clone would lose.
    """
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        leaf = x.detach().clone().requires_grad_(x.is_floating_point())
        y = module(layout(leaf))
        assert torch.equal(leaf, x), "the input was changed"
        if y.requires_grad:
            pull = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
            pull -= y.detach() / 3
            (y * pull).sum().backward()
        results.append({"y": y, "x": leaf.grad, **{name: p.grad for name, p in module.named_parameters()}})
    assert list(results[0]) == list(results[1])
    for name, expected in results[1].items():
        if expected is None:
            assert results[0][name] is None and name == "x", name
        else:
            close(results[0][name], expected, factor)
    return results[0]["y"]


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


# === every layer is its twin =============================================================================


def glu(layer, x):  # F.glu opens the first half by the sigmoid of the second
    return F.linear(F.glu(F.linear(x, torch.cat([layer.up.weight, layer.gate.weight]))), layer.proj.weight)


def gated(dim, hidden, lead):
    ours = GatedFeedForward(dim, hidden, torch.sigmoid)
    return ours, with_formula(ours, glu), (*lead, dim)


def grouped(grouping, B, shape, eps):
    B += B * grouping[1] * math.prod(shape) == grouping[0]          # one number a group in all the twin refuses
    return GroupNorm(*grouping, eps), nn.GroupNorm(*grouping, eps), (B, grouping[1], *shape)


def instances(dim, B, shape, eps):
    twin = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[len(shape) - 1]
    return GroupNorm(dim, dim, eps), twin(dim, eps, affine=True), (B, dim, *shape)


def renorm(dim, B, shape, eps, momentum):
    B += B * math.prod(shape) == 1                                  # two numbers a channel are enough
    twin = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape)]
    return BatchRenorm(dim, eps, momentum), twin(dim, eps, momentum), (B, dim, *shape)


def tokens(ours, theirs, dim, eps, lead):
    return ours(dim, eps), theirs(dim, eps), (*lead, dim)


some, few = st.integers(2, 40), st.integers(0, 4)                   # examples
TWINS = {  # name: a strategy for our layer, its twin (torch's, or a formula) and the shape of x
    "Linear": st.builds(lambda dim, out, bias, lead: (
        Linear(dim, out, bias), nn.Linear(dim, out, bias), (*lead, dim)), sizes, sizes, st.booleans(), leading),
    "BatchNorm1d": st.builds(lambda dim, B, *how: (
        BatchNorm1d(dim, *how), nn.BatchNorm1d(dim, *how), (B, dim)), sizes, some, epsilons, momenta),
    "Tanh": st.builds(lambda shape: (Tanh(), nn.Tanh(), shape), leading),
    "Embedding": st.builds(lambda rows, columns, shape: (
        Embedding(rows, columns), nn.Embedding(rows, columns), shape), sizes, sizes, leading),
    "Flatten": st.builds(lambda B, shape: (
        Flatten(), nn.Flatten(), (B, *shape)), few, st.lists(sizes, min_size=1, max_size=3)),
    "LayerNorm": st.builds(functools.partial(tokens, LayerNorm, nn.LayerNorm), sizes, epsilons, leading),
    "RMSNorm": st.builds(functools.partial(tokens, RMSNorm, nn.RMSNorm), sizes, epsilons, leading),
    "GroupNorm": st.builds(grouped, groupings, few, places, epsilons),
    "GroupNorm: one group": st.builds(lambda dim, B, eps: (
        GroupNorm(1, dim, eps), nn.LayerNorm(dim, eps), (B, dim)), sizes, few, epsilons),
    "GroupNorm: a group a channel": st.builds(
        instances, sizes, st.integers(1, 4), st.lists(st.integers(2, 3), min_size=1, max_size=3), epsilons),
    "BatchRenorm: batch norm": st.builds(renorm, sizes, st.integers(1, 12), places, epsilons, momenta),
    "BatchRenorm: that of notebook 04": st.builds(lambda dim, B, *how: (
        BatchRenorm(dim, *how), BatchNorm1d(dim, *how), (B, dim)), sizes, some, epsilons, momenta),
    "GatedFeedForward: GLU": st.builds(gated, sizes, sizes, leading),
}


@pytest.mark.parametrize("name", TWINS)
@many
@given(st.data(), seeds, st.integers(1, 4))
def test_a_layer_is_its_twin(name, data, seed, steps):
    """Start, output, gradients, running statistics, both modes, and the state both ways, strictly."""
    torch.manual_seed(seed)
    ours, theirs, shape = data.draw(TWINS[name])
    batchwise = isinstance(ours, BatchNorm1d | BatchRenorm)
    if name not in ("Linear", "Embedding"):                         # their start is our own
        same_state(ours, theirs)
    equip(shaken(ours, seed), theirs)
    for step in range(steps if batchwise else 1):
        same_step(ours, theirs, inputs(ours, seed + step, *shape), 4)
        same_state(ours, theirs, 4)
    ours.eval(), theirs.eval()
    before = copy.deepcopy(ours.state_dict())
    # In eval mode a batch of one, or none, is fine.
    for shape_now in [shape, (1, *shape[1:]), (0, *shape[1:])] if batchwise else [shape]:
        same_step(ours, theirs, inputs(ours, seed, *shape_now), 4)
    unchanged(ours, before)
    ours.train(), theirs.train()
    ours.load_state_dict(shaken(theirs, seed + 1).state_dict(), strict=True)
    same_step(ours, theirs, inputs(ours, seed, *shape), 4)
    same_state(ours, theirs, 4)


# === what all of them promise, on fixed sizes ============================================================


def net(vocab, columns, context, hidden, momentum=0.1, eps=1e-5):
    """The net of notebooks 04 and 05, ours and torch's."""
    ours = Sequential(
        Embedding(vocab, columns), Flatten(),
        Linear(context * columns, hidden, bias=False, gain=5 / 3),
        BatchNorm1d(hidden, eps, momentum), Tanh(),
        Linear(hidden, vocab))
    theirs = nn.Sequential(
        nn.Embedding(vocab, columns), nn.Flatten(),
        nn.Linear(context * columns, hidden, bias=False),
        nn.BatchNorm1d(hidden, eps, momentum), nn.Tanh(),
        nn.Linear(hidden, vocab))
    return ours, theirs


ACTIVATIONS = {  # what is passed in, and the same written out
    "sigmoid": (torch.sigmoid, lambda g: 1 / (1 + (-g).exp())),
    "identity": (lambda g: g, lambda g: g),
    "relu": (F.relu, lambda g: torch.where(g > 0, g, 0)),
    "gelu": (F.gelu, lambda g: g * (1 + torch.erf(g / 2**0.5)) / 2),
    "silu": (F.silu, lambda g: g / (1 + (-g).exp())),
}


def gated_formula(name, layer, x):
    gate, up = (torch.einsum("hd, ...d -> ...h", part.weight, x) for part in (layer.gate, layer.up))
    return torch.einsum("dh, ...h -> ...d", layer.proj.weight, ACTIVATIONS[name][1](gate) * up)


def renorm_in_loops(layer, x):
    """Algorithm 1 of https://arxiv.org/abs/1702.03275, channel by channel, with σ² averaged (unbiased) for σ."""
    if not layer.training:
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)
    y = torch.zeros_like(x)
    for c in range(x.shape[1]):
        numbers = x[:, c]
        m = numbers.numel()
        mu_b = numbers.sum() / m
        var_b = ((numbers - mu_b) ** 2).sum() / m
        sigma_b = (layer.eps + var_b) ** 0.5
        mu, var = layer.running_mean[c].item(), layer.running_var[c].item()
        sigma = (layer.eps + var) ** 0.5
        r = min(max(sigma_b.item() / sigma, 1 / layer.r_max), layer.r_max)      # numbers: no gradient flows through
        d = min(max((mu_b.item() - mu) / sigma, -layer.d_max), layer.d_max)
        y[:, c] = layer.weight[c] * ((numbers - mu_b) / sigma_b * r + d) + layer.bias[c]
        with torch.no_grad():
            layer.running_mean[c] = mu + layer.momentum * (mu_b.item() - mu)
            layer.running_var[c] = var + layer.momentum * (var_b.item() * m / (m - 1) - var)
    layer.num_batches_tracked += 1
    return y


def swiglu():
    ours = GatedFeedForward(4, 6)
    return ours, with_formula(ours, functools.partial(gated_formula, "silu"))


def leeway():
    ours = BatchRenorm(4, r_max=1.5, d_max=0.5)
    return ours, with_formula(ours, renorm_in_loops)


SAMPLES = {  # name: both layers with nothing but their defaults, and the shape of x
    "Linear": (lambda: (Linear(4, 5), nn.Linear(4, 5)), (5, 4, 4)),
    "BatchNorm1d": (lambda: (BatchNorm1d(4), nn.BatchNorm1d(4)), (16, 4)),
    "Tanh": (lambda: (Tanh(), nn.Tanh()), (5, 4, 4)),
    "Embedding": (lambda: (Embedding(4, 2), nn.Embedding(4, 2)), (5, 4, 4)),
    "Flatten": (lambda: (Flatten(), nn.Flatten()), (5, 4, 4)),
    "net": (lambda: net(5, 2, 3, 4), (16, 3)),
    "LayerNorm": (lambda: (LayerNorm(4), nn.LayerNorm(4)), (5, 4, 4)),
    "RMSNorm": (lambda: (RMSNorm(4), nn.RMSNorm(4, eps=1e-5)), (5, 4, 4)),
    "GroupNorm": (lambda: (GroupNorm(2, 4), nn.GroupNorm(2, 4)), (5, 4, 4)),
    "BatchRenorm": (lambda: (BatchRenorm(4), nn.BatchNorm1d(4)), (5, 4, 4)),
    "BatchRenorm, leeway": (leeway, (5, 4, 4)),
    "GatedFeedForward": (swiglu, (5, 4, 4)),
}
NORMS = ["BatchNorm1d", "LayerNorm", "RMSNorm", "GroupNorm", "BatchRenorm"]
each = pytest.mark.parametrize("name", SAMPLES)


def sample(name, seed=0):
    """Our layer, shaken, its twin with the same numbers, x."""
    make, shape = SAMPLES[name]
    ours, theirs = make()
    return *equip(shaken(ours, seed), theirs), inputs(ours, seed, *shape)


@each
def test_defaults_are_torchs(name):
    ours, theirs, x = sample(name)
    x = x / 100 if x.is_floating_point() else x                     # so small that epsilon counts
    same_step(ours, theirs, x, 100)
    same_state(ours, theirs)


class Dtypes(TorchDispatchMode):
    """Notes the dtype of every tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        self.seen |= {t.dtype for t in (out if isinstance(out, tuple | list) else [out]) if torch.is_tensor(t)}
        return out


@each
def test_float32_stays_float32(name):
    ours, theirs, x = sample(name)
    for module in [*ours.modules(), *theirs.modules()]:
        module.eps = 0.1                                            # a smaller one lets rounding grow
    equip(ours, theirs, torch.float32)
    for _ in ("train", "eval"):
        with Dtypes() as dtypes:
            y = same_step(ours, theirs, x.float() if x.is_floating_point() else x, 4)
        same_state(ours, theirs, 4)
        assert torch.float32 in dtypes.seen and torch.float64 not in dtypes.seen and y.dtype == torch.float32
        ours.eval(), theirs.eval()


@each
def test_copies_and_saved_states(name):
    layer, _, x = sample(name)
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
    fresh = SAMPLES[name][0]()[0].double()
    fresh.load_state_dict(on_disk)
    assert torch.equal(fresh(x), expected)


@each
def test_only_batch_statistics_depend_on_the_mode(name):
    layer, _, x = sample(name)
    before = copy.deepcopy(layer.state_dict())
    differ = (layer(x) - copy.deepcopy(layer).eval()(x)).abs().max()
    if any("running_mean" in key for key in before):
        assert differ > 0.01
    else:
        assert differ == 0
        unchanged(layer, before)


LAYOUTS = {  # of the same numbers (5, 4, 4), none of them one after the other
    "examples last": lambda x: x.transpose(0, 2).contiguous().transpose(0, 2),
    "channels last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "channels first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every second": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "a part": lambda x: torch.cat([x, x], 1)[:, 2:6],
    "one example for all": lambda x: x[:1].expand(x.shape),
    "one place for all": lambda x: x[:, :, :1].expand(x.shape),
    "windows that overlap": lambda x: x.flatten().unfold(0, 4, 3),
}


@pytest.mark.parametrize("name, layout", [
    (name, layout) for name in SAMPLES for layout in LAYOUTS
    if name not in ("Embedding", "net") and (name != "BatchNorm1d" or "windows" in layout)])  # it takes (B, dim)
def test_the_layout_in_memory_does_not_matter(name, layout):
    ours, theirs, _ = sample(name)
    x = uneven(0, 5, 4, 4)
    assert not LAYOUTS[layout](x).is_contiguous()
    for _ in ("train", "eval"):
        same_step(ours, theirs, x, layout=LAYOUTS[layout])
        same_state(ours, theirs)
        ours.eval(), theirs.eval()


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_images_with_their_channels_last(groups):
    def channels_last(x):
        return x.contiguous(memory_format=torch.channels_last)

    for ours, theirs in ((GroupNorm(groups, 6), nn.GroupNorm(groups, 6)), (BatchRenorm(6), nn.BatchNorm2d(6))):
        equip(shaken(ours), theirs)
        same_step(ours, theirs, uneven(0, 2, 6, 3, 4), layout=channels_last)


def with_threads(n, f):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        return f()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("B, dim", [(32, 200), (7, 13), (4096, 24), (3, 100_001)])
def test_the_number_of_threads_does_not_matter(B, dim):
    x, ix = torch.randn(B, dim), torch.randint(27, (B, 8))
    small, images = x[:, :300], uneven(0, 64, 4, 16, 16)
    exactly = [(BatchNorm1d(dim), x), (Tanh(), x), (Flatten(), x), (Embedding(27, 10), ix),
               (LayerNorm(24).double(), bell(0, 4096, 24)), (RMSNorm(24).double(), bell(0, 4096, 24))]
    # Here the parts are added up in another order (in Linear by MKL, for nn.Linear too): equal but for rounding.
    nearly = [(Linear(min(dim, 300), 27), small), (GroupNorm(2, 4).double(), images),
              (BatchRenorm(4, r_max=1.5, d_max=0.5).double(), images)]
    for layer, inp in exactly + nearly:
        first, *others = [with_threads(n, functools.partial(copy.deepcopy(layer), inp)) for n in (1, 2, 4)]
        for y in others:
            close(y, first)
            assert (layer, inp) not in exactly or torch.equal(y, first), type(layer).__name__


@pytest.mark.parametrize("name", NORMS)
def test_a_constant_becomes_the_bias_and_no_nan(name):
    layer = sample(name)[0]
    x = torch.full((3, 4, 4)[:2 if name == "BatchNorm1d" else 3], 0.0 if name == "RMSNorm" else 2.0).double()
    x.requires_grad_()
    y = layer(x)
    y.sum().backward()
    bias = torch.zeros(4).double() if name == "RMSNorm" else layer.bias
    close(y, (bias[:, None] if name in ("GroupNorm", "BatchRenorm") else bias).expand(y.shape))
    assert x.grad.isfinite().all()


def test_a_group_of_one_number_is_its_bias():
    layer = shaken(GroupNorm(4, 4))                                 # torch refuses this
    close(layer(bell(0, 1, 4)), layer.bias[None])


def test_gradients_agree_with_a_nudge():
    x = bell(0, 5, 4).requires_grad_()
    for dims, center in itertools.product([0, -1, (0, 1)], [True, False]):
        assert torch.autograd.gradcheck(functools.partial(normalize, dims=dims, eps=0.01, center=center), (x,))
    for layer in (BatchNorm1d(4, 0.01), BatchNorm1d(4, 0.01).eval(), LayerNorm(4, 0.01), RMSNorm(4, 0.01),
                  GroupNorm(2, 4, 0.01), BatchRenorm(4, 0.01), leeway()[0].eval(), GatedFeedForward(4, 5)):
        assert torch.autograd.gradcheck(shaken(layer), (x,)), type(layer).__name__


@pytest.mark.parametrize("make", [BatchNorm1d, BatchRenorm, functools.partial(BatchRenorm, r_max=2.0, d_max=1.0)])
def test_running_statistics_hold_no_graph_and_stay_the_same_tensors(make):
    layer = make(2)
    kept = dict(layer.named_buffers())
    early = [layer.eval()(torch.randn(4, 2, requires_grad=True)), layer.train()(torch.randn(4, 2, requires_grad=True))]
    layer(torch.randn(4, 2, requires_grad=True))
    for name, buffer in layer.named_buffers():
        assert buffer is kept[name] and not buffer.requires_grad and buffer.grad_fn is None
    for y in early:
        y.sum().backward()  # a later training step doesn't spoil an earlier graph


REFUSED = {  # (what is called, the shapes that are refused, a word of the way out)
    "BatchNorm1d": (lambda: BatchNorm1d(3), [(5, 4), (5, 1), (3,), (5, 3, 7)], "BatchNorm1d takes"),
    "BatchNorm1d in eval mode": (lambda: BatchNorm1d(3).eval(), [(5, 4), (5, 1), ()], "BatchNorm1d takes"),
    "BatchNorm1d: one example": (lambda: BatchNorm1d(3), [(1, 3), (0, 3)], r"eval\(\)"),
    "BatchRenorm": (lambda: BatchRenorm(3), [(4, 6, 5), (4, 1), (3,)], "3 features"),
    "BatchRenorm in eval mode": (lambda: BatchRenorm(3).eval(), [(4, 6, 5), (4, 1)], "3 features"),
    "BatchRenorm: one number": (lambda: BatchRenorm(3), [(1, 3), (1, 3, 1, 1), (0, 3, 5)], r"eval\(\)"),
    "GroupNorm": (lambda: GroupNorm(1, 3), [(4, 6, 5), (4, 1), (3,)], "3 features"),
    "GroupNorm of single channels": (lambda: GroupNorm(3, 3), [(4, 6, 5), (4, 1)], "3 features"),
    "LayerNorm": (lambda: LayerNorm(3), [(4, 1), (4, 3, 1), ()], "3 features"),
    "RMSNorm": (lambda: RMSNorm(3), [(4, 1), (4, 3, 1), ()], "3 features"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_shape_is_refused_by_name_and_leaves_no_trace(name):
    make, shapes, words = REFUSED[name]
    for shape in shapes:
        layer = make()
        before = copy.deepcopy(layer.state_dict())
        with pytest.raises(ValueError, match=words) as caught:
            layer(torch.zeros(shape))
        assert str(shape) in str(caught.value)
        unchanged(layer, before)


@pytest.mark.parametrize("make, words", [
    *[(functools.partial(GroupNorm, groups, dim), f"{dim} channels make no {groups} groups")
      for groups, dim in ((2, 7), (8, 4), (0, 4), (-2, 4))],
    *[(functools.partial(BatchRenorm, 3, r_max=r, d_max=d), "r_max >= 1") for r, d in ((0.5, 0.0), (1.0, -1.0))],
])
def test_sizes_that_do_not_fit_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# === the layers of notebook 04 ===========================================================================


@many
@given(seeds, st.sampled_from([1, 30, 200]), st.sampled_from([0.1, 1.0, 5 / 3, 2**0.5]))
def test_linear_starts_with_the_scale_it_promises(seed, fan_in, gain):
    torch.manual_seed(seed)
    layer = Linear(fan_in, 6000 // fan_in, gain=gain)
    n, sigma = layer.weight.numel(), gain / math.sqrt(fan_in)
    # The mean of n numbers strays by sigma / sqrt(n), their standard deviation by sigma / sqrt(2n);
    # five of those happen by chance once in two million times.
    assert abs(layer.weight.mean().item()) < 5 * sigma / math.sqrt(n)
    assert abs(layer.weight.std().item() - sigma) < 5 * sigma / math.sqrt(2 * n)
    assert layer.weight.abs().max() > 2.5 * sigma, "normal, not uniform"
    assert (layer.bias == 0).all() and layer.bias.shape == (6000 // fan_in,)
    torch.manual_seed(seed)
    again = Linear(fan_in, 6000 // fan_in).weight                   # the seed decides, and a gain of 1 is the default
    close(gain * again, layer.weight)


def test_embedding_starts_with_variance_1_and_refuses_a_number_too_large():
    torch.manual_seed(0)
    weight = Embedding(1000, 50).weight
    assert abs(weight.mean().item()) < 5 / math.sqrt(50_000)
    assert abs(weight.std().item() - 1) < 5 / math.sqrt(100_000)
    with pytest.raises(IndexError):
        Embedding(3, 2)(torch.tensor([3]))


@fewer
@given(seeds, dtypes, sizes, sizes, sizes, sizes, momenta, epsilons)
def test_a_net_is_its_twin_over_five_steps(seed, dtype, vocab, columns, context, hidden, momentum, eps):
    torch.manual_seed(seed)
    # A feature that hardly varies blows rounding up, in the twin as here: a larger epsilon keeps it small.
    eps = eps if dtype == torch.float64 else max(eps, 1e-3)
    both = equip(*net(vocab, columns, context, hidden, momentum, eps), dtype)
    sgd = [torch.optim.SGD(net.parameters(), lr=0.1) for net in both]
    for _ in range(5):
        ix, target = torch.randint(vocab, (32, context)), torch.randint(vocab, (32,))
        losses = []
        for model, optimizer in zip(both, sgd):
            loss = F.cross_entropy(model(ix), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        close(*losses, factor=100)  # what rounding did in a step, the next ones carry on
    same_state(*both, factor=100)
    for model in both:
        model.eval()
    close(both[0](ix[:1]), both[1](ix[:1]), factor=100)


def test_sequential_is_like_a_list():
    layers = [Linear(2, 3), Tanh(), nn.Linear(3, 4)]
    model = Sequential(*layers)
    assert len(model) == 3 and list(model) == layers and list(model.children()) == layers
    assert [model[i] for i in (0, 1, 2, -1)] == [*layers, layers[2]]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError):
        model[3]
    x = torch.randn(2)
    assert torch.equal(Sequential()(x), x) and len(Sequential()) == 0


def test_one_layer_in_two_places_runs_twice():
    tanh, square = Tanh(), Linear(3, 3)
    model = Sequential(square, tanh, square, tanh)
    x = torch.randn(2, 3)
    assert len(model) == len(list(model)) == 4 and model[3] is tanh
    assert torch.equal(model(x), tanh(square(tanh(square(x)))))
    assert len(list(model.parameters())) == 2
    same_state(model, nn.Sequential(square, tanh, square, tanh))


def test_modes_and_hooks_reach_every_layer():
    seen = []
    model = net(5, 2, 3, 4)[0]
    assert all(m.training for m in model.modules())
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())
    for layer in model:
        layer.register_forward_hook(lambda module, args, out: seen.append(type(module)))
    model(torch.randint(5, (8, 3)))
    assert seen == [Embedding, Flatten, Linear, BatchNorm1d, Tanh, Linear]


# === normalize, and who shares a mean ====================================================================


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
    same_step(Apply(functools.partial(normalize, dims=dims, eps=eps, center=center)),
              Apply(functools.partial(normalize_in_loops, dims=dims, eps=eps, center=center)),
              3 * bell(seed, *shape) + 1)


def test_normalize_by_hand():
    x = torch.tensor([1.0, 5.0], dtype=torch.double)               # mean 3, variance 4, mean square 13
    close(normalize(x, 0, eps=5), torch.tensor([-2, 2]).double() / 3)          # under the root: 4 + 5
    close(normalize(x, 0, eps=3, center=False), torch.tensor([1, 5]).double() / 4)
    close(normalize(x, 0), torch.tensor([-2, 2]).double() / (4 + 1e-5) ** 0.5)
    for dims, center in itertools.product((0, -1, (0, 1)), (True, False)):
        constant = torch.full((4, 3), 3.0 * center, requires_grad=True)
        y = normalize(constant, dims, center=center)
        (y * torch.linspace(-1, 1, 12).view(4, 3)).sum().backward()
        assert (y == 0).all() and constant.grad.isfinite().all()


SHARED = {  # a layer for 6 features, shapes of x and of one number for all that share a mean, and these as rows
    "LayerNorm": (LayerNorm, (4, 3, 6), (4, 3, 1), lambda y: y.flatten(0, 1)),
    "RMSNorm": (RMSNorm, (4, 3, 6), (4, 3, 1), lambda y: y.flatten(0, 1)),
    "GroupNorm": (functools.partial(GroupNorm, 3), (4, 6, 5), (4, 3, 1), lambda y: y.reshape(12, 10)),
    "BatchNorm1d": (BatchNorm1d, (5, 6), (1, 6), lambda y: y.T),
    "BatchRenorm": (BatchRenorm, (5, 6, 3), (1, 6, 1), lambda y: y.transpose(0, 1).flatten(1)),
}


@pytest.mark.parametrize("name", SHARED)
@fewer
@given(seeds, st.floats(0.01, 100), st.floats(-100, 100), epsilons)
def test_those_that_share_a_mean_lose_their_scale_and_shift(name, seed, scale, shift, eps):
    make, shape, one_each, rows = SHARED[name]
    layer, x = shaken(make(6, eps=0), seed), bell(seed, *shape)
    a, b = scale * (1 + bell(seed + 1, *one_each).abs()), shift * bell(seed + 2, *one_each)
    first = torch.arange(a.numel()).view(one_each) == 0
    if name == "GroupNorm":
        a, b, first = (t.repeat_interleave(2, 1) for t in (a, b, first))
    if name == "RMSNorm":
        assert ((layer(x + 3) - layer(x)).abs().amax(-1) > 1e-3).all()          # it does see a shift
        b = 0
    close(layer(a * x + b), layer(x), 100)                          # digits that a large shift takes
    plain, wider, narrower = make(6, eps=0).double(), make(6, eps=eps * scale**2).double(), make(6, eps=eps).double()
    close(plain(-a * x + b), -plain(x), 100)                        # but they see the sign
    close(wider(scale * x), narrower(x), 100)                       # what scale is, epsilon decides
    y = rows(plain(7 * x - 3))
    close(y.square().mean(1), torch.ones(len(y)).double())
    assert (y.mean(1).abs() < 1e-9).all() != (name == "RMSNorm")
    other = torch.where(first, x, bell(seed + 3, *shape))           # all that shares no mean with the first row
    close(rows(layer(other))[0], rows(layer(x))[0])
    other.view(-1)[0] += 2                                          # and one number that does
    assert ((rows(layer(other)) - rows(layer(x)))[0, 1:].abs() > 1e-6).any()


# === BatchRenorm with leeway =============================================================================


@many
@given(seeds, sizes, st.integers(2, 6), places, momenta, epsilons, r_max, d_max)
def test_batchrenorm_is_algorithm_1(seed, dim, B, shape, momentum, eps, r_max, d_max):
    ours = shaken(BatchRenorm(dim, eps, momentum, r_max, d_max), seed)
    formula = with_formula(ours, renorm_in_loops)
    for step in range(3):
        same_step(ours, formula, uneven(seed + step, B, dim, *shape), 4)
        same_state(ours, formula, 4)


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


def test_the_leeway_can_be_widened_on_the_way_and_eval_has_no_use_for_it():
    layer, theirs = equip(shaken(BatchRenorm(3)), nn.BatchNorm1d(3))
    same_step(layer, theirs, uneven(0, 5, 3))
    layer.r_max, layer.d_max = math.inf, math.inf
    known, x = copy.deepcopy(layer).eval(), uneven(1, 5, 3)
    assert (layer(x) - theirs(x)).abs().max() > 0.01
    close(copy.deepcopy(known).train()(x), known(x))
    same_state(layer, theirs)                                       # the running statistics have no leeway
    for layer.r_max, layer.d_max in ((1.0, 0.0), (1.5, 0.1), (9.0, math.inf)):
        same_step(layer.eval(), theirs.eval(), x)


# === GatedFeedForward ====================================================================================


@many
@given(seeds, leading, sizes, sizes, st.sampled_from(sorted(ACTIVATIONS)))
def test_the_gated_layer_is_its_formula(seed, lead, dim, hidden, name):
    ours = shaken(GatedFeedForward(dim, hidden, ACTIVATIONS[name][0]), seed)
    same_step(ours, with_formula(ours, functools.partial(gated_formula, name)), bell(seed, *lead, dim))
    assert sum(p.numel() for p in ours.parameters()) == 3 * dim * hidden


def test_the_gated_layers_names_and_start():
    torch.manual_seed(0)
    layer = GatedFeedForward(4, 6)
    assert [(k, tuple(v.shape)) for k, v in layer.state_dict().items()] == [
        ("gate.weight", (6, 4)), ("up.weight", (6, 4)), ("proj.weight", (4, 6))]
    assert layer.gate.bias is layer.up.bias is layer.proj.bias is None
    assert not torch.equal(layer.gate.weight, layer.up.weight)
    torch.manual_seed(0)
    assert torch.equal(GatedFeedForward(4, 6).proj.weight, layer.proj.weight), "the seed decides the start"


def test_an_activation_may_learn():
    layer = GatedFeedForward(4, 6, nn.PReLU())
    layer(torch.randn(2, 4)).sum().backward()
    assert [name for name, _ in layer.named_parameters()][-1] == "activation.weight"
    assert all(p.grad is not None for p in layer.parameters())
