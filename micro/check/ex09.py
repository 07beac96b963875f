"""The exercises of notebook 09, layers: references, inputs and known mistakes. 5 to 8: ex09_more."""
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from micro.check import Verdict
from micro.check.ex09_more import ex09_5, ex09_6, ex09_7, ex09_8  # noqa: F401 (5 to 8)
from micro.check.parts import Apart, Shown, bell, draw, kind, shapes, shuffled

# -- 1: who is normalized together ----------------------------------------------------------------------------

def _gradient(layer, x, place, of=lambda y, place: y[place]):
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(of(copy.deepcopy(layer)(x), place), x)[0]


def _company(layer, x, place):
    return _gradient(layer, x, place) != 0


def _moved(layer, x, place):
    """The other question: which numbers of y depend on x[place]?"""
    there = torch.zeros_like(x)
    there[place] = 1.0
    with torch.no_grad():
        return copy.deepcopy(layer)(x + there) != copy.deepcopy(layer)(x)


def _alone(x, place):
    found = torch.zeros(x.shape, dtype=torch.bool)
    found[place] = True
    return found


def _littered(layer, x, place):
    """The mistake: the layer itself is asked, so that its parameters keep gradients."""
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    return _company(layer, x, place)


def _layers(g):
    """SiLU follows where all numbers of a channel share their gain: without it the slope of their sum is 0."""
    N, C, H, W, groups = 3, 6, draw(g, 3, 4), draw(g, 3, 5), draw(g, 2, 3)
    pictures, tokens = (N, C, H, W), (N, draw(g, 4, 5), C)
    left = nn.Sequential(nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(C, C, (1, 2)))
    wanted = [(nn.Sequential(nn.BatchNorm2d(C), nn.SiLU()).eval(), pictures), (nn.LayerNorm(C), tokens),
              *shuffled(g, [(nn.Conv2d(C, C, 1), pictures), (left, pictures), (nn.GroupNorm(groups, C), pictures),
                            (nn.Sequential(nn.BatchNorm2d(C), nn.SiLU()), pictures), (nn.RMSNorm(C), tokens),
                            (nn.Sequential(nn.InstanceNorm2d(C, affine=True), nn.SiLU()), pictures)])]
    cases = []
    for layer, shape in wanted:
        layer = layer.double()
        for p in layer.parameters():
            p.data = bell(g, *p.shape)
        a, b, c = torch.randperm(3, generator=g).tolist()
        cases.append((layer, bell(g, *shape), (a, b, c, draw(g, 0, 2))[:len(shape)]))
    return cases


def _probe_company(fn, layer, x, place):
    out = fn(layer, x, place)
    found = ["gradients in the layer's parameters"] if any(p.grad is not None for p in layer.parameters()) else []
    found += ["an x that requires a gradient"] if x.requires_grad else []
    return {"type": kind(out), "answer": out, "things left behind": Shown(" and ".join(found) or "none")}


class Company(Apart):
    """An exercise whose answer is a mask: the first number that is wrong in it is named."""

    def explain(self, results, wanted):
        verdict = super().explain(results, wanted)
        if verdict.kind != "value":
            return verdict
        for case, got, want in zip(self.cases, results, wanted):
            if got["type"] == want["type"] and not torch.equal(got["answer"], want["answer"]):
                at = tuple((got["answer"] != want["answer"]).nonzero()[0].tolist())
                says, is_so = ("True", "does not depend") if got["answer"][at] else ("False", "depends")
                return Verdict("value", f"{self.name}: for {self.shown(case)} your answer is {says} at {at}, but "
                                        f"y[place] {is_so} on x{list(at)}")
        return verdict


ex09_1 = Company(
    "09.1", answer=_company, make=_layers, probe=_probe_company, by=("answer",),
    show=lambda layer, x, place: f"{' and '.join(type(m).__name__ for m in layer.modules() if not [*m.children()])} in "
                                 f"{'train' if layer.training else 'eval'} mode, {shapes(x)}, place={place}",
    advice=". (y[place], with the whole tuple, is one number. backward adds to .grad and returns nothing)",
    mistakes={
        "True everywhere: all of them move the sum of y; ask for the gradient of y[place] alone":
            lambda layer, x, place: torch.ones(x.shape, dtype=torch.bool),
        "that is the gradient itself; wanted is True where it is not 0": _gradient,
        "a negative gradient is a dependence too: != 0, not > 0": lambda *a: _gradient(*a) > 0,
        "the other way round: True where the gradient is *not* 0": lambda *a: _gradient(*a) == 0,
        "the indices of place are taken in reverse: y[place] takes them as they are":
            lambda layer, x, place: _company(layer, x, place[::-1]),
        "those are the numbers of y that depend on x[place]; asked is on which numbers of x y[place] depends": _moved,
        "y[place] itself is missing: it depends on x[place], too": lambda layer, x, place:
            _company(layer, x, place) & ~_alone(x, place),
        "only place itself: y[place] depends on others, too": lambda layer, x, place: _alone(x, place),
        "the answer is right, but the layer's parameters now have gradients, which the next training step would use: "
        "ask a copy of the layer, or torch.autograd.grad(y[place], x)": _littered,
        "the answer is right, but x now requires a gradient: take x.detach().clone().requires_grad_()":
            lambda layer, x, place: _company(layer, x.requires_grad_(), place),
        "the answer is right, but the layer's parameters now have gradients, and x requires one: ask copies of both":
            lambda layer, x, place: _littered(layer, x.requires_grad_(), place),
    })


# -- 2: fold a layer norm into what follows -------------------------------------------------------------------

def _fold(norm, linear, weight=lambda W, g: W * g, bias=lambda W, g, n, b: W @ n + b):
    """bias gets linear.weight, norm.weight, norm.bias and linear.bias (0 if there is none)."""
    W, g, n = linear.weight.detach(), norm.weight.detach(), norm.bias.detach()
    b = torch.zeros(len(W), dtype=W.dtype) if linear.bias is None else linear.bias.detach()
    return weight(W, g), bias(W, g, n, b)


def _pairs(g):
    """First a square weight: there rows and columns can be taken for each other."""
    found, square = [], draw(g, 4, 6)
    for dim, out, bias in [(square, square, True), (draw(g, 3, 5), draw(g, 6, 8), True), (7, draw(g, 2, 5), False)]:
        norm, linear = nn.LayerNorm(dim).double(), nn.Linear(dim, out, bias=bias).double()
        for p in (*norm.parameters(), *linear.parameters()):
            p.data = bell(g, *p.shape)
        found.append((norm, linear))
    return found


def _two(*names):
    """A probe for an answer of two results with these names."""
    def probe(fn, *case):
        found = fn(*case)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(f"two results are wanted, {' and '.join(names)}, not {type(found).__name__}")
        return {name: Shown("None") if r is None else r for name, r in zip(names, found)}
    return probe


def _fold_wrong(**parts):
    return lambda norm, linear: _fold(norm, linear, **parts)


ex09_2 = Apart(
    "09.2", answer=_fold, make=_pairs, probe=_two("weight", "bias"), by=("weight", "bias"), tol=1e-9, edges=1,
    show=lambda norm, linear: f"nn.LayerNorm({norm.normalized_shape[0]}) and a linear layer from {linear.in_features} "
                              f"to {linear.out_features}{'' if linear.bias is not None else ' without bias'}",
    advice=". (linear.weight is (out, dim): column j meets number j of xhat. linear.bias may be None)",
    mistakes={
        "the gain is on the rows of the weight; xhat's number j meets column j: weight * gain, without [:, None]":
            _fold_wrong(weight=lambda W, g: W * g[:, None]),
        "the gain is missing in the weight": _fold_wrong(weight=lambda W, g: W),
        "weight and gain stand in one product, so multiply by the gain": _fold_wrong(weight=lambda W, g: W / g),
        "the weight is transposed: F.linear takes (out, dim)": _fold_wrong(weight=lambda W, g: (W * g).T),
        "norm.bias is missing: it passes through the weight and arrives as weight @ norm.bias":
            _fold_wrong(bias=lambda W, g, n, b: b),
        "linear.bias is missing": _fold_wrong(bias=lambda W, g, n, b: W @ n),
        "norm.bias goes through the linear layer, too: weight @ norm.bias":
            _fold_wrong(bias=lambda W, g, n, b: n + b),
        "norm.bias is added after the gain, so the gain does not multiply it: linear.weight @ norm.bias":
            _fold_wrong(bias=lambda W, g, n, b: (W * g) @ n + b),
        "linear.bias comes last and is multiplied by nothing": _fold_wrong(bias=lambda W, g, n, b: W @ (n + b)),
        "linear.weight is (out, dim), so linear.weight @ norm.bias, without a transpose":
            _fold_wrong(bias=lambda W, g, n, b: W.T @ n + b),
    })


# -- 3: one mean and variance from many -----------------------------------------------------------------------

def _pooled(means, variances, counts, mean=None, variance=None):
    n = counts[:, None]
    mean = (n * means).sum(0) / n.sum() if mean is None else mean(means, n)
    if variance is not None:
        return mean, variance(means, variances, n, mean)
    return mean, (n * (variances + (means - mean)**2)).sum(0) / n.sum()


def _machines(g):
    """The last means are near 1e8: there E[x²] − mean² loses all its digits."""
    found = []
    for k, C, far in [(2, draw(g, 3, 4), 0), (draw(g, 3, 5), draw(g, 3, 5), 0), (4, 2, 0), (1, 3, 0), (3, 4, 1e8)]:
        counts = torch.tensor(shuffled(g, range(5, 60))[:k], dtype=torch.double)
        means = (1 + k * bell(g, k, C)).abs() + far
        found.append((means, 0.5 + bell(g, k, C)**2, counts))
    return found


def _spread(means, variances, n, mean):
    """The sum of squares about the mean."""
    return (n * (variances + (means - mean)**2)).sum(0)


ex09_3 = Apart(
    "09.3", answer=_pooled, make=_machines, probe=_two("mean", "variance"), by=("mean", "variance"),
    show=lambda means, v, counts: f"means {tuple(means.shape)} near {means.mean():.0g}, counts={counts.tolist()}",
    advice=". (counts[:, None] stands beside (k, C))",
    hard="right while the means are small, but where they are near 1e8, the variance loses its digits: mean(x²) and "
         "mean² are near 1e16 then, and float64 has 16 digits. Square the distances, means − mean, and stay in float64",
    mistakes={
        "the mean of the means: a machine that has seen more counts for more, by counts":
            lambda m, v, c: _pooled(m, v, c, lambda m, n: m.mean(0)),
        "the mean of the means and of the variances: counts play no part, and the means' own spread is missing":
            lambda m, v, c: (m.mean(0), v.mean(0)),
        "counts play no part: a machine that has seen more counts for more":
            lambda m, v, c: (m.mean(0), (v + (m - m.mean(0))**2).mean(0)),
        "the sum of the means is not divided by the sum of counts":
            lambda m, v, c: _pooled(m, v, c, lambda m, n: (n * m).sum(0)),
        "that is the mean of the variances: the means differ from machine to machine, and their spread belongs to it":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean: (n * v).sum(0) / n.sum()),
        "that is the plain mean of the variances: counts play no part, and the means' spread is missing":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean: v.mean(0)),
        "the variance is that of the means alone: add the mean of the machines' own variances":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean: _spread(m, 0 * v, n, mean) / n.sum()),
        "counts play no part in the variance: a machine that has seen more counts for more":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean: (v + (m - mean)**2).mean(0)),
        "counts play no part in the spread of the means":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean:
                                    (n * v).sum(0) / n.sum() + ((m - mean)**2).mean(0)),
        "counts play no part in the spread of the means: var takes them all alike": lambda m, v, c: _pooled(
            m, v, c, variance=lambda m, v, n, mean: (n * v).sum(0) / n.sum() + m.var(0, correction=0)),
        "the sum of squares is not divided by the sum of counts":
            lambda m, v, c: _pooled(m, v, c, variance=_spread),
        "the variance is biased: divide by the sum of counts, not by that less 1":
            lambda m, v, c: _pooled(m, v, c, variance=lambda *a: _spread(*a) / (c.sum() - 1)),
        "the given variances are biased: counts times variance is a sum of squares, not (counts − 1) times":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean:
                                    ((n - 1) * v + n * (m - mean)**2).sum(0) / n.sum()),
        "that is biased and unbiased mixed: counts, not counts − 1, above and below":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean:
                                    ((n - 1) * v + n * (m - mean)**2).sum(0) / (n.sum() - 1)),
        "that is the mean of the squares: the square of the mean has to go":
            lambda m, v, c: _pooled(m, v, c, variance=lambda m, v, n, mean: (n * (v + m**2)).sum(0) / n.sum()),
        "that is the standard deviation, the root of the variance":
            lambda m, v, c: (_pooled(m, v, c)[0], _pooled(m, v, c)[1].sqrt()),
    })


# -- 4: the slope of GELU ---------------------------------------------------------------------------------------

def _share(x):
    return (1 + torch.erf(x / math.sqrt(2))) / 2


def _density(x):
    return torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)


def _gelu_slope(x, share=_share, density=_density):
    return share(x) + x * density(x)


def _by_autograd(f):
    def answer(x):
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            return torch.autograd.grad(f(x).sum(), x)[0]
    return answer


ex09_4 = Apart(
    "09.4", answer=_gelu_slope, tol=1e-9, show=lambda x: f"x={x.item():.3g}" if x.dim() == 0 else shapes(x),
    make=lambda g: [(x,) for x in (
        bell(g, draw(g, 5, 9)), 3 * bell(g, 2, 3, draw(g, 2, 4)), torch.tensor([-20.0, -6, -1, 0, 1, 6, 20]).double(),
        bell(g))],
    probe=lambda fn, x: torch.no_grad()(fn)(x),
    advice=". (By hand: the check switches autograd off)",
    nearly=". A difference quotient is not that exact, nor is a float32 tensor like torch.tensor(2.0): 7 digits",
    mistakes={
        "that is Φ(x) alone; x Φ(x) is a product, and Φ has a slope of its own: + x φ(x)": _share,
        "that is x φ(x) alone; x has a slope, too: Φ(x) +": lambda x: x * _density(x),
        "that is φ(x), the slope of Φ": _density,
        "that is GELU itself, not its slope": lambda x: x * _share(x),
        "the product rule: the slope of Φ is multiplied by x": lambda x: _share(x) + _density(x),
        "the slope of Φ is +φ: the area grows": lambda x: _share(x) - x * _density(x),
        "φ lacks 1/√(2π): the whole area under the bell must be 1":
            lambda x: _gelu_slope(x, density=lambda x: torch.exp(-x**2 / 2)),
        "φ is divided by 2π: the root is missing":
            lambda x: _gelu_slope(x, density=lambda x: torch.exp(-x**2 / 2) / (2 * math.pi)),
        "φ is exp(−x²/2) / √(2π): the 2 in the exponent is missing":
            lambda x: _gelu_slope(x, density=lambda x: torch.exp(-x**2) / math.sqrt(2 * math.pi)),
        "φ is exp(−x²/2) / √(2π): the minus in the exponent is missing":
            lambda x: _gelu_slope(x, density=lambda x: torch.exp(x**2 / 2) / math.sqrt(2 * math.pi)),
        "Φ is made of erf(x / √2), not erf(x)": lambda x: _gelu_slope(x, lambda x: (1 + torch.erf(x)) / 2),
        "Φ is *half* of 1 + erf(x / √2): it goes from 0 to 1": lambda x: _gelu_slope(x, lambda x: 2 * _share(x)),
        "erf goes from −1 to 1: Φ(x) is (1 + erf(x / √2)) / 2":
            lambda x: _gelu_slope(x, lambda x: torch.erf(x / math.sqrt(2))),
        "that is the slope of the approximation with tanh; take erf":
            _by_autograd(lambda x: F.gelu(x, approximate="tanh")),
        "that is the slope of the approximation x σ(1.702 x); take erf":
            _by_autograd(lambda x: x * torch.sigmoid(1.702 * x)),
        "that is the slope of SiLU, x σ(x)": _by_autograd(F.silu),
    })
