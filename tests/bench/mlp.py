"""Measures the recipes of notebook 03 at full length, in its own cells, on one thread.

    python -m tests.bench.mlp             prints train and dev loss, seconds and the mean over seeds
    python -m tests.bench.mlp --record    also writes data/results/mlp.json

The peer is the lecture's recipe (batches of 32, rate 0.1, then 0.01, 200,000 steps from wild
random numbers), on the same piles of distinct names.
"""
import argparse
import os
import statistics
import time
from pathlib import Path

import torch

from tests import helpers
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "mlp.json"
CELLS = ("words", "dataset", "split", "model", "batch", "loss_on", "calm", "answers", "recipe", "without")


def lecture(nb, seed, steps):
    start = time.perf_counter()
    parameters, _ = nb["lecture_recipe"](steps=steps, seed=seed)
    return parameters, time.perf_counter() - start


def ours(nb, seed, **change):
    parameters, log = nb["train_mlp"](seed=seed, **change)
    return parameters, log.seconds


RECIPES = {
    "lecture, 200,000 steps": (lecture, {"steps": 200_000}, 3),
    "lecture, 4,000 steps": (lecture, {"steps": 4000}, 3),
    "ours, 2,000 steps": (ours, {}, 5),
    "ours, 6,000 steps": (ours, {"steps": 6000}, 5),
}


def measure(nb, recipe, n):
    """recipe(seed) -> (parameters, seconds), for n seeds."""
    runs = []
    for seed in range(1, n + 1):
        parameters, seconds = recipe(seed)
        piles = [(nb["Xtr"], nb["Ytr"]), (nb["Xdev"], nb["Ydev"])]
        runs.append([nb["loss_on"](*pile, parameters) for pile in piles] + [seconds])
    train, dev, seconds = zip(*runs)
    return {"n": n, "train": round(statistics.mean(train), 4), "dev": round(statistics.mean(dev), 4),
            "dev_sd": round(statistics.stdev(dev), 4), "seconds": round(statistics.median(seconds), 1),
            "dev_runs": [round(v, 4) for v in dev]}


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--record", action="store_true", help=f"write data/results/{RESULT.name}")
    record = args.parse_args().record
    torch.set_num_threads(1)
    os.environ["MICRO_PROGRESS"] = "0"
    nb, rows, without = helpers.run("03_mlp", *CELLS), {}, {}
    for name, (recipe, change, n) in RECIPES.items():
        rows[name] = measure(nb, lambda seed, recipe=recipe, change=change: recipe(nb, seed, **change), n)
        print(f"{name:36s}", rows[name], flush=True)
    for name in nb["changes"](1):
        without[name] = measure(nb, lambda seed, name=name: ours(nb, seed, **nb["changes"](seed)[name]), 5)
        print(f"{name:36s}", without[name], flush=True)
    if record:
        what = ("Notebook 03's network (11,897 parameters) by several recipes, and its own recipe of 2,000 steps "
                "without one change at a time: means over n seeds, the standard deviation of the dev loss (nats), "
                "the median of the seconds.")
        _record.write(RESULT, what, "tests.bench.mlp", {"recipes": rows, "without": without})


if __name__ == "__main__":
    main()
