"""Measures notebook 04 at full length, in its own cells, on one thread.

    python -m tests.bench.diagnostics             prints dev losses and seconds
    python -m tests.bench.diagnostics --record    also writes data/results/diagnostics.json

The lecture's log: notebook 03's network by the lecture's loop (batches of 32, 100,000 steps at 0.1 and
100,000 at 0.01), repaired step by step; then the six-layer network with batch norm by the notebook's recipe.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from micro import layers
from tests import helpers
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "diagnostics.json"
CELLS = ("data", "one_layer", "descend", "train", "deep_net")


def rung(nb, seed, steps, **scales):
    parameters = nb["one_layer"](seed=seed, **scales)
    for lr in (0.1, 0.01):
        nb["descend"](parameters, steps=steps // 2, lr=lr, seed=seed + round(1 / lr))
    return lambda X: nb["forward"](X, parameters)[2]


def with_batch_norm(nb, seed, steps):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(  # the notebook's layers are equal to these, and slower
        torch.nn.Embedding(27, 10), torch.nn.Flatten(), torch.nn.Linear(30, 200, bias=False),
        torch.nn.BatchNorm1d(200), torch.nn.Tanh(), torch.nn.Linear(200, 27))
    with torch.no_grad():
        net[2].weight.normal_(0, (5 / 3) / 30**0.5)
        net[5].weight.normal_(0, 0.01)
        net[5].bias.zero_()
    for lr in (0.1, 0.01):
        optimizer, g = torch.optim.SGD(net.parameters(), lr=lr), torch.Generator().manual_seed(seed + round(1 / lr))
        for _ in range(steps // 2):
            ix = torch.randint(0, len(nb["Xtr"]), (32,), generator=g)
            loss = F.cross_entropy(net(nb["Xtr"][ix]), nb["Ytr"][ix])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


KAIMING = (5 / 3) / 30**0.5
RUNGS = {
    "original": {},
    "small output layer": {"w2": 0.01, "b2": 0.0},
    "no saturation": {"w2": 0.01, "b2": 0.0, "w1": 0.2, "b1": 0.01},
    "Kaiming": {"w2": 0.01, "b2": 0.0, "w1": KAIMING, "b1": 0.01},
    "batch norm": None,
}


def six_layers(nb, seed):
    net = nb["deep_net"](gain=1.0, norm=torch.nn.BatchNorm1d, seed=seed)
    nb["train"](net, steps=2500, seed=seed)
    return net


def measure(nb, make, seeds):
    runs = []
    for seed in seeds:
        start = time.perf_counter()
        model = make(seed)
        seconds = time.perf_counter() - start
        runs.append([nb["split_loss"](model, nb[f"X{p}"], nb[f"Y{p}"]) for p in ("tr", "dev")] + [seconds])
    train, dev, seconds = zip(*runs)
    return {"n": len(runs), "train": round(statistics.mean(train), 4), "dev": round(statistics.mean(dev), 4),
            "dev_sd": round(statistics.stdev(dev), 4), "seconds": round(statistics.median(seconds), 1)}


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--record", action="store_true", help=f"write data/results/{RESULT.name}")
    args.add_argument("--steps", type=int, default=200_000, help="of each rung")
    args.add_argument("--six", action="store_true", help="the six layers only; the recorded rungs stay")
    args.add_argument("--n", type=int, default=2, help="seeds of each rung")
    args = args.parse_args()
    torch.set_num_threads(1)
    nb, rows = helpers.run("04_diagnostics", *CELLS, space=dict(vars(layers))), {}
    makers = {name: (lambda seed, s=scales: with_batch_norm(nb, seed, args.steps) if s is None
                     else rung(nb, seed, args.steps, **s)) for name, scales in ({} if args.six else RUNGS).items()}
    for name, make in {"six layers": lambda seed: six_layers(nb, seed), **makers}.items():
        rows[name] = measure(nb, make, range(1, (5 if name == "six layers" else args.n) + 1))
        print(name, rows[name], flush=True)
    if args.six:
        rows |= json.loads(RESULT.read_text(encoding="utf-8"))["rungs"]
    if args.record:
        what = ("Dev losses (nats; means and standard deviations over n seeds, median seconds). Rungs: notebook 03's "
                f"network by the lecture's loop, {args.steps} steps, repaired step by step. Six layers: notebook 04's "
                "deep network, 2,500 steps.")
        _record.write(RESULT, what, "tests.bench.diagnostics", {"six_layers": rows.pop("six layers"), "rungs": rows})


if __name__ == "__main__":
    main()
