"""Measures notebooks 11 and 12 at full length, in its own cells, on one thread: bugs, batches, optimizers, searches.

    python -m tests.bench.training                  prints losses, means and standard errors
    python -m tests.bench.training --record         also writes data/results/training.json
    python -m tests.bench.training --only spikes    one part alone; with --record the other recorded parts stay

Seeds are shared by all kinds that are compared, so runs can be compared pair by pair. Losses are those on names that
the nets did not learn from. About half an hour on one core.
"""
import random
import time
from pathlib import Path

import torch

from micro.check.bugs import EDITS, program
from micro.stats import mean_and_error
from tests import helpers
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "training.json"
CELLS = ("words", "learn", "ramp", "muon", "schedules", "by_hand")
SEEDS = (1, 2, 3, 4, 5)


def rounded(values):
    """What JSON keeps of losses; infinite and nan as 99."""
    return [round(v, 4) if v < 99 else 99.0 for v in values]


def say(name, values):
    mean, error = mean_and_error(rounded(values))
    print(f"{name:40s} {mean:.4f} ± {error:.4f}", flush=True)
    return rounded(values)


# -- the bugs ------------------------------------------------------------------------------------------------

def one_by_one(run, n=100):
    """The loss of the first names kept for judging, each prepared and asked alone."""
    total = letters = 0
    for word in run.val_words[:n]:
        data = run.prepare([word])
        total += run.evaluate(data)[0] * len(data[-1])
        letters += len(data[-1])
    return total / letters


def patients(nb):
    """What each program reports of itself, what its net does in the healthy program, and name by name in its own."""
    found = {}
    for bug in range(len(EDITS) + 1):
        rows = []
        for seed in SEEDS:
            run = program(*[bug][:bug])(seed)
            run.learn()
            loss, right = run.evaluate()
            healthy = program()(seed)
            healthy.model = run.model
            rows.append((loss, right, run.evaluate(run.train)[0], healthy.evaluate()[0], one_by_one(run)))
        names = ("loss", "right", "train", "in_healthy", "one_by_one")
        found[str(bug)] = dict(zip(names, map(rounded, zip(*rows))))
        say(f"patient {bug}", found[str(bug)]["loss"])
    return found


def spikes(nb):
    """Ten or a hundred times the rate for five steps, early, in the middle or late; and runs without."""
    at = {"early": 0.1, "middle": 0.5, "late": 0.9}
    runs = {f"{name}, × {factor}": nb["spike_at"](share, factor) for factor in (10, 100) for name, share in at.items()}
    runs = {"none": nb["spike_at"](0, 1)} | runs
    return {name: say(f"spike: {name}", [nb["learn"](nb["small_net"](seed=s), schedule=schedule, fused=True, seed=s)
                                         for s in range(1, 11)]) for name, schedule in runs.items()}


def best_of(name, rows):
    """Of runs at several rates those of the best one."""
    best = min(rows, key=lambda lr: sum(rounded(rows[lr])))
    return {"lr": best, "loss": say(f"{name}, lr {best}", rows[best])}


# -- batches and rates ---------------------------------------------------------------------------------------

def ramps(nb):
    """The rate at which a long cosine warm-up breaks the run, with a small batch."""
    return {kind: say(f"breaking rate, {kind}, batch 16",
                      [nb["breaking_rate"](kind, 16, {"SGD": 3.0, "AdamW": 0.3}[kind], seed=s)[2] for s in SEEDS])
            for kind in nb["optimizers"]}


def train(nb, kind, lr, batch, steps, seed, **data):
    optimizer, how = nb["optimizers"][kind]
    return nb["learn"](nb["small_net"](seed=seed), lr, steps, batch, optimizer, seed=seed, **how, **data)


def step_seconds(nb, kind, batch, steps=100):
    """The median of five clocks, in seconds a step."""
    clocks = []
    for seed in SEEDS:
        started = time.perf_counter()
        train(nb, kind, 0.001, batch, steps, seed)
        all_steps = time.perf_counter() - started
        started = time.perf_counter()
        train(nb, kind, 0.001, batch, 1, seed)
        clocks.append((all_steps - (time.perf_counter() - started)) / (steps - 1))
    return sorted(clocks)[2]


def rules(nb, small=16, large=256, steps=4000):
    """The guide's experiment: half the breaking rate for the small batch, four rules for the large one."""
    found = {}
    for kind in nb["optimizers"]:
        high = {"SGD": 3.0, "AdamW": 0.3}[kind]
        lr = sorted(nb["breaking_rate"](kind, small, high, seed=s)[2] for s in SEEDS)[2] / 2
        times = step_seconds(nb, kind, large) / step_seconds(nb, kind, small)
        row = {"lr": round(lr, 5), "time_ratio": round(times, 2), "small": say(
            f"{kind}, batch {small}, lr {lr:.4f}", [train(nb, kind, lr, small, steps, s) for s in SEEDS])}
        budgets = {"steps": steps, "samples": steps * small // large, "time": round(steps / times)}
        for rule, power in {"√(old/new)": -0.5, "as it is": 0, "√(new/old)": 0.5, "new/old": 1}.items():
            rate = lr * (large / small) ** power
            row[rule] = {budget: say(f"{kind}, batch {large}, {rule}, equal {budget}",
                                     [train(nb, kind, rate, large, n, s) for s in SEEDS])
                         for budget, n in budgets.items()}
        found[kind] = row
    return found


def valley(nb, samples=64_000):
    """Losses after equal samples for batches and rates: three seeds each."""
    found = {}
    for kind, rates in {"SGD": [0.01 * 2**k for k in range(9)], "AdamW": [0.001 * 2**k for k in range(9)]}.items():
        found[kind] = {str(batch): {f"{lr:g}": say(f"{kind}, batch {batch}, lr {lr:g}", [
            train(nb, kind, lr, batch, samples // batch, s) for s in SEEDS[:3]]) for lr in rates}
            for batch in (16, 64, 256, 1024)}
    return found


def few(nb):
    """The letters of 1,337 names: each twentieth of those to learn from."""
    return nb["letters"]([w for k, w in enumerate(nb["words"]) if k % 10][::20])


def equal_steps(nb, steps=500):
    """Is a larger batch always better in a given number of steps? Each batch with the best of its rates."""
    found = {}
    for kind, rates in {"SGD": [0.05, 0.1, 0.2, 0.4, 0.8], "AdamW": [0.005, 0.01, 0.02, 0.04, 0.08]}.items():
        for what, data in {"all names": {}, "few names": {"data": few(nb)}}.items():
            for batch in (8, 32, 128, 512, 2048):
                rows = {lr: [train(nb, kind, lr, batch, steps, s, **data) for s in SEEDS[:3]] for lr in rates}
                found.setdefault(f"{kind}, {what}", {})[str(batch)] = best_of(f"{kind}, {what}, batch {batch}", rows)
    return found


# -- optimizers and schedules --------------------------------------------------------------------------------

def sensitivity(nb):
    """Losses over learning rates, for five optimizers, on a net of three hidden layers."""
    rates = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
    return {name: {f"{lr:g}": say(f"{name}, lr {lr:g}", [deep(nb, lr, s, **kind) for s in SEEDS[:3]]) for lr in rates}
            for name, kind in nb["kinds"].items()}


def deep(nb, lr, seed, optimizer, steps=500, **how):
    net = nb["small_net"](depth=3, seed=seed)
    if optimizer is nb["Both"]:
        return nb["learn"](net, lr, steps, optimizer=lambda _, rate: nb["Both"](net, rate), seed=seed, **how)
    return nb["learn"](net, lr, steps, optimizer=optimizer, seed=seed, **how)


def schedules(nb):
    """AdamW under five schedules, each over learning rates."""
    rates = [0.001, 0.003, 0.01, 0.02, 0.04, 0.08]
    adam = nb["kinds"]["AdamW"]
    return {name: {f"{lr:g}": say(f"{name}, lr {lr:g}", [deep(nb, lr, s, schedule=schedule, **adam) for s in SEEDS])
                   for lr in rates} for name, schedule in nb["schedules"].items()}


def warm(nb):
    """Adam, Adam with a shorter memory and RAdam, with and without a warm-up, and under a linear one-cycle."""
    kinds = {"Adam": {"optimizer": torch.optim.Adam, "fused": True}, "RAdam": {"optimizer": torch.optim.RAdam},
             "Adam, β2 = 0.95": {"optimizer": torch.optim.Adam, "betas": (0.9, 0.95), "fused": True}}
    plans = {"linear": nb["linear"], "warm-up": nb["linear_schedule"], "one-cycle": nb["one_cycle"]}
    return {f"{name}, {plan}": {f"{lr:g}": say(f"{name}, {plan}, lr {lr:g}", [
        deep(nb, lr, s, schedule=schedule, **kind) for s in SEEDS]) for lr in (0.01, 0.02, 0.04, 0.08)}
        for name, kind in kinds.items() for plan, schedule in plans.items()}


def epochs(nb):
    """Adam and SGD with momentum: many letters seen once, and few seen twenty times; each with its best rate."""
    found = {}
    for what, data in {"all names, once": {}, "few names, twenty times": {"data": few(nb)}}.items():
        for kind, rates in {"SGD": (0.05, 0.1, 0.2), "AdamW": (0.003, 0.006, 0.012)}.items():
            rows = {lr: [train(nb, kind, lr, 64, 3200, s, **data) for s in SEEDS] for lr in rates}
            found.setdefault(what, {})[kind] = best_of(f"{what}, {kind}", rows)
    return found


def momentum(nb):
    """SGD: losses over rates and momenta."""
    return {str(m): {f"{lr:g}": say(f"momentum {m}, lr {lr:g}", [
        nb["learn"](nb["small_net"](seed=s), lr, 500, optimizer=torch.optim.SGD, momentum=m, seed=s)
        for s in SEEDS[:2]]) for lr in [0.005 * 2**k for k in range(10)]} for m in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)}


BOX = {"lr": (1e-4, 0.3), "batch": (8, 512), "momentum": (0.5, 0.99), "weight_decay": (1e-3, 1.0)}


def from_unit(name, place):
    """The setting at a place from 0 to 1 of its range, logarithmic; momentum counts by 1 - momentum."""
    low, high = (1 - v if name == "momentum" else v for v in BOX[name])
    value = low * (high / low) ** min(max(place, 0), 1)
    return 1 - value if name == "momentum" else value


def by_random(f, places, tries, rng, near=None):
    """The start, then anywhere; with `near`, all at once by up to that much from the best, which is gone back to."""
    path = [(f(places), places)]
    while len(path) < tries:
        best = path[-1][1]
        new = {name: min(max(best[name] + rng.uniform(-near, near), 0), 1) if near else rng.random() for name in places}
        path.append(min(path[-1], (f(new), new), key=lambda pair: pair[0]))
    return path


def several(f, places, tries, rng):
    return by_random(f, places, tries, rng, near=0.25)


def search(nb, tries=24, repeats=10, samples=12_800):
    """Rate, batch, β1 and weight decay of AdamW: one at a time, all at once near the best, all at once anywhere.

    24 tries of 12,800 samples each. Every repeat has a start and a seed of its own, the same for all three; what is
    found is judged by three other seeds.
    """
    def f(places, seed):
        at = {name: from_unit(name, place) for name, place in places.items()}
        batch = round(at["batch"])
        loss = nb["learn"](nb["small_net"](seed=seed), at["lr"], max(1, samples // batch), batch, seed=seed,
                           betas=(at["momentum"], 0.999), weight_decay=at["weight_decay"], fused=True)
        return min(loss, 99.0)

    found = {}
    for name, how in (("by hand", nb["by_hand"]), ("several at once", several), ("anywhere", by_random)):
        paths = []
        for repeat in range(repeats):
            rng = random.Random(repeat)
            start = {setting: rng.random() for setting in BOX}
            paths.append(how(lambda places, seed=100 + repeat: f(places, seed), start, tries, rng))
        found[name] = {"path": [rounded(loss for loss, _ in path) for path in paths],
                       "judged": say(name, [sum(f(path[-1][1], seed) for seed in (2, 3, 4)) / 3 for path in paths])}
    return found


PARTS = {f.__name__: f for f in (patients, spikes, ramps, rules, valley, equal_steps, sensitivity, schedules, warm,
                                 epochs, momentum, search)}


WHAT = "Notebooks 11 and 12: losses on new names, one a seed. patients: program 0 is healthy, 1 to 17 have a bug each."


def cells():
    return helpers.run("12_training", *CELLS, space=helpers.run("11_debugging", "words", "learn", "spike_at"))


def main(argv=None, result=RESULT, parts=PARTS, load=cells):
    def save(found):
        _record.record(result, WHAT, "tests.bench.training", parts, found)

    _record.command(__doc__, parts, lambda: (load(),), save, argv)


if __name__ == "__main__":
    main()
