"""The exercises of notebook 02, bigram: references, inputs and known mistakes."""
import math
from collections import Counter

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.data import names


def _groups(word, front="..", back=".", n=3):
    marked = front + word + back
    return [marked[i:i + n] for i in range(len(marked) - n + 1)]


def _as_strings(trigrams, word):
    return ["".join(t) for t in trigrams(word)]  # tuples of characters are fine too


ex02_1 = Exercise(
    "02.1", answer=_groups, probe=_as_strings, cases=[("emma",), ("jo",), ("a",)],
    mistakes={
        "two dots belong in front, so that the first letter gets a group of its own":
            lambda w: _groups(w, front="."),
        "the dot at the end is missing: the model must learn where names end": lambda w: _groups(w, back=""),
        "no dots at all: start and end count too": lambda w: _groups(w, front="", back=""),
        "one dot at the end is enough: after the end nothing is predicted": lambda w: _groups(w, back=".."),
        "the groups at the end are too short: stop two characters before the end":
            lambda w: [(".." + w + ".")[i:i + 3] for i in range(len(w) + 3)],
        "those are bigrams: take three neighbours": lambda w: _groups(w, front=".", n=2),
    })

_G = torch.Generator().manual_seed(0)
_SQUARE = torch.randint(1, 50, (4, 4), generator=_G)
_WIDE = torch.randint(1, 50, (3, 5), generator=_G)


def _normalize(rows=1, columns=0):
    def normalize(N, over):
        if over == "all":
            return N / N.sum()
        return N / N.sum(rows if over == "row" else columns, keepdim=True)
    return normalize


def _without_keepdim(N, over):
    return N / N.sum() if over == "all" else N / N.sum(1 if over == "row" else 0)


ex02_2 = Exercise(
    "02.2", answer=_normalize(),
    cases=[(_SQUARE, "row"), (_SQUARE, "column"), (_SQUARE, "all"), (_WIDE, "all"), (_WIDE, "row"), (_WIDE, "column")],
    advice=" (leave N as it is and return N / ...)",
    show=lambda N, over: f"over={over!r} and N of shape {tuple(N.shape)}",
    mistakes={
        "rows and columns are swapped: sum(1) adds along a row": _normalize(rows=0, columns=1),
        "`over` plays no part: rows are normalized in every case": lambda N, over: N / N.sum(1, keepdim=True),
        "keepdim is missing for the rows: their sums were laid along the columns (section 3)": _without_keepdim,
    })

_P3 = torch.tensor([0.5, 0.3, 0.2], dtype=torch.double)
_P4 = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.double)
ex02_3 = Exercise(
    "02.3", answer=lambda p, T: p ** (1 / T) / (p ** (1 / T)).sum(),
    cases=[(_P3, 0.5), (_P3, 2.0), (_P4, 1.0), (_P4, 0.25)],
    mistakes={
        "they no longer sum to 1: divide by the sum, not by the largest":
            lambda p, T: p ** (1 / T) / (p ** (1 / T)).max(),
        "they no longer sum to 1: divide by the sum of the powers": lambda p, T: p ** (1 / T),
        "the power is T where it should be 1/T: small T must sharpen": lambda p, T: p**T / (p**T).sum(),
        "dividing all by T changes nothing after normalizing: take the power 1/T (p ** 1 / T is p / T: brackets!)":
            lambda p, T: p / T / (p / T).sum(),
        "softmax takes logits, these are probabilities: give it log p / T, or use the power":
            lambda p, T: (p / T).softmax(0),
    })


def _counts(words):
    N = torch.zeros(27, 27, dtype=torch.int64)
    for w in words:
        for a, b in zip("." + w, w + "."):
            N[max(ord(a) - 96, 0), max(ord(b) - 96, 0)] += 1  # "." comes before "a"
    return N


def _loss_of(N, s, M):
    P = (N.double() + s) / (N.double() + s).sum(1, keepdim=True)
    seen = M > 0
    return -(M[seen] * P[seen].log()).sum().item() / M.sum().item()


def _pick(which, pick=min):
    return lambda N, M, strengths: pick(strengths, key=lambda s: _loss_of(N, s, M if which == "dev" else N))


_STRENGTHS = [0.01, 0.1, 0.3, 1, 3, 10, 100]
_W = names()
ex02_4 = Exercise(
    "02.4", answer=_pick("dev"),
    cases=[(_counts(_W[0:300:3]), _counts(_W[1:600:3]), _STRENGTHS),
           (_counts(_W[5:30000:7]), _counts(_W[6:30000:70]), _STRENGTHS[::-1]),
           (_counts(_W[:20]), _counts(_W[25000:25400]), _STRENGTHS)],
    show=lambda N, M, strengths: f"{N.sum()} training and {M.sum()} dev bigrams, strengths {strengths}",
    mistakes={
        "the least smoothing always wins where the names that are scored were counted too: smooth N_train alone, "
        "score on N_dev alone": _pick("train"),
        "return the strength, not the loss it reaches":
            lambda N, M, strengths: min(_loss_of(N, s, M) for s in strengths),
        "return the strength itself, not its place in the list":
            lambda N, M, strengths: strengths.index(_pick("dev")(N, M, strengths)),
        "that is the strength with the *largest* dev loss": _pick("dev", max),
        "train and dev are swapped: smooth the training counts, measure on the dev counts":
            lambda N, M, strengths: min(strengths, key=lambda s: _loss_of(M, s, N)),
    })


def _loss_and_gradient(loss, seed, n):
    g = torch.Generator().manual_seed(seed)
    W = (2 * torch.randn(27, 27, generator=g, dtype=torch.double)).requires_grad_()
    xs, ys = torch.randint(0, 27, (2, n), generator=g)
    out = loss(W, xs, ys)
    if not hasattr(out, "requires_grad"):
        raise TypeError(f"return a tensor, so that it can go backward, not {type(out).__name__}")
    if not out.requires_grad:
        raise TypeError("the loss is cut off from W, so there is no way back: no .detach(), .data or .item() here")
    grad = torch.autograd.grad(out.sum(), W)[0]
    return {"loss": out, "gradient of W": grad}


ex02_5 = Exercise(
    "02.5", answer=lambda W, xs, ys: F.cross_entropy(W[xs], ys), probe=_loss_and_gradient,
    cases=[(0, 5), (1, 50), (2, 1000)], show=lambda seed, n: f"{n} random examples",
    advice=" (the logits are rows of W, one for each of xs: W[xs])",
    mistakes={
        "softmax is done twice: F.cross_entropy wants the logits themselves":
            lambda W, xs, ys: F.cross_entropy(W[xs].softmax(1), ys),
        "that is the sum over the examples, the mean is wanted":
            lambda W, xs, ys: F.cross_entropy(W[xs], ys, reduction="sum"),
        "one number is wanted, the mean over the examples":
            lambda W, xs, ys: F.cross_entropy(W[xs], ys, reduction="none"),
        "inputs and targets are swapped": lambda W, xs, ys: F.cross_entropy(W[ys], xs),
        "columns of W were picked, not rows": lambda W, xs, ys: F.cross_entropy(W[:, xs].T, ys),
        "the sign is missing: a loss is the *negative* log-likelihood":
            lambda W, xs, ys: -F.cross_entropy(W[xs], ys),
    })


def _trigram(front="..", back=".", dev="dev", train="train", below=27, above=1, per=None, unit=1.0, n=3):
    """A model of n neighbours on plain dictionaries, with the given mistakes."""
    def loss(train_words, dev_words, strength):
        use = {"train": train_words, "dev": dev_words, "both": [*train_words, *dev_words]}
        count = Counter(t for w in use[train] for t in _groups(w, front, back, n))
        total = Counter(t[:-1] for w in use[train] for t in _groups(w, front, back, n))

        def nll(t):
            a, b = count[t] + above * strength, total[t[:-1]] + below * strength
            return (-math.log(a / b) if a else math.inf) if b else -math.inf
        terms = [[nll(t) for t in _groups(w, front, back, n)] for w in use[dev]]
        if per == "nothing":
            return sum(map(sum, terms))
        if per == "name":
            return sum(map(sum, terms)) / len(terms)
        if per == "name, then names":
            return sum(sum(t) / len(t) for t in terms) / len(terms)
        return sum(map(sum, terms)) / sum(map(len, terms)) / unit
    return loss


def _grid(dim, keepdim=True):
    """A trigram model on a 27 x 27 x 27 grid, divided by sums over the given dimension."""
    def loss(train_words, dev_words, strength):
        def at(words):
            index = [[max(ord(c) - 96, 0) for c in t] for w in words for t in _groups(w)]
            return torch.tensor(index).unbind(1)
        N = torch.zeros(27, 27, 27, dtype=torch.double)
        a = at(train_words)
        N.index_put_(a, torch.ones(len(a[0]), dtype=torch.double), accumulate=True)
        P = (N + strength) / (N + strength).sum(dim, keepdim=keepdim)
        return -P[at(dev_words)].log().mean().item()
    return loss


ex02_6 = Exercise(
    "02.6", answer=_trigram(), near=1e-4,
    cases=[(_W[:400], _W[400:500], 0.3), (_W[1000:3000:5], _W[1001:3000:50], 1.0), (_W[:50], _W[20000:20020], 0.05)],
    show=lambda train, dev, s: f"{len(train)} training names, {len(dev)} dev names, strength {s}",
    mistakes={
        "only one dot stands in front: the first letter is never predicted": _trigram(front="."),
        "the end is never predicted: a dot at the end is missing": _trigram(back=""),
        "one dot at the end is enough: after the end nothing is predicted": _trigram(back=".."),
        "that is a bigram model: predict each letter from the *two* before it": _trigram(front=".", n=2),
        "measured on the training names: use dev_words": _trigram(dev="train"),
        "the dev names were counted too: count train_words only": _trigram(train="both"),
        "train and dev are swapped": _trigram(train="dev", dev="train"),
        "the rows no longer sum to 1: add the strength before you sum": _trigram(below=0),
        "strength plays no part: add it to every count": _trigram(below=0, above=0),
        "keepdim is missing: the sums were laid along the wrong dimension": _grid(2, keepdim=False),
        "the sums run over the middle letter: the last letter is predicted, sum over dimension 2": _grid(1),
        "the sums run over the first letter: the last letter is predicted, sum over dimension 2": _grid(0),
        "that is in bits: nats want the natural logarithm": _trigram(unit=math.log(2)),
        "that is the sum, the mean over all trigrams is wanted": _trigram(per="nothing"),
        "all 19,683 probabilities together sum to 1: each *row* should, sum over dimension 2": _grid((0, 1, 2)),
        "that is the loss per name, the mean over all trigrams is wanted": _trigram(per="name"),
        "that averages name by name: long names must count for more": _trigram(per="name, then names"),
    })
