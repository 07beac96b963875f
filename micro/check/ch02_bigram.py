"""The checks of notebook 02, bigrams."""
import math
import statistics
from collections import Counter

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.data import names
from micro.data.letters import stoi


def _trigrams(word):
    marked = ".." + word + "."
    return [marked[i:i + 3] for i in range(len(word) + 1)]


def _as_strings(trigrams, word):
    return ["".join(t) for t in trigrams(word)]  # tuples of characters are fine too


ex02_1 = Exercise(
    "02.1", answer=_trigrams, probe=_as_strings, cases=[("emma",), ("jo",), ("a",)],
    mistakes={
        "put two dots in front, so that the first letter gets a group of its own": """
            def trigrams(word):
                marked = "." + word + "."
                return [a + b + c for a, b, c in zip(marked, marked[1:], marked[2:])]
            """,
        "the dot at the end is missing: the model must learn where names end": """
            def trigrams(word):
                marked = ".." + word
                return [a + b + c for a, b, c in zip(marked, marked[1:], marked[2:])]
            """,
        "there are no dots at all: start and end count too": """
            def trigrams(word):
                return [a + b + c for a, b, c in zip(word, word[1:], word[2:])]
            """,
        "one dot at the end is enough: after the end nothing is predicted": """
            def trigrams(word):
                marked = ".." + word + ".."
                return [a + b + c for a, b, c in zip(marked, marked[1:], marked[2:])]
            """,
        "the last groups are too short: stop two characters before the end": """
            def trigrams(word):
                marked = ".." + word + "."
                return [marked[i:i + 3] for i in range(len(marked))]
            """,
    })


_G = torch.Generator().manual_seed(0)
_SQUARE = torch.randint(1, 50, (4, 4), generator=_G)
_WIDE = torch.randint(1, 50, (3, 5), generator=_G)
ex02_2 = Exercise(
    "02.2", answer=lambda N, over: N / N.sum({"row": 1, "column": 0, "all": (0, 1)}[over], keepdim=True),
    cases=[(_SQUARE, "row"), (_SQUARE, "column"), (_SQUARE, "all"), (_WIDE, "all"), (_WIDE, "row"), (_WIDE, "column")],
    advice=" (leave N as it is and return N / ...)",
    show=lambda N, over: f"over={over!r} and N of shape {tuple(N.shape)}",
    mistakes={
        "rows and columns are swapped: sum(1) adds along a row": """
            def normalize(N, over):
                if over == "row":
                    return N / N.sum(0, keepdim=True)
                if over == "column":
                    return N / N.sum(1, keepdim=True)
                return N / N.sum()
            """,
        "you ignore `over`: rows are normalized in every case": """
            def normalize(N, over):
                return N / N.sum(1, keepdim=True)
            """,
        "keepdim is missing for the rows: their sums were laid along the columns (section 3)": """
            def normalize(N, over):
                if over == "row":
                    return N / N.sum(1)
                if over == "column":
                    return N / N.sum(0)
                return N / N.sum()
            """,
    })


_P3 = torch.tensor([0.5, 0.3, 0.2], dtype=torch.double)
_P4 = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.double)
ex02_3 = Exercise(
    "02.3", answer=lambda p, T: p ** (1 / T) / (p ** (1 / T)).sum(),
    cases=[(_P3, 0.5), (_P3, 2.0), (_P4, 1.0), (_P4, 0.25)],
    mistakes={
        "they no longer sum to 1: divide by the sum of the powers": """
            def temperature(p, T):
                return p ** (1 / T)
            """,
        "the power is T where it should be 1/T: small T must sharpen": """
            def temperature(p, T):
                q = p ** T
                return q / q.sum()
            """,
        "dividing all by T changes nothing after normalizing: take the power 1/T (p ** 1 / T is p / T: brackets!)": """
            def temperature(p, T):
                q = p ** 1 / T
                return q / q.sum()
            """,
        "softmax takes logits, these are probabilities: give it log p / T, or use the power": """
            def temperature(p, T):
                return (p / T).softmax(0)
            """,
    })


def _counts(words):
    N = torch.zeros(27, 27, dtype=torch.int64)
    for w in words:
        for a, b in zip("." + w, w + "."):
            N[stoi[a], stoi[b]] += 1
    return N


def smooth(N, strength):
    added = N.double() + strength
    return added / added.sum(1, keepdim=True)


def count_loss(P, N):
    seen = N > 0
    return -(N[seen] * P[seen].log()).sum().item() / N.sum().item()


def _loss_of(N, strength, M):
    return count_loss(smooth(N, strength), M)


_STRENGTHS = [0.01, 0.1, 0.3, 1, 3, 10, 100]
_W = names()
ex02_4 = Exercise(
    "02.4", answer=lambda N, M, strengths: min(strengths, key=lambda s: _loss_of(N, s, M)),
    cases=[(_counts(_W[0:300:3]), _counts(_W[1:600:3]), _STRENGTHS),
           (_counts(_W[5:30000:7]), _counts(_W[6:30000:70]), _STRENGTHS[::-1]),
           (_counts(_W[:20]), _counts(_W[25000:25400]), _STRENGTHS)],
    show=lambda N, M, strengths: f"{N.sum()} training and {M.sum()} dev bigrams, strengths {strengths}",
    mistakes={
        "the least smoothing always wins on the names that were counted: smooth N_train alone, "
        "measure on N_dev alone": """
            def best_strength(N_train, N_dev, strengths):
                return min(strengths, key=lambda s: count_loss(smooth(N_train, s), N_train))
            """,
        "return the strength, not the loss it reaches": """
            def best_strength(N_train, N_dev, strengths):
                return min(count_loss(smooth(N_train, s), N_dev) for s in strengths)
            """,
        "return the strength itself, not its position in the list": """
            def best_strength(N_train, N_dev, strengths):
                losses = [count_loss(smooth(N_train, s), N_dev) for s in strengths]
                return losses.index(min(losses))
            """,
        "train and dev are swapped: smooth the training counts, measure on the dev counts": """
            def best_strength(N_train, N_dev, strengths):
                return min(strengths, key=lambda s: count_loss(smooth(N_dev, s), N_train))
            """,
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
        "softmax is done twice: F.cross_entropy wants the logits themselves": """
            def fast_loss(W, xs, ys):
                return F.cross_entropy(W[xs].softmax(1), ys)
            """,
        "that is the sum over the examples, the mean is wanted": """
            def fast_loss(W, xs, ys):
                return F.cross_entropy(W[xs], ys, reduction="sum")
            """,
        "inputs and targets are swapped": """
            def fast_loss(W, xs, ys):
                return F.cross_entropy(W[ys], xs)
            """,
        "you picked columns of W, not rows: W[xs]": """
            def fast_loss(W, xs, ys):
                return F.cross_entropy(W[:, xs].T, ys)
            """,
    })


def _trigram_loss(train_words, dev_words, strength):
    train, dev = ([t for w in words for t in _trigrams(w)] for words in (train_words, dev_words))
    count, total = Counter(train), Counter(t[:2] for t in train)
    return statistics.fmean(-math.log((count[t] + strength) / (total[t[:2]] + 27 * strength)) for t in dev)


ex02_6 = Exercise(
    "02.6", answer=_trigram_loss, near=1e-4,
    cases=[(_W[:400], _W[400:500], 0.3), (_W[1000:3000:5], _W[1001:3000:50], 1.0), (_W[:50], _W[20000:20020], 0.05)],
    show=lambda train, dev, s: f"{len(train)} training names, {len(dev)} dev names, strength {s}",
    mistakes={
        "there is only one dot in front: the first letter is never predicted": """
            def trigram_loss(train_words, dev_words, strength):
                def numbers(words):
                    return [[stoi[c] for c in three] for w in words
                            for three in zip("." + w + ".", w + ".", w[1:] + ".")]
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for a, b, c in numbers(train_words):
                    N[a, b, c] += 1
                P = N / N.sum(2, keepdim=True)
                losses = [-P[a, b, c].log().item() for a, b, c in numbers(dev_words)]
                return sum(losses) / len(losses)
            """,
        "the end is never predicted: the dot at the end is missing": """
            def trigram_loss(train_words, dev_words, strength):
                def numbers(words):
                    return [[stoi[c] for c in three] for w in words for three in zip(".." + w, "." + w, w)]
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for a, b, c in numbers(train_words):
                    N[a, b, c] += 1
                P = N / N.sum(2, keepdim=True)
                losses = [-P[a, b, c].log().item() for a, b, c in numbers(dev_words)]
                return sum(losses) / len(losses)
            """,
        "measured on the training names: use dev_words": """
            def trigram_loss(train_words, dev_words, strength):
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        N[stoi[a], stoi[b], stoi[c]] += 1
                P = N / N.sum(2, keepdim=True)
                losses = []
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        losses.append(-P[stoi[a], stoi[b], stoi[c]].log().item())
                return sum(losses) / len(losses)
            """,
        "the rows no longer sum to 1: add the strength before you sum": """
            def trigram_loss(train_words, dev_words, strength):
                N = torch.zeros(27, 27, 27, dtype=torch.double)
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        N[stoi[a], stoi[b], stoi[c]] += 1
                P = (N + strength) / N.sum(2, keepdim=True)
                losses = []
                for w in dev_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        losses.append(-P[stoi[a], stoi[b], stoi[c]].log().item())
                return sum(losses) / len(losses)
            """,
        "keepdim is missing: the sums were laid along the wrong dimension": """
            def trigram_loss(train_words, dev_words, strength):
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        N[stoi[a], stoi[b], stoi[c]] += 1
                P = N / N.sum(2)
                losses = []
                for w in dev_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        losses.append(-P[stoi[a], stoi[b], stoi[c]].log().item())
                return sum(losses) / len(losses)
            """,
        "the sums run over the middle letter: the last letter is predicted, sum over dimension 2": """
            def trigram_loss(train_words, dev_words, strength):
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        N[stoi[a], stoi[b], stoi[c]] += 1
                P = N / N.sum(1, keepdim=True)
                losses = []
                for w in dev_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        losses.append(-P[stoi[a], stoi[b], stoi[c]].log().item())
                return sum(losses) / len(losses)
            """,
        "that is the loss per name, the mean over all trigrams is wanted": """
            def trigram_loss(train_words, dev_words, strength):
                N = torch.full((27, 27, 27), strength, dtype=torch.double)
                for w in train_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        N[stoi[a], stoi[b], stoi[c]] += 1
                P = N / N.sum(2, keepdim=True)
                loss = 0
                for w in dev_words:
                    for a, b, c in zip(".." + w, "." + w + ".", w + "."):
                        loss -= P[stoi[a], stoi[b], stoi[c]].log().item()
                return loss / len(dev_words)
            """,
    })
