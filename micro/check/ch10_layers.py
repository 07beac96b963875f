"""The checks of notebook 10, layers."""
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from micro.check import Verdict
from micro.check.kinds import (
    EPS,
    Apart,
    Parts,
    Shown,
    arguments,
    by_autograd,
    cases_of,
    randint,
    randn,
    shapes_of,
    shuffled,
    type_of,
    with_type,
)

# -- 1: who is normalized together ----------------------------------------------------------------------------

def depends(layer, x, place):
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(copy.deepcopy(layer)(x)[place], x)[0] != 0


def layers(g):
    """SiLU follows where all values of a channel share their gain: without it the gradient of their sum is 0."""
    N, C, H, W, groups = 3, 6, randint(g, 3, 4), randint(g, 3, 5), randint(g, 2, 3)
    pictures, tokens = (N, C, H, W), (N, randint(g, 4, 5), C)
    left = nn.Sequential(nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(C, C, (1, 2)))
    wanted = [(nn.Sequential(nn.BatchNorm2d(C), nn.SiLU()).eval(), pictures), (nn.LayerNorm(C), tokens),
              *shuffled(g, [(nn.Conv2d(C, C, 1), pictures), (left, pictures), (nn.GroupNorm(groups, C), pictures),
                            (nn.Sequential(nn.BatchNorm2d(C), nn.SiLU()), pictures), (nn.RMSNorm(C), tokens),
                            (nn.Sequential(nn.InstanceNorm2d(C, affine=True), nn.SiLU()), pictures)])]
    cases = []
    for layer, shape in wanted:
        layer = layer.double()
        for p in layer.parameters():
            p.data = randn(g, *p.shape)
        a, b, c = torch.randperm(3, generator=g).tolist()
        cases.append((layer, randn(g, *shape), (a, b, c, randint(g, 0, 2))[:len(shape)]))
    return cases


def answer_and_traces(fn, layer, x, place):
    out = fn(layer, x, place)
    found = ["gradients in the layer's parameters"] if any(p.grad is not None for p in layer.parameters()) else []
    found += ["an x that requires a gradient"] if x.requires_grad else []
    return {"type": type_of(out), "answer": out, "things left behind": Shown(" and ".join(found) or "none")}


class Company(Apart):
    """An exercise whose answer is a mask: the first entry that is wrong in it is named."""

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

ex10_1 = Company(
    "10.1", answer=depends, make=layers, probe=answer_and_traces, by=("answer",),
    show=lambda layer, x, place: f"{' and '.join(type(m).__name__ for m in layer.modules() if not [*m.children()])} in "
                                 f"{'train' if layer.training else 'eval'} mode, {shapes_of(x)}, place={place}",
    advice=". (y[place], with the whole tuple, is one number. backward adds to .grad and returns nothing)",
    mistakes={
        "True everywhere: every entry of x changes the sum of y; ask for the gradient of y[place] alone": """
            import copy
            def company(layer, x, place):
                x = x.detach().clone().requires_grad_()
                copy.deepcopy(layer)(x).sum().backward()
                return x.grad != 0
            """,
        "a negative gradient is a dependence, too: != 0, not > 0": """
            import copy
            def company(layer, x, place):
                x = x.detach().clone().requires_grad_()
                copy.deepcopy(layer)(x)[place].backward()
                return x.grad > 0
            """,
        "those are the entries of y that depend on x[place]; you are asked on which entries of x y[place] depends": """
            import copy
            def company(layer, x, place):
                layer = copy.deepcopy(layer)
                moved = x.clone()
                moved[place] += 0.1
                return layer(moved) != layer(x)
            """,
        "that is True at place only, but y[place] may depend on other entries of x, too": """
            def company(layer, x, place):
                found = torch.zeros(x.shape, dtype=torch.bool)
                found[place] = True
                return found
            """,
        "the answer is right, but the layer's parameters now have gradients, which the next training step would use: "
        "ask a copy of the layer, or torch.autograd.grad(y[place], x)": """
            def company(layer, x, place):
                x = x.detach().clone().requires_grad_()
                before = {name: t.clone() for name, t in layer.state_dict().items()}
                layer(x)[place].backward()
                layer.load_state_dict(before)
                return x.grad != 0
            """,
        "the answer is right, but x now requires a gradient: take x.detach().clone().requires_grad_()": """
            import copy
            def company(layer, x, place):
                x.requires_grad_()
                copy.deepcopy(layer)(x)[place].backward()
                return x.grad != 0
            """,
        "the answer is right, but the layer's parameters now have gradients and x requires one: ask copies of both": """
            def company(layer, x, place):
                x.requires_grad_()
                before = {name: t.clone() for name, t in layer.state_dict().items()}
                layer(x)[place].backward()
                layer.load_state_dict(before)
                return x.grad != 0
            """,
    })


# -- 2: fold a layer norm into what follows -------------------------------------------------------------------

def folded(norm, linear):
    bias = linear.weight @ norm.bias
    return linear.weight * norm.weight, bias if linear.bias is None else bias + linear.bias


def pairs(g):
    """First a square weight: there rows and columns can be taken for each other."""
    found, n = [], randint(g, 4, 6)
    for dim, out, bias in [(n, n, True), (randint(g, 3, 5), randint(g, 6, 8), True), (7, randint(g, 2, 5), False)]:
        norm, linear = nn.LayerNorm(dim).double(), nn.Linear(dim, out, bias=bias).double()
        for p in (*norm.parameters(), *linear.parameters()):
            p.data = randn(g, *p.shape)
        found.append((norm, linear))
    return found


def two(*names):
    """A probe for an answer of two results with these names."""
    def probe(fn, *case):
        found = fn(*case)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(f"two results are wanted, {' and '.join(names)}, not {type(found).__name__}")
        return {name: Shown("None") if r is None else r for name, r in zip(names, found)}
    return probe

ex10_2 = Apart(
    "10.2", answer=folded, make=pairs, probe=two("weight", "bias"), by=("weight", "bias"), tol=1e-9, edges=1,
    show=lambda norm, linear: f"nn.LayerNorm({norm.normalized_shape[0]}) and a linear layer from {linear.in_features} "
                              f"to {linear.out_features}{'' if linear.bias is not None else ' without bias'}",
    advice=". (linear.weight is (out, dim): column j meets number j of xhat. linear.bias may be None)",
    mistakes={
        "the gain multiplies the rows of the weight, but xhat[j] meets column j: weight * gain, without [:, None]": """
            def fold(norm, linear):
                bias = linear.weight @ norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return linear.weight * norm.weight[:, None], bias
            """,
        "the gain is missing in the weight": """
            def fold(norm, linear):
                bias = linear.weight @ norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return linear.weight, bias
            """,
        "the weight is transposed: F.linear takes (out, dim)": """
            def fold(norm, linear):
                bias = linear.weight @ norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return (linear.weight * norm.weight).T, bias
            """,
        "norm.bias is missing: it passes through the weight and arrives as linear.weight @ norm.bias": """
            def fold(norm, linear):
                bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
                return linear.weight * norm.weight, bias
            """,
        "linear.bias is missing": """
            def fold(norm, linear):
                return linear.weight * norm.weight, linear.weight @ norm.bias
            """,
        "norm.bias passes through the linear layer, too: linear.weight @ norm.bias": """
            def fold(norm, linear):
                bias = norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return linear.weight * norm.weight, bias
            """,
        "norm.bias is added after the gain, so the gain does not multiply it: linear.weight @ norm.bias": """
            def fold(norm, linear):
                weight = linear.weight * norm.weight
                bias = weight @ norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return weight, bias
            """,
        "linear.weight is (out, dim), so it is linear.weight @ norm.bias, without a transpose": """
            def fold(norm, linear):
                bias = linear.weight.T @ norm.bias
                if linear.bias is not None:
                    bias = bias + linear.bias
                return linear.weight * norm.weight, bias
            """,
    })


# -- 3: one mean and variance from many -----------------------------------------------------------------------

def of_all(means, variances, counts):
    share = counts[:, None] / counts.sum()                             # (k, 1)
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean)**2)).sum(0)


def machines(g):
    """The last means are near 1e8: there E[x²] − mean² loses all its digits."""
    found = []
    for k, C, far in [(2, randint(g, 3, 4), 0), (randint(g, 3, 5), randint(g, 3, 5), 0), (4, 2, 0), (1, 3, 0),
                      (3, 4, 1e8)]:
        counts = torch.tensor(shuffled(g, range(5, 60))[:k], dtype=torch.double)
        means = (1 + k * randn(g, k, C)).abs() + far
        found.append((means, 0.5 + randn(g, k, C)**2, counts))
    return found

ex10_3 = Apart(
    "10.3", answer=of_all, make=machines, probe=two("mean", "variance"), by=("mean", "variance"),
    show=lambda means, v, counts: f"means {tuple(means.shape)} near {means.mean():.0g}, counts={counts.tolist()}",
    advice=". (counts[:, None] stands beside (k, C))",
    hard="right while the means are small, but where they are near 1e8, the variance loses its digits: mean(x²) and "
         "mean² are near 1e16 then, and float64 has 16 digits. Square the distances, means − mean, and stay in float64",
    mistakes={
        "that is the plain mean of the means: weight each machine by the number of values it has seen, counts": """
            def pooled(means, variances, counts):
                n = counts[:, None]
                mean = means.mean(0)
                return mean, (n * (variances + (means - mean)**2)).sum(0) / n.sum()
            """,
        "that is the weighted mean of the variances: the machines' means differ, too, so add (means − mean)²": """
            def pooled(means, variances, counts):
                share = counts[:, None] / counts.sum()
                return (share * means).sum(0), (share * variances).sum(0)
            """,
        "that is the plain mean of the variances: weight them by counts, and add (means − mean)² to each": """
            def pooled(means, variances, counts):
                share = counts[:, None] / counts.sum()
                return (share * means).sum(0), variances.mean(0)
            """,
        "counts play no part in the variance: weight each machine by the number of values it has seen": """
            def pooled(means, variances, counts):
                share = counts[:, None] / counts.sum()
                mean = (share * means).sum(0)
                return mean, (variances + (means - mean)**2).mean(0)
            """,
        "counts play no part in the variance of the means: weight (means − mean)² by counts, too": """
            def pooled(means, variances, counts):
                share = counts[:, None] / counts.sum()
                mean = (share * means).sum(0)
                return mean, (share * variances).sum(0) + ((means - mean)**2).mean(0)
            """,
        "the variance is biased: divide by the sum of counts, not by that minus 1": """
            def pooled(means, variances, counts):
                n = counts[:, None]
                mean = (n * means).sum(0) / n.sum()
                return mean, (n * (variances + (means - mean)**2)).sum(0) / (n.sum() - 1)
            """,
        "the given variances are biased: a machine's sum of squares is counts, not counts − 1, times its variance": """
            def pooled(means, variances, counts):
                n = counts[:, None]
                mean = (n * means).sum(0) / n.sum()
                return mean, ((n - 1) * variances + n * (means - mean)**2).sum(0) / n.sum()
            """,
        "that is the mean of the squares: the variance is what remains without the square of the mean": """
            def pooled(means, variances, counts):
                share = counts[:, None] / counts.sum()
                return (share * means).sum(0), (share * (variances + means**2)).sum(0)
            """,
    })


# -- 4: the slope of GELU -------------------------------------------------------------------------------------

def slope_of_gelu(x):
    area = (1 + torch.erf(x / math.sqrt(2))) / 2
    return area + x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)

ex10_4 = Apart(
    "10.4", answer=slope_of_gelu, tol=1e-9, show=lambda x: f"x={x.item():.3g}" if x.dim() == 0 else shapes_of(x),
    make=lambda g: [(x,) for x in (randn(g, randint(g, 5, 9)), 3 * randn(g, 2, 3, randint(g, 2, 4)),
                                   torch.tensor([-20.0, -6, -1, 0, 1, 6, 20]).double(), randn(g))],
    probe=lambda fn, x: torch.no_grad()(fn)(x),
    advice=". (By hand: the check switches autograd off)",
    nearly=". A difference quotient is not that exact, nor is a float32 tensor like torch.tensor(2.0): 7 digits",
    mistakes={
        "that is Φ(x) alone; x Φ(x) is a product, and Φ has a slope of its own: + x φ(x)": """
            def gelu_slope(x):
                return (1 + torch.erf(x / math.sqrt(2))) / 2
            """,
        "that is x φ(x) alone; x has a slope, too: + Φ(x)": """
            def gelu_slope(x):
                return x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)
            """,
        "that is GELU itself, not its slope": """
            def gelu_slope(x):
                return F.gelu(x)
            """,
        "by the product rule, the slope of Φ is multiplied by x": """
            def gelu_slope(x):
                area = (1 + torch.erf(x / math.sqrt(2))) / 2
                return area + torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)
            """,
        "φ lacks 1/√(2π): the whole area under the bell curve must be 1": """
            def gelu_slope(x):
                area = (1 + torch.erf(x / math.sqrt(2))) / 2
                return area + x * torch.exp(-x**2 / 2)
            """,
        "Φ is made of erf(x / √2), not erf(x)": """
            def gelu_slope(x):
                area = (1 + torch.erf(x)) / 2
                return area + x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)
            """,
        "Φ is *half* of 1 + erf(x / √2): it goes from 0 to 1": """
            def gelu_slope(x):
                area = 1 + torch.erf(x / math.sqrt(2))
                return area + x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)
            """,
        "that is the slope of the approximation with tanh; take erf": """
            def gelu_slope(x):
                c = math.sqrt(2 / math.pi)
                t = torch.tanh(c * (x + 0.044715 * x**3))
                return (1 + t) / 2 + x * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2) / 2
            """,
    })


# -- 5: as many parameters ------------------------------------------------------------------------------------

def width_of_gated(dim, hidden, multiple):
    return multiple * max(1, round(2 * hidden / 3 / multiple))


def widths(g):
    """No width lies halfway between two multiples, that of a mistake neither: hidden is odd, dim not 3 times any."""
    found = [(48, 192, 8)]
    for up in shuffled(g, [True, True, False, False, False]):
        multiple, k = shuffled(g, [8, 16, 32, 64])[0], randint(g, 2, 9)
        half = multiple // 2
        rest = randint(g, half + 1, multiple - 3) if up else randint(g, 1, half - 2)
        found.append((3 * randint(g, 20, 200) + 1, math.ceil(3 * (multiple * k + rest) / 2) | 1, multiple))
    return [*found, (3 * randint(g, 2, 9) + 1, 6 * randint(g, 20, 60), 1), (randint(g, 3, 5), randint(g, 10, 20), 64)]

ex10_5 = Apart(
    "10.5", answer=width_of_gated, make=widths, probe=with_type, by=("answer",), edges=1,
    show=arguments("dim", "hidden", "multiple"), mistakes={
        "8/3 of dim is right only where hidden is 4 dim: take 2/3 of hidden": """
            def gated_width(dim, hidden, multiple):
                return multiple * max(1, round(8 * dim / 3 / multiple))
            """,
        "half is too little: three matrices have 3 dim h parameters, two have 2 dim hidden": """
            def gated_width(dim, hidden, multiple):
                return multiple * max(1, round(hidden / 2 / multiple))
            """,
        "always rounded down; take the nearest multiple": """
            def gated_width(dim, hidden, multiple):
                return multiple * max(1, 2 * hidden // 3 // multiple)
            """,
        "always rounded up; take the nearest multiple": """
            def gated_width(dim, hidden, multiple):
                return multiple * max(1, math.ceil(2 * hidden / 3 / multiple))
            """,
        "not rounded to a multiple of `multiple`": """
            def gated_width(dim, hidden, multiple):
                return round(2 * hidden / 3)
            """,
        "that is the number of multiples, not the width": """
            def gated_width(dim, hidden, multiple):
                return max(1, round(2 * hidden / 3 / multiple))
            """,
        "a width of 0 is none at all: at least one multiple": """
            def gated_width(dim, hidden, multiple):
                return multiple * round(2 * hidden / 3 / multiple)
            """,
    })


# -- 6: dropout -----------------------------------------------------------------------------------------------

def dropped(x, p, training, generator):
    if not training:
        return x
    stays = torch.rand(x.shape, generator=generator) >= p
    return x * stays * (1 / (1 - p) if p < 1 else 0.0)


def about(count, n, p):
    return abs(count - n * p) <= 6 * (n * p * (1 - p))**0.5      # six standard deviations


def zeros(out, p, few):
    count, n = int((out == 0).sum()), out.numel()
    if count in (0, n):
        return "all" if count else "none"
    shares = [words for words, share in (("about p", p), ("about 1 − p", 1 - p)) if few or about(count, n, share)]
    return (shares or [f"{100 * count / n:.0f}%"])[0]


def stayed(out, x, p, first=""):
    there, old, tol = out[out != 0].double(), x[out != 0].double(), 1e-2 if out.dtype == torch.bfloat16 else 1e-5
    sizes = {"x / (1 − p)": 1 - p, "x": 1, "x · (1 − p)": 1 / max(1 - p, 1e-9), "x / p": p}
    found = [words for words, size in sizes.items() if len(there) and torch.allclose(there * size, old, rtol=tol)]
    return first if first in found else (found or ["other numbers" if len(there) else "none"])[0]


def fates(out, dim, p, few=False):
    """Do neighbours along a dimension share their fate? Pairs that don't overlap are compared."""
    gone = (out == 0).transpose(0, dim)
    other = gone[:-1:2] ^ gone[1::2]
    if not other.any():
        return "always the same"
    return "drawn apart" if few or about(int(other.sum()), other.numel(), 2 * p * (1 - p)) else "others"


def facts_of_dropout(fn, x, p, seed):
    def answer(training, seed):
        generator = torch.Generator().manual_seed(seed)
        before = generator.get_state()
        return fn(x.clone(), p, training, generator), not torch.equal(before, generator.get_state())
    (out, used), (again, _), (other, _), (quiet, _) = [
        answer(t, s) for t, s in ((True, seed), (True, seed), (True, seed + 1), (False, seed))]
    facts = {f"{what} in {mode}": Shown(found) for mode, t in (("training", out), ("eval mode", quiet))
             for what, found in (("type", type_of(t)), ("shape", tuple(getattr(t, "shape", ()))))}
    if set(facts.values()) != {str(x.dtype), str(tuple(x.shape))}:
        return facts
    facts["result in eval mode"] = Shown("some are 0" if (quiet == 0).any() else stayed(quiet, x, p, "x"))
    if not torch.isfinite(out).all():
        return facts | {"result in training": Shown("nan or inf")}
    few = any(fates(out, dim, p) == "always the same" for dim in (x.dim() - 1, 0))      # too few draws to judge more
    facts |= {"result in training": Shown("numbers"), "zeros in training": Shown(zeros(out, p, few)),
              "numbers that stay": Shown(stayed(out, x, p))}
    if 0 < p < 1:
        facts["fates of neighbours in a row"] = Shown(fates(out, x.dim() - 1, p, few))
        facts["fates of neighbours in a column"] = Shown(fates(out, 0, p, few))
        same_again = torch.equal(out, again)
        facts["result for the same generator again"] = Shown("the same" if same_again else "another")
        fixed = not used and same_again or torch.equal(out, other)
        facts["result for another generator"] = Shown("the same" if fixed else "another")
    return facts


def inputs(g):
    """No number near 0, so that a 0 has been dropped."""
    found, low, high = [], 0.15 + 0.2 * torch.rand(2, generator=g), 0.65 + 0.2 * torch.rand(2, generator=g)
    for shape, p, dtype in [((60, 50), low[0], torch.double), ((4, 12, 10, 12), high[0], torch.float32),
                            ((50, 60), low[1], torch.float32), ((40, 40), 0.5, torch.bfloat16),
                            ((9, 8), 0.0, torch.double), ((8, 9), 1.0, torch.double)]:
        x = randn(g, *shape)
        found.append(((x + x.sign()).to(dtype), round(float(p), 2), randint(g, 0, 10**6)))
    return found

ex10_6 = Apart(
    "10.6", answer=dropped, make=inputs, probe=facts_of_dropout, edges=2,
    show=lambda x, p, seed: f"x of shape {tuple(x.shape)} in {str(x.dtype)[6:]} and p={p}",
    advice=". (With p = 1, 1 / (1 − p) has no value)", mistakes={
        "with p = 1, 0 / 0 or 0 · inf is nan: all values are dropped, so the result is all zeros": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p)
            """,
        "what stays is divided by 1 − p; it is not scaled": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=generator) >= p)
            """,
        "p is the probability to be dropped, not to stay: >= p, not < p": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                stays = torch.rand(x.shape, generator=generator) < p
                return x * stays * (1 / (1 - p) if p < 1 else 0.0)
            """,
        "in eval mode nothing is dropped": """
            def drop(x, p, training, generator):
                stays = torch.rand(x.shape, generator=generator) >= p
                return x * stays * (1 / (1 - p) if p < 1 else 0.0)
            """,
        "scaled in eval mode, not in training: in *inverted* dropout eval mode does nothing": """
            def drop(x, p, training, generator):
                if not training:
                    return x * (1 - p)
                return x * (torch.rand(x.shape, generator=generator) >= p)
            """,
        "one draw decides for a whole row: draw for each value, torch.rand(x.shape, generator=generator)": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                stays = torch.rand(x.shape[:-1], generator=generator) >= p
                return x * stays[..., None] * (1 / (1 - p) if p < 1 else 0.0)
            """,
        "every row has the same mask: draw for each value, torch.rand(x.shape, generator=generator)": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                stays = torch.rand(x.shape[1:], generator=generator) >= p
                return x * stays * (1 / (1 - p) if p < 1 else 0.0)
            """,
        "the generator is not used: torch.rand(x.shape, generator=generator)": """
            def drop(x, p, training, generator):
                if not training:
                    return x
                stays = torch.rand(x.shape) >= p
                return x * stays * (1 / (1 - p) if p < 1 else 0.0)
            """,
    })


# -- 7: layer norm, backward ----------------------------------------------------------------------------------

def gradients_of_layer_norm(x, gain, dy):
    leaves = [x, gain, torch.zeros_like(gain)]
    return by_autograd(lambda x, gain, bias: (F.layer_norm(x, gain.shape, gain, bias, EPS),), leaves, dy)

ex10_7 = Parts(
    "10.7", answer=gradients_of_layer_norm, show=shapes_of, tol=1e-9, parts=("dx", "dgain", "dbias"),
    cases=cases_of(lambda g, n, w: (2 * randn(g, n, w), 1 + 0.3 * randn(g, w), randn(g, n, w)), (5, 4), (4, 4), (2, 7)),
    part_mistakes={
        "dx": {
            "multiply by the gain before you take the means, since it differs within the row: start from gain * dy": """
                def back_layer_norm(x, gain, dy):
                    s = (x.var(1, keepdim=True, correction=0) + 1e-5)**-0.5
                    xhat = (x - x.mean(1, keepdim=True)) * s
                    dx = gain * s * (dy - dy.mean(1, keepdim=True) - xhat * (xhat * dy).mean(1, keepdim=True))
                    return dx, None, None
                """,
            "the gain is missing: start from gain * dy": """
                def back_layer_norm(x, gain, dy):
                    s = (x.var(1, keepdim=True, correction=0) + 1e-5)**-0.5
                    xhat = (x - x.mean(1, keepdim=True)) * s
                    dx = s * (dy - dy.mean(1, keepdim=True) - xhat * (xhat * dy).mean(1, keepdim=True))
                    return dx, None, None
                """,
            "that is batch norm: in layer norm, mean and variance are taken over the row, dimension 1": """
                def back_layer_norm(x, gain, dy):
                    s = (x.var(0, keepdim=True, correction=0) + 1e-5)**-0.5
                    xhat = (x - x.mean(0, keepdim=True)) * s
                    g = gain * dy
                    dx = s * (g - g.mean(0, keepdim=True) - xhat * (xhat * g).mean(0, keepdim=True))
                    return dx, None, None
                """,
            "the variance of a row is divided by the width, not by width - 1: correction=0": """
                def back_layer_norm(x, gain, dy):
                    s = (x.var(1, keepdim=True) + 1e-5)**-0.5
                    xhat = (x - x.mean(1, keepdim=True)) * s
                    g = gain * dy
                    dx = s * (g - g.mean(1, keepdim=True) - xhat * (xhat * g).mean(1, keepdim=True))
                    return dx, None, None
                """,
            "the mean and the variance depend on x, too: each adds a term, and both are missing": """
                def back_layer_norm(x, gain, dy):
                    s = (x.var(1, keepdim=True, correction=0) + 1e-5)**-0.5
                    return s * gain * dy, None, None
                """},
        "dgain": {
            "the gain multiplies xhat, so its gradient contains xhat, which is missing": """
                def back_layer_norm(x, gain, dy):
                    return None, dy.sum(0), None
                """,
            "the gain multiplies xhat, not x": """
                def back_layer_norm(x, gain, dy):
                    return None, (x * dy).sum(0), None
                """},
        "dbias": {
            "the bias was copied to every row, so its gradient is a sum over the rows, dimension 0": """
                def back_layer_norm(x, gain, dy):
                    return None, None, dy
                """}})
