"""The exercises of notebook 04, diagnostics: references, inputs and known mistakes."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from micro.check import Exercise


def _h(n, units, seed, dead):
    """Outputs of tanh, the first `dead` columns saturated throughout; and of ReLU, those columns 0."""
    x = torch.randn(n, units, generator=torch.Generator().manual_seed(seed))
    h = torch.tanh(x)
    h[:, :dead] = torch.where(x[:, :dead] < 0, -0.99, 0.99)
    h[:, 0] = 0.99
    r = torch.relu(x)
    r[:, :dead] = 0
    return h, r


def _dead(h, kind, over=0, reduce=torch.all, count=True, limit=0.97, low=None):
    silent = (h.abs() > limit if low is None else h > limit) if kind == "tanh" else h == 0
    columns = reduce(silent, over)
    return columns.sum().item() if count else columns


_H8, _R8 = _h(40, 8, 0, 3)
_H5, _R5 = _h(6, 5, 1, 1)
ex04_1 = Exercise(
    "04.1", answer=_dead, cases=[(_H8, "tanh"), (_R8, "relu"), (_H5, "tanh"), (_R5, "relu"), (_H8[:, 3:], "tanh")],
    show=lambda h, kind: f"{kind} outputs of shape {tuple(h.shape)}",
    mistakes={
        "that counts saturated *outputs*: dead means saturated for every example": lambda h, kind: (
            h.abs() > 0.97 if kind == "tanh" else h == 0).sum().item(),
        "that counts units that are silent for *some* example: use all, not any":
            lambda h, kind: _dead(h, kind, reduce=torch.any),
        "that asks each example, not each unit: .all(0) goes down the columns":
            lambda h, kind: _dead(h, kind, over=1),
        "a count is wanted, not the row of True and False": lambda h, kind: _dead(h, kind, count=False),
        "tanh saturates at both ends: take abs() first": lambda h, kind: _dead(h, kind, low=True),
        "how many, not which share": lambda h, kind: _dead(h, kind) / h.shape[1],
        "`kind` plays no part: a dead ReLU gives exactly 0": lambda h, kind: _dead(h, "tanh"),
        "`kind` plays no part: a dead tanh is far from 0": lambda h, kind: _dead(h, "relu"),
    })


def _gain(f, of=lambda y: y.square().mean().sqrt(), power=-1, x=None):
    if x is None:  # the integral over the bell curve, in 64-bit floats
        x = torch.linspace(-12, 12, 200_001, dtype=torch.double)
        p = torch.exp(-x**2 / 2)
        return ((f(x) ** 2 * p).sum() / p.sum()).sqrt().item() ** -1
    return of(f(x)).item() ** power


_BELL = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))


def _named(f):
    return getattr(f, "__name__", "f")


ex04_2 = Exercise(
    "04.2", answer=_gain, tol=0.01, near=0.03, show=lambda f: f"f = {_named(f)}",
    cases=[(torch.relu,), (torch.tanh,), (F.silu,), (torch.sin,), (torch.sigmoid,), (torch.exp,)][:5],
    mistakes={
        "that is how much f shrinks; the gain makes up for it: 1 divided by it":
            lambda f: _gain(f, power=1, x=_BELL),
        "the sum over W sees the mean square, not the variance: a mean other than 0 counts too":
            lambda f: _gain(f, of=torch.std, x=_BELL),
        "take the root: the mean square is a width squared":
            lambda f: _gain(f, of=lambda y: y.square().mean(), x=_BELL),
        "the mean of |f| is not the root of the mean square": lambda f: _gain(f, of=lambda y: y.abs().mean(), x=_BELL),
        "x is a bell curve of width 1: randn, not rand": lambda f: _gain(f, x=torch.rand(
            1_000_000, generator=torch.Generator().manual_seed(0))),
    })


def _running(values, momentum, keep=False, start=0.0, share=lambda n: 1 / n):
    r, out = start, []
    for n, value in enumerate(values, start=1):
        m = share(n) if momentum is None else momentum
        r = m * r + (1 - m) * value if keep else (1 - m) * r + m * value
        out.append(r)
    return out


ex04_3 = Exercise(
    "04.3", answer=_running, tol=1e-9, near=1e-4,
    cases=[([1.0, 3.0, 2.0, 5.0], 0.1), ([4.0, -2.0, 7.0], None), ([2.0, 2.0, 2.0, 2.0], 0.5), ([3.0, 1.0], 1.0)],
    mistakes={
        "momentum is the share of the *new* value here (other libraries mean the share that is kept)":
            lambda v, m: _running(v, m, keep=m is not None),
        "start from 0.0, not from the first value": lambda v, m: _running(v, m, start=v[0]),
        "momentum=None: the n-th value gets the share 1/n": lambda v, m: _running(v, m, share=lambda n: 1 / (n + 1)),
        "return what stands after *each* value, as a list": lambda v, m: _running(v, m)[-1],
        "momentum=None wants the mean of the values so far, momentum 0.1 is the default of torch":
            lambda v, m: _running(v, 0.1 if m is None else m),
        "that is the plain mean in every case: use the momentum": lambda v, m: _running(v, None),
    })


def _group(x, groups, correction=0, eps=1e-5, inside=True, cut=None, dims=2, mean=True):
    N, C, L = x.shape
    g = x.view(N, groups, -1) if cut is None else cut(x, groups)
    m, v = g.mean(dims, keepdim=True), g.var(dims, keepdim=True, correction=correction)
    root = torch.sqrt(v + eps) if inside else v.sqrt() + eps
    return ((g - m) / root if mean else g / root).reshape(x.shape) if cut is None else None


def _interleaved(x, groups):
    N, C, L = x.shape
    g = x.view(N, C // groups, groups, L)
    m, v = g.mean((1, 3), keepdim=True), g.var((1, 3), keepdim=True, correction=0)
    return ((g - m) / torch.sqrt(v + 1e-5)).reshape(x.shape)


def _over_channels(x, groups):
    g = x.view(len(x), groups, -1, x.shape[2])
    return ((g - g.mean(2, keepdim=True)) / torch.sqrt(g.var(2, keepdim=True, correction=0) + 1e-5)).view(x.shape)


def _x(N, C, L, seed):
    x = torch.randn(N, C, L, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return 0.2 * x * torch.arange(1, C + 1)[:, None] + torch.arange(N)[:, None, None]


ex04_4 = Exercise(
    "04.4", answer=lambda x, groups: F.group_norm(x, groups), tol=1e-6, near=1e-6,
    cases=[(_x(4, 6, 5, 0), 2), (_x(2, 8, 3, 1), 4), (_x(3, 4, 7, 2), 1), (0.01 * _x(3, 6, 4, 3), 3)],
    show=lambda x, groups: f"x of shape {tuple(x.shape)} in {groups} groups",
    mistakes={
        "the variance divides by n here, not by n - 1: correction=0": lambda x, g: _group(x, g, correction=1),
        "the groups are neighbours: channels 0, 1, 2 and 3, 4, 5, not every second one": _interleaved,
        "`groups` is how many groups there are, not how many channels are in one":
            lambda x, g: _group(x, x.shape[1] // g),
        "the positions share the mean too: average over the channels *and* positions of a group": _over_channels,
        "that is instance norm: a group shares one mean over all its channels": lambda x, g: F.instance_norm(x),
        "that is layer norm: each group has a mean of its own": lambda x, g: F.group_norm(x, 1),
        "examples must not be mixed: no mean over dimension 0": lambda x, g: _group(x, g, dims=(0, 2)),
        "the mean is not taken away (that would be RMS norm's way)": lambda x, g: _group(x, g, mean=False),
        "eps belongs under the root, next to the variance": lambda x, g: _group(x, g, inside=False),
        "eps is missing: 1e-5 is added to the variance": lambda x, g: _group(x, g, eps=0.0),
    })


def _folded(fn, fan_in, fan_out, bias, seed):
    torch.manual_seed(seed)
    linear, bn = nn.Linear(fan_in, fan_out, bias=bias).double(), nn.BatchNorm1d(fan_out).double().eval()
    for t in (bn.weight.data, bn.bias.data, bn.running_mean):
        t.copy_(torch.randn(fan_out) + 0.5)
    bn.running_var.copy_(torch.rand(fan_out) * 0.01)  # small, so that eps matters
    weight, b = (t.detach() for t in fn(linear, bn))
    x = torch.randn(7, fan_in, dtype=torch.double)
    shapes = f"weight {tuple(weight.shape)}, bias {tuple(b.shape)}"
    if shapes != f"weight {(fan_out, fan_in)}, bias {(fan_out,)}":
        return {"shapes": shapes}
    return {"shapes": shapes, "output": x @ weight.T + b}


def _fold(linear, bn, eps=True, root=True, bias=True, shift=True, mean=1, columns=False, gain=True, scaled=True):
    var = bn.running_var + (bn.eps if eps else 0)
    scale = (bn.weight if gain else 1) / (var.sqrt() if root else var)
    b = 0 if linear.bias is None or not bias else linear.bias
    weight = linear.weight * (scale[None, :] if columns else scale[:, None])
    return weight, (b - mean * bn.running_mean) * (scale if scaled else 1) + (bn.bias if shift else 0)


ex04_5 = Exercise(
    "04.5", answer=_fold, probe=_folded, tol=1e-5, near=1e-4,
    cases=[(4, 4, True, 0), (3, 5, False, 1), (6, 2, True, 2)],
    show=lambda fan_in, fan_out, bias, seed: f"Linear({fan_in}, {fan_out}, bias={bias})",
    mistakes={
        "eps is missing: it stands next to the running variance": lambda l, b: _fold(l, b, eps=False),
        "the root is missing: divide by √(running_var + eps)": lambda l, b: _fold(l, b, root=False),
        "each *row* of the weight gets its own scale: scale[:, None]":
            lambda l, b: _fold(l, b, columns=len(l.weight) == l.weight.shape[1]),
        "the linear layer's own bias is lost": lambda l, b: _fold(l, b, bias=False),
        "batch norm's bias is missing": lambda l, b: _fold(l, b, shift=False),
        "the running mean is taken away, not added": lambda l, b: _fold(l, b, mean=-1),
        "the running mean is missing": lambda l, b: _fold(l, b, mean=0),
        "batch norm's gain, bn.weight, is missing": lambda l, b: _fold(l, b, gain=False),
        "the linear layer's bias is scaled too": lambda l, b: (_fold(l, b)[0], _fold(l, b, bias=False)[1] + (
            0 if l.bias is None else l.bias)),
        "bias and running mean are scaled too": lambda l, b: _fold(l, b, scaled=False),
    })


def _retune(weights, grads, of=torch.median, target=1e-3, width=torch.std, flip=False):
    at_one = torch.stack([width(g) / width(w) for w, g in zip(weights, grads)])
    return of(at_one).item() * target if flip else target / of(at_one).item()


def _tensors(*widths, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [w * torch.randn(4, 3 + k, generator=g, dtype=torch.double) + w for k, w in enumerate(widths)]


ex04_6 = Exercise(
    "04.6", answer=_retune, tol=1e-6, near=1e-3,
    cases=[(_tensors(1, 0.5, 2), _tensors(0.01, 0.3, 0.002, seed=1)), (_tensors(0.1), _tensors(0.5, seed=2)),
           (_tensors(1, 1, 1, 1, 3), _tensors(0.1, 0.2, 0.01, 5, 0.4, seed=3))],
    show=lambda weights, grads: f"{len(weights)} tensors",
    mistakes={
        "the median is wanted, not the mean": lambda w, g: _retune(w, g, of=torch.mean),
        "upside down: a larger gradient wants a smaller rate": lambda w, g: _retune(w, g, flip=True),
        "that makes steps as wide as the weights: aim at one thousandth": lambda w, g: _retune(w, g, target=1.0),
        "the width is the standard deviation, not the norm": lambda w, g: _retune(w, g, width=torch.norm),
    })


def patient(name):
    """A network with one fault, and a batch for it: (net, inputs, targets). name: "A", "B" or "C"."""
    if name not in ("A", "B", "C"):
        raise ValueError(f"there is no patient {name!r}: choose 'A', 'B' or 'C'.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ord(name))
        targets = torch.arange(64) % 10
        if name == "B":
            block = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                     nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
            net, x = nn.Sequential(*block, nn.Flatten(), nn.Linear(256, 10)), torch.randn(64, 3, 8, 8)
            net(torch.randn(512, 3, 8, 8))
            for _ in range(60):  # its running statistics are good
                net(torch.randn(64, 3, 8, 8))
            net.eval()[4].train()
            return net, x, targets
        sizes = [20, 64, 64, 64, 64]
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        net = nn.Sequential(*layers, nn.Linear(64, 10))
        for layer in net[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        net[8].weight.data *= 0.1
        if name == "A":
            net[4].weight.data *= 25
        else:
            net[2].bias.data -= 40
        return net, torch.randn(64, 20), targets


_PATIENTS = {"A": ("4", "exploding"), "B": ("4", "wrong mode"), "C": ("3", "dead")}


def _told(fn):
    """How each patient's diagnosis compares; it must not give the answer away."""
    told = {name: tuple(str(part) for part in pair) for name, pair in fn().items()}
    if told.get("C") == ("2", "dead"):
        told["C"] = ("3", "dead")  # the linear layer whose biases are to blame
    right = {name: [a == b for a, b in zip(told.get(name, ()), pair)] for name, pair in _PATIENTS.items()}
    verdict = {(True, True): "right", (True, False): "the right layer, another illness",
               (False, True): "the right illness, another layer: look at its *input*", (False, False): "neither"}
    return {f"diagnosis of {name}": verdict.get(tuple(r), "two words are wanted: layer and illness")
            for name, r in right.items()}


ex04_7 = Exercise(
    "04.7", answer=lambda: _PATIENTS, probe=_told, cases=[()], show=lambda: "the three patients",
    mistakes={
        "B is about to be used, after eval(): one of its layers is in another mode than the rest":
            lambda: _PATIENTS | {"B": ("4", "uncalibrated")},
        "A's layers are large from one place on: name the first, where the size jumps":
            lambda: _PATIENTS | {"A": ("6", "exploding")},
        "A has no tanh that could saturate: what does its layer do to the size of its input?":
            lambda: _PATIENTS | {"A": ("4", "saturated")},
        "C's units are not only at zero, they are so for *every* example":
            lambda: _PATIENTS | {"C": ("3", "zero")},
    })

_NAMES = ("C", "W1", "b1", "W2", "b2")


def _moves(zero):
    g = torch.Generator().manual_seed(0)
    shapes = [(27, 4), (12, 6), (6,), (6, 27), (27,)]
    parameters = [(0.3 * torch.randn(s, generator=g) * (n not in zero)).requires_grad_()
                  for n, s in zip(_NAMES, shapes)]
    C, W1, b1, W2, b2 = parameters
    X, Y = torch.randint(0, 27, (20, 3), generator=g), torch.randint(0, 27, (20,), generator=g)
    loss = F.cross_entropy(torch.tanh(C[X].view(20, -1) @ W1 + b1) @ W2 + b2, Y)
    return {n for n, s in zip(_NAMES, torch.autograd.grad(loss, parameters)) if s.abs().max() > 0}


ex04_8 = Exercise(
    "04.8", answer=_moves,
    cases=[(set(),), ({"W2"},), ({"W1", "b1"},), ({"W1", "b1", "W2", "b2"},), ({"C"},), ({"C", "b1"},), ({"b2"},)],
    show=lambda zero: f"{' and '.join(sorted(zero)) or 'nothing'} at zero",
    mistakes={
        "a tensor at zero can have a slope: b2 always has one": lambda zero: set(_NAMES) - zero,
        "a tensor's *own* zeros do not stop it: look at what its slope is made of":
            lambda zero: _moves(zero) - zero,
        "not everything moves: with W2 at zero no slope passes to the layers below": lambda zero: set(_NAMES),
    })
assert math.isclose(_gain(torch.relu), 2**0.5, rel_tol=1e-4)
