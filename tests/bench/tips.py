"""Tries folk tips at some length, in notebooks 12's and 10's own cells, on one thread.

    python -m tests.bench.tips                    prints figures, means and standard errors
    python -m tests.bench.tips --record           also writes data/results/tips.json, part by part
    python -m tests.bench.tips --only clock       one part alone; with --record the other recorded parts stay

Where kinds need different learning rates, each gets the best of a grid for seed 0; the seeds that are reported (1, 2,
...) are shared by all kinds. About 20 minutes on one core.
"""
import copy
import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import benchmark

from micro.train import fit, linear_schedule, split_loss
from tests import helpers
from tests.bench import _record
from tests.bench._tips_nets import late, order, starts, steady, whitening
from tests.bench.layers import measured, row_of, say

RESULT = Path(__file__).parents[2] / "data" / "results" / "tips.json"
CELLS_12 = ("words", "learn", "ideas", "law", "clock")
CELLS_10 = ("images", "words", "image_net", "flat", "deep")
SCALES = {"tiny": (16, 60), "small": (64, 500), "large": (256, 2000)}


def proxy(ten, nine):
    """Tip 3: ten versions of one net at three scales, each with the rate it names (that is part of the idea)."""
    return {scale: say(f"proxy, {scale}", {
        idea: row_of(how.get("lr", 0.01), [{"loss": ten["try_idea"](width, steps, s, **how)} for s in range(1, 6)])
        for idea, how in ten["ideas"].items()}) for scale, (width, steps) in SCALES.items()}


def noisy(ten, width, share, lr, few=None, steps=500, seed=1):
    """Train with a `share` of the labels drawn by lot. (loss, share of right answers) on clean new names."""
    g = torch.Generator().manual_seed(seed)
    keep = torch.randperm(len(ten["Xtr"]), generator=g)[:few]
    X, Y = ten["Xtr"][keep], ten["Ytr"][keep]           # (few, 3), (few,)
    wrong = torch.rand(len(Y), generator=g) < share
    Y[wrong] = torch.randint(27, (int(wrong.sum()),), generator=g)
    net = ten["small_net"](width, seed=seed)

    def batch_loss():
        ix = torch.randint(len(X), (64,), generator=g)
        return F.cross_entropy(net(X[ix]), Y[ix])
    fit(batch_loss, torch.optim.AdamW(net.parameters(), lr), steps)
    return judged(ten, net)


def judged(ten, net):
    with torch.no_grad():
        right = (net(ten["Xdev"]).argmax(1) == ten["Ydev"]).float().mean().item()
    return split_loss(net, ten["Xdev"], ten["Ydev"]), right


def noise(ten, nine):
    """Tip 24: widths against the share of wrong labels; letters that come once, and 5,000 read over and over."""
    found = {}
    for data, few, steps in (("many", None, 500), ("few", 5000, 1000)):
        found[data] = {}
        for share in (0.0, 0.2, 0.4):
            def run(width, lr, seed, share=share, few=few, steps=steps):
                loss, right = noisy(ten, width, share, lr, few, steps, seed)
                return loss, {"loss": loss, "right": right}
            rows = {str(w): measured(functools.partial(run, w), (0.003, 0.01, 0.03), 5, grow=False)
                    for w in (8, 32, 128, 512)}
            found[data][str(share)] = say(f"noise {share}, {data}", rows)
    return found


def scaling(ten, nine):
    """Tip 47: three widths are measured, the law is drawn through them, and only then are the others measured."""
    def size(width):
        def run(lr, seed):
            loss = ten["learn"](ten["small_net"](width, seed=seed), lr, 1500, 128, seed=seed)
            return loss, {"loss": loss}
        return say(f"width {width}", {str(width): measured(run, (0.01, 0.02, 0.04), 4, grow=False)})
    rows = size(4) | size(8) | size(16)
    curve = ten["law"]((4, 8, 16), [rows[str(w)]["loss"]["mean"] for w in (4, 8, 16)])
    foretold = {str(w): round(curve(w), 4) for w in (32, 64, 128)}
    print("foretold", foretold)
    for w in (32, 64, 128):
        rows |= size(w)
    return {"widths": rows, "foretold": foretold, "longer": longer(ten)}


def longer(ten):
    """The two widest with three times the steps: was it the width that held them back?"""
    def run(width, seed):
        return {"loss": ten["learn"](ten["small_net"](width, seed=seed), 0.01, 4500, 128, seed=seed)}
    return say("4,500 steps", {str(w): row_of(0.01, [run(w, seed) for seed in (1, 2, 3, 4)]) for w in (64, 128)})


def clock(ten, nine):
    """Tip 48: the step at which 99% of the known pairs are right, and of the new ones (90%); a curve of seed 1."""
    kinds = {"no decay": {"decay": 0.0, "lr": 0.003}, "decay 1": {"decay": 1.0, "lr": 0.003},
             "decay 1, rate × 3": {"decay": 1.0, "lr": 0.01}, "decay 3, rate × 3": {"decay": 3.0, "lr": 0.01},
             "squares": {"decay": 3.0, "lr": 0.01, "act": ten["Square"]},
             "squares, small start": {"decay": 3.0, "lr": 0.01, "act": ten["Square"], "scale": 0.3}}
    found = {}
    for name, how in kinds.items():
        curves = [ten["clock"](**how, seed=seed) for seed in range(1, 6)]
        found[name] = {"n": 5}
        for what, at, mark in (("known", 1, 0.99), ("new", 2, 0.9)):
            found[name][what] = [next((row[0] for row in c if row[at] >= mark), None) for c in curves]
        found[name]["end"] = [round(c[-1][2], 3) for c in curves]
        found[name]["curve"] = [[k, round(a, 3), round(b, 3)] for k, a, b in curves[0]
                                if k <= 200 or k <= 1000 and k % 50 == 0 or k % 100 == 0]
        print(name, {k: v for k, v in found[name].items() if k != "curve"}, flush=True)
    return found


def averages(ten, nine):
    """Tip 25: label smoothing, and a running average of the weights, on names."""
    def run(kind, seed):
        net, g = ten["small_net"](seed=seed), torch.Generator().manual_seed(seed)
        average = copy.deepcopy(net)

        def batch_loss():
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), net.parameters()):
                    slow.lerp_(fast, 0.02)
            ix = torch.randint(len(ten["Xtr"]), (64,), generator=g)
            return F.cross_entropy(net(ten["Xtr"][ix]), ten["Ytr"][ix], label_smoothing=0.1 * ("smoothed" in kind))
        schedule = None if "constant" in kind else linear_schedule
        fit(batch_loss, torch.optim.AdamW(net.parameters(), 0.01), 1000, schedule)
        return dict(zip(("loss", "right"), judged(ten, average if "average" in kind else net)))
    kinds = ("falling rate", "constant rate", "constant rate, average", "falling rate, average",
             "falling rate, smoothed")
    return say("averages", {kind: row_of(0.01, [run(kind, seed) for seed in range(1, 6)]) for kind in kinds})


def prefer(ten, nine):
    """Tip 49: of two names the judge likes the one with the larger share of vowels, and errs in one case of ten. A
    reward model, and a language model trained on the pairs alone (Rafailov and others 2023, arXiv 2305.18290), which
    ranks by how much likelier it has made a name; both start from one trained net. right: pairs of new names."""
    train, new = ([w for k, w in enumerate(ten["words"]) if (k % 10 == 0) == late] for late in (False, True))
    vowels = {w: sum(c in "aeiou" for c in w) / len(w) for w in ten["words"]}

    def score(f, words):                                # the sum of f over the letters of each word: (words,)
        X, Y = ten["letters"](words)
        at = torch.repeat_interleave(torch.arange(len(words)), torch.tensor([len(w) + 1 for w in words]))
        return torch.zeros(len(words)).index_add(0, at, f(X, Y))

    def written(net, g, count=2000):
        x, done, seen, total = torch.zeros(count, 3, dtype=torch.long), torch.zeros(count, dtype=torch.bool), 0, 0
        for _ in range(15):
            c = torch.multinomial(net(x).softmax(1), 1, generator=g)            # (count, 1)
            done |= c[:, 0] == 0
            seen += torch.isin(c[~done], torch.tensor([ten["stoi"][v] for v in "aeiou"])).sum().item()
            total += (~done).sum().item()
            x = torch.cat([x[:, 1:], c], 1)
        return seen / total

    def run(seed):
        start, g = ten["small_net"](seed=seed), torch.Generator().manual_seed(seed)
        ten["learn"](start, seed=seed)
        policy, reward = copy.deepcopy(start), copy.deepcopy(start)
        reward[-1] = nn.Linear(64, 1)

        def likelihood(net):
            return lambda X, Y: net(X).log_softmax(1).gather(1, Y[:, None])[:, 0]

        def ranks(words):                               # by how much likelier the words have become
            with torch.no_grad():
                old = score(likelihood(start), words)
            return score(likelihood(policy), words) - old

        def heads(words):
            return score(lambda X, Y: reward(X)[:, 0], words)

        def pairs(words, count, wrong=0.0):
            some = [words[k] for k in torch.randint(len(words), (2 * count,), generator=g).tolist()]
            some = [(a, b) for a, b in zip(some[::2], some[1::2]) if vowels[a] != vowels[b]]
            flip = (torch.rand(len(some), generator=g) < wrong).tolist()
            ordered = [(a, b) if (vowels[a] > vowels[b]) != f else (b, a) for (a, b), f in zip(some, flip)]
            return [a for a, _ in ordered], [b for _, b in ordered]

        result, test = {}, pairs(new, 2000)
        for name, f, net, beta in (("likelihoods", ranks, policy, 0.3), ("reward", heads, reward, 1.0)):
            def batch_loss(f=f, beta=beta):
                better, worse = pairs(train, 64, wrong=0.1)
                return -F.logsigmoid(beta * (f(better) - f(worse))).mean()
            fit(batch_loss, torch.optim.AdamW(net.parameters(), 0.003), 400)
            with torch.no_grad():
                result[name] = (f(test[0]) > f(test[1])).float().mean().item()
        with torch.no_grad():
            return result | {"vowels before": written(start, g), "vowels after": written(policy, g)}
    rows = row_of(0.003, [run(seed) for seed in range(1, 6)])
    return say("prefer", {"names": rows})


def cost(ten, nine):
    """Tips 21 and 43: median microseconds, one thread. Norms forward and backward on 1,024 tokens of 48 features."""
    x, found = torch.randn(1024, 48, requires_grad=True), {}
    for name, norm in {"layer norm": nn.LayerNorm(48), "RMS norm": nn.RMSNorm(48)}.items():
        timer = benchmark.Timer("norm(x).sum().backward()", globals={"norm": norm, "x": x})
        found[name] = round(1e6 * timer.blocked_autorange(min_run_time=1).median, 1)
    for name, how in {"one by one": {"foreach": False}, "fused": {"fused": True}}.items():
        net = ten["small_net"]()
        ten["split_loss"](net, ten["Xdev"], ten["Ydev"])
        F.cross_entropy(net(ten["Xdev"]), ten["Ydev"]).backward()
        timer = benchmark.Timer("o.step()", globals={"o": torch.optim.AdamW(net.parameters(), **how)})
        found[f"AdamW, {name}"] = round(1e6 * timer.blocked_autorange(min_run_time=1).median, 1)
    print("cost", found)
    return found


PARTS = {f.__name__: f for f in (cost, proxy, clock, scaling, noise, averages, late, order, steady, starts, whitening,
                                 prefer)}


WHAT = ("Notebook 12, section 7: losses on new data (nats), means over n seeds, their standard errors (se). "
        "clock: steps until 99% of the known pairs and 90% of the new ones are right (null: not within 3,000). "
        "scaling: foretold from widths 4, 8 and 16 before the others were run. steady: how much a step changes "
        "a feature's log variance, before and after the norm. prefer: shares. cost: median microseconds.")


def record(found):
    _record.record(RESULT, WHAT, "tests.bench.tips", PARTS, found)


def main():
    def load():
        return helpers.run("12_training", *CELLS_12), helpers.run("10_layers", *CELLS_10)
    _record.command(__doc__, PARTS, load, record)


if __name__ == "__main__":
    main()
