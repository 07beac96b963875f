"""The exercises 7 and 8 of notebook 07: addition as language modelling, and a GPT on a text of the check's own."""
import math
import random
from functools import cache
from string import ascii_lowercase as LETTERS

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.race import goal, trained, verdict
from micro.data import shakespeare
from micro.train import evaluating

# -- 7: addition ---------------------------------------------------------------------------------------

def _addition(a, b, n, backwards=True, operands="{0:0{2}d}+{1:0{2}d}=", digits=1, early=0, fill=-100, moved=1,
              whole=False, order="0123456789+="):
    """early: so many symbols before the answer are learned too. moved: how far y is ahead of x."""
    front, answer = operands.format(a, b, n), f"{a + b:0{n + digits}d}"
    s = [order.index(c) for c in front + (answer[::-1] if backwards else answer)]
    masked = [fill if i < len(front) - early else v for i, v in enumerate(s)]
    return s if whole else s[:-1], masked[1:] if moved else masked[:-1]


def _split(fn, a, b, n):
    found = fn(a, b, n)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError("return two lists, x and y")
    return {"x": found[0], "y": found[1]}


def _backwards_operands(a, b, n):
    a, b = (int(f"{v:0{n}d}"[::-1]) for v in (a, b))
    return _addition(a, b, n)


def _operands_only(a, b, n):
    """The operands backwards, but the right sum."""
    x, y = _addition(a, b, n)
    return x[:n][::-1] + x[n:n + 1] + x[n + 1:2 * n + 1][::-1] + x[2 * n + 1:], y


def _unmasked_filler(a, b, n):
    """Zeros behind the digits, not among them: the sum backwards, filled up in front."""
    x, _ = _addition(a, b, n)
    s = x[:2 * n + 2] + [int(c) for c in str(a + b)[::-1].rjust(n + 1, "0")]
    return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]


ex07_7 = Exercise(
    "07.7", answer=_addition, probe=_split, show=lambda a, b, n: f"a={a}, b={b}, n={n}",
    cases=[(7, 5, 2), (123, 989, 3), (12, 7, 3), (1, 8, 1), (1000, 234, 4)],
    mistakes={
        "the sum stands forwards: write its digits backwards, the ones first":
            lambda *a: _addition(*a, backwards=False),
        "fill the sum with zeros in front first, then turn it round: the zeros come last":
            _unmasked_filler,
        "only the sum is written backwards, the two numbers are not": _operands_only,
        "the loss counts everywhere: what comes before the answer is -100 in y": lambda *a: _addition(*a, early=99),
        "the answer's first digit is masked too: it is predicted where x is =": lambda *a: _addition(*a, early=-1),
        "= is not part of the answer: one -100 more": lambda *a: _addition(*a, early=1),
        "y is the *next* symbol: one place further than x": lambda *a: _addition(*a, moved=0),
        "the sum may have n + 1 digits, and always gets so many": lambda *a: _addition(*a, digits=0),
        "the sum is filled with zeros to n + 1 digits": lambda *a: _addition(*a, digits=-a[2]),
        "both numbers are filled with zeros to n digits": lambda *a: _addition(*a, operands="{0}+{1}="),
        "what does not count is -100: -1 is not a class, and F.cross_entropy would stop":
            lambda *a: _addition(*a, fill=-1),
        "what does not count is -100: 0 is a digit that would be learned": lambda *a: _addition(*a, fill=0),
        "x has no last symbol: after it there is nothing to predict": lambda *a: _addition(*a, whole=True),
        "y is a copy of x where it counts; it is the next symbol, one place further": lambda a, b, n: (
            (s := _addition(a, b, n))[0], [v if w >= 0 else -100 for v, w in zip(*s)]),
        "+ is 10 and = is 11": lambda *a: _addition(*a, order="0123456789=+"),
    })


# -- 8: a text of your own -------------------------------------------------------------------------------

SECONDS, MOST, LONG = 20, 2.2, 32
_GOAL = goal(SECONDS, MOST)
STAGES = {"worse than a guess": (4.4, math.inf), "as if nothing was learned": (4.08, 4.18),  # log 62 = 4.127
          "as counting letters": (3.3, 3.4), "as counting pairs": (2.48, 2.58)}  # 3.35, 2.52; a GPT soon has 1.97


@cache
def _text():
    """The plays with their letters exchanged: what to train on, and what comes after it."""
    deal = list(LETTERS)
    random.Random(7).shuffle(deal)
    deal = "".join(deal)
    text = shakespeare().translate(str.maketrans(LETTERS + LETTERS.upper(), deal + deal.upper()))
    return text[:300_000], text[300_000:300_001 + 500 * LONG]


def _kind(logits, again):
    """What is wrong with logits (N, T, V) and those after the second half of the tokens changed, or None."""
    half = LONG // 2
    if logits.isnan().any():
        return "nan"
    if not torch.allclose(logits[:, :half], again[:, :half], atol=1e-3):
        return "of no worth: it sees the future"
    if logits.min() >= 0 and torch.allclose(logits.sum(-1), torch.ones(()), atol=1e-3):
        return "of no worth: those are probabilities"


def _own(fn):
    text, tail = _text()
    found, took = trained(fn, text)
    if found == _GOAL:  # the reference answer
        return found
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError("return two things, the model and its characters")
    model, chars = found
    place = {c: i for i, c in enumerate(chars)}
    lacking = sorted(set(text) - set(place))
    if lacking:
        raise TypeError(f"the characters you return lack {lacking[0]!r}, which stands in the text")
    weights = model.parameters() if isinstance(model, torch.nn.Module) else ()
    device = next((p.device for p in weights), torch.device("cpu"))
    ix = torch.tensor([place[c] for c in tail])
    X, Y = ix[:-1].view(-1, LONG), ix[1:].view(-1, LONG)
    other = X.clone()
    other[:, LONG // 2:] = (X[:, LONG // 2:] + 1) % len(chars)
    with evaluating(model):
        logits, again = (torch.cat([model(x.to(device)).float().cpu() for x in rows.split(250)]) for rows in (X, other))
    if tuple(logits.shape) != (*X.shape, len(chars)):
        raise TypeError(f"for {len(X)} rows of {LONG} characters your model gave shape {tuple(logits.shape)} where "
                        f"{(*X.shape, len(chars))} is wanted")
    loss = F.cross_entropy(logits.flatten(0, 1), Y.flatten()).item()
    stage = next((name for name, (low, high) in STAGES.items() if low <= loss <= high), None)
    told = _kind(logits, again) or stage
    return verdict(loss, took, SECONDS, MOST) | ({"dev loss": told} if told else {})


@cache
def _pairs(text):
    """The text's characters, and how often each follows each, (V, V)."""
    chars = sorted(set(text))
    place, V = {c: i for i, c in enumerate(chars)}, len(chars)
    ix = torch.tensor([place[c] for c in text])
    return chars, torch.bincount(ix[:-1] * V + ix[1:], minlength=V * V).view(V, V) + 0.1


def _recipe(logits):
    """An answer that only counts: logits(ix (B, T), N (V, V)) -> (B, T, V)."""
    def own(text):
        chars, N = _pairs(text)
        return lambda ix: logits(ix, N), chars
    return own


ex07_8 = Exercise(
    "07.8", answer=lambda text: _GOAL, probe=_own, cases=[()], show=lambda: "the check's text",
    advice=f" (return the model, from (B, T) to logits (B, T, len(chars)) for T up to {LONG}, and the characters)",
    mistakes={
        "all logits are equal, or as good as equal: was anything trained?":
            _recipe(lambda ix, N: torch.zeros(*ix.shape, len(N))),
        "it sees the future, so its loss says nothing: later tokens change an output (exercise 1)":
            _recipe(lambda ix, N: 9.0 * F.one_hot(ix.roll(-1, 1), len(N))),
        "worse than a guess on text it has not seen: was it trained, are the targets the *next* characters, and do "
        "the numbers belong to the characters you return?": _recipe(lambda ix, N: 99.0 * F.one_hot(ix, len(N))),
        "those look like probabilities: logits are wanted": _recipe(lambda ix, N: (N / N.sum(1, keepdim=True))[ix]),
        "as good as the letters' frequencies, no better: do the tokens reach the output?":
            _recipe(lambda ix, N: N.sum(0).log().expand(*ix.shape, -1)),
        "as good as counting pairs of letters, no better: train longer, and let each position see more than itself":
            _recipe(lambda ix, N: N.log()[ix]),
    })
