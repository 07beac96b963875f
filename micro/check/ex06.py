"""The exercises of notebook 06, wavenet: references, inputs and known mistakes."""
import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.parts import bell, cases_of
from micro.check.race import goal, race_words, windows

# -- 1: the smoothed curve -----------------------------------------------------------------------------

def _smooth(losses, n, last=True, how=torch.mean):
    pieces = torch.tensor(losses).split(n)
    return torch.stack([how(p) for p in pieces if last or len(p) == n])


def _filled(losses, n):
    whole = torch.tensor(losses + [0.0] * (-len(losses) % n))
    return whole.view(-1, n).mean(1)


def _moving(losses, n):
    return torch.tensor(losses).unfold(0, n, 1).mean(1)


ex06_1 = Exercise(
    "06.1", answer=_smooth, tol=1e-5,
    cases=[([4.0, 2.0, 3.0, 1.0, 5.0], 2), ([1.0, 2.0, 4.0], 3), ([float(k * k) for k in range(23)], 5)],
    mistakes={
        "the last few losses, which do not fill a row, are missing": lambda x, n: _smooth(x, n, last=False),
        "the last row was filled up with zeros, which pull its mean down: divide by how many there are": _filled,
        "that is the sum of each row, the mean is wanted": lambda x, n: _smooth(x, n, how=torch.sum),
        "that is a moving mean, one for every position; here each loss counts once": _moving,
    })


# -- 2: a causal convolution ---------------------------------------------------------------------------

def _conv(x, weight, bias, dilation, left=None, flip=False, with_bias=True):
    k = len(weight)
    reach = (k - 1) * dilation
    left = reach if left is None else left
    w = (weight.flip(0) if flip else weight).permute(2, 1, 0)  # torch: (C_out, C_in, k)
    y = F.conv1d(F.pad(x.transpose(1, 2), (left, reach - left)), w, dilation=dilation).transpose(1, 2)
    return y + bias if with_bias else y


def _roll(x, weight, bias, dilation):
    k = len(weight)
    return bias + sum(torch.roll(x, (k - 1 - j) * dilation, 1) @ weight[j] for j in range(k))


ex06_2 = Exercise(
    "06.2", answer=_conv, tol=1e-6,
    show=lambda x, w, b, d: f"x {tuple(x.shape)}, weight {tuple(w.shape)}, dilation {d}",
    cases=cases_of(lambda g, B, T, c, k, o, d: (bell(g, B, T, c), bell(g, k, c, o), bell(g, o), d),
                   (2, 7, 3, 2, 4, 1), (1, 9, 2, 3, 2, 2), (2, 5, 1, 2, 1, 4), (1, 3, 2, 1, 2, 3)),
    mistakes={
        "it sees the future: the zeros belong in front, on the left": lambda x, w, b, d: _conv(x, w, b, d, left=0),
        "it sees the future: with zeros on both sides half of the taps look ahead":
            lambda x, w, b, d: _conv(x, w, b, d, left=(len(w) - 1) * d // 2),
        "the taps are in the wrong order: weight[0] is the oldest, weight[-1] is now":
            lambda x, w, b, d: _conv(x, w, b, d, flip=True),
        "the dilation plays no part": lambda x, w, b, d: _conv(x, w, b, 1),
        "the bias is missing": lambda x, w, b, d: _conv(x, w, b, d, with_bias=False),
        "the bias was added once for each tap": lambda x, w, b, d: _conv(x, w, len(w) * b, d),
        "everything is one dilation too late: the oldest tap looks (k - 1) · dilation steps back, not k · dilation":
            lambda x, w, b, d: F.pad(_conv(x, w, b, d, with_bias=False), (0, 0, d, 0))[:, :x.shape[1]] + b,
        "torch.roll brings the end round to the beginning: before the start stand zeros": _roll,
        "only the newest tap is used": lambda x, w, b, d: x @ w[-1] + b,
        "too short: the output has as many places as the input, so pad with zeros":
            lambda x, w, b, d: _conv(x, w, b, d)[:, (len(w) - 1) * d:],
    })


# -- 3: how far back ------------------------------------------------------------------------------------

def _shifted(offsets, squash=False):
    """A function whose output t is the sum of the inputs t - o for o in offsets."""
    def f(x):
        T = x.shape[1]
        y = sum((1 + abs(o)) * F.pad(x, (0, 0, max(o, 0), max(-o, 0)))[:, max(-o, 0):][:, :T] for o in offsets)
        return torch.tanh(y / 50) if squash else y
    return f


def _looks_back(f, x, t, of=None, sign=1, all_outputs=False, base=0):
    before, found = f(x), []
    for s in range(x.shape[1]):
        moved = x.clone()
        moved[0, s] += 1
        changed = (f(moved) - before).abs().amax(-1)[0] > 1e-9
        if changed.any() if all_outputs else changed[t]:
            found.append(sign * (t - s) + base)
    return sorted(of(found) if of else found)


def _in_place(f, x, t):
    before, found = f(x)[0, t].clone(), []
    for s in range(x.shape[1]):
        x[0, s] += 1
        if not torch.allclose(f(x)[0, t], before, rtol=0, atol=1e-9):
            found.append(t - s)
    return sorted(found)


def _cumulative(f, x, t):
    return _in_place(f, x.clone(), t)


def _probe_back(fn, offsets, T, t, squash):
    x = bell(torch.Generator().manual_seed(T), 1, T, 3)
    kept = x.clone()
    found = fn(_shifted(offsets, squash), x, t)
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"a list of distances is wanted, not {found!r}")
    found = [int(v) for v in found]
    return {"steps back": str(found), "input afterwards": "the same" if torch.equal(x, kept) else "changed"}


ex06_3 = Exercise(
    "06.3", answer=_looks_back, probe=_probe_back,
    cases=[((0, 1), 8, 5, False), ((0, 4), 10, 9, True), ((1, 2, 5), 9, 6, False), ((-1, 0, 1), 7, 3, True),
           ((0, 1), 6, 0, False)],
    show=lambda offsets, T, t, squash: f"a function that uses the steps back {offsets}, T={T}, t={t}",
    mistakes={
        "that is the number of inputs, their list of distances is wanted":
            lambda *a: [len(_looks_back(*a))],
        "those are places; wanted is how many steps back, t - s": lambda f, x, t: sorted(
            t - d for d in _looks_back(f, x, t)),
        "the sign: steps back are positive, t - s": lambda *a: _looks_back(*a, sign=-1),
        "compare the output at t alone: here every change of any output counts":
            lambda *a: _looks_back(*a, all_outputs=True),
        "0 stands for t itself: every number is one too large": lambda *a: _looks_back(*a, base=1),
        "start each place from a fresh clone: here earlier changes stay in": _cumulative,
        "the input was changed: work on a clone, or earlier changes stay in": _in_place,
        "looking ahead counts too: go through all places, also those after t":
            lambda *a: _looks_back(*a, of=lambda found: [d for d in found if d >= 0]),
    })


# -- 4: dropout -----------------------------------------------------------------------------------------

def _dropout(x, p, training, g, scale=True, eval_too=False, keep=lambda r, p: r >= p, late=False):
    if not training and not eval_too:
        return x * (1 - p) if late else x
    kept = x * keep(torch.rand(x.shape, generator=g), p)
    return kept / (1 - p) if scale and not late else kept


def _run_dropout(fn, shape, p, training):
    g = torch.Generator().manual_seed(len(shape))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    kept = x.clone()
    return {"result": fn(x, p, training, g), "x afterwards": "the same" if torch.equal(x, kept) else "changed"}


ex06_4 = Exercise(
    "06.4", answer=_dropout, probe=_run_dropout,
    cases=[((6, 5), 0.3, True), ((40,), 0.1, True), ((3, 4, 5), 0.3, False)],
    show=lambda shape, p, training: f"x of shape {shape}, p={p}, training={training}",
    mistakes={
        "what stays is not made larger: multiply by 1 / (1 - p)": lambda *a: _dropout(*a, scale=False),
        "when not training it does nothing": lambda *a: _dropout(*a, eval_too=True),
        "p is the probability to *lose* a number, not to keep it": lambda *a: _dropout(*a, keep=lambda r, p: r < p),
        "that shrinks when not training, as the first paper did; here what stays is made larger while training":
            lambda *a: _dropout(*a, late=True),
        "what is *below p* goes: with rand < 1 - p others go":
            lambda *a: _dropout(*a, keep=lambda r, p: r < 1 - p),
        "multiply by 1 / (1 - p): that multiplies by 1 - p":
            lambda x, p, training, g: _dropout(x, p, training, g, scale=False) * (1 - p) if training else x,
        "the other way round: it acts while training": lambda x, p, training, g: _dropout(x, p, not training, g),
        "1 / p in place of 1 / (1 - p)":
            lambda x, p, training, g: _dropout(x, p, training, g, scale=not training) / (p if training else 1),
        "the same numbers go in every row: draw a random number for each entry of x":
            lambda x, p, training, g: x * (torch.rand(x.shape[-1:], generator=g) >= p) / (1 - p) if training else x,
    })


# -- 5: a queue -----------------------------------------------------------------------------------------

def _step(x, queue, weight, bias, dilation, entry=0, keep=None, use_bias=True):
    past = queue[entry] if len(queue) == dilation else torch.zeros_like(x)
    y = past @ weight[0] + x @ weight[1] + (bias if use_bias else 0)
    return y, (queue + [x])[-(keep or dilation):]


def _early(x, queue, weight, bias, dilation):
    past = queue[0] if queue else torch.zeros_like(x)
    return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]


def _in_the_list(x, queue, weight, bias, dilation):
    past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
    queue.append(x)
    if len(queue) > dilation:
        queue.pop(0)
    return past @ weight[0] + x @ weight[1] + bias, queue


def _append_first(x, queue, weight, bias, dilation):
    later = (queue + [x])[-dilation:]
    past = later[0] if len(later) == dilation else torch.zeros_like(x)
    return past @ weight[0] + x @ weight[1] + bias, later


def _exchanged(x, queue, weight, bias, dilation):
    return _step(x, queue, weight.flip(0), bias, dilation)


def _run_steps(fn, x, weight, bias, dilation):
    """Feed x (B, T, C) place by place; what comes out, and whether an older queue was left alone."""
    queue, out, kept = [], [], True
    for t in range(x.shape[1]):
        before = list(queue)
        given = fn(x[:, t], queue, weight, bias, dilation)
        if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], list):
            raise TypeError("return two things, the output and the new queue, a list")
        y, later = given
        kept &= len(queue) == len(before) and all(a is b for a, b in zip(queue, before))
        queue = later
        out.append(y)
    return {"outputs": torch.stack(out, 1), "queue given": "left as it was" if kept else "changed",
            "longest queue": len(queue)}


ex06_5 = Exercise(
    "06.5", answer=_step, probe=_run_steps,
    cases=cases_of(lambda g, B, T, c, o, d: (bell(g, B, T, c), bell(g, 2, c, o), bell(g, o), d),
                   (2, 6, 3, 4, 1), (1, 9, 2, 2, 4), (2, 12, 1, 3, 3)),
    show=lambda x, w, b, d: f"{x.shape[1]} steps of x {tuple(x.shape)}, dilation {d}",
    mistakes={
        "that takes the newest input of the queue: the one `dilation` steps back is the oldest, and it stands first":
            lambda *a: _step(*a, entry=-1),
        "until the queue is full the past is zero: its first entry is not yet `dilation` steps back": _early,
        "weight[0] belongs to the past, weight[1] to now": _exchanged,
        "the bias is missing": lambda *a: _step(*a, use_bias=False),
        "the list that was given has changed: make a new one": _in_the_list,
        "the queue keeps one entry too many, so the past is one step too old":
            lambda x, q, w, b, d: (_step(x, q[:1] * d if len(q) == d + 1 else [], w, b, d)[0], (q + [x])[-d - 1:]),
        "x was read as its own past: take the past from the queue *before* you append x": _append_first,
        "the past plays no part": lambda x, q, w, b, d: (x @ w[1] + b, (q + [x])[-d:]),
    })


# -- 6: the race ----------------------------------------------------------------------------------------

_GOAL = goal(90, 1.98)


def _race(fn):
    return race_words(fn, seconds=90, most=1.98)


def _counts(levels, shift=False, of=torch.log):
    """A recipe that only counts the last three letters."""
    def recipe(words):
        X, Y = windows(words, 3)
        index = ((X[:, 0] * 27 + X[:, 1]) * 27 + X[:, 2]) * 27 + Y
        N = torch.bincount(index, minlength=27**4).view(27, 27, 27, 27).double()
        P = torch.full((27,), 1 / 27, dtype=torch.double)
        for level in (N.sum((0, 1, 2)), N.sum((0, 1)), N.sum(0), N)[:levels]:
            P = (level + 10 * P) / (level.sum(-1, keepdim=True) + 10)
        P = of(P.expand(27, 27, 27, 27))

        def logits(word):
            X, _ = windows([word], 3)
            rows = P[X[:, 0], X[:, 1], X[:, 2]]
            return rows.roll(1, 0) if shift else rows
        return logits
    return recipe


ex06_6 = Exercise(
    "06.6", answer=lambda words: _GOAL, probe=_race, cases=[()], show=lambda: "the check's names",
    advice=" (give back a function from a word to logits (len(word) + 1, 27))",
    mistakes={
        "all logits are equal: was anything trained?": _counts(0),
        "as good as the letters' frequencies, no better: does the context reach the output?": _counts(1),
        "as good as the counts of section 1: now mix in a network": _counts(4),
        "those look like probabilities: logits are wanted, take their log": _counts(4, of=lambda p: p),
        "the rows are moved by one: row i must be the logits for letter i, from those before it":
            _counts(4, shift=True),
    })
