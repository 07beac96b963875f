"""The exercises of notebook 03, mlp: references, inputs and known mistakes."""
import math
import statistics
from collections import Counter

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.race import goal, race, windows
from micro.data import names


def _size(vocab, n_embd, block_size, n_hidden):
    return vocab * n_embd + block_size * n_embd * n_hidden + n_hidden + n_hidden * vocab + vocab


ex03_1 = Exercise(
    "03.1", answer=_size, cases=[(27, 10, 3, 200), (27, 2, 3, 100), (50, 4, 8, 16)],
    mistakes={
        "a bias is missing: n_hidden of them in the hidden layer, vocab in the output layer":
            lambda v, e, b, h: _size(v, e, b, h) - h - v,
        "the hidden layer's biases are missing": lambda v, e, b, h: _size(v, e, b, h) - h,
        "the output layer's biases are missing": lambda v, e, b, h: _size(v, e, b, h) - v,
        "the embeddings count too: a table of vocab rows": lambda v, e, b, h: _size(v, e, b, h) - v * e,
        "the hidden layer sees block_size embeddings side by side, not one":
            lambda v, e, b, h: _size(v, e, 1, h),
        "there is one table C for all positions, not one for each":
            lambda v, e, b, h: _size(v, e, b, h) + (b - 1) * v * e,
    })


def _safe(logits, Y):
    return F.cross_entropy(logits, Y)


def _by_probabilities(logits, Y, top=None):
    e = (logits - (logits.max(1, keepdim=True).values if top is None else top(logits))).exp()
    return -(e / e.sum(1, keepdim=True))[torch.arange(len(Y)), Y].log().mean()


def _by_logs(logits, Y, top):
    return ((logits - top).exp().sum(1).log() + top - logits[torch.arange(len(Y)), Y]).mean()


_LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)
_ANSWERS = torch.tensor([0, 4, 2, 2, 1, 3])
_APART = torch.tensor([[300.0, 299.0], [-600.0, -599.0]], dtype=torch.double)
_HIGH = torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -998.0, -1000.0]])
_WIDE = torch.tensor([[1000.0, -1000.0], [3.0, 2.0], [-1000.0, 1000.0]])
ex03_2 = Exercise(
    "03.2", answer=_safe, tol=1e-5,
    cases=[(_LOGITS, _ANSWERS), (_APART, torch.tensor([1, 0])), (_HIGH, torch.tensor([1, 0])),
           (_WIDE, torch.tensor([1, 0, 1]))],
    show=lambda logits, Y: f"logits from {logits.min():.4g} to {logits.max():.4g}",
    mistakes={
        "a small number added before the log hides that the probability underflowed to 0, and gives a wrong loss":
            lambda x, y: -(x.softmax(1) + 1e-10)[torch.arange(len(y)), y].log().mean(),
        "the logits overflow: take each row's largest away first": lambda x, y: _by_probabilities(x, y, lambda x: 0),
        "an unlikely letter's probability underflows to 0 before the log: subtract logs, do not divide":
            _by_probabilities,
        "that takes away the largest of *all* logits, and the other rows underflow; each row needs its own":
            lambda x, y: _by_probabilities(x, y, lambda x: x.max()),
        "each row needs its own largest: with that of *all* logits the other rows underflow":
            lambda x, y: _by_logs(x, y, x.max()),
        "the powers overflow: take each row's largest logit away before exp": lambda x, y: _by_logs(x, y, 0),
        "one number is wanted, the mean over the rows": lambda x, y: F.cross_entropy(x, y, reduction="none"),
        "that is the sum, the mean over the rows is wanted": lambda x, y: F.cross_entropy(x, y, reduction="sum"),
        "the sign is missing: a loss is the *negative* log-likelihood": lambda x, y: -F.cross_entropy(x, y),
        "clamping changes the loss: 1,000 nats are 1,000 nats":
            lambda x, y: F.cross_entropy(x.clamp(-80, 80), y),
    })


def _floor(X, Y, key=tuple, per=None, unit=1.0):
    rows = [key(x) for x in X.tolist()]
    both, asked = Counter(zip(rows, Y.tolist())), Counter(rows)
    costs = [-n * math.log(n / asked[x]) / unit for (x, _), n in both.items()]
    return sum(costs) / {None: len(Y), "sum": 1, "contexts": len(asked)}[per]


def _mean_of_means(X, Y):
    rows = [tuple(x) for x in X.tolist()]
    return statistics.mean(
        _floor(X[torch.tensor([r == x for r in rows])], Y[torch.tensor([r == x for r in rows])]) for x in set(rows))


_W = names()
ex03_3 = Exercise(
    "03.3", answer=_floor, near=1e-4,
    cases=[windows(["emma", "eva", "anna"]), windows(_W[:300]), windows(_W[20000:20040])],
    show=lambda X, Y: f"{len(Y)} examples with {len(set(map(tuple, X.tolist())))} different contexts",
    mistakes={
        "contexts that occur often must count for more: average over the examples, not over the contexts":
            _mean_of_means,
        "divide by the number of examples, not of contexts": lambda X, Y: _floor(X, Y, per="contexts"),
        "that is the sum, the mean over the examples is wanted": lambda X, Y: _floor(X, Y, per="sum"),
        "the context plays no part: count the answers of each context apart": lambda X, Y: _floor(X, Y, lambda x: 0),
        "only the last letter was used: the context is all three": lambda X, Y: _floor(X, Y, lambda x: x[-1]),
        "that is in bits: nats want the natural logarithm": lambda X, Y: _floor(X, Y, unit=math.log(2)),
        "the sign is missing: a loss is at least 0": lambda X, Y: -_floor(X, Y),
        "0 is out of reach where one context has several answers (two equal tensors are two keys of a dictionary: "
        "take tuple(x.tolist()))": lambda X, Y: 0.0,
        "that supposes that all answers of a context are equally frequent": lambda X, Y: sum(
            math.log(len({b for a, b in zip(X.tolist(), Y.tolist()) if a == x})) for x in X.tolist()) / len(Y),
    })


def _sweep(rates, losses, factor=0.1, early=True, late=True, nan=True, index=False, start=True):
    losses = [math.inf if nan and math.isnan(loss) else loss for loss in losses]
    fell = [loss <= 0.9 * losses[0] for loss in losses]
    blew = [loss > 2 * losses[0] for loss in losses]
    if early and True in blew and (not start or True not in fell[:blew.index(True)]):
        return "too high"
    if late and True not in fell:
        return "too low"
    lowest = losses.index(min(losses))
    return lowest if index else rates[lowest] * factor


_RATES = [10 ** (-4 + k / 2) for k in range(9)]
ex03_4 = Exercise(
    "03.4", answer=_sweep,
    cases=[(_RATES, [3.3, 3.3, 3.25, 3.1, 2.7, 2.4, 2.6, 6.0, 20.0]),
           (_RATES, [3.3, 3.3, 3.31, 3.29, 3.3, 3.28, 3.27, 3.25, 3.2]),
           (_RATES, [3.3, 8.0, 30.0, 12.0, 40.0, 2.9, 31.0, 20.0, math.inf]),
           (_RATES, [27.0, 25.0, 20.0, 11.0, 7.0, 6.0, math.nan, math.nan, math.nan]),
           (_RATES, [3.3, 3.4, 9.0, 30.0, 12.0, 40.0, 35.0, 31.0, 20.0]),
           (_RATES, [3.3, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan])],
    show=lambda rates, losses: "the losses " + ", ".join(f"{x:.4g}" for x in losses),
    mistakes={
        "the lowest point is at the edge already: take a tenth of its rate": lambda r, x: _sweep(r, x, factor=1),
        "return a rate, not its place in the list": lambda r, x: _sweep(r, x, index=True),
        "`too high` is never said: look for a loss above twice the first before any fall":
            lambda r, x: _sweep(r, x, early=False),
        "`too low` is never said: does the loss ever fall to nine tenths of the first?":
            lambda r, x: _sweep(r, x, late=False),
        "a loss that blows up *after* it fell is what a good sweep does: it is not too high":
            lambda r, x: _sweep(r, x, start=False),
        "nan slipped through: comparisons with nan are always false, so treat it as infinite":
            lambda r, x: _sweep(r, x, nan=False),
        "a sweep that blows up before any fall is too high, even if it never falls: ask that first":
            lambda r, x: "too low" if _sweep(r, x, early=False) == "too low" else _sweep(r, x),
    })


def _calm(c=1.0, w1=None, w2=0.01, bias=0.0, h=1.0):
    def calm(n_embd, n_hidden, g):
        C = c * torch.randn(27, n_embd, generator=g)
        W1 = torch.randn(3 * n_embd, n_hidden, generator=g) * ((3 * n_embd) ** -0.5 if w1 is None else w1)
        b1 = 0 * torch.randn(n_hidden, generator=g)
        W2 = w2 * torch.randn(n_hidden, 27, generator=g)
        return C, W1, b1, W2, bias * torch.randn(27, generator=g)
    return calm


def _first_loss(fn, n_embd, n_hidden):
    tensors = list(fn(n_embd, n_hidden, torch.Generator().manual_seed(n_hidden)))
    shapes = [(27, n_embd), (3 * n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,)]
    if [tuple(getattr(t, "shape", ())) for t in tensors] != shapes:
        return {"shapes": str([tuple(getattr(t, "shape", ())) for t in tensors])}
    C, W1, b1, W2, b2 = (t.detach() for t in tensors)
    X, Y = windows(_W[:200])
    h = torch.tanh(C[X].view(len(X), -1) @ W1 + b1)
    loss = F.cross_entropy(h @ W2 + b2, Y).item()
    near = abs(loss - math.log(27)) <= 0.05
    return {"shapes": str(shapes), "C": "random" if C.std() > 1e-6 else "all the same",
            "W1": "random" if W1.std() > 1e-6 else "all the same",
            "first loss": "within 0.05 of log 27 = 3.30" if near else f"{loss:.2f}"}


ex03_5 = Exercise(
    "03.5", answer=_calm(), probe=_first_loss, cases=[(10, 200), (2, 50)],
    show=lambda n_embd, n_hidden: f"n_embd={n_embd} and n_hidden={n_hidden}",
    mistakes={
        "W1 is all zeros: then every hidden neuron gives the same, and none can learn": _calm(w1=0.0),
        "C is all zeros: then all letters look alike": _calm(c=0.0),
        "b2 alone makes the letters unequal: it must be small too": _calm(bias=1.0),
        "a small b2 is not enough: the logits come from W2 too": _calm(w2=1.0),
    })


def _gap(a, b, variance=statistics.variance, sign=1, power=1, twice=2, size=abs):
    difference = sign * (statistics.mean(a) - statistics.mean(b))
    error = math.sqrt(variance(a) / len(a) ** power + variance(b) / len(b) ** power)
    return difference, error, size(difference) > twice * error


ex03_6 = Exercise(
    "03.6", answer=_gap,
    cases=[([2.12, 2.121, 2.119], [2.11, 2.112, 2.108, 2.111]), ([2.1, 2.12, 2.14], [2.135, 2.13, 2.14]),
           ([2.11, 2.112], [2.13, 2.131, 2.133, 2.129])],
    mistakes={
        "the sample variance divides by n - 1: statistics.variance, not pvariance":
            lambda a, b: _gap(a, b, variance=statistics.pvariance),
        "the difference is a minus b": lambda a, b: _gap(a, b, sign=-1),
        "that is the spread of single runs: the standard error divides each variance by its n":
            lambda a, b: _gap(a, b, power=0),
        "a negative difference can be real too: compare its size": lambda a, b: _gap(a, b, size=lambda x: x),
        "twice the standard error is asked": lambda a, b: _gap(a, b, twice=1),
        "the root is missing: s² / n is the square of the standard error": lambda a, b: (
            _gap(a, b)[0], _gap(a, b)[1]**2, abs(_gap(a, b)[0]) > 2 * _gap(a, b)[1]**2),
        "the sum wants s², the variance, not s": lambda a, b: _gap(a, b, variance=statistics.stdev),
        "the errors add up as squares, under one root": lambda a, b: (
            _gap(a, b)[0], math.sqrt(statistics.variance(a) / len(a)) + math.sqrt(statistics.variance(b) / len(b)),
            _gap(a, b)[2]),
    })


def _logits(fn, extra, n_embd, n_hidden, n):
    """Run a forward pass on random parameters; extra(n_embd, n_hidden) are the shapes behind C, W1, b1."""
    g = torch.Generator().manual_seed(n)
    shapes = [(27, n_embd), (3 * n_embd, n_hidden), (n_hidden,), *extra(n_embd, n_hidden)]
    parameters = [torch.randn(*s, generator=g, dtype=torch.double) for s in shapes]
    return fn(torch.randint(0, 27, (n, 3), generator=g), parameters)


def _run_tied(fn, *case):
    return _logits(fn, lambda e, h: [(h, e), (27,)], *case)


def _run_direct(fn, *case):
    return _logits(fn, lambda e, h: [(h, 27), (27,), (3 * e, 27)], *case)


def _tied(act=torch.tanh, bias=1, hidden=1):
    def forward(X, parameters):
        C, W1, b1, W2, b2 = parameters
        return act(C[X].view(len(X), -1) @ W1 + hidden * b1) @ W2 @ C.T + bias * b2
    return forward


def _shown(n_embd, n_hidden, n):
    return f"{n} contexts, n_embd={n_embd}, n_hidden={n_hidden}"


ex03_7 = Exercise(
    "03.7", answer=_tied(), probe=_run_tied, cases=[(10, 20, 7), (2, 5, 1), (3, 3, 40)], show=_shown,
    mistakes={
        "b2 is missing": _tied(bias=0),
        "b1 is missing": _tied(hidden=0),
        "tanh is missing": _tied(act=lambda x: x),
        "the output is a vector of the embedding's length: multiply it with C.T to score all 27 letters":
            lambda X, p: torch.tanh(p[0][X].view(len(X), -1) @ p[1] + p[2]) @ p[3],
        "scores, not probabilities: leave softmax to the loss": lambda X, p: _tied()(X, p).softmax(1),
    })


def _direct(act=torch.tanh, bias=1, h=1, w=1, hidden=1):
    def forward(X, parameters):
        C, H, d, U, b, W = parameters
        x = C[X].view(len(X), -1)
        return bias * b + w * (x @ W) + h * (act(hidden * d + x @ H) @ U)
    return forward


ex03_8 = Exercise(
    "03.8", answer=_direct(), probe=_run_direct, cases=[(10, 20, 7), (2, 5, 1), (3, 6, 40)], show=_shown,
    mistakes={
        "b is missing": _direct(bias=0),
        "d is missing": _direct(hidden=0),
        "the shortcut x @ W is missing": _direct(w=0),
        "the way through the hidden layer is missing": _direct(h=0),
        "tanh is missing": _direct(act=lambda x: x),
        "the shortcut is linear: no tanh around it": lambda X, p: torch.tanh(
            p[0][X].view(len(X), -1) @ p[5]) + _direct(w=0)(X, p),
    })


_GOAL = goal(20, 2.08)


def _race(fn):
    return race(fn, block_size=3, seconds=20, most=2.08)


def _counts(k=10, levels=4, of=torch.log):
    """A recipe that only counts, as in section 13."""
    def recipe(X, Y):
        index = ((X[:, 0] * 27 + X[:, 1]) * 27 + X[:, 2]) * 27 + Y
        N = torch.bincount(index, minlength=27**4).view(27, 27, 27, 27).double()
        P = torch.full((27,), 1 / 27, dtype=torch.double)
        for level in (N.sum((0, 1, 2)), N.sum((0, 1)), N.sum(0), N)[:levels]:
            P = (level + k * P) / (level.sum(-1, keepdim=True) + k)
        P = P.expand(27, 27, 27, 27)
        return lambda X: of(P[X[:, 0], X[:, 1], X[:, 2]])
    return recipe


ex03_9 = Exercise(
    "03.9", answer=lambda X, Y: _GOAL, probe=_race, cases=[()], show=lambda: "the check's piles",
    advice=" (give back a function from contexts (m, 3) to logits (m, 27))",
    mistakes={
        "all logits are equal: was anything trained?": _counts(levels=0),
        "as good as the letters' frequencies, no better: does the context reach the output?": _counts(levels=1),
        "as good as a bigram table, no better: do all three letters reach the output?": _counts(levels=2),
        "as good as the counts of section 13: now mix in a network": _counts(),
        "those look like probabilities: logits are wanted, take their log": _counts(of=lambda p: p),
    })
