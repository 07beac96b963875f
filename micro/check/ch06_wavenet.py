"""The checks of notebook 06, WaveNet."""
import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.kinds import cases_of, randn
from micro.check.timed import goal, race_words
from micro.data import next_letter_examples  # noqa: F401 (known mistakes call it)

# -- 1: the smoothed curve -----------------------------------------------------------------------------

ex06_1 = Exercise(
    "06.1", answer=lambda losses, n: torch.stack([row.mean() for row in torch.tensor(losses).split(n)]), tol=1e-5,
    cases=[([4.0, 2.0, 3.0, 1.0, 5.0], 2), ([1.0, 2.0, 4.0], 3), ([float(k * k) for k in range(23)], 5)],
    mistakes={
        "the last few losses, which do not fill a row, are missing": """
            def smooth(losses, n):
                rows = len(losses) // n
                return torch.tensor(losses[:rows * n]).view(rows, n).mean(1)
            """,
        "the last row was filled up with zeros, which pull its mean down: divide by how many losses it has": """
            def smooth(losses, n):
                filled = losses + [0.0] * (-len(losses) % n)
                return torch.tensor(filled).view(-1, n).mean(1)
            """,
        "that is the sum of each row; take the mean": """
            def smooth(losses, n):
                return torch.stack([row.sum() for row in torch.tensor(losses).split(n)])
            """,
        "that is a moving average, one for every position; here each loss counts once": """
            def smooth(losses, n):
                return torch.tensor(losses).unfold(0, n, 1).mean(1)
            """,
    })


# -- 2: a causal convolution ---------------------------------------------------------------------------

def causal_conv(x, weight, bias, dilation):
    padded = F.pad(x.transpose(1, 2), ((len(weight) - 1) * dilation, 0))
    return F.conv1d(padded, weight.permute(2, 1, 0), bias, dilation=dilation).transpose(1, 2)  # (C_out, C_in, k)


ex06_2 = Exercise(
    "06.2", answer=causal_conv, tol=1e-6,
    show=lambda x, w, b, d: f"x {tuple(x.shape)}, weight {tuple(w.shape)}, dilation {d}",
    cases=cases_of(lambda g, B, T, c, k, o, d: (randn(g, B, T, c), randn(g, k, c, o), randn(g, o), d),
                   (2, 7, 3, 2, 4, 1), (1, 9, 2, 3, 2, 2), (2, 5, 1, 2, 1, 4), (1, 3, 2, 1, 2, 3)),
    mistakes={
        "it sees the future: the zeros belong in front, on the left": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, 0, (k - 1) * dilation))
                return bias + sum(padded[:, j * dilation:j * dilation + T] @ weight[j] for j in range(k))
            """,
        "it sees the future: with zeros on both sides half of the taps look ahead": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                reach = (k - 1) * dilation
                padded = F.pad(x, (0, 0, reach // 2, reach - reach // 2))
                return bias + sum(padded[:, j * dilation:j * dilation + T] @ weight[j] for j in range(k))
            """,
        "the taps are in the wrong order: weight[0] is the oldest, weight[-1] is now": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, (k - 1) * dilation, 0))
                return bias + sum(padded[:, j * dilation:j * dilation + T] @ weight[k - 1 - j] for j in range(k))
            """,
        "the dilation plays no part: neighbouring taps are `dilation` steps apart": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, k - 1, 0))
                return bias + sum(padded[:, j:j + T] @ weight[j] for j in range(k))
            """,
        "the bias is missing": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, (k - 1) * dilation, 0))
                return sum(padded[:, j * dilation:j * dilation + T] @ weight[j] for j in range(k))
            """,
        "the bias was added once for each tap: add it once": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, (k - 1) * dilation, 0))
                return sum(padded[:, j * dilation:j * dilation + T] @ weight[j] + bias for j in range(k))
            """,
        "everything is one dilation too late: the oldest tap looks (k - 1) · dilation steps back, not k · dilation": """
            def causal_conv(x, weight, bias, dilation):
                k, T = len(weight), x.shape[1]
                padded = F.pad(x, (0, 0, k * dilation, 0))
                return bias + sum(padded[:, j * dilation:j * dilation + T] @ weight[j] for j in range(k))
            """,
        "torch.roll brings the end round to the beginning: before the start stand zeros": """
            def causal_conv(x, weight, bias, dilation):
                k = len(weight)
                return bias + sum(torch.roll(x, (k - 1 - j) * dilation, 1) @ weight[j] for j in range(k))
            """,
    })


# -- 3: how far back -----------------------------------------------------------------------------------

def shifted(offsets, squash=False):
    """A function whose output t is the sum of the inputs t - o for o in offsets."""
    def f(x):
        T = x.shape[1]
        y = sum((1 + abs(o)) * F.pad(x, (0, 0, max(o, 0), max(-o, 0)))[:, max(-o, 0):][:, :T] for o in offsets)
        return torch.tanh(y / 50) if squash else y
    return f


def looks_back(f, x, t):
    before, found = f(x), []
    for s in range(x.shape[1]):
        moved = x.clone()
        moved[0, s] += 1
        if (f(moved) - before)[0, t].abs().max() > 1e-9:
            found.append(t - s)
    return sorted(found)


def steps_back(fn, offsets, T, t, squash):
    x = randn(torch.Generator().manual_seed(T), 1, T, 3)
    kept = x.clone()
    found = fn(shifted(offsets, squash), x, t)
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"a list of distances is wanted, not {found!r}")
    found = [int(v) for v in found]
    return {"steps back": str(found), "input afterwards": "the same" if torch.equal(x, kept) else "changed"}


ex06_3 = Exercise(
    "06.3", answer=looks_back, probe=steps_back,
    cases=[((0, 1), 8, 5, False), ((0, 4), 10, 9, True), ((1, 2, 5), 9, 6, False), ((-1, 0, 1), 7, 3, True),
           ((0, 1), 6, 0, False)],
    show=lambda offsets, T, t, squash: f"a function that uses the steps back {offsets}, T={T}, t={t}",
    mistakes={
        "those are positions s; return how many steps back each is, t - s": """
            def looks_back(f, x, t):
                before, found = f(x)[0, t], []
                for s in range(x.shape[1]):
                    moved = x.clone()
                    moved[0, s] += 1
                    if not torch.allclose(f(moved)[0, t], before):
                        found.append(s)
                return sorted(found)
            """,
        "the sign is wrong: steps back are positive, t - s": """
            def looks_back(f, x, t):
                before, found = f(x)[0, t], []
                for s in range(x.shape[1]):
                    moved = x.clone()
                    moved[0, s] += 1
                    if not torch.allclose(f(moved)[0, t], before):
                        found.append(s - t)
                return sorted(found)
            """,
        "compare the output at t alone: here every change of any output counts": """
            def looks_back(f, x, t):
                before, found = f(x), []
                for s in range(x.shape[1]):
                    moved = x.clone()
                    moved[0, s] += 1
                    if not torch.allclose(f(moved), before):
                        found.append(t - s)
                return sorted(found)
            """,
        "clone x anew for each position: here earlier changes stay in": """
            def looks_back(f, x, t):
                before, found = f(x)[0, t], []
                moved = x.clone()
                for s in range(x.shape[1]):
                    moved[0, s] += 1
                    if not torch.allclose(f(moved)[0, t], before):
                        found.append(t - s)
                return sorted(found)
            """,
        "the input was changed: work on a clone, or earlier changes stay in": """
            def looks_back(f, x, t):
                before, found = f(x)[0, t], []
                for s in range(x.shape[1]):
                    x[0, s] += 1
                    if not torch.allclose(f(x)[0, t], before):
                        found.append(t - s)
                return sorted(found)
            """,
        "looking ahead counts too: go through all positions, also those after t": """
            def looks_back(f, x, t):
                before, found = f(x)[0, t], []
                for s in range(t + 1):
                    moved = x.clone()
                    moved[0, s] += 1
                    if not torch.allclose(f(moved)[0, t], before):
                        found.append(t - s)
                return sorted(found)
            """,
    })


# -- 4: dropout ----------------------------------------------------------------------------------------

def dropout(x, p, training, g):
    return x * (torch.rand(x.shape, generator=g) >= p) / (1 - p) if training else x


def dropped(fn, shape, p, training):
    g = torch.Generator().manual_seed(len(shape))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    kept = x.clone()
    return {"result": fn(x, p, training, g), "x afterwards": "the same" if torch.equal(x, kept) else "changed"}


ex06_4 = Exercise(
    "06.4", answer=dropout, probe=dropped,
    cases=[((6, 5), 0.3, True), ((40,), 0.1, True), ((3, 4, 5), 0.3, False)],
    show=lambda shape, p, training: f"x of shape {shape}, p={p}, training={training}",
    mistakes={
        "the values that stay are not made larger: multiply them by 1/(1 - p)": """
            def dropout(x, p, training, g):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=g) >= p)
            """,
        "when not training, dropout does nothing": """
            def dropout(x, p, training, g):
                return x * (torch.rand(x.shape, generator=g) >= p) / (1 - p)
            """,
        "the other way round: a value goes where the random number is below p, and stays elsewhere": """
            def dropout(x, p, training, g):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=g) < p) / (1 - p)
            """,
        "p is the probability of *losing* a value, not of keeping it": """
            def dropout(x, p, training, g):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=g) < p) / p
            """,
        "that makes x smaller when not training, as the paper did; here what stays is made larger while training": """
            def dropout(x, p, training, g):
                if not training:
                    return x * (1 - p)
                return x * (torch.rand(x.shape, generator=g) >= p)
            """,
        "a value goes where the random number is *below p*: with rand < 1 - p other values go": """
            def dropout(x, p, training, g):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=g) < 1 - p) / (1 - p)
            """,
        "multiply by 1/(1 - p): that multiplies by 1 - p": """
            def dropout(x, p, training, g):
                if not training:
                    return x
                return x * (torch.rand(x.shape, generator=g) >= p) * (1 - p)
            """,
    })


# -- 5: a queue ----------------------------------------------------------------------------------------

def step(x, queue, weight, bias, dilation):
    past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
    return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]


def run_steps(fn, x, weight, bias, dilation):
    """Feed x (B, T, C) one position at a time; what comes out, and whether an older queue was left alone."""
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
    "06.5", answer=step, probe=run_steps,
    cases=cases_of(lambda g, B, T, c, o, d: (randn(g, B, T, c), randn(g, 2, c, o), randn(g, o), d),
                   (2, 6, 3, 4, 1), (1, 9, 2, 2, 4), (2, 12, 1, 3, 3)),
    show=lambda x, w, b, d: f"{x.shape[1]} steps of x {tuple(x.shape)}, dilation {d}",
    mistakes={
        "that takes the newest input of the queue: the one `dilation` steps back is the oldest, and comes first": """
            def step(x, queue, weight, bias, dilation):
                past = queue[-1] if len(queue) == dilation else torch.zeros_like(x)
                return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]
            """,
        "until the queue is full the past is zero: its first entry is not yet `dilation` steps back": """
            def step(x, queue, weight, bias, dilation):
                past = queue[0] if queue else torch.zeros_like(x)
                return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]
            """,
        "weight[0] belongs to the past, weight[1] to now": """
            def step(x, queue, weight, bias, dilation):
                past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
                return x @ weight[0] + past @ weight[1] + bias, (queue + [x])[-dilation:]
            """,
        "the bias is missing": """
            def step(x, queue, weight, bias, dilation):
                past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
                return past @ weight[0] + x @ weight[1], (queue + [x])[-dilation:]
            """,
        "the list that was given has changed: make a new one": """
            def step(x, queue, weight, bias, dilation):
                past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
                queue.append(x)
                if len(queue) > dilation:
                    queue.pop(0)
                return past @ weight[0] + x @ weight[1] + bias, queue
            """,
        "the queue keeps one entry too many, so the past is one step too old": """
            def step(x, queue, weight, bias, dilation):
                past = queue[0] if len(queue) > dilation else torch.zeros_like(x)
                return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation - 1:]
            """,
        "the past is one step too young: take it from the queue *before* you append x": """
            def step(x, queue, weight, bias, dilation):
                queue = (queue + [x])[-dilation:]
                past = queue[0] if len(queue) == dilation else torch.zeros_like(x)
                return past @ weight[0] + x @ weight[1] + bias, queue
            """,
    })


# -- 6: the race ---------------------------------------------------------------------------------------

def counted(X, Y, k=10):
    """Smoothed counts of the last three letters, as in the notebook."""
    index = ((X[:, -3] * 27 + X[:, -2]) * 27 + X[:, -1]) * 27 + Y
    N = torch.bincount(index, minlength=27**4).view(27, 27, 27, 27).double()
    P = torch.full((27,), 1 / 27, dtype=torch.double, device=X.device)
    for level in (N.sum((0, 1, 2)), N.sum((0, 1)), N.sum(0), N):
        P = (level + k * P) / (level.sum(-1, keepdim=True) + k)
    return P.float()


SECONDS, MOST = 90, 1.98  # to reach: seconds of processor time, dev loss

ex06_6 = Exercise(
    "06.6", answer=lambda words: goal(SECONDS, MOST), probe=lambda fn: race_words(fn, SECONDS, MOST),
    cases=[()], show=lambda: "the check's names",
    advice=" (give back a function from a word to logits (len(word) + 1, 27))",
    mistakes={
        "all logits are equal: was anything trained?": """
            def my_recipe(words):
                return lambda word: torch.zeros(len(word) + 1, 27)
            """,
        "as good as the letters' frequencies, no better: does the context reach the output?": """
            def my_recipe(words):
                X, Y = next_letter_examples(words, 3)
                frequency = torch.bincount(Y, minlength=27) / len(Y)
                return lambda word: frequency.log().expand(len(word) + 1, 27)
            """,
        "as good as the counts of section 1: now mix in a network": """
            def my_recipe(words):
                table = counted(*next_letter_examples(words, 3))
                def logits(word):
                    X, _ = next_letter_examples([word], 3)
                    return table[X[:, 0], X[:, 1], X[:, 2]].log()
                return logits
            """,
        "those look like probabilities: return logits, their log": """
            def my_recipe(words):
                table = counted(*next_letter_examples(words, 3))
                def logits(word):
                    X, _ = next_letter_examples([word], 3)
                    return table[X[:, 0], X[:, 1], X[:, 2]]
                return logits
            """,
    })
