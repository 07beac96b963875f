"""micro.speedrun against plain loops, torch.nn, torch.optim and the published recipe; nothing waits for a GPU.

Then python -m micro.speedrun: from images to a record, what it refuses, and that tuning sees no test image.
"""
import dataclasses
import gc
import json
import math
import time
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import micro
from micro import files
from micro.data import Images, processor
from micro.speedrun import __main__ as program
from micro.speedrun import measure
from micro.speedrun import train as train_module
from micro.speedrun.augment import crop_flip, draw_plan, predict, reflect, resize, views
from micro.speedrun.baseline import Prepared, ResNet, host_batches, host_loader
from micro.speedrun.ladder import BASELINE, LADDER, Recipe, optimizers_for, rate, recipe, rung_names, shrink
from micro.speedrun.measure import Clock, Result, forward_flops
from micro.speedrun.model import BatchNorm, Conv, SpeedNet, init_whiten
from micro.speedrun.optim import SGD, Lookahead, Muon, newton_schulz
from micro.speedrun.train import Run
from micro.stats import one_sided_t_test
from tests import helpers
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

CPU = torch.device("cpu")
some = settings(max_examples=25, derandomize=True, deadline=None, database=None)
RUNGS = rung_names()
FOR_A_GPU = ["torch.compile", "one CUDA graph"]              # elsewhere they are the rung below
ON_DEVICE = [name for name in RUNGS[1:] if name not in FOR_A_GPU]


def tiny(n=120, m=60, size=20, classes=4, seed=0, noise=30):
    """Images of a few classes that a net tells apart in a few steps: a pattern each, and noise."""
    rng = np.random.RandomState(seed)
    coarse = rng.uniform(60, 190, (classes, 4, 4, 3))
    patterns = coarse.repeat(-(-size // 4), 1).repeat(-(-size // 4), 2)[:, :size, :size]
    labels = np.arange(n + m) % classes
    x = patterns[labels] + noise * rng.standard_normal((n + m, size, size, 3))
    x = x.clip(0, 255).astype(np.uint8)
    return Images(x[:n], labels[:n].astype(np.int64), x[n:], labels[n:].astype(np.int64),
                  tuple("abcdefghij"[:classes]), "patterns")


def small_recipe(name, **changes):
    """A rung at an eighth of its width, with batches of 20, for two epochs and a half."""
    made = recipe(name)
    made = shrink(made, 1 / 16 if made.net == "resnet" else 1 / 8, 20, 2.5)
    if made.sizes:
        changes = {"sizes": ((18, 1), (19, 0.5))} | changes
    return dataclasses.replace(made, **changes)


def ready(name, images=None, **changes):
    return Run(small_recipe(name, **changes), images or tiny(), CPU)


def pixels(seed, *shape, dtype=torch.uint8):
    x = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
    return x.to(dtype)


# -- augment -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [2, 3, 5, 32])
def test_reflect_is_what_pad_does(size):
    line = torch.arange(float(size)).reshape(1, 1, size)
    wide = F.pad(line, (size - 1, size - 1), mode="reflect").flatten()
    assert torch.equal(reflect(torch.arange(1 - size, 2 * size - 1), size), wide.long())


@some
@given(st.integers(0, 2**31), st.integers(3, 9), st.integers(1, 4), st.integers(1, 6), st.integers(0, 7),
       st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.float16]))
def test_crop_flip_is_padding_a_crop_and_a_flip(seed, size, channels, count, shift, dtype):
    shift, g = min(shift, size - 1), torch.Generator().manual_seed(seed)
    images = pixels(seed, 7, size, size, channels, dtype=dtype)
    which = torch.randint(0, 7, (count,), generator=g)
    dy, dx = torch.randint(-shift, shift + 1, (2, count), generator=g)
    flip = torch.rand(count, generator=g) < 0.5
    found = crop_flip(images, which, dy, dx, flip)
    assert found.dtype == dtype and found.shape == (count, size, size, channels)
    for k in range(count):
        x = images[which[k]].permute(2, 0, 1)[None].double()
        wide = F.pad(x, (shift,) * 4, mode="reflect") if shift else x
        y, x = shift + dy[k], shift + dx[k]
        want = wide[0, :, y:y + size, x:x + size]
        want = want.flip(-1) if flip[k] else want
        assert torch.equal(found[k].permute(2, 0, 1).double(), want)


def test_crop_flip_gives_channels_last_for_nothing():
    x = crop_flip(pixels(0, 5, 8, 8, 3), torch.tensor([1, 4]), torch.tensor([0, 1]), torch.tensor([2, -1]),
                  torch.tensor([True, False])).permute(0, 3, 1, 2)
    assert x.shape == (2, 3, 8, 8) and x.is_contiguous(memory_format=torch.channels_last)


def test_resize_is_interpolation_with_antialiasing():
    x = pixels(1, 7, 32, 32, 3)
    want = F.interpolate(x.permute(0, 3, 1, 2).double(), (24, 24), mode="bilinear", antialias=True)
    found = resize(x, 24)
    assert found.shape == (7, 24, 24, 3) and found.dtype == torch.uint8 and found.is_contiguous()
    assert (found.permute(0, 3, 1, 2) - want).abs().max() <= 0.5 + 1e-3
    assert resize(x, 32) is x
    black_and_white = resize((x > 127).byte() * 255, 40)    # made larger, nothing runs over the ends
    assert black_and_white.min() == 0 and black_and_white.max() == 255


def test_resize_goes_through_many_images_in_parts(monkeypatch):
    monkeypatch.setattr(F, "interpolate", lambda x, size, **how: seen.append(len(x)) or x[..., :size[0], :size[1]])
    seen, x = [], torch.arange(12_000)[:, None, None, None].expand(-1, 2, 2, 3).remainder(251).byte()
    assert torch.equal(resize(x, 1)[:, 0, 0, 0], x[:, 0, 0, 0]) and sum(seen) == 12_000 and max(seen) <= 5000


def plan(n=23, epochs=4, batch=5, steps=14, alternate=True, shift=2, seed=0):
    return draw_plan(n, epochs, batch, steps, alternate, shift, CPU, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alternate", [False, True])
def test_the_plan_shows_every_image_at_most_once_an_epoch(alternate):
    which, dy, dx, flip = plan(alternate=alternate)
    for part in (which, dy, dx, flip):
        assert part.shape == (14, 5)
    assert which.dtype == dy.dtype == dx.dtype == torch.int64 and flip.dtype == torch.bool
    epochs = [which[k:k + 4].flatten() for k in (0, 4, 8, 12)]
    for epoch in epochs:
        assert len(epoch.unique()) == len(epoch) and 0 <= epoch.min() and epoch.max() < 23
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])
    assert len(plan(n=400, batch=20, epochs=30, steps=600)[0].unique()) == 400


def test_the_plan_reaches_every_shift_equally_often():
    _, dy, dx, _ = plan(n=2000, epochs=5, batch=100, steps=100)
    for part in (dy, dx):
        values, counts = part.unique(return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2] and counts.min() > 1800 and counts.max() < 2200
    assert abs(torch.corrcoef(torch.stack([dy.flatten(), dx.flatten()]).float())[0, 1]) < 0.05
    _, dy, dx, _ = plan(shift=0)
    assert not dy.any() and not dx.any()


def test_a_side_is_drawn_and_then_turns_every_epoch():
    which, _, _, flip = plan(n=1000, epochs=4, batch=50, steps=80)
    side = torch.stack([torch.zeros(1000, dtype=torch.bool).scatter(0, w, f) for w, f in
                        zip(which.reshape(4, -1), flip.reshape(4, -1))])
    assert torch.equal(side[1], ~side[0]) and torch.equal(side[2], side[0]) and torch.equal(side[3], side[1])
    assert 400 < side[0].sum() < 600
    which, _, _, flip = plan(n=1000, epochs=4, batch=50, steps=80, alternate=False)
    side = torch.stack([torch.zeros(1000, dtype=torch.bool).scatter(0, w, f) for w, f in
                        zip(which.reshape(4, -1), flip.reshape(4, -1))])
    for a in range(4):
        assert 400 < side[a].sum() < 600
        for b in range(a):
            assert 400 < (side[a] ^ side[b]).sum() < 600


def test_an_image_left_out_of_an_epoch_turns_all_the_same():
    which, _, _, flip = plan(n=9, epochs=40, batch=4, steps=80)
    first = {}
    for epoch, (w, f) in enumerate(zip(which.reshape(40, -1).tolist(), flip.reshape(40, -1).tolist())):
        for i, turned in zip(w, f):
            assert first.setdefault(i, turned ^ (epoch % 2 == 1)) == turned ^ (epoch % 2 == 1)


def test_the_plan_is_the_generators():
    a, b, other = plan(seed=3), plan(seed=3), plan(seed=4)
    assert all(torch.equal(x, y) for x, y in zip(a, b))
    assert not any(torch.equal(x, y) for x, y in zip(a, other))
    torch.manual_seed(5)
    c = draw_plan(23, 4, 5, 14, True, 2, CPU)
    torch.manual_seed(5)
    assert all(torch.equal(x, y) for x, y in zip(c, draw_plan(23, 4, 5, 14, True, 2, CPU)))


def corner_net(calls):
    """Logits that see where things are, so that no view is another's; it counts the images it is shown."""
    weight = bell(0, 3 * 6 * 6, 4) * 10

    def net(x):
        calls.append(len(x))
        return x.flatten(1) @ weight
    return net


def one_view(net, x, dy, dx, mirrored):
    """(1, 3, S, S), shifted by a loop: row i shows what was at i + dy, mirrored at the edge."""
    S, out = x.shape[-1], torch.empty_like(x)
    for i in range(S):
        for j in range(S):
            a, b = (abs(k) if k < S else 2 * (S - 1) - k for k in (i + dy, j + dx))
            out[..., i, j] = x[..., a, b]
    return net(out.flip(-1) if mirrored else out)


def slow_views(net, x, count):
    sides = [False] if count == 1 else [False, True]
    middle = sum(one_view(net, x, 0, 0, side) for side in sides) / len(sides)
    if count < 6:
        return middle
    moved = sum(one_view(net, x, d, d, side) for side in sides for d in (-1, 1)) / 4
    return (middle + moved) / 2


@pytest.mark.parametrize("count", [1, 2, 6])
def test_views_are_weighted_as_the_slow_loop_does(count):
    x, calls = bell(1, 5, 3, 6, 6), []
    net = corner_net(calls)
    want = torch.cat([slow_views(net, part[None], count) for part in x])
    calls.clear()
    torch.testing.assert_close(views(net, x, count), want)
    assert calls == [5] * count
    torch.testing.assert_close(predict(net, x, count, batch_size=2), want)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.01])
def test_only_the_doubtful_images_get_more_looks(share):
    x, calls = bell(2, 20, 3, 6, 6), []
    net = corner_net(calls)
    two, six = predict(net, x, 2), predict(net, x, 6)
    assert torch.equal(predict(net, x, 6, doubtful=1.0), six)
    calls.clear()
    found = predict(net, x, 6, share, batch_size=8)
    more = max(1, round(20 * share))
    assert sum(calls) == 2 * 20 + 4 * more and max(calls) <= 8
    best = two.sort(descending=True).values
    unsure = set((best[:, 0] - best[:, 1]).argsort()[:more].tolist())
    for i in range(20):
        torch.testing.assert_close(found[i], six[i] if i in unsure else two[i])
    assert sum((found[i] - two[i]).abs().max() > 1e-3 for i in range(20)) == more


def test_doubt_is_for_six_views_and_predicting_asks_for_no_gradient():
    x, weight = bell(3, 4, 3, 6, 6), bell(0, 108, 4).requires_grad_()
    for count in (1, 2):
        assert torch.equal(predict(lambda x: x.flatten(1) @ weight, x, count, doubtful=0.25),
                           views(lambda x: x.flatten(1) @ weight.detach(), x, count))
    assert not predict(lambda x: x.flatten(1) @ weight, x, 6, doubtful=0.5).requires_grad


# -- optim ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(8, 8), (6, 30), (30, 6), (24, 12)])
def test_newton_schulz_keeps_directions_and_evens_out_sizes(shape):
    U, _, Vh = torch.linalg.svd(bell(1, *shape), full_matrices=False)
    s = torch.logspace(0, -1.3, min(shape), dtype=torch.double)
    before = ((U * s) @ Vh).clone()
    G = before.clone()
    found = newton_schulz(G)
    inner = U.T @ found @ Vh.T
    sizes = inner.diagonal()
    assert (inner - sizes.diag()).abs().max() < 1e-9 and found.shape == shape and found.dtype == torch.double
    torch.testing.assert_close((U * sizes) @ Vh, found)
    a, b, c = 3.4445, -4.7750, 2.0315
    want = s / s.norm()
    for _ in range(3):
        want = a * want + b * want**3 + c * want**5
    torch.testing.assert_close(sizes, want, atol=1e-5, rtol=1e-5)   # the 1e-7 beside the norm
    large = s / s.norm() > 0.1
    assert 0.5 < sizes[large].min() and sizes[large].max() < 1.3 and torch.equal(G, before)


def test_newton_schulz_works_on_many_at_once_and_at_any_scale():
    G = bell(2, 2, 3, 5, 9)
    each = torch.stack([torch.stack([newton_schulz(g) for g in row]) for row in G])
    torch.testing.assert_close(newton_schulz(G), each)
    torch.testing.assert_close(newton_schulz(G.mT), each.mT)
    torch.testing.assert_close(newton_schulz(1000 * G), each, atol=1e-6, rtol=1e-6)
    assert torch.equal(newton_schulz(torch.zeros(4, 5)), torch.zeros(4, 5))
    assert newton_schulz(G.half()).dtype == torch.float16
    sharp = newton_schulz(G, steps=30, coefficients=(1.5, -0.5, 0.0))
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    torch.testing.assert_close(sharp, U @ Vh, atol=1e-6, rtol=1e-6)


class OnGpu(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    is_cuda = True


def test_newton_schulz_computes_in_bfloat16_on_a_gpu_and_gives_the_type_back():
    G = bell(3, 2, 6, 9).half()
    found = newton_schulz(G.as_subclass(OnGpu)).as_subclass(torch.Tensor)
    assert found.dtype == torch.float16 and 0 < (found - newton_schulz(G.double())).abs().max() < 0.1
    assert torch.equal(found, newton_schulz(G.bfloat16()).half())


def test_muon_is_the_plain_loop_over_layers():
    shapes = [(6, 3, 3, 3), (4, 6, 3, 3), (6, 3, 3, 3), (24, 3, 2, 2)]
    weights = [nn.Parameter(bell(k, *shape)) for k, shape in enumerate(shapes)]
    twins = [w.detach().clone() for w in weights]
    momenta = [torch.zeros_like(w) for w in twins]
    coefficients = (3.4576, -4.7391, 2.0843)
    muon = Muon(weights, 0.24, 0.6, coefficients)
    for k, share in enumerate([1.0, 0.7, 0.2, 0.05]):
        for j, w in enumerate(weights):
            w.grad = bell(100 * k + j, *w.shape)
            g, D = w.grad, len(w)
            momenta[j] = 0.6 * momenta[j] + g
            X = (g + 0.6 * momenta[j]).reshape(D, -1)
            X = X / X.norm()
            for _ in range(3):
                X = (coefficients[0] * X + coefficients[1] * X @ X.T @ X
                     + coefficients[2] * X @ X.T @ X @ X.T @ X)
            twins[j] = twins[j] / twins[j].norm() * math.sqrt(D) - 0.24 * share * X.reshape(w.shape)
        muon.step(share)
        for w, twin in zip(weights, twins):
            torch.testing.assert_close(w.detach(), twin, atol=1e-6, rtol=1e-6)
    assert len(muon.stacks) == 3
    muon.reset()
    assert not any(b.any() for b in muon.buffers)


@pytest.mark.parametrize("momentum", [0.0, 0.85])
def test_sgd_is_torchs(momentum):
    groups = [([(3, 4), (5,)], 0.1, "all"), ([(2, 2)], 0.013, "all"), ([(7,)], 0.2, "first"), ([], 1.0, "all")]
    ours = [([nn.Parameter(bell(i + 10 * j, *s)) for i, s in enumerate(shapes)], lr, when)
            for j, (shapes, lr, when) in enumerate(groups)]
    theirs = [[nn.Parameter(p.detach().clone()) for p in ps] for ps, _, _ in ours]
    decay = 0.03
    sgd = SGD(ours, momentum, decay)
    optims = [torch.optim.SGD(ps, lr, momentum, nesterov=momentum > 0, weight_decay=decay / lr) if ps else None
              for ps, (_, lr, _) in zip(theirs, ours)]

    def go(start):
        for k in range(start, start + 8):
            share, first = 1 - k / 10, max(0.0, 1 - (k - start) / 3)
            for (ps, lr, when), twins, optim in zip(ours, theirs, optims):
                now = share if when == "all" else first
                for i, (p, twin) in enumerate(zip(ps, twins)):
                    p.grad = bell(1000 * k + i + len(ps) + p.numel(), *p.shape)
                    twin.grad = p.grad.clone() if now else None
                if optim:
                    optim.param_groups[0]["lr"] = lr * now
                    optim.step()
            sgd.step(share, first)
            for (ps, _, _), twins in zip(ours, theirs):
                for p, twin in zip(ps, twins):
                    torch.testing.assert_close(p, twin, atol=1e-12, rtol=1e-12)

    go(0)
    sgd.reset()
    for optim in filter(None, optims):
        optim.state.clear()
    go(2)


def test_a_first_group_stands_still_at_a_share_of_zero():
    w = nn.Parameter(torch.ones(3))
    sgd = SGD([([w], 0.1, "first")], 0.9, 0.1)
    sgd.step(1.0)                                           # no gradient is asked for either
    assert torch.equal(w, torch.ones(3))
    w.grad = torch.ones(3)
    sgd.step(1.0, 0.5)
    assert not torch.equal(w, torch.ones(3))


def test_lookahead_is_its_formula():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    ahead = Lookahead(net)
    slow = {name: t.clone() for name, t in net.state_dict().items() if t.is_floating_point()}
    assert len(slow) == 6 and len(ahead.fast) == 6          # running means and variances too, the count not
    for k, decay in enumerate([0.9, 0.3, 0.0, 1.0]):
        with torch.no_grad():
            for name, t in net.state_dict().items():
                if t.is_floating_point():
                    t.add_(bell(k, *t.shape))
                    slow[name] = decay * slow[name] + (1 - decay) * t
        ahead.update(decay)
        for name, t in slow.items():
            torch.testing.assert_close(net.state_dict()[name], t, atol=1e-12, rtol=1e-12)
    with torch.no_grad():
        net[0].weight.fill_(7)
    ahead.reset()
    assert (net[0].weight == 7).all() and all(torch.equal(a, b) for a, b in zip(ahead.slow, ahead.fast))


# -- model ---------------------------------------------------------------------------------------------

class Twin(nn.Module):
    """SpeedNet from the shelf."""

    def __init__(self, net, size):
        super().__init__()
        layers = [nn.Conv2d(3, 24, 2), nn.GELU()]
        for group in net.groups:
            C, D = group.conv1.in_channels, group.conv1.out_channels
            layers += [nn.Conv2d(C, D, 3, padding="same", bias=False), nn.MaxPool2d(2),
                       nn.BatchNorm2d(D, 1e-12, 0.4), nn.GELU(), nn.Conv2d(D, D, 3, padding="same", bias=False),
                       nn.BatchNorm2d(D, 1e-12, 0.4), nn.GELU()]
        layers += [nn.MaxPool2d((size - 1) // 8), nn.Flatten(), nn.Linear(D, len(net.head.weight), bias=False)]
        self.layers = nn.Sequential(*layers)
        assert len(self.state_dict()) == len(net.state_dict())
        self.to(net.head.weight.dtype)
        with torch.no_grad():
            for ours, theirs in zip(net.state_dict().values(), self.state_dict().values()):
                theirs.copy_(ours)

    def forward(self, x):
        return self.layers(x) / self.layers[-1].in_features


@pytest.mark.parametrize("size", [17, 24, 32])
def test_the_net_is_one_built_from_torchs_modules(size):
    torch.manual_seed(size)
    net = SpeedNet(5, (8, 26, 28)).double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name:
                p.copy_(torch.randn_like(p) / 2 + (1 if "weight" in name else 0))
    twin, x = Twin(net, size), bell(size, 6, 3, size, size)
    pull = bell(0, 6, 5)
    for _ in range(2):
        out, want = net(x), twin(x)
        torch.testing.assert_close(out, want, atol=1e-10, rtol=1e-10)
        net.zero_grad(), twin.zero_grad()
        (out * pull).sum().backward()
        (want * pull).sum().backward()
        for (name, ours), theirs in zip(net.named_parameters(), twin.parameters()):
            frozen = name == "first.weight" or ("norm" in name and "weight" in name)
            assert (ours.grad is None) == frozen
            if not frozen:
                torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-9)
    net.eval(), twin.eval()
    torch.testing.assert_close(net(x), twin(x), atol=1e-10, rtol=1e-10)


def test_the_first_layer_may_be_left_out_of_the_gradient():
    torch.manual_seed(0)
    net, x = SpeedNet(4, (8, 16, 16)), bell(0, 3, 3, 20, 20).float()
    a, b = net(x), net(x, train_first=False)
    assert torch.equal(a, b)
    b.sum().backward()
    assert net.first.bias.grad is None and net.groups[0].conv1.weight.grad is not None
    a.sum().backward()
    assert net.first.bias.grad is not None


def test_what_is_trained_is_what_the_switches_say():
    def trained(**switches):
        return {name for name, p in SpeedNet(4, (8, 16, 16), **switches).named_parameters() if p.requires_grad}
    every = {name for name, _ in SpeedNet(4, (8, 16, 16)).named_parameters()}
    scales = {name for name in every if "norm" in name and "weight" in name}
    assert len(scales) == 6 and trained() == every - scales - {"first.weight"}
    assert trained(whiten=False) == every - scales and trained(frozen=False) == every - {"first.weight"}
    assert BatchNorm(4).eps == 1e-12 and BatchNorm(4).momentum == 0.4
    assert not SpeedNet(4, (8, 16, 16)).groups[2].norm2.weight.requires_grad


@pytest.mark.parametrize("C, D", [(4, 4), (4, 9), (9, 4)])
def test_a_dirac_start_passes_channels(C, D):
    torch.manual_seed(0)
    conv, x = Conv(C, D), bell(0, 2, C, 6, 6).float()
    y = conv(x)
    same = min(C, D)
    torch.testing.assert_close(y[:, :same], x[:, :same])
    rest = conv.weight[same:]
    assert (rest != 0).all() if D > C else rest.numel() == 0
    assert (Conv(C, D, dirac=False).weight != 0).all()
    net = SpeedNet(4, (8, 16, 16), dirac=False)
    assert all((c.weight != 0).all() for g in net.groups for c in (g.conv1, g.conv2))


@pytest.mark.parametrize("eps", [5e-4, 0.1])
def test_whitened_answers_have_the_second_moments_stated(eps):
    x = torch.from_numpy(tiny(60, 1).train_images).permute(0, 3, 1, 2).double() / 60 - 2
    conv = nn.Conv2d(3, 24, 2).double()
    bias = conv.bias.detach().clone()
    init_whiten(conv, x, eps)
    assert torch.equal(conv.bias, bias)
    with torch.no_grad():
        answers = F.conv2d(x, conv.weight).permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(answers[12:], -answers[:12])
    moments = answers[:12] @ answers[:12].T / answers.shape[1]
    patches = F.unfold(x, 2).permute(0, 2, 1).reshape(-1, 12)   # not centred
    s = torch.linalg.svd(patches, full_matrices=False).S
    values = (s**2 / len(patches)).flip(0)
    torch.testing.assert_close(moments, (values / (values + eps)).diag(), atol=2e-4, rtol=0)


def test_whitening_has_a_fixed_eps_and_leaves_no_gradient():
    x = torch.from_numpy(tiny(60, 1).train_images).permute(0, 3, 1, 2).float() / 60 - 2
    a, b = SpeedNet(4, (8, 16, 16)), nn.Conv2d(3, 24, 2)
    init_whiten(a.first, x)
    init_whiten(b, x, 5e-4)
    assert torch.equal(a.first.weight, b.weight) and not a.first.weight.requires_grad and b.weight.requires_grad
    c = SpeedNet(4, (8, 16, 16)).half()
    init_whiten(c.first, x.half())
    assert c.first.weight.dtype == torch.float16 and (c.first.weight - a.first.weight).abs().max() < 0.05


@pytest.mark.parametrize("size", [24, 28, 32])
@pytest.mark.parametrize("make", [lambda: SpeedNet(10, (16, 32, 40)), lambda: ResNet(10, 8)])
def test_the_operations_are_counted_as_torch_counts_them(make, size):
    net = make().train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        make().eval()(torch.zeros(1, 3, size, size))
    assert forward_flops(net, size) == counter.get_total_flops()
    assert net.training and not any(m._forward_hooks for m in net.modules())
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())


def test_the_full_nets_cost_what_the_ladder_says():
    big, small = forward_flops(ResNet()), forward_flops(SpeedNet())
    assert forward_flops(SpeedNet(), 32) == small
    assert small == pytest.approx(236e6, rel=0.01) and sum(p.numel() for p in SpeedNet().parameters()) == 1_972_792
    assert big == pytest.approx(1.11e9, rel=0.01)           # kuangliu's ResNet-18: 0.56 GMAC
    assert sum(p.numel() for p in ResNet().parameters()) == 11_173_962
    assert 4 < big / small < 6                              # "a fifth of the work per image"


def test_resnet_is_torchs_modules_by_hand():
    torch.manual_seed(0)
    net, x = ResNet(7, 4), bell(0, 3, 3, 16, 16).float()
    state = net.state_dict()

    def norm(x, name):
        return F.batch_norm(x, None, None, state[name + ".weight"], state[name + ".bias"], True)

    y = F.relu(norm(F.conv2d(x, state["first.weight"], padding=1), "norm"))
    for k, stride in enumerate([1, 1, 2, 1, 2, 1, 2, 1]):
        at = f"blocks.{k}."
        z = F.relu(norm(F.conv2d(y, state[at + "conv1.weight"], None, stride, 1), at + "norm1"))
        z = norm(F.conv2d(z, state[at + "conv2.weight"], None, 1, 1), at + "norm2")
        short = norm(F.conv2d(y, state[at + "short.0.weight"], None, stride), at + "short.1") if stride == 2 else y
        y = F.relu(z + short)
    want = F.linear(y.mean((2, 3)), state["head.weight"], state["head.bias"])
    assert y.shape == (3, 32, 2, 2)
    torch.testing.assert_close(net(x), want, atol=1e-5, rtol=1e-5)
    assert torch.equal(net(x, train_first=False), net(x))


@pytest.mark.parametrize("make", [lambda: SpeedNet(4, (8, 32, 32)), lambda: ResNet(4, 4)])
def test_reset_gives_new_weights_in_the_same_place(make):
    torch.manual_seed(0)
    net = make()
    old = {name: (t.data_ptr(), t.clone()) for name, t in net.state_dict().items()}
    fresh = {name: t.clone() for name, t in net.state_dict().items() if "running" in name or "num_" in name}
    with torch.no_grad():
        for t in net.state_dict().values():
            t.add_(3)
    torch.manual_seed(1)
    net.reset_parameters()
    for name, t in net.state_dict().items():
        address, before = old[name]
        assert t.data_ptr() == address
        if name in fresh:
            assert torch.equal(t, fresh[name])
        elif "norm" in name or ".1." in name and "short" in name:
            assert torch.equal(t, torch.full_like(t, float("weight" in name)))
        else:                                               # no more channels than before: all of it an identity
            identity = isinstance(net, SpeedNet) and t.dim() == 4 and len(t) <= t.shape[1]
            assert torch.equal(t, before) == identity and t.abs().max() <= 4.5
    if isinstance(net, SpeedNet):
        assert abs(net.head.weight.std() - 1) < 1e-5
        assert torch.equal(net.groups[1].conv1.weight[:8, :, 1, 1], torch.eye(8))
        again = make()
        assert abs(again.head.weight.std() - 1) < 1e-5      # from the first on


# -- ladder --------------------------------------------------------------------------------------------

def test_every_rung_changes_something_and_has_a_name_of_its_own():
    below = Recipe()
    assert recipe(RUNGS[0]) == below and LADDER[0].changes == {}
    for rung in LADDER[1:]:
        made = recipe(rung.name)
        assert made != below, rung.name
        for field, value in rung.changes.items():
            assert getattr(made, field) == value != getattr(below, field), (rung.name, field)
        below = made
    assert len(set(RUNGS)) == len(RUNGS) and all(rung.why for rung in LADDER) and BASELINE in RUNGS


def test_the_baseline_is_the_published_one():
    made = recipe(BASELINE)
    want = Recipe(net="small", width=1, epochs=8, batch_size=2000, lr=0.24, muon_momentum=0.6, momentum=0.85,
                  bias_lr=0.053, head_lr=0.67, decay=2e-6 * 2000, smoothing=0.2, first_epochs=3, shift=2, views=6,
                  doubtful=1.0, coefficients=(3.4445, -4.7750, 2.0315), schedule="line", flip="alternating",
                  whiten=True, dirac=True, frozen=True, muon=True, half="weights", on_device=True, lookahead=False,
                  graph=False, sizes=(), as_bytes=False, compile="max-autotune")
    assert made == want
    # The rung below it: airbench94 before Muon, in torch.optim.SGD's terms.
    before = recipe("torch.compile")
    scale = 1024 * (1 + 1 / (1 - 0.85))
    assert before.lr == pytest.approx(11.5 / scale, rel=1e-3) and before.bias_lr == 64 * 0.001465
    assert before.decay == pytest.approx(0.0153 * 1024 / scale, rel=5e-3)
    assert (before.epochs, before.batch_size, before.momentum, before.schedule) == (9.9, 1024, 0.85, "triangle")


def test_a_plain_recipe_is_what_one_would_write_first():
    made = Recipe()
    assert made.lr * made.batch_size == pytest.approx(0.1) and made.momentum == 0.9
    assert made.decay == pytest.approx(0.1 * 5e-4) and made.net == "resnet" and not made.on_device


def test_a_rung_may_be_left_out_and_fields_set():
    top = RUNGS[-1]
    assert recipe(top, without=["doubtful images only"]).doubtful == 1.0
    assert recipe(top, without=["Muon", "Hiverge's rates"]) == dataclasses.replace(
        recipe("doubtful images only"), muon=False, lookahead=True, batch_size=1024, schedule="triangle",
        lr=0.001465, bias_lr=64 * 0.001465, head_lr=1.12, decay=0.002, epochs=8.9)
    assert recipe(top, epochs=80, views=1) == dataclasses.replace(recipe(top), epochs=80, views=1)
    assert recipe("Muon", without=["Hiverge's rates"]) == recipe("Muon")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe("Muon").epochs = 3


@pytest.mark.parametrize("wrong, key", [
    ({"name": "muon"}, "muon"), ({"without": ["speed"]}, "speed"),
    ({"name": "one CUDA graph", "compile": "max-autotune"}, "no-cudagraphs"),
    *[({field: value}, field) for field, value in [
        ("net", "foo"), ("schedule", "lin"), ("views", 3), ("compile", "fast"), ("muon", "no"), ("sizes", 3),
        ("batch_size", 0), ("batch_size", 2.5), ("shift", -1), ("shift", True), ("epochs", 0), ("epochs", "abc"),
        ("width", "abc"), ("lr", -1), ("lr", None), ("lr", math.inf), ("momentum", True), ("momentum", math.nan)]]])
def test_a_recipe_that_no_run_could_mean_is_refused(wrong, key):
    with pytest.raises(ValueError, match=key):
        recipe(**{"name": "Muon"} | wrong)


def test_a_rate_that_is_not_given_and_a_decay_of_0_are_fine():
    assert recipe("Muon", bias_lr=None, decay=0, shift=0, first_epochs=0).bias_lr is None


def test_rates_are_the_published_ones():
    steps = 450
    want = np.interp(np.arange(steps), [0, int(0.23 * steps), steps], [0.2, 1, 0.07])
    assert [rate("triangle", k, steps) for k in range(steps)] == pytest.approx(want)
    assert [rate("line", k, 200) for k in range(200)] == pytest.approx(1 - np.arange(200) / 200)
    stairs = [rate("stairs", k, 8) for k in range(8)]
    assert stairs == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert [rate("triangle", k, 3) for k in range(3)] == pytest.approx([1, 0.69, 0.38])     # no division by zero


def test_shrinking_keeps_proportions():
    made = shrink(recipe("Hiverge's rates"), 1 / 4, 250, 4)
    full = recipe("Hiverge's rates")
    assert (made.width, made.batch_size, made.epochs) == (0.25, 250, 4)
    assert made.decay / 250 == pytest.approx(full.decay / full.batch_size)
    assert made.first_epochs / 4 == pytest.approx(full.first_epochs / full.epochs)
    assert [s for s, _ in made.sizes] == [24, 28]
    assert [e / 4 for _, e in made.sizes] == pytest.approx([e / full.epochs for _, e in full.sizes])
    assert dataclasses.replace(made, width=1.0, batch_size=full.batch_size, epochs=full.epochs, decay=full.decay,
                               first_epochs=full.first_epochs, sizes=full.sizes) == full


def test_every_weight_has_one_optimizer_and_its_own_rate():
    def rates(made):
        net = SpeedNet(4, (8, 16, 16), made.whiten, made.dirac, made.frozen)
        of = {id(p): name for name, p in net.named_parameters()}
        muon, sgd = optimizers_for(net, made)
        found = {of[id(p)]: (lr, when) for ps, lr, when in sgd.groups for p in ps}
        filters = {of[id(p)] for ps in muon.stacks for p in ps} if muon else set()
        trained = {name for name, p in net.named_parameters() if p.requires_grad}
        assert filters | set(found) == trained and not filters & set(found)
        assert len(found) == sum(len(ps) for ps, _, _ in sgd.groups)
        assert (sgd.momentum, sgd.decay) == (made.momentum, made.decay)
        return muon, filters, found

    muon, filters, found = rates(recipe("Muon", coefficients=(1.0, 2.0, 3.0)))
    assert len(filters) == 6 and (muon.lr, muon.momentum) == (0.24, 0.6)
    assert torch.equal(muon.orthogonalize(torch.ones(1, 2, 2)),
                       newton_schulz(torch.ones(1, 2, 2), coefficients=(1.0, 2.0, 3.0)))
    assert found.pop("first.bias") == (0.053, "first") and found.pop("head.weight") == (0.67, "all")
    assert len(found) == 6 and set(found.values()) == {(0.053, "all")}
    _, filters, found = rates(recipe("Muon", without=["whitening"]))
    assert "first.weight" in filters and found["first.bias"] == (0.053, "all")

    muon, filters, found = rates(recipe("torch.compile"))
    assert muon is None and found.pop("head.weight") == (1.12, "all") and found.pop("first.bias") == (0.001465, "first")
    biases = {name: found.pop(name) for name in list(found) if "bias" in name}
    assert len(biases) == 6 and set(biases.values()) == {(64 * 0.001465, "all")}
    assert len(found) == 6 and set(found.values()) == {(0.001465, "all")}

    _, _, found = rates(recipe("a small net"))
    assert found["groups.0.norm1.bias"] == found["groups.0.norm1.weight"] == found["first.bias"] == (0.001465, "all")
    net = ResNet(4, 4)
    _, sgd = optimizers_for(net, Recipe())
    assert sum(len(ps) for ps, _, _ in sgd.groups) == len(list(net.parameters()))
    assert {(lr, when) for _, lr, when in sgd.groups} == {(0.1 / 128, "all")}


# -- baseline ------------------------------------------------------------------------------------------

def test_prepared_images_are_crop_flips(monkeypatch):
    images, draws = tiny(30, 1), []
    data, run = Prepared(images, 2), ready("images on the GPU", images)
    whole, part = torch.randint, torch.rand
    monkeypatch.setattr(torch, "randint", lambda *a, **k: draws.append(whole(*a, **k)) or draws[-1])
    monkeypatch.setattr(torch, "rand", lambda *a, **k: draws.append(part(*a, **k)) or draws[-1])
    torch.manual_seed(0)
    items = [data[i] for i in range(30)]
    monkeypatch.undo()
    assert len(data) == 30 and len(draws) == 60
    seen = [(*shift.tolist(), bool(turn < 0.5)) for shift, turn in zip(draws[0::2], draws[1::2])]
    for i, ((x, y), how) in enumerate(zip(items, seen)):
        at, dy, dx, turned = (torch.tensor([v]) for v in (i, *how))
        want = run.normalize(crop_flip(torch.from_numpy(images.train_images), at, dy, dx, turned))[0].permute(2, 0, 1)
        torch.testing.assert_close(x, want, atol=2e-5, rtol=1e-5)
        assert x.shape == (3, 20, 20) and x.dtype == torch.float32 and y == images.train_labels[i] and type(y) is int
    assert {s[0] for s in seen} == {s[1] for s in seen} == {-2, -1, 0, 1, 2} and {s[2] for s in seen} == {False, True}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_the_loader(workers):
    images = tiny(23, 1, size=8)
    torch.manual_seed(0)
    loader = host_loader(images, 5, 1, workers)
    assert loader.num_workers == workers and len(loader) == 4
    for _ in range(2):                                      # 11 steps: two epochs and three quarters, and once more
        found = list(host_batches(loader, 11, CPU))
        assert len(found) == 11
        assert all(x.shape == (5, 3, 8, 8) and y.shape == (5,) and y.dtype == torch.int64 for x, y in found)
    assert len(list(host_batches(loader, 4, CPU))) == 4
    epoch = np.concatenate([y.numpy() for _, y in host_batches(loader, 4, CPU)])
    assert not np.array_equal(epoch, images.train_labels[:20])


def test_the_loader_takes_a_worker_for_every_thread_but_one(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(64), raising=False)     # or it warns
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    for threads, workers in [(1, 0), (4, 3), (64, 8)]:
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        assert host_loader(tiny(10, 1, size=8), 5).num_workers == workers
    assert host_loader(tiny(10, 1, size=8), 5, workers=0).dataset.shift == 2


# -- train ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["a small net", "lookahead", "Muon", "Hiverge's rates"])
def test_a_run_learns(name):
    run = ready(name, tiny(240, 60), epochs=3 if name in ("Muon", "Hiverge's rates") else 6, sizes=())
    assert run.once(1).accuracy > 0.8                       # by chance: 0.25


def test_the_plain_loop_runs_and_learns():
    run = ready("a plain loop", tiny(100, 60, noise=15), epochs=7, lr=0.003)
    assert run.loader is not None and run.once(0).accuracy > 0.6


def test_the_same_seed_gives_the_same_run_and_another_another():
    run = ready("Hiverge's rates")
    results = []
    for seed in (3, 4, 3):
        result = run.once(seed)
        results.append((result.accuracy, run.answers.clone(), [t.clone() for t in run.net.state_dict().values()],
                        [part.clone() for part in run.plan]))
    a, b, c = results
    assert a[0] == c[0] and torch.equal(a[1], c[1]) and not torch.equal(a[1], b[1])
    assert all(torch.equal(x, y) for x, y in zip(a[2] + a[3], c[2] + c[3]))
    assert not any(torch.equal(x, y) for x, y in zip(a[3], b[3]))
    assert a[0] == (a[1].argmax(1) == torch.from_numpy(tiny().test_labels)).double().mean().item()
    other = ready("Hiverge's rates")
    other.once(3)
    assert torch.equal(other.answers, a[1])


def test_a_result_has_its_times():
    result = ready("Muon").once(0)
    assert 0 < result.seconds_test < result.seconds and 0 < result.seconds_reset and 0 <= result.accuracy <= 1


def test_the_clock_counts_all_but_the_reset(monkeypatch):
    ticks, log = iter(range(100)), []
    run = ready("Muon")
    monkeypatch.setattr(Clock, "now", lambda self: log.append("tick") or 10**next(ticks))
    for name in ("reset", "prepare", "train", "test"):
        original = getattr(run, name)
        monkeypatch.setattr(run, name, lambda *a, name=name, original=original: log.append(name) or original(*a))
    result = run.once(0)
    assert log == ["tick", "reset", "tick", "prepare", "train", "tick", "test", "tick"]
    assert (result.seconds, result.seconds_test, result.seconds_reset) == (990, 900, 9)


def test_the_clock_on_the_processor():
    clock = Clock(CPU)
    start = clock.now()
    time.sleep(0.02)
    assert 0.015 < clock.between(start, clock.now()) < 2


def test_the_clock_on_a_gpu_waits_once_and_counts_in_seconds(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def elapsed_time(self, other):
            log.append("elapsed")
            return 1500.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *a: log.append("wait"))
    clock = Clock(torch.device("cuda"))
    assert clock.between(clock.now(), clock.now()) == 1.5 and log == ["record", "record", "wait", "elapsed"]


def test_sizes_switch_at_their_steps(monkeypatch):
    run = ready("small images first", tiny(100, 20), epochs=2.5, sizes=((18, 1), (19, 0.5)))
    assert run.each == 5 and run.steps == 13
    assert [run.size(k) for k in range(13)] == [18] * 5 + [19] * 3 + [20] * 5     # 0.5 of 5 steps: to the even 8
    assert {size: tuple(x.shape) for size, x in run.sets.items()} == {s: (100, s, s, 3) for s in (18, 19, 20)}
    seen = []
    monkeypatch.setattr(run, "step", lambda k, x, y: seen.append((k, tuple(x.shape), tuple(y.shape))))
    run.train()
    assert seen == [(k, (20, 3, run.size(k), run.size(k)), (20,)) for k in range(13)]
    short = ready("small images first", tiny(100, 20), epochs=1, sizes=((18, 3),))
    assert set(short.sets) == {18}
    full = recipe("small images first")
    sizes = types.SimpleNamespace(recipe=full, each=25, images=tiny(4, 4, size=32))
    assert [Run.size(sizes, k) for k in (0, 74, 75, 149, 150, 222)] == [24, 24, 28, 28, 32, 32]


def test_steps_round_up_and_rests_are_left_out():
    run = ready("Muon", tiny(119, 20), epochs=1.1, first_epochs=0.3)
    assert (run.each, run.steps, run.first_steps) == (5, 6, 2)
    assert all(part.shape == (6, 20) for part in run.plan)
    with pytest.raises(ValueError, match="19 training images .* batch of 20"):
        ready("Muon", tiny(19, 5))


def test_bytes_or_floats_make_no_difference_but_rounding():
    runs = [ready("small images first"), ready("bytes")]
    assert [next(iter(run.sets.values())).dtype for run in runs] == [torch.float32, torch.uint8]
    for run in runs:
        run.reset(1)
        run.prepare()
    for (x, y), (x2, y2) in zip(runs[0].batches(), runs[1].batches()):
        torch.testing.assert_close(x, x2, atol=1e-6, rtol=1e-6)
        assert torch.equal(y, y2) and x.is_contiguous(memory_format=torch.channels_last)
    a, b = (run.once(1) for run in runs)
    assert abs(a.accuracy - b.accuracy) <= 0.1


@pytest.mark.parametrize("rung", FOR_A_GPU)
def test_what_is_for_a_gpu_changes_nothing_on_a_processor(rung):
    below = RUNGS[RUNGS.index(rung) - 1]
    plain_run, run = ready(below), ready(rung)
    assert plain_run.once(2).accuracy == run.once(2).accuracy and torch.equal(plain_run.answers, run.answers)
    assert run.train_graph is None and run.half == "no" and run.dtype == torch.float32


def test_the_doubtful_rung_asks_less_of_the_same_net():
    a, b = ready("bytes"), ready("doubtful images only", tiny())
    a.once(5)
    b.once(5)
    assert all(torch.equal(x, y) for x, y in zip(a.net.state_dict().values(), b.net.state_dict().values()))
    same = (a.answers - b.answers).abs().amax(1) < 1e-5
    assert (~same).sum() == 60 - round(0.25 * 60)


def test_normalized_images_have_mean_0_and_deviation_1():
    run = ready("Muon", tiny(100, 20, size=18))
    x = run.normalize(run.bytes).reshape(-1, 3).double()
    assert x.mean(0).abs().max() < 1e-5 and (x.std(0, unbiased=False) - 1).abs().max() < 1e-5


def test_a_batch_is_the_planned_images_with_their_labels():
    run = ready("Muon")
    run.reset(3)
    run.prepare()
    which, dy, dx, flip = run.plan
    for k, (x, y) in enumerate(run.batches()):
        want = crop_flip(run.normalize(run.bytes), which[k], dy[k], dx[k], flip[k]).permute(0, 3, 1, 2)
        assert torch.equal(x, want) and np.array_equal(y, tiny().train_labels[which[k]])
    assert k == run.steps - 1


def test_the_loss_is_a_sum_over_the_batch():
    run = ready("Muon", smoothing=0.2)
    x, y = next(run.batches())
    p = run.net(x).log_softmax(1)
    want = -(0.8 * p[range(20), y] + 0.2 * p.mean(1)).sum()
    torch.testing.assert_close(run.plain_loss(x, y, True), want)


def test_each_step_gets_its_share_of_the_rate(monkeypatch):
    def shares(name, **changes):
        run, found = ready(name, tiny(100, 20), epochs=3, **changes), []
        monkeypatch.setattr(run.sgd, "step", lambda share, first: found.append((share, first)))
        if run.muon:
            monkeypatch.setattr(run.muon, "step", lambda share: found.append(share))
        run.train()
        return found

    found = shares("Muon", first_epochs=1)
    assert found[0::2] == pytest.approx([1 - k / 15 for k in range(15)])
    assert found[1::2] == [(share, pytest.approx(max(0, 1 - k / 5))) for k, share in enumerate(found[0::2])]
    found = shares("torch.compile", first_epochs=1)
    assert [share for share, _ in found] == pytest.approx([rate("triangle", k, 15) for k in range(15)])
    assert [first for _, first in found] == pytest.approx([rate("triangle", k, 15) * (k < 5) for k in range(15)])


def test_the_first_bias_moves_only_in_its_epochs():
    run = ready("Muon", tiny(100, 20), epochs=2, first_epochs=0.4)
    run.reset(0)
    run.prepare()
    biases, back_to_first, loss_of = [run.net.first.bias.clone()], [], run.loss_of
    weight = run.net.first.weight.clone()
    run.loss_of = lambda x, y, train_first: back_to_first.append(train_first) or loss_of(x, y, train_first)
    run.net.train()
    for k, (x, y) in enumerate(run.batches()):
        run.step(k, x, y)
        assert all(p.grad is None for p in run.net.parameters())
        biases.append(run.net.first.bias.clone())
    moved = [not torch.equal(a, b) for a, b in zip(biases, biases[1:])]
    assert moved == [True] * 2 + [False] * 8 and torch.equal(weight, run.net.first.weight)
    assert back_to_first == moved                           # backward goes no further than it has to
    run = ready("a small net", tiny(100, 20), epochs=2, first_epochs=0.4)    # nothing whitened: trained throughout
    before = run.net.first.bias.clone()
    run.step(9, *next(run.batches()))
    assert not torch.equal(before, run.net.first.bias)


def test_whitening_uses_the_first_5000_images(monkeypatch):
    run, seen = ready("whitening"), []
    monkeypatch.setattr(train_module, "init_whiten", lambda conv, x: seen.append((conv, x)))
    run.bytes, run.sets = pixels(0, 5100, 4, 4, 3), {}
    run.prepare()
    (conv, x), = seen
    assert conv is run.net.first and torch.equal(x, run.normalize(run.bytes[:5000]).permute(0, 3, 1, 2))


def test_preparing_fills_a_fresh_plan_the_sets_and_the_first_layer():
    run = ready("bytes")
    plan = [part.clone() for part in run.plan]
    for x in run.sets.values():
        if x is not run.bytes:
            x.zero_()
    run.reset(9)
    run.prepare()
    assert not any(torch.equal(a, b) for a, b in zip(plan, run.plan))
    assert all(torch.equal(x, resize(run.bytes, size)) for size, x in run.sets.items())
    twin = nn.Conv2d(3, 24, 2)
    init_whiten(twin, run.normalize(run.bytes).permute(0, 3, 1, 2))
    assert torch.equal(twin.weight, run.net.first.weight)


def test_lookahead_comes_every_fifth_step(monkeypatch):
    run, seen = ready("lookahead", tiny(200, 20), epochs=2), []
    monkeypatch.setattr(run.average, "update", lambda decay: seen.append((k, decay)))
    for k in range(20):
        run.step(k, *next(run.batches()))
    assert [k for k, _ in seen[:4]] == [4, 9, 14, 19]
    # airbench counts the step just made, (k + 1) / steps; either is within a fifth of a step's share.
    for k, decay in seen[:4]:
        assert 0.95**5 * (k / 20)**3 - 1e-9 <= decay <= 0.95**5 * ((k + 1) / 20)**3 + 1e-9


def test_warming_up_sees_shuffled_labels_and_gives_them_back(monkeypatch):
    images, seen = tiny(400, 20), []
    right = torch.from_numpy(images.train_labels)
    original = Run.step
    monkeypatch.setattr(Run, "step", lambda self, k, x, y: seen.append((self, k, x.shape[-1], y)) or original(
        self, k, x, y))
    run = ready("small images first", images, first_epochs=0.5)
    assert torch.equal(run.labels, right) and seen
    kinds = {(run.size(k), k < run.first_steps) for k in range(run.steps)}
    assert {(size, k < run.first_steps) for _, k, size, _ in seen} == kinds and len(kinds) == 4
    for _, k, _, y in seen:
        assert (y == right[run.plan[0][k]]).float().mean() < 0.7 and run.answers.shape == (20, 4)
    seen.clear()
    batches = train_module.host_batches
    monkeypatch.setattr(train_module, "host_batches", lambda *args: given.extend(batches(*args)) or given)
    given = []
    loader_run = ready("a plain loop", images)
    assert len(seen) == len(given) >= 1 and torch.equal(loader_run.labels, right)
    for (_, _, _, y), (_, before) in zip(seen, given):
        assert not torch.equal(y, before) and torch.equal(y.sort().values, before.sort().values)


def test_reset_forgets_everything():
    run = ready("lookahead")
    run.once(1)
    run.reset(5)
    net = run.make_net()
    torch.manual_seed(5)
    net.reset_parameters()
    assert all(torch.equal(a, b) or name == "first.weight" for (name, a), b in
               zip(run.net.state_dict().items(), net.state_dict().values()))
    assert not any(b.any() for buffers in run.sgd.buffers for b in buffers)
    assert all(torch.equal(a, b) for a, b in zip(run.average.slow, run.average.fast))
    muon = ready("Muon")
    muon.once(1)
    assert any(b.any() for b in muon.muon.buffers)
    muon.reset(1)
    assert not any(b.any() for b in muon.muon.buffers)


def test_channels_are_scaled_with_the_width():
    assert [g.conv1.out_channels for g in ready("Muon", width=0.25).net.groups] == [16, 64, 64]
    assert [g.conv1.out_channels for g in ready("Muon", width=0.01).net.groups] == [8, 8, 8]
    net = ready("images on the GPU", width=1 / 16).net
    assert isinstance(net, ResNet) and net.first.out_channels == 4 and net.head.out_features == 4


def test_the_views_of_the_run_come_from_the_recipe(monkeypatch):
    run, seen = ready("six views"), []
    monkeypatch.setattr(train_module, "predict", lambda *args: seen.append(args))
    run.test()
    (net, x, count, doubtful), = seen
    assert count == 6 and doubtful == 1.0 and x.shape == (60, 3, 20, 20) and not run.net.training
    assert torch.equal(x, run.normalize(run.test_bytes).permute(0, 3, 1, 2)) and net == run.logits_of


# -- nothing waits for the GPU -------------------------------------------------------------------------

class Watch(TorchDispatchMode):
    """Collects the operators that need a number from the device, and the copies between devices."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "_unique2",
             "unique_dim", "unique_consecutive", "item", "repeat_interleave", "bincount", "lift_fresh",
             "record_stream", "_linalg_check_errors", "linalg_eigh", "_linalg_eigh", "_to_cpu")

    def __init__(self):
        super().__init__()
        self.found, self.seen = [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        self.seen.add(name)
        if name in self.WAITS:
            self.found.append(name)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):    # x[mask] asks how many there are
            if any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
                self.found.append(name + " with a mask")
        if name == "_to_copy" and (kwargs or {}).get("device") is not None:
            self.found.append("copy to " + str(kwargs["device"]))
        return func(*args, **(kwargs or {}))


class NoFactories(TorchFunctionMode):
    """Refuses what makes a tensor from Python's numbers, and what makes one without saying on which device."""

    HOST = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.asarray, torch.scalar_tensor,
            torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.cuda,
            torch.Tensor.__bool__, torch.Tensor.__float__, torch.Tensor.__int__, torch.Tensor.__index__}
    MAKERS = {torch.arange, torch.zeros, torch.ones, torch.empty, torch.full, torch.rand, torch.randn, torch.randint,
              torch.randperm, torch.eye, torch.linspace}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        assert func not in self.HOST, func
        assert func not in self.MAKERS or (kwargs or {}).get("device") is not None, func
        return func(*args, **(kwargs or {}))


def test_the_watch_sees_what_waits():
    x, mask = torch.randn(4), torch.tensor([True, False, True, False])
    for act, name in [(lambda: x.sum().item(), "_local_scalar_dense"), (lambda: bool(mask.any()), "_local_scalar"),
                      (lambda: x[mask], "index with"), (lambda: x.__setitem__(mask, torch.ones(2)), "index_put_ with"),
                      (lambda: x.nonzero(), "nonzero"),
                      (lambda: x.unique(), "_unique2"), (lambda: torch.tensor([1.0]), "lift_fresh"),
                      (lambda: x.masked_select(mask), "masked_select")]:
        with Watch() as watch:
            act()
        assert any(found.startswith(name) for found in watch.found), (name, watch.found)
    for act in (lambda: torch.arange(3), lambda: torch.tensor(3.0), lambda: x.sum().item(), lambda: bool(x.sum()),
                lambda: x.tolist()):
        with pytest.raises(AssertionError), NoFactories():
            act()


def brief(name):
    """Five steps that have every kind of step in them."""
    made = small_recipe(name, epochs=1.4, first_epochs=0.6)
    return dataclasses.replace(made, sizes=((18, 0.4), (19, 0.7))) if made.sizes else made


@pytest.mark.parametrize("name", ON_DEVICE[2:])
def test_nothing_in_training_or_testing_would_wait_for_a_gpu(name):
    run = Run(brief(name), tiny(60, 40), CPU)
    assert run.steps == 5
    run.reset(0)
    run.prepare()
    with Watch() as watch, NoFactories():
        run.train()
        run.test()
    assert watch.found == []
    assert {"convolution_backward", "index", "log_softmax" if "log_softmax" in watch.seen else "_log_softmax",
            "max_pool2d_with_indices_backward"} <= watch.seen


class HalfRun(Run):
    """As on a GPU: float16 weights, whatever the device."""

    half = property(lambda self: "weights" if self.recipe.half == "weights" else "no", lambda self, value: None)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_everything_stays_on_the_device_in_its_type(name):
    # A tensor on "meta" has no numbers: whoever asks for one, or mixes it with a tensor from elsewhere, fails.
    run = HalfRun(brief(name), tiny(60, 40), torch.device("meta"))
    run.reset(0)
    run.prepare()
    run.train()
    answers = run.test()
    dtype = torch.float16 if run.recipe.half == "weights" else torch.float32
    assert answers.device.type == "meta" and answers.shape == (40, 4) and answers.dtype == dtype
    for part, t in run.net.state_dict().items():
        want = torch.int64 if "num_batches" in part else torch.float32 if "norm" in part or "short.1" in part else dtype
        assert t.device.type == "meta" and t.dtype == want, part
    assert run.scale.dtype == run.offset.dtype == dtype and run.scale.device.type == "meta"


@pytest.mark.parametrize("name", ["Hiverge's rates"])
def test_half_precision_learns_as_well(name):
    run = HalfRun(small_recipe(name, sizes=(), epochs=4), tiny(100, 60), CPU)
    result = run.once(0)
    assert run.net.head.weight.dtype == torch.float16 and not run.answers.isnan().any() and result.accuracy > 0.6
    assert run.net.first.weight.is_contiguous(memory_format=torch.channels_last)
    x, y = next(run.batches())
    loss = run.plain_loss(x, y, True)
    assert x.dtype == torch.float16 and loss.dtype == torch.float32     # or a batch's sum is rounded, or runs over
    loss.backward()
    assert all(0 < p.grad.abs().max() < 30_000 for p in run.net.parameters() if p.requires_grad)


def addresses(run):
    parts = {f"net.{name}": t for name, t in run.net.state_dict().items()}
    parts |= {f"plan.{k}": t for k, t in enumerate(run.plan)} | {f"set.{k}": t for k, t in run.sets.items()}
    parts |= {f"sgd.{i}.{k}": t for i, ts in enumerate(run.sgd.buffers) for k, t in enumerate(ts)}
    if run.muon:
        parts |= {f"muon.{k}": t for k, t in enumerate(run.muon.buffers)}
    if run.average:
        parts |= {f"slow.{k}": t for k, t in enumerate(run.average.slow)}
    parts |= {name: getattr(run, name) for name in ("bytes", "labels", "test_bytes", "test_labels", "scale", "offset")}
    return {name: (t.data_ptr(), t.stride()) for name, t in parts.items()}


@pytest.mark.parametrize("name", ["lookahead", "Muon", "Hiverge's rates"])
def test_everything_that_a_graph_would_remember_stays_where_it_is(name):
    run = ready(name)
    before = addresses(run)
    for seed in (0, 1):
        run.once(seed)
        assert addresses(run) == before


# -- a GPU, pretended ----------------------------------------------------------------------------------

class Stream:
    def wait_stream(self, other):
        LOG.append("wait")


class Recording:
    """torch.cuda.graph and CUDAGraph, as far as Python sees them: what is recorded runs, a replay runs it again."""

    now = None

    def replay(self):
        LOG.append("replay " + self.what)
        self.run()


LOG = []


def test_recording_warms_up_beside_and_replays_both(monkeypatch):
    LOG.clear()
    run, results = ready("Hiverge's rates"), []

    class Beside:
        def __init__(self, stream):
            assert isinstance(stream, Stream)

        def __enter__(self):
            LOG.append("beside")

        def __exit__(self, *error):
            LOG.append("back")

    class Graph(Beside):
        def __init__(self, graph, **how):
            Recording.now = graph

        def __enter__(self):
            LOG.append("record")

        def __exit__(self, *error):
            Recording.now = None
            LOG.append("recorded")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *a: Stream())
    monkeypatch.setattr(torch.cuda, "stream", Beside)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *a: LOG.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    for name in ("warm_up", "train", "test", "prepare", "reset"):
        original = getattr(run, name)

        def act(*args, name=name, original=original):
            if Recording.now:
                assert name in ("train", "test")
                Recording.now.what, Recording.now.run = name, lambda: None
            LOG.append(name)
            if name == "warm_up":
                return LOG.extend(["reset", "prepare", "test"])
            results.append(original(*args))
            return results[-1]
        monkeypatch.setattr(run, name, act)
    run.record()
    log = [word for word in LOG if word not in ("reset", "prepare")]
    assert log[:6] == ["wait", "beside", "warm_up", "test", "back", "wait"] and "synchronize" in log[6:7]
    i, j = log.index("train"), log.index("test", 5)
    assert log[i - 1:i + 2] == ["record", "train", "recorded"] and log[j - 1:j + 2] == ["record", "test", "recorded"]
    LOG.clear()
    answers = run.answers
    assert any(answers is result for result in results)     # those that a replay writes to
    run.once(0)
    assert [w for w in LOG if w != "synchronize"] == ["reset", "prepare", "replay train", "replay test"]
    assert run.answers is answers


def compiled(monkeypatch, name):
    """A run after Run.compile, and {what was compiled: how}."""
    run, seen = ready(name), {}

    def compile(f, **how):
        seen[f] = how
        return lambda *args: f(*args) if f not in outputs else outputs[f]

    outputs = {}
    monkeypatch.setattr(torch, "compile", compile)
    limit = torch._dynamo.config.recompile_limit
    run.compile(run.recipe.compile)
    monkeypatch.undo()
    assert torch._dynamo.config.recompile_limit >= 64       # two modes, three sizes, several layouts of views
    torch._dynamo.config.recompile_limit = limit
    return run, seen, outputs


def test_compiling_takes_the_loss_and_the_logits(monkeypatch):
    run, seen, outputs = compiled(monkeypatch, "torch.compile")
    assert seen == {f: {"dynamic": False, "mode": "max-autotune"} for f in (run.plain_loss, run.logits)}
    outputs |= {run.logits: torch.ones(2, 4), run.plain_loss: torch.zeros(1)}
    answer = run.logits_of(None)                            # PyTorch's own graphs would write over it: a copy
    assert torch.equal(answer, torch.ones(2, 4)) and answer is not outputs[run.logits]
    assert run.loss_of(None, None, True) is outputs[run.plain_loss] and run.batch == run.plain_batch


def test_compiling_for_one_graph_takes_every_piece(monkeypatch):
    orthogonalize = []
    monkeypatch.setattr(Muon, "reset", lambda self: orthogonalize.append(self.orthogonalize))
    run, seen, outputs = compiled(monkeypatch, "Hiverge's rates")
    mode = {"dynamic": False, "mode": "max-autotune-no-cudagraphs"}
    assert seen == {run.plain_loss: mode, run.logits: mode, run.plain_batch: mode, orthogonalize[0]: {"dynamic": False}}
    outputs |= {f: torch.full((1,), float(k)) for k, f in enumerate(seen)}
    for f, use in zip(seen, (run.loss_of, run.logits_of, run.batch, run.muon.orthogonalize)):
        assert use(None) is outputs[f]
    assert run.recipe.graph


# -- measure -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["images on the GPU", "a small net", "doubtful images only"])
def test_the_work_is_three_forward_passes_and_the_views(name):
    run = ready(name, tiny(60, 60), sizes=((18, 1),) if name == "doubtful images only" else ())
    with FlopCounterMode(display=False) as counter:
        run.test()
    tested = counter.get_total_flops()
    trained = sum(3 * 20 * forward_flops(run.net, run.size(k)) for k in range(run.steps))
    assert measure.work(run) == trained + tested
    run.reset(0), run.prepare()
    run.muon = None                                         # its own products are not the net's
    with FlopCounterMode(display=False) as counter:
        run.net.train()
        for x, y in run.batches():
            run.plain_loss(x, y, True).backward()
    # The first layer passes nothing back to the images (and its own weights rest if whitened): some of "three" is
    # not done. Of these narrow nets it is up to a tenth, of the full one a hundredth.
    assert 0.85 * trained < counter.get_total_flops() <= trained


def test_counting_the_work_leaves_the_net_alone(monkeypatch):
    # A hook on the net itself would have it compiled anew; a copy on the processor counts the same.
    run, seen = HalfRun(small_recipe("Hiverge's rates"), tiny(), CPU), []
    monkeypatch.setattr(measure, "forward_flops", lambda net, size: seen.append(net) or 1)
    measure.work(run)
    assert seen and all(net is not run.net and net.head.weight.dtype == torch.float32 for net in seen)
    assert run.net.head.weight.dtype == torch.float16


def test_the_share_of_the_first_layer_is_small_in_the_full_net():
    assert 2 * 24 * 31**2 * 12 / forward_flops(SpeedNet()) < 0.01


class Fake:
    """A run that takes a second of a pretended clock."""

    def __init__(self, name, log, clock=None):
        self.name, self.log, self.clock = name, log, clock

    def once(self, seed):
        self.log.append((self.name, seed))
        if self.clock:
            self.clock[0] += 1
        return Result(0.5, 1.0, 0.25, 0.125)


def test_several_stops_by_the_clock_but_does_one(monkeypatch):
    clock, log = [100.0], []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    run, told = Fake("a", log, clock), []
    assert len(measure.several(run, 10, 3.5 / 60, 7, told.append)) == 4 == len(told)
    assert log == [("a", 7), ("a", 8), ("a", 9), ("a", 10)]
    assert len(measure.several(run, 10, 0)) == 1 and len(measure.several(run, 3)) == 3


def test_in_turns():
    log, told = [], []
    found = measure.in_turns([Fake("a", log), Fake("b", log)], 3, 10, told.append)
    assert log == [("a", 10), ("b", 10), ("a", 11), ("b", 11), ("a", 12), ("b", 12)]
    assert [len(part) for part in found] == [3, 3] and len(told) == 6


@pytest.mark.parametrize("calls, kept", [(5, 2), (4, 2), (3, 1), (1, None)])
def test_in_turns_keeps_what_all_have_done_when_it_is_stopped(calls, kept):
    told = []

    def tell(result):
        told.append(result)
        if len(told) == calls:
            raise KeyboardInterrupt

    runs = [Fake("a", []), Fake("b", [])]
    if kept is None:
        with pytest.raises(KeyboardInterrupt):
            measure.in_turns(runs, 9, 0, tell)
    else:
        assert [len(part) for part in measure.in_turns(runs, 9, 0, tell)] == [kept, kept]


def test_a_row_says_what_was_measured(monkeypatch):
    run = ready("doubtful images only")
    results = [Result(0.9, 2.0, 0.5, 0.25), Result(0.8, 4.0, 0.5, 0.25), Result(0.7, 9.0, 0.5, 0.25)]
    row = measure.row(LADDER[-2], run, results)
    assert row["name"] == "doubtful images only" and row["why"] == LADDER[-2].why and row["source"] == "patterns"
    assert row["n"] == 3 and row["epochs"] == 2.5 and row["steps"] == run.steps == 15
    assert row["accuracies"] == [0.9, 0.8, 0.7] and row["accuracy"]["mean"] == pytest.approx(0.8)
    assert row["seconds"] == pytest.approx(
        {"mean": 5, "std": math.sqrt(13), "error": math.sqrt(13 / 3), "median": 4, "min": 2, "max": 9})
    assert row["seconds_without_test"] == 4.5 and row["seconds_with_reset"] == 5.25
    assert row["images_per_second"] == pytest.approx(15 * 20 / 4.5)
    assert row["flops"] == measure.work(run) and row["share_of_peak"] is None
    json.dumps(row)
    monkeypatch.setattr(measure, "device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert measure.row(LADDER[-2], run, results)["share_of_peak"] == pytest.approx(row["flops"] / 5 / 989e12)
    assert measure.PEAKS["A100"] == 312e12


def test_where():
    place = measure.where(CPU)
    assert set(place) == {"date", "device", "versions"} and len(place["date"]) == 10
    assert place["versions"]["torch"] == torch.__version__
    assert place["device"].startswith("CPU") and processor() in place["device"] and "1 thread" in place["device"]


def test_a_row_in_words():
    row = {"seconds": {"mean": 0.98765}, "accuracy": {"mean": 0.94021, "error": 0.0001}, "n": 100,
           "images_per_second": 450_000.4, "share_of_peak": 0.345}
    assert measure.line(row, 310).split(", ") == [
        "0.988 s", "94.02% ± 0.010%", "n=100", "450,000 images/s", "34.5% of peak", "310 kernels a step"]
    row |= {"accuracy": {"mean": 0.94021, "error": None}, "n": 1, "share_of_peak": None}
    assert measure.line(row).split(", ") == ["0.988 s", "94.02%", "n=1", "450,000 images/s"]
    assert "out of memory" in measure.line({"failed": "RuntimeError: out of memory"})


def test_records_are_merged(tmp_path):
    path = tmp_path / "new" / "book.json"

    def keep(part, entry):
        measure.record(path, part, entry)
        return json.loads(path.read_text(encoding="utf-8"))

    keep("rungs", {"name": "a", "x": 1, "date": "2026-01-01"})
    keep("rungs", {"name": "b", "x": 2, "date": "2026-01-02"})
    keep("claims", {"name": "a", "x": 3})
    found = keep("rungs", {"name": "a", "x": 4})
    assert found["rungs"] == {"a": {"name": "a", "x": 4}, "b": {"name": "b", "x": 2, "date": "2026-01-02"}}
    assert found["claims"] == {"a": {"name": "a", "x": 3}} and {"what", "made_by"} < set(found)
    assert found["date"] == "2026-01-02"                    # of the last entry that says
    path.write_text(json.dumps(found | {"what": "mine"}), encoding="utf-8")
    assert keep("rungs", {"name": "c"})["what"] == "mine" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("module, what", [(measure.json, "dumps"), (files.os, "fsync"), (files.os, "replace")])
def test_a_crash_in_between_leaves_the_old_record(tmp_path, monkeypatch, module, what):
    path = tmp_path / "book.json"
    measure.record(path, "rungs", {"name": "a"})
    before = path.read_bytes()

    def crash(*args, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(module, what, crash)
        measure.record(path, "rungs", {"name": "b"})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    measure.record(path, "rungs", {"name": "b"})
    assert set(json.loads(path.read_text(encoding="utf-8"))["rungs"]) == {"a", "b"}


@pytest.mark.parametrize("t, freedom, p", [(1.660, 99, 0.05), (3.174, 99, 0.001), (2.345, 199, 0.01),
                                           (1.645, 99_999, 0.05)])
def test_the_t_test_is_the_tables_for_as_many_runs_as_a_claim_has(t, freedom, p):
    values = np.array([-1.0, 1.0] * ((freedom + 1) // 2))   # mean 0; standard error 1 / √freedom
    assert one_sided_t_test((values + t / math.sqrt(freedom)).tolist(), 0) == pytest.approx((t, p), rel=4e-3)


# -- the program ---------------------------------------------------------------------------------------

RECORD, TIDY = program.RESULTS, program.tidy


@pytest.fixture
def do(monkeypatch, tmp_path, capsys):
    """The program, in a folder of its own, on the CPU, and with no real record to write to."""
    monkeypatch.setenv("MICRO_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "RESULTS", tmp_path / "never.json")
    yield helpers.runner(program.main, capsys)
    assert not (tmp_path / "never.json").exists()


def save(images, name="i.npz"):
    np.savez(name, **{part: getattr(images, part) for part in images._fields[:4]}, classes=np.array(images.classes))


def book(path="r.json"):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def contents():
    """{path: bytes} of all files in this folder."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


class FakeRun:
    """A Run that trains nothing: its accuracy and seconds come from the recipe and the seed."""

    made, fails = [], {}

    def __init__(self, recipe, images, device):
        self.recipe, self.images, self.device = recipe, images, device
        self.made.append(self)
        self.steps, self.seeds = 10, []
        for field, error in self.fails.items():
            if getattr(recipe, field):
                raise error

    def once(self, seed):
        self.seeds.append(seed)
        return Result(0.94 + 0.001 * (seed % 3), 4.0 if self.recipe.graph else 5.0, 0.5, 0.25)


@pytest.fixture
def fake(monkeypatch, do):
    """No training, and no seconds spent on tidying up after it."""
    monkeypatch.setattr(program, "Run", FakeRun)
    monkeypatch.setattr(program, "tidy", lambda here: None)
    monkeypatch.setattr(measure, "work", lambda run: 123)
    monkeypatch.setattr(FakeRun, "made", [])
    monkeypatch.setattr(FakeRun, "fails", {})
    save(tiny(300, 20, 18))
    return FakeRun


@pytest.fixture
def on_a_gpu(monkeypatch, fake):
    """What the program asks of a GPU, answered."""
    monkeypatch.setattr(program, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(measure, "where", lambda here: {"device": "a GPU", "versions": {"torch": "2"}})
    monkeypatch.setattr(measure, "device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(measure, "kernels", lambda run: 77)
    for name in ("cifar10", "cifar100"):
        monkeypatch.setattr(program, name, lambda: tiny(300, 20, 8))


def test_from_images_to_a_record(do):
    save(tiny(260, 40, 18))
    code, out, err = do("--small", "--data", "i.npz", "--source", "patterns", "--rung", "Muon", "--rung", "a small net",
                        "--rung-runs", 1, "--final", "six views", "--runs", 2, "--record", "deep/r.json")
    assert code == 0 and err == ""
    found = book("deep/r.json")
    assert {"what", "made_by", "rungs", "claims"} <= set(found) and list(found["rungs"]) == ["a small net", "Muon"]
    row = found["rungs"]["Muon"]
    assert row["n"] == 1 and row["epochs"] == 4 and row["steps"] == 4 and row["source"] == "patterns"
    assert len(row["accuracies"]) == 1 and 0 <= row["accuracies"][0] <= 1 and row["accuracy"]["std"] is None
    assert set(row["seconds"]) == {"mean", "std", "error", "median", "min", "max"} and row["seconds"]["mean"] > 0
    assert row["device"].startswith("CPU") and row["versions"]["torch"] == torch.__version__ and row["why"]
    assert row["share_of_peak"] is None and row["flops"] > 1e9
    (name, claim), = found["claims"].items()
    assert name == claim["name"] == "patterns" and claim["final"]["name"] == "six views"
    assert claim["baseline"]["name"] == BASELINE and claim["final"]["n"] == claim["baseline"]["n"] == 2
    assert claim["ratio_of_times"] == claim["final"]["seconds"]["mean"] / claim["baseline"]["seconds"]["mean"]
    assert set(claim["t_test_against_94"]) == {"t", "p"} and claim["date"]
    first, *rows, ratio, t_test, written = out.splitlines()
    assert first.startswith("CPU") and torch.__version__ in first and "patterns: 260 " in first and " 40 " in first
    shown = [found["rungs"]["a small net"], found["rungs"]["Muon"], claim["final"], claim["baseline"]]
    assert [line.split("  ")[0] for line in rows] == ["a small net", "Muon", "six views", "Muon"]
    for line, row in zip(rows, shown, strict=True):
        assert line.endswith(measure.line(row)) and " 4 epochs" in line
    assert ratio.startswith(f"{claim['ratio_of_times']:.3f} ") and written.endswith("deep/r.json")
    assert f"t = {claim['t_test_against_94']['t']:.2f}, p = {claim['t_test_against_94']['p']:.3g}" in t_test


def test_the_claim_in_numbers(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 6, "--record", "r.json")
    final, base = fake.made
    assert code == 0 and final.seeds == base.seeds == list(range(10_000, 10_006))
    assert base.recipe == shrink(recipe(BASELINE), 1 / 4, 250, 4)
    assert final.recipe == shrink(recipe(RUNGS[-1]), 1 / 4, 250, 4)
    claim = book()["claims"]["i.npz"]
    assert "rungs" not in claim and claim["ratio_of_times"] == 0.8
    t, p = one_sided_t_test([0.94 + 0.001 * (seed % 3) for seed in range(10_000, 10_006)], 0.94)
    assert claim["t_test_against_94"] == {"t": pytest.approx(t), "p": pytest.approx(p)}
    for words in (f"t = {t:.2f}, p = {p:.3g}", "± 0.09", "0.800 of the baseline's time", "94.10% against 94.10%"):
        assert words in out


def test_one_run_has_no_t_test_and_none_no_claim(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 1, "--record", "r.json")
    assert code == 0 and "t-test" not in out and "t_test_against_94" not in book()["claims"]["i.npz"]
    fake.made.clear()
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 0)
    assert code == 0 and not fake.made and len(out.splitlines()) == 1


def test_equal_accuracies_leave_the_t_test_open(do, fake, monkeypatch):
    monkeypatch.setattr(fake, "once", lambda self, seed: Result(0.95, 1.0, 0.5, 0.25))
    code, _, _ = do("--small", "--data", "i.npz", "--runs", 2, "--record", "r.json")
    assert code == 0 and b"NaN" not in Path("r.json").read_bytes()
    assert book()["claims"]["i.npz"]["t_test_against_94"] == {"t": None, "p": None}


def test_the_ladder_measures_every_rung_in_order(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--ladder", "--rung-runs", 3, "--runs", 0, "--record", "r.json")
    assert code == 0 and list(book()["rungs"]) == RUNGS and "claims" not in book()
    assert [run.seeds for run in fake.made] == [[0, 1, 2]] * len(LADDER)
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == RUNGS
    fake.made.clear()
    do("--small", "--data", "i.npz", "--ladder", "--minutes", 0, "--runs", 0)
    assert [run.seeds for run in fake.made] == [[0]] * len(LADDER)


def test_a_rung_that_fails_is_written_down_and_the_rest_goes_on(do, fake):
    fake.fails = {"lookahead": RuntimeError("CUDA error: out of luck\nand more")}
    code, out, err = do("--small", "--data", "i.npz", "--rung", "whitening", "--rung", "lookahead", "--rung", "Muon",
                        "--runs", 1, "--record", "r.json")
    rungs = book()["rungs"]
    assert code == 0 and err == "" and list(rungs) == ["whitening", "lookahead", "Muon"]
    assert rungs["lookahead"]["failed"] == "RuntimeError: CUDA error: out of luck" and "n" in rungs["Muon"]
    line, = [line for line in out.splitlines() if line.startswith("lookahead ")]
    assert line.endswith("RuntimeError: CUDA error: out of luck")


def test_fields_are_set_in_every_recipe_and_recorded(do, fake):
    code, _, _ = do("--small", "--data", "i.npz", "--rung", "a small net", "--runs", 1, "--record", "r.json",
                    "--set", "shift=4", "--set", "compile=", "--set", "coefficients=(1, 2, 3)", "--set", "flip=random")
    assert code == 0 and len(fake.made) == 3
    for run in fake.made:
        r = run.recipe
        assert (r.shift, r.compile, r.coefficients, r.flip) == (4, "", (1, 2, 3), "random")
    for entry in (book()["rungs"]["a small net"], book()["claims"]["i.npz"]):
        assert entry["changed"]["shift"] == 4 and entry["changed"]["flip"] == "random"
    assert program.values(["compile=max-autotune", "lr=1e-3", "epochs=80", "half='no'"]) == {
        "compile": "max-autotune", "lr": 1e-3, "epochs": 80, "half": "no"}


SMALL = ["--small", "--data", "i.npz", "--ladder"]


@pytest.mark.parametrize("words, pieces", [
    ([*SMALL, "--set", "speed=3"], ["--set speed=3", "FIELD=VALUE", "epochs"]),
    ([*SMALL, "--set", "epochs"], ["--set epochs", "FIELD=VALUE"]),
    ([*SMALL, "--set", "epochs=0"], ["epochs", "above 0"]),
    ([*SMALL, "--set", "net=foo"], ["net", "'foo'", "resnet", "small"]),
    ([*SMALL, "--set", "compile=max-autotune"], ["graph", "max-autotune-no-cudagraphs"]),
    ([*SMALL, "--rung", "muon"], ["'muon'", "a plain loop", "Hiverge's rates"]),
    ([*SMALL, "--final", "fastest"], ["'fastest'", "a plain loop", "Hiverge's rates"]),
    ([*SMALL, "--rung-runs", 0], ["--rung-runs", "at least 1"]),
    ([*SMALL, "--runs", -1], ["--runs", "at least 0"]),
    ([*SMALL, "--cifar100"], ["--data", "--cifar100", "one of them"]),
    (["--data", "i.npz"], ["GPU", "--small"]),
    (["--small", "--data", "none.npz"], ["none.npz"]),
    (["--small", "--data", "bad.npz"], ["bad.npz", "damaged"]),
    (["--small", "--data", "few.npz"], ["100 training images", "250", "smaller"]),
    (["MICRO_DEVICE=cuda:99", *SMALL], ["MICRO_DEVICE", "cuda:99", "cpu"]),
    (["MICRO_DEVICE=tpu", *SMALL], ["'tpu'", "cpu"]),
])
def test_what_is_wrong_is_one_sentence_and_leaves_everything_as_it_was(do, monkeypatch, words, pieces):
    monkeypatch.setattr(Run, "once", lambda run, seed: pytest.fail("this trains"))
    if words[0].startswith("MICRO_DEVICE="):
        monkeypatch.setenv(*words[0].split("="))
        words = words[1:]
    save(tiny(300, 20, 18))
    save(tiny(100, 20, 18), "few.npz")
    Path("bad.npz").write_bytes(b"nonsense")
    Path("r.json").write_text('{"rungs": {}}')
    before = contents()
    code, out, err = do("--record", "r.json", *words)
    assert code == 2 and (out == "" or "few.npz" in words)     # a net has to be made before its batch is known
    assert err.startswith("python -m micro.speedrun: ") and err.count("\n") == 1 and err.endswith("\n")
    assert all(piece in err for piece in pieces), err
    assert contents() == before


def test_tuning_sees_no_test_image(do, fake):
    images = tiny(300, 20, 18)
    save(images._replace(test_images=images.test_images * 0 + 255, test_labels=images.test_labels * 0 + 3))
    code, out, _ = do("--small", "--data", "i.npz", "--tune", "--runs", 1, "--record", "r.json")
    assert code == 0 and ": 270 training images, 30 " in out
    for run in fake.made:
        got = run.images
        assert np.array_equal(got.train_images, images.train_images[:270])
        assert np.array_equal(got.train_labels, images.train_labels[:270])
        assert np.array_equal(got.test_images, images.train_images[270:])
        assert np.array_equal(got.test_labels, images.train_labels[270:])
    name, = book()["claims"]
    assert name == fake.made[0].images.source == "i.npz, 30 held out"


def test_tuning_trains_though_the_test_labels_are_poison():
    # Classes that the net does not have: whoever looks at them is seen.
    images = tiny(280, 20, 17)
    kept = program.held_out(images._replace(test_labels=images.test_labels * 0 + 10**6, test_images=None))
    assert kept.test_labels.max() < 4 and len(kept.train_labels) + len(kept.test_labels) == 280
    run = Run(shrink(recipe("whitening"), 1 / 8, 126, 1), kept, CPU)
    assert 0 <= run.once(0).accuracy <= 1


def test_held_out_is_5000_of_a_full_set():
    n = 50_000
    x, y = np.zeros((n, 1, 1, 3), np.uint8), np.arange(n)
    kept = program.held_out(tiny(1, 1)._replace(train_images=x, train_labels=y))
    assert len(kept.train_labels) == 45_000 and kept.test_labels.tolist() == list(range(45_000, n))
    assert kept.source == "patterns, 5,000 held out"


def test_small_takes_8000_images_and_2000(do, fake):
    images = tiny(8100, 2100, 4)
    save(images)
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 1)
    assert code == 0 and "i.npz: 8,000 training images, 2,000 " in out
    got = fake.made[0].images
    assert np.array_equal(got.train_labels, images.train_labels[:8000]) and len(got.train_images) == 8000
    assert np.array_equal(got.test_images, images.test_images[:2000]) and len(got.test_labels) == 2000


def test_cifar10_unless_told_otherwise(do, fake, monkeypatch):
    monkeypatch.setattr(program, "cifar10", lambda: tiny(300, 20, 8)._replace(source="CIFAR-10"))
    monkeypatch.setattr(program, "cifar100", lambda: tiny(300, 20, 8)._replace(source="CIFAR-100"))
    for words, source in [([], "CIFAR-10"), (["--cifar100"], "CIFAR-100")]:
        code, out, _ = do("--small", "--runs", 1, *words)
        assert code == 0 and f", {source}: 300 training images" in out and fake.made[-1].images.source == source


def test_on_a_gpu_the_record_has_its_place(do, fake, on_a_gpu, monkeypatch, tmp_path):
    assert RECORD == Path(micro.__file__).parents[1] / "data" / "results" / "speedrun.json"
    path = tmp_path / "data" / "results" / "speedrun.json"
    monkeypatch.setattr(program, "RESULTS", path)
    code, out, _ = do("--rung", "Muon", "--runs", 1)
    assert code == 0 and path.exists() and "kernels" not in out and "of peak" in out
    assert fake.made[0].recipe == recipe("Muon")            # in full: nothing is shrunk
    assert math.isfinite(book(path)["rungs"]["Muon"]["share_of_peak"])
    fake.made.clear()
    code, out, _ = do("--rung", "Muon", "--kernels")
    assert code == 0 and "77 kernels a step" in out and [run.seeds for run in fake.made] == [[]]  # nothing is timed
    assert book(path)["kernels"]["Muon"]["kernels_per_step"] == 77 and "n" in book(path)["rungs"]["Muon"]


@pytest.mark.parametrize("words", [["--small"], ["--tune"], ["--data", "i.npz"], ["--cifar100"], ["--set", "shift=1"]])
def test_runs_of_another_kind_do_not_overwrite_the_record(do, on_a_gpu, words):
    assert do("--rung", "Muon", "--runs", 1, *words)[0] == 0 and not program.RESULTS.exists()


def test_a_finished_run_is_gone_before_the_next_is_made(do, fake, monkeypatch):
    """A CUDA graph that is collected while another is recorded spoils it."""
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    monkeypatch.setattr(program, "tidy", TIDY)
    alive = []

    class Kept(fake):
        def __init__(self, *what):
            super().__init__(*what)
            type(self).made.clear()
            assert not [ref for ref in alive if ref() is not None]
            alive.append(weakref.ref(self))
            self.me = self  # as a Run, which holds functions of its own

    monkeypatch.setattr(program, "Run", Kept)
    gc.disable()    # only who asks for it gets a collection
    try:
        assert do("--small", "--data", "i.npz", "--rung", "Muon", "--rung", "lookahead", "--runs", 0)[0] == 0
    finally:
        gc.enable()
    assert len(alive) == 2


def test_after_a_rung_compiled_code_and_the_gpus_memory_are_given_back(monkeypatch):
    tidied = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: tidied.append("code"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: tidied.append("cache"))
    TIDY(CPU)
    TIDY(torch.device("cuda"))
    assert tidied == ["code", "code", "cache"]


def test_help_names_every_rung_and_the_defaults_are_the_claims(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and all(f"  {name}\n" in out for name in RUNGS)
    args = program.parser().parse_args([])
    assert (args.runs, args.final, args.rung_runs, args.minutes) == (100, RUNGS[-1], 5, 2.0)
