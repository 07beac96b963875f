"""The exercises 19 and 20 of notebook 10: the noise scale from two batches, and Adam by hand."""
import math
from functools import partial
from statistics import fmean, median

import torch

from micro.check import numbers, short
from micro.check.parts import Apart, Shown, bell, draw, shuffled


def _named(*names):
    return lambda *values: ", ".join(f"{name}={short(value)}" for name, value in zip(names, values))


# -- 19: the noise scale from two batches -------------------------------------------------------------------------

def _slope(S, L, b, B):
    return (S - L) / (1 / b - 1 / B)


def _start(S, L, noise, b, B):
    return L - noise / B


def _noise_scale(small, large, b, B, mean=fmean, noise=_slope, signal=_start, scale=lambda t, g: t / g):
    """noise: tr Σ, signal: |G|², both from the means S and L; scale: what is made of the two."""
    S, L = mean(small), mean(large)
    found = noise(S, L, b, B)
    return scale(found, signal(S, L, found, b, B))


def _pairwise(small, large, b, B):
    return fmean([_noise_scale([S], [L], b, B) for S, L in zip(small, large)])


def _measured(g):
    """Skewed lists, of equal length and not, whose first is far from the mean; the last: one of each, and b = 1."""
    found = []
    sizes = shuffled(g, [(draw(g, 3, 9), draw(g, 70, 200)) for _ in range(4)])
    for k, (b, B) in enumerate([*sizes, (1, draw(g, 20, 90))]):
        size, scale = 1 + 5 * torch.rand(2, generator=g, dtype=torch.double)
        noise = float(size * scale * B / 3)             # so that the noise scale is B / 3 to 2 B
        many = (1, 1) if k == 4 else ((8, 8), (7, 12), (12, 5), (9, 9))[k]
        lists = []
        for n, batch in zip(many, (b, B)):
            w = (0.4 * bell(g, n)).exp()
            w[0] = 0.7 * w.min() if n > 1 else w[0]
            lists.append([round(v, 5) for v in (w / w.mean() * (float(size) + noise / batch)).tolist()])
        found.append((*lists, b, B))
    return found


def _scaled(**changed):
    return partial(_noise_scale, **changed)


ex10_19 = Apart(
    "10.19", answer=_noise_scale, make=_measured, edges=1, tol=1e-5, show=_named("small", "large", "b", "B"),
    mistakes={
        "that is how much longer the small batch's gradient is, small / large; solve for tr Σ and |G|²":
            _scaled(scale=lambda t, g: t, noise=lambda S, L, b, B: S / L),
        "small and large (or b and B) are exchanged: the small batch has more noise":
            lambda small, large, b, B: _noise_scale(small, large, B, b),
        "the sign of tr Σ is wrong, and |G|² with it: small − large belongs to 1/b − 1/B":
            _scaled(noise=lambda *a: -_slope(*a)),
        "the sign is wrong: small − large belongs to 1/b − 1/B": _scaled(scale=lambda t, g: -t / g),
        "only the first of each list is used: average the lists": _scaled(mean=lambda v: v[0]),
        "take the mean of each list, not the median: the equations hold for means": _scaled(mean=median),
        "take the mean of each list, not the sum: the lists may differ in length": _scaled(mean=sum),
        "the lengths are squared already": _scaled(mean=lambda v: fmean(x * x for x in v)),
        "the lengths are to stay squared: no root": _scaled(mean=lambda v: fmean(math.sqrt(x) for x in v)),
        "one ratio for each pair, then their mean: average the lists first, divide last": _pairwise,
        "noise shrinks with the batch, tr Σ / B; in yours it grows, tr Σ · B":
            _scaled(noise=lambda S, L, b, B: (S - L) / (b - B), signal=lambda S, L, t, b, B: S - t * b),
        "tr Σ is (small − large) / (1/b − 1/B), not / (B − b)":
            _scaled(noise=lambda S, L, b, B: (S - L) / (B - b), signal=lambda S, L, t, b, B: _start(
                S, L, _slope(S, L, b, B), b, B)),
        "tr Σ is (small − large) / (1/b − 1/B), not / (B − b); |G|² goes wrong with it":
            _scaled(noise=lambda S, L, b, B: (S - L) / (B - b)),
        "tr Σ is (small − large) / (1/b − 1/B), not times it": _scaled(
            noise=lambda S, L, b, B: (S - L) * (1 / b - 1 / B)),
        "|G|² is less than `large`: the large batch has noise too, tr Σ / B": _scaled(signal=lambda S, L, *a: L),
        "|G|² is less than `small`: take off its noise, tr Σ / b": _scaled(signal=lambda S, *a: S),
        "the noise of the large batch is left out: small = |G|² + tr Σ / b, but large is not |G|² alone":
            _scaled(noise=lambda S, L, b, B: (S - L) * b, signal=lambda S, L, *a: L),
        "|G|² is large − tr Σ / B (or small − tr Σ / b); you took tr Σ / b off `large`":
            _scaled(signal=lambda S, L, t, b, B: L - t / b),
        "|G|² is small − tr Σ / b (or large − tr Σ / B); you took tr Σ / B off `small`":
            _scaled(signal=lambda S, L, t, b, B: S - t / B),
        "|G|² is large − tr Σ / B: the noise is taken off, not added": _scaled(signal=lambda S, L, t, b, B: L + t / B),
        "|G|² is small − tr Σ / b: the noise is taken off, not added": _scaled(signal=lambda S, L, t, b, B: S + t / b),
        "the ratio is upside down: tr Σ / |G|²": _scaled(scale=lambda t, g: g / t),
        "that is tr Σ alone: divide it by |G|²": _scaled(scale=lambda t, g: t),
        "that is |G|² alone: wanted is tr Σ / |G|²": _scaled(scale=lambda t, g: g),
        "return one number, tr Σ / |G|², not both of them": _scaled(scale=lambda t, g: (t, g)),
        "return one number, tr Σ / |G|², not both of them, |G|² first": _scaled(scale=lambda t, g: (g, t)),
        "|G|² is squared already": _scaled(scale=lambda t, g: t / g**2),
        "that is the root of the noise scale: lengths and variances are both squares": _scaled(
            scale=lambda t, g: math.sqrt(t / g)),
    })


# -- 20: Adam by hand ---------------------------------------------------------------------------------------------

def _last(t, n):
    return t


def _adam(gradients, lr, beta1, beta2, eps, sign=-1, fix=(1, 1), count=_last, first=1, square=lambda g: g * g,
          change=lambda m, v, eps: m / (math.sqrt(v) + eps), keep=(1, 1), new=(1, 1), late=(0, 0), store=False):
    """One number for m and one for v in each pair. fix: are they corrected? (-1: multiplied.) keep: None where
    the parts of old and new are exchanged; new: None where the new one is added whole; late: is the mean of the
    step before used? count, first: the number of a step; store: are the corrected means kept?"""
    betas, means, changes = (beta1, beta2), [0.0, 0.0], []
    for t, g in enumerate(gradients, first):
        before = list(means)
        for k, value in enumerate((g, square(g))):
            old = betas[k] if keep[k] else 1 - betas[k]
            means[k] = old * means[k] + (1 - old if new[k] else 1) * value
        used = [before[k] if late[k] else means[k] for k in (0, 1)]
        used = [u / (1 - b**count(t, first))**f for u, b, f in zip(used, betas, fix)]
        means = used if store else means
        changes.append(sign * lr * change(*used, eps))
    return changes


def _small_eps(gradients, lr, beta1, beta2, eps):
    """eps is added before the correction of v, as in a shorter way to write Adam that its paper mentions."""
    found, m, v = [], 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        found.append(-lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (math.sqrt(v) + eps))
    return found


def _exchanged(gradients, lr, beta1, beta2, eps):
    return _adam(gradients, lr, beta2, beta1, eps)


def _sums(*case):
    found = torch.tensor(_adam(*case), dtype=torch.double)
    return found.cumsum(0).tolist()


def _crossed(gradients, lr, beta1, beta2, eps):
    """m is corrected with beta2, v with beta1."""
    plain = partial(_adam, gradients, lr, beta1, beta2, 0.0, fix=(0, 0), sign=1)
    ms, vs = plain(change=lambda m, v, eps: m), plain(change=lambda m, v, eps: v)
    return [-m / (1 - beta2**t) / (math.sqrt(v / lr / (1 - beta1**t)) + eps) for t, (m, v) in enumerate(zip(ms, vs), 1)]


def _gradients(g):
    """The first has signs of both kinds, the second has not; eps is as large as the gradients in two; then zeros."""
    def some(n, size=1.0):
        return [float(f"{v:.4g}") for v in (size * bell(g, n) * (1.2 * bell(g, n)).exp()).tolist()]
    def settings(eps):
        lr, one, two = torch.rand(3, generator=g).tolist()
        return round(0.2 + 0.6 * lr, 3), round(0.7 + 0.2 * one, 3), round(0.93 + 0.06 * two, 4), eps
    ups_and_downs = [abs(v) * (-1)**k for k, v in enumerate(some(7))]
    tiny = [v * s for v, s in zip(some(6), shuffled(g, [1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-12]))]
    return [(ups_and_downs, *settings(1e-8)), ([abs(v) for v in some(5)], *settings(1e-8)),
            (some(30), *settings(1e-2)), (tiny, *settings(1e-8)), (some(6, 1e-12), *settings(1e-12)),
            (some(3) + [0.0, 0.0, 1e-12, 0.0], *settings(1e-8)), ([0.0, 0.0, *some(3), 0.0], *settings(1e-8)),
            ([0.0, 1e-12, 0.0], 0.001, 0.9, 0.999, 1e-8)]


def _probe_adam(fn, *case):
    """The changes, or that they are no numbers: Python stops at 1 / 0 or the root of −1, or goes on with 1j; torch
    goes on with nan. In which of the cases tells the mistakes apart."""
    odd = {"arithmetic": Shown("nan: a division by 0, or the root of a negative number")}
    try:
        out = fn(*case)
    except ZeroDivisionError:
        return odd
    except ValueError as error:
        if "math domain" not in str(error) and "nonnegative" not in str(error):     # what math.sqrt says
            raise
        return odd
    try:
        if any(isinstance(v, complex) for v in out) or not all(math.isfinite(v) for v in numbers(out).ravel()):
            return odd
    except (TypeError, ValueError):                     # one number, or none at all: the comparison says so
        pass
    return {"arithmetic": Shown("numbers"), "changes": out}


def _wrong(**changed):
    return partial(_adam, **changed)


ex10_20 = Apart(
    "10.20", answer=_adam, make=_gradients, probe=_probe_adam, edges=2, tol=1e-9,
    show=_named("gradients", "lr", "beta1", "beta2", "eps"),
    nearly=". (float32 is too coarse: Python's own floats have the digits; or is it eps?)", mistakes={
        "the sign is wrong: Adam goes down, against m": _wrong(sign=1),
        "there is no correction: m and v begin at 0, so divide by 1 − beta**step": _wrong(fix=(0, 0)),
        "m is corrected, v is not: divide it by 1 − beta2**step": _wrong(fix=(1, 0)),
        "v is corrected, m is not: divide it by 1 − beta1**step": _wrong(fix=(0, 1)),
        "m and v are *divided* by 1 − beta**step, not multiplied": _wrong(fix=(-1, -1)),
        "the corrections are exchanged: beta1 is m's, beta2 is v's": _crossed,
        "steps are counted from 1: with 0, 1 − beta**step is 0 at the first": _wrong(first=0),
        "steps are counted from 1; yours begin at 2": _wrong(first=2),
        "the number of the step does not grow: 1 − beta**step": _wrong(count=lambda t, first: 1),
        "the corrected m and v are kept for the next step: keep the ones before the correction": _wrong(store=True),
        "eps is added to the root, not under it": _wrong(change=lambda m, v, eps: m / math.sqrt(v + eps)),
        "eps is added after the correction of v: to √v̂, not to √v": _small_eps,
        "eps is left out: with gradients of 0 there is a division by 0": _wrong(
            change=lambda m, v, eps: m / math.sqrt(v)),
        "eps is added to the whole fraction, not to the root": _wrong(
            change=lambda m, v, eps: m / math.sqrt(v) + eps if v else eps),
        "the root is forgotten: √v̂": _wrong(change=lambda m, v, eps: m / (v + eps)),
        "v averages g², the square; yours averages |g|": _wrong(square=abs),
        "v averages g², the square, and √v̂ divides; yours averages |g| and takes no root":
            _wrong(square=abs, change=lambda m, v, eps: m / (v + eps)),
        "v averages g², the square; yours averages g, which may be negative": _wrong(square=lambda g: g),
        "v averages g², the square; yours averages g, and takes no root":
            _wrong(square=lambda g: g, change=lambda m, v, eps: m / (v + eps)),
        "nothing is divided by √v̂ + eps": _wrong(change=lambda m, v, eps: m),
        "beta1 and beta2 are exchanged: beta1 is m's": _exchanged,
        "a beta is the part of the *old* mean that stays; the new gradient gets 1 − beta": _wrong(keep=(0, 0)),
        "the new gradient gets 1 − beta of the mean; yours is added whole, to m and v": _wrong(new=(0, 0)),
        "the new gradient gets 1 − beta1 of m; yours is added whole": _wrong(new=(0, 1)),
        "the new g² gets 1 − beta2 of v; yours is added whole": _wrong(new=(1, 0)),
        "the change comes after the gradient is in m and v; yours uses those of the step before": _wrong(late=(1, 1)),
        "the change uses the m of the step before: put the gradient in first": _wrong(late=(1, 0)),
        "there is no m: the change uses the gradient itself": lambda gradients, lr, beta1, *a: _adam(
            gradients, lr, 0.0, *a),
        "beta1 and beta2 are the arguments, not always 0.9 and 0.999": lambda gradients, lr, beta1, beta2, eps: _adam(
            gradients, lr, 0.9, 0.999, eps),
        "eps is the argument, not always 1e-8": lambda gradients, lr, beta1, beta2, eps: _adam(
            gradients, lr, beta1, beta2, 1e-8),
        "lr is left out": lambda gradients, lr, *a: _adam(gradients, 1.0, *a),
        "those are the places after each step; wanted are the changes": _sums,
    })
