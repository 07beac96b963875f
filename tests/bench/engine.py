"""Times `micro.engine` against the PyPI package `micrograd`, in one run.

    python -m tests.bench.engine             prints the times, the ratio and the depth each survives
    python -m tests.bench.engine --record    also writes data/results/engine.json

One step = forward, backward and update of MLP(2, [16, 16, 1]) on a full batch of 100 moons with
hinge loss and weight decay, as in micrograd's own demo. Each engine runs in processes of its own,
because what one leaves to the garbage collector would slow the other down; the
processes alternate, so that a change of the machine's speed meets all.
"""
import argparse
import gc
import importlib.metadata
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import micrograd.engine
import micrograd.nn

import micro.engine
import micro.nn
from micro.data import moons
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "engine.json"


def written_out(neuron, x):
    """A neuron as micrograd has it: two nodes a weight, in place of one `dot`."""
    act = sum((wi * xi for wi, xi in zip(neuron.w, x)), neuron.b)
    return act.relu() if neuron.nonlin else act


class WrittenOut(micro.nn.MLP):
    """Our MLP without `dot`: what the engine alone is worth."""

    def __call__(self, x):
        for layer in self.layers:
            x = [written_out(n, x) for n in layer.neurons]
        return x[0]


def make_step(engine, mlp):
    """A function that does one training step and returns the loss; same weights for every engine."""
    X, y = moons(100, noise=0.1, seed=0)
    X, y = X.tolist(), (2 * y - 1).tolist()
    random.seed(1337)
    model = mlp(2, [16, 16, 1])

    def step(lr=0.05):
        scores = [model([engine.Value(v) for v in x]) for x in X]
        hinge = sum((1 + -yi * s).relu() for yi, s in zip(y, scores)) * (1 / len(y))
        loss = hinge + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= lr * p.grad
        return loss.data
    return step


def survives(engine, depth):
    """Does a chain of `depth` additions go backward?"""
    x = engine.Value(1.0)
    y = x
    for _ in range(depth):
        y = y + 1.0
    try:
        y.backward()
    except RecursionError:
        return False
    return x.grad == 1.0


def deepest(engine, most=1_000_000):
    """The longest chain that goes backward, to within ten nodes; `most` where even that does."""
    if survives(engine, most):
        return most
    good, bad = 1, most
    while bad - good > 10:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if survives(engine, middle) else (good, middle)
    return good


STEPS = {"micrograd": lambda: make_step(micrograd.engine, micrograd.nn.MLP),
         "micrograd, collector off": lambda: gc.disable() or make_step(micrograd.engine, micrograd.nn.MLP),
         "micro, sums written out": lambda: make_step(micro.engine, WrittenOut),
         "micro": lambda: make_step(micro.engine, micro.nn.MLP)}


def one_process(name, n=4):
    """What a worker does: n timed steps after one for warm-up; prints times (ms) and losses."""
    step, times, losses = STEPS[name](), [], []
    for _ in range(n + 1):
        start = time.perf_counter()
        losses.append(step())
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps([times[1:], losses]))


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--rounds", type=int, default=4, help="processes for each engine")
    args.add_argument("--record", action="store_true", help=f"write data/results/{RESULT.name}")
    args.add_argument("--one", choices=STEPS, help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.one:
        return one_process(args.one)

    times, losses = {name: [] for name in STEPS}, {}
    for _ in range(args.rounds):
        for name in STEPS:
            out = subprocess.run([sys.executable, "-m", "tests.bench.engine", "--one", name],
                                 capture_output=True, text=True, check=True).stdout
            t, losses[name] = json.loads(out)
            times[name] += t
    for name in STEPS:  # a fast engine that computes something else would be no news
        assert all(abs(a - b) < 1e-9 for a, b in zip(losses[name], losses["micrograd"])), name

    base = statistics.median(times["micrograd"])
    print(f"one step, MLP(2, [16, 16, 1]) on 100 moons, median of {len(times['micro'])}:")
    rows = {}
    for name, t in times.items():
        rows[name] = {"ms": round(statistics.median(t), 2), "min": round(min(t), 2), "max": round(max(t), 2),
                      "times_faster": round(base / statistics.median(t), 1)}
        print(f"  {name:24s} {rows[name]['ms']:8.1f} ms  ({min(t):.1f} to {max(t):.1f})   "
              f"micrograd / this = {rows[name]['times_faster']:.1f}")
    depth = {"micrograd": deepest(micrograd.engine), "micro": deepest(micro.engine)}
    for name, d in depth.items():
        longest = ", the longest tried" if d == 1_000_000 else ""
        print(f"  {name:24s} a chain of {d:,} nodes goes backward{longest}")
    if args.record:
        _record.write(RESULT, __doc__.split("\n\n")[2].replace("\n", " ").strip(), "tests.bench.engine",
                      {"runs": len(times["micro"]), "step": rows, "longest_chain": depth},
                      micrograd=importlib.metadata.version("micrograd"))
        print("wrote", RESULT.relative_to(RESULT.parents[2]))


if __name__ == "__main__":
    main()
