"""The exercises 5 to 8 of notebook 09: a gated width, dropout, a place too few, resizing as a matrix."""
import math
from functools import partial

import torch

from micro.check.parts import Apart, Shown, bell, draw, kind, shuffled, with_type


def _named(*names):
    return lambda *values: ", ".join(f"{name}={value}" for name, value in zip(names, values))


# -- 5: as many parameters --------------------------------------------------------------------------------------

def _gated(dim, hidden, multiple, share=(2, 3), steps=lambda w, m: math.floor(w / m + 0.5), least=1):
    return multiple * max(least, steps(share[0] * hidden / share[1], multiple))


def _widths(g):
    """No width lies halfway between two multiples, that of a mistake neither: hidden is odd, dim not 3 times any."""
    found = [(48, 192, 8)]
    for up in shuffled(g, [True, True, False, False, False]):
        multiple, k = shuffled(g, [8, 16, 32, 64])[0], draw(g, 2, 9)
        half = multiple // 2
        rest = draw(g, half + 1, multiple - 3) if up else draw(g, 1, half - 2)
        found.append((3 * draw(g, 20, 200) + 1, math.ceil(3 * (multiple * k + rest) / 2) | 1, multiple))
    return [*found, (3 * draw(g, 2, 9) + 1, 6 * draw(g, 20, 60), 1), (draw(g, 3, 5), draw(g, 10, 20), 64)]


ex09_5 = Apart(
    "09.5", answer=_gated, make=_widths, probe=with_type, by=("answer",), edges=1,
    show=_named("dim", "hidden", "multiple"), mistakes={
        "8/3 dim is right only where hidden is 4 dim: take 2/3 of hidden": lambda d, h, m: _gated(d, 4 * d, m),
        "half is too little: three matrices have 3 dim h numbers, two have 2 dim hidden": partial(_gated, share=(1, 2)),
        "with a third matrix the width must get smaller, 2/3, not larger, 3/2": partial(_gated, share=(3, 2)),
        "that is the plain width, rounded: three such matrices have too many numbers": partial(_gated, share=(1, 1)),
        "a third is too little: 3 dim h = 2 dim hidden": partial(_gated, share=(1, 3)),
        "always rounded down; take the nearest multiple": partial(_gated, steps=lambda width, m: int(width // m)),
        "always rounded up; take the nearest multiple": partial(_gated, steps=lambda width, m: math.ceil(width / m)),
        "not rounded to a multiple of `multiple`": lambda d, h, m: round(2 * h / 3),
        "neither rounded to a multiple nor an int": lambda d, h, m: 2 * h / 3,
        "that is how many multiples, not the width": lambda *a: _gated(*a) // a[2],
        "the number is right, but a float; nn.Linear wants an int": lambda *a: float(_gated(*a)),
        "a width of 0 is none at all: at least one multiple": partial(_gated, least=0),
    })


# -- 6: dropout ---------------------------------------------------------------------------------------------------

def _drop(x, p, training, generator, stay=None, shape=None, scale=lambda p: 1 / (1 - p) if p < 1 else 0.0):
    """stay(draw, p): which draws stay; shape(x): how many draws."""
    if not training:
        return x
    drawn = torch.rand(shape(x) if shape else x.shape, generator=generator)
    return x * (stay(drawn, p) if stay else drawn >= p) * scale(p)


def _about(count, n, p):
    return abs(count - n * p) <= 6 * (n * p * (1 - p))**0.5      # six standard deviations


def _zeros(out, p, few):
    count, n = int((out == 0).sum()), out.numel()
    if count in (0, n):
        return "all" if count else "none"
    shares = [words for words, share in (("about p", p), ("about 1 − p", 1 - p)) if few or _about(count, n, share)]
    return (shares or [f"{100 * count / n:.0f}%"])[0]


def _stayed(out, x, p, first=""):
    there, old, tol = out[out != 0].double(), x[out != 0].double(), 1e-2 if out.dtype == torch.bfloat16 else 1e-5
    sizes = {"x / (1 − p)": 1 - p, "x": 1, "x · (1 − p)": 1 / max(1 - p, 1e-9), "x / p": p}
    found = [words for words, size in sizes.items() if len(there) and torch.allclose(there * size, old, rtol=tol)]
    return first if first in found else (found or ["other numbers" if len(there) else "none"])[0]


def _fates(out, dim, p, few=False):
    """Do neighbours along a dimension share their fate? Pairs that don't overlap are compared."""
    gone = (out == 0).transpose(0, dim)
    other = gone[:-1:2] ^ gone[1::2]
    if not other.any():
        return "always the same"
    return "drawn apart" if few or _about(int(other.sum()), other.numel(), 2 * p * (1 - p)) else "others"


def _probe_drop(fn, x, p, seed):
    def answer(training, seed):
        generator = torch.Generator().manual_seed(seed)
        before = generator.get_state()
        return fn(x.clone(), p, training, generator), not torch.equal(before, generator.get_state())
    (out, used), (again, _), (other, _), (quiet, _) = [
        answer(t, s) for t, s in ((True, seed), (True, seed), (True, seed + 1), (False, seed))]
    facts = {f"{what} in {mode}": Shown(found) for mode, t in (("training", out), ("eval mode", quiet))
             for what, found in (("type", kind(t)), ("shape", tuple(getattr(t, "shape", ()))))}
    if set(facts.values()) != {str(x.dtype), str(tuple(x.shape))}:
        return facts
    facts["result in eval mode"] = Shown("some are 0" if (quiet == 0).any() else _stayed(quiet, x, p, "x"))
    if not torch.isfinite(out).all():
        return facts | {"result in training": Shown("nan or inf")}
    few = any(_fates(out, dim, p) == "always the same" for dim in (x.dim() - 1, 0))      # too few draws to judge more
    facts |= {"result in training": Shown("numbers"), "zeros in training": Shown(_zeros(out, p, few)),
              "numbers that stay": Shown(_stayed(out, x, p))}
    if 0 < p < 1:
        facts["fates of neighbours in a row"] = Shown(_fates(out, x.dim() - 1, p, few))
        facts["fates of neighbours in a column"] = Shown(_fates(out, 0, p, few))
        same_again = torch.equal(out, again)
        facts["result for the same generator again"] = Shown("the same" if same_again else "another")
        fixed = not used and same_again or torch.equal(out, other)
        facts["result for another generator"] = Shown("the same" if fixed else "another")
    return facts


def _inputs(g):
    """No number near 0, so that a 0 has been dropped."""
    found, low, high = [], 0.15 + 0.2 * torch.rand(2, generator=g), 0.65 + 0.2 * torch.rand(2, generator=g)
    for shape, p, dtype in [((60, 50), low[0], torch.double), ((4, 12, 10, 12), high[0], torch.float32),
                            ((50, 60), low[1], torch.float32), ((40, 40), 0.5, torch.bfloat16),
                            ((9, 8), 0.0, torch.double), ((8, 9), 1.0, torch.double)]:
        x = bell(g, *shape)
        found.append(((x + x.sign()).to(dtype), round(float(p), 2), draw(g, 0, 10**6)))
    return found


def _dropped(in_eval=None, **changed):
    return lambda x, p, t, g: in_eval(x, p, g) if in_eval and not t else _drop(x, p, t, g, **changed)


ex09_6 = Apart(
    "09.6", answer=_drop, make=_inputs, probe=_probe_drop, edges=2,
    show=lambda x, p, seed: f"x of shape {tuple(x.shape)} in {str(x.dtype)[6:]} and p={p}",
    advice=". (With p = 1, 1 / (1 − p) has no value)", mistakes={
        "with p = 1, 0 · inf or 0 / 0 is nan: all numbers are dropped, so the result is all zeros":
            lambda x, p, t, g: x * (torch.rand(x.shape, generator=g) >= p) / (1 - p) if t else x,
        "what stays is divided by 1 − p; it is not scaled": _dropped(scale=lambda p: 1.0),
        "what stays is *divided* by 1 − p, not multiplied": _dropped(scale=lambda p: 1 - p),
        "what stays is divided by 1 − p, not by p": _dropped(scale=lambda p: 1 / p if p else 0.0),
        "p is the probability to be dropped, not to stay": _dropped(stay=lambda u, p: u < p),
        "p is the probability to be dropped, not to stay; and what stays is divided by 1 − p":
            _dropped(stay=lambda u, p: u < p, scale=lambda p: 1 / p if p else 0.0),
        "in eval mode nothing is dropped": _dropped(in_eval=lambda x, p, g: _drop(x, p, True, g)),
        "in eval mode x stays as it is: it was scaled in training": _dropped(in_eval=lambda x, p, g: x * (1 - p)),
        "in eval mode x stays as it is; only what stays in training is scaled":
            _dropped(in_eval=lambda x, p, g: x / (1 - p) if p < 1 else 0 * x),
        "nothing is dropped in training": lambda x, p, t, g: x,
        "scaled in eval mode, not in training: in *inverted* dropout eval mode does nothing":
            _dropped(in_eval=lambda x, p, g: x * (1 - p), scale=lambda p: 1.0),
        "one draw decides for a whole row: draw for each number, torch.rand(x.shape, generator=generator)":
            _dropped(shape=lambda x: (*x.shape[:-1], 1)),
        "every row has the same mask: draw for each number, torch.rand(x.shape, generator=generator)":
            _dropped(shape=lambda x: x.shape[1:]),
        "the generator is not used: torch.rand(x.shape, generator=generator)":
            lambda x, p, t, g: _drop(x, p, t, (own := torch.Generator(), own.seed())[0]),
        "the result is the same for every generator: draw with the one that is given":
            lambda x, p, t, g: _drop(x, p, t, torch.Generator().manual_seed(0)),
    })


# -- 7: a place too few -------------------------------------------------------------------------------------------

def _missing(size, kernel, stride, padding, dilation, one=1):
    return (size + 2 * padding - dilation * (kernel - 1) - one) % stride


def _convolutions(g):
    found = [(16, 3, 2, 1, 1), (17, 3, 2, 1, 1), (32, 8, 8, 0, 1), (9, 3, 1, 1, 1)]
    for k in range(12):
        kernel, stride, padding, dilation = draw(g, 2, 5), draw(g, 3, 7), draw(g, 1, 3), 1 + k % 3
        found.append((dilation * (kernel - 1) + draw(g, 5, 30), kernel, stride, padding, dilation))
    return found


ex09_7 = Apart(
    "09.7", answer=_missing, make=_convolutions, probe=with_type, by=("answer",),
    show=_named("size", "kernel", "stride", "padding", "dilation"), mistakes={
        "stride − 1 is the most that can be missing; often it is less": lambda size, kernel, stride, *a: stride - 1,
        "size % stride leaves out kernel, padding and dilation": lambda size, kernel, stride, *a: size % stride,
        "padding plays no part: 2 padding": lambda size, kernel, stride, padding, dilation:
            _missing(size, kernel, stride, 0, dilation),
        "padding is on both sides: 2 padding": lambda size, kernel, stride, padding, dilation:
            _missing(size + padding, kernel, stride, 0, dilation),
        "dilation plays no part: the kernel reaches dilation · (kernel − 1) + 1 places":
            lambda size, kernel, stride, padding, dilation: _missing(size, kernel, stride, padding, 1),
        "the kernel reaches dilation · (kernel − 1) + 1 places, not dilation · kernel":
            lambda size, kernel, stride, padding, dilation: _missing(size, kernel + 1, stride, padding, dilation, 0),
        "off by one: the kernel reaches dilation · (kernel − 1) + 1 places": lambda *a: _missing(*a, one=0),
        "that is the size which comes back without output_padding; wanted is what it lacks":
            lambda *a: a[0] - _missing(*a),
        "that is m, the number of places that F.conv2d makes": lambda size, kernel, stride, padding, dilation:
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1,
        "there is a place missing in some of them": lambda *a: 0,
        "the number is right, but a float; F.conv_transpose2d wants an int": lambda *a: float(_missing(*a)),
    })


# -- 8: resizing is a matrix ----------------------------------------------------------------------------------------

def _source(i, n, m, align_corners, clamp=True):
    """Where place i of m lies among n places."""
    if align_corners:
        return i * (n - 1) / (m - 1) if m > 1 else 0.0
    at = (i + 0.5) * n / m - 0.5
    return max(at, 0.0) if clamp else at


def _resize(n, m, align_corners, source=_source, add=True, left=math.floor, weights=lambda f: (1 - f, f)):
    found = torch.zeros(m, n, dtype=torch.double)
    for i in range(m):
        at = source(i, n, m, align_corners)
        j = min(left(at), n - 1)
        for place, weight in zip((j, min(j + 1, n - 1)), weights(at - j)):
            found[i, place] = weight + (found[i, place] if add else 0)
    return found


def _sizes(g):
    """Up and down in both ways, no source place halfway between two; the last four are edges."""
    low, wide, high = 2 * draw(g, 1, 2) + 1, 2 * draw(g, 4, 5), 2 * draw(g, 3, 4) + 1
    inner = [(low, wide, True), (low, wide, False), (high, 4, True), (high, 4, False), (8 - low, 11, False)]
    return [*shuffled(g, inner), (high, 1, False), (1, low, False), (1, low, True), (high, 1, True)]


def _off(align=None, half=None, **changed):
    """align, half: another rule for the source in one of the two ways, kept within the places there are."""
    def source(i, n, m, align_corners):
        rule = align if align_corners else half
        return min(max(rule(i, n, m), 0.0), n - 1) if rule else _source(i, n, m, align_corners)
    return lambda *a: _resize(*a, **{"source": source} | changed)


ex09_8 = Apart(
    "09.8", answer=_resize, make=_sizes, probe=with_type, by=("answer",), edges=4, tol=1e-9,
    show=_named("n", "m", "align_corners"),
    advice=". (With m = 1 there is no m − 1 to divide by; the right neighbour of the last place is the last place)",
    mistakes={
        "the matrix is (n, m), transposed: one row for each *new* place": lambda *a: _resize(*a).T.contiguous(),
        "the two ways are exchanged: with align_corners=True the first and last places stay where they are":
            lambda n, m, align_corners: _resize(n, m, not align_corners),
        "align_corners plays no part: that is the way of True": lambda n, m, align_corners: _resize(n, m, True),
        "align_corners plays no part: that is the way of False": lambda n, m, align_corners: _resize(n, m, False),
        "with align_corners=False the middle of a pixel counts: (i + ½) · n/m − ½, not i · n/m":
            _off(half=lambda i, n, m: i * n / m),
        "with align_corners=False, half a pixel goes off again at the end: (i + ½) · n/m − ½":
            _off(half=lambda i, n, m: (i + 0.5) * n / m),
        "n/m is a step, not m/n: the new places lie closer where there are more of them":
            _off(half=lambda i, n, m: (i + 0.5) * m / n - 0.5),
        "with align_corners=True the steps are (n − 1)/(m − 1), between the places, not n/m":
            _off(align=lambda i, n, m: i * n / m),
        "left of place 0 lies nothing: a source place below 0 is 0; that has negative weights":
            _off(source=lambda *a: _source(*a, clamp=False), left=lambda at: max(0, math.floor(at))),
        "left of place 0 lies nothing, but Python takes −1 for the last place: a source place below 0 is 0":
            _off(source=lambda *a: _source(*a, clamp=False)),
        "the two weights are exchanged: the nearer neighbour gets the larger one": _off(weights=lambda f: (f, 1 - f)),
        "that takes the nearest place on the left alone: share it between two neighbours":
            _off(weights=lambda f: (1.0, 0.0)),
        "that takes the nearest place alone: share it between two neighbours":
            _off(left=lambda at: math.floor(at + 0.5), weights=lambda f: (1.0, 0.0)),
        "at the end both neighbours are the same place: add the two weights, += and not =": _off(add=False),
    })
