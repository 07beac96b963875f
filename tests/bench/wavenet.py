"""Measures notebook 06 at full length, in its own cells, on one thread.

    python -m tests.bench.wavenet                 prints losses and seconds
    python -m tests.bench.wavenet --record        also writes data/results/wavenet.json
    python -m tests.bench.wavenet --only parts    the ablations alone; with --record the recorded log stays
    python -m tests.bench.wavenet --only log      the lecture's log alone; the recorded ablations stay

The log: the lecture's five networks by the notebook's `train`, 6,000 steps each, and the last of them by the
lecture's own loop (batches of 32, 150,000 steps at 0.1 and 50,000 at 0.01). The parts: the WaveNet by the
notebook's `train_sequences`, 4,000 steps, with one part changed at a time and the channels chosen so that the
number of parameters stays.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from micro import layers, wavenet
from tests import helpers
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "wavenet.json"
CELLS = ("config", "data", "targets", "train", "flat", "tree", "sequences", "train_sequences",
         "sequence_loss")


# -- the log --------------------------------------------------------------------------------------------

def lecture_loop(nb, net, seed, steps=200_000):
    """Plain descent on single letters; returns the seconds."""
    g, start = torch.Generator().manual_seed(seed), time.perf_counter()
    for step in range(steps):
        ix = torch.randint(0, len(nb["Xtr"]), (32,), generator=g)
        grads = torch.autograd.grad(F.cross_entropy(net(nb["Xtr"][ix]), nb["Ytr"][ix]), list(net.parameters()))
        with torch.no_grad():
            for p, grad in zip(net.parameters(), grads):
                p -= (0.1 if step < 0.75 * steps else 0.01) * grad
    return time.perf_counter() - start


def rungs(nb):
    """name -> function of a seed that gives (net, seconds), and how many letters the net reads."""
    def ours(make, letters=8, **how):
        def run(seed):
            net = make(seed)
            X = nb["Xtr"][:, -letters:].contiguous()
            return net, nb["train"](net, 6000, seed=seed, X=X, **how).seconds
        return run, letters

    def lecture(seed):
        net = nb["tree"](24, 128, seed=seed)
        return net, lecture_loop(nb, net, seed)

    return {"three letters, flat": ours(lambda seed: nb["flat_net"](3, seed=seed), 3),
            "eight letters, flat": ours(lambda seed: nb["flat_net"](8, seed=seed)),
            "tree, with the bug": ours(lambda seed: nb["tree"](bug=True, seed=seed)),
            "tree, repaired": ours(lambda seed: nb["tree"](seed=seed)),
            "eight letters, flat, scaled up": ours(lambda seed: nb["flat_net"](8, 345, 24, seed=seed)),
            "tree, scaled up": ours(lambda seed: nb["tree"](24, 128, seed=seed)),
            "tree, scaled up, lecture's loop": (lecture, 8)}


# -- the parts ------------------------------------------------------------------------------------------

class Block(wavenet.GatedBlock):
    """A GatedBlock with parts that can be left out."""

    def __init__(self, C, n_skip, dilation, dropout, gated, residual):
        super().__init__(C, n_skip, dilation, dropout)
        self.gated, self.residual = gated, residual
        if not gated:
            self.conv = wavenet.CausalConv(C, C, dilation)

    def gate(self, x, y):
        value, gate = y.chunk(2, -1) if self.gated else (y, None)
        z = self.dropout(torch.tanh(value) * (torch.sigmoid(gate) if self.gated else 1))
        change, skip = self.out(z).split(self.split, -1)
        return (x if self.residual else 0) + change, skip


class Net(wavenet.WaveNet):
    """A WaveNet of such blocks; skips=False hears the last block alone."""

    def __init__(self, C, n_skip=96, dilations=(1, 2, 4), dropout=0.05, gated=True, residual=True, skips=True):
        super().__init__(27, C, n_skip, dilations)
        self.blocks = nn.ModuleList(Block(C, n_skip, d, dropout, gated, residual) for d in dilations)
        self.skips = skips

    def forward(self, ix):
        x, heard = self.embedding(ix), []
        for block in self.blocks:
            x, skip = block(x)
            heard.append(skip)
        return self.head(sum(heard) if self.skips else heard[-1])


def size(net):
    # The residual of the last block leads nowhere, and without skips nor do the earlier skips.
    return sum(p.numel() for p in net.parameters())


def as_large(**parts):
    """The Net with these parts whose number of parameters is nearest to the notebook's WaveNet."""
    wanted = size(wavenet.WaveNet(27))
    return min(range(24, 120), key=lambda C: abs(size(Net(C, **parts)) - wanted))


PARTS = {
    "WaveNet": {},
    "no gate (tanh alone)": {"gated": False},
    "no residual": {"residual": False},
    "no skips (the last layer speaks)": {"skips": False},
    "no dropout": {"dropout": 0.0},
    "dilations 1, 1, 1": {"dilations": (1, 1, 1)},
    "dilations 1, 2, 4, 8": {"dilations": (1, 2, 4, 8)},
}


def measure(n, run):
    """run(seed) -> (train, dev, seconds, parameters)."""
    rows = list(zip(*[run(seed) for seed in range(1, n + 1)]))
    return {"n": n, "parameters": rows[3][0], "train": round(statistics.mean(rows[0]), 4),
            "dev": round(statistics.mean(rows[1]), 4), "dev_sd": round(statistics.stdev(rows[1]), 4),
            "seconds": round(statistics.median(rows[2]), 1), "dev_runs": [round(v, 4) for v in rows[1]]}


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--record", action="store_true", help=f"write data/results/{RESULT.name}")
    args.add_argument("--only", choices=["log", "parts"])
    args.add_argument("--row", help="only the rows whose names contain this; the other recorded ones stay")
    args.add_argument("--n", type=int, default=3, help="seeds of each")
    args = args.parse_args()
    torch.set_num_threads(1)
    nb = helpers.run("06_wavenet", *CELLS, space=dict(vars(layers)))
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}

    def windows(make, letters):
        def run(seed):
            net, seconds = make(seed)
            losses = [nb["split_loss"](net, nb[f"X{pile}"][:, -letters:], nb[f"Y{pile}"]) for pile in ("tr", "dev")]
            return *losses, seconds, size(net)
        return run

    def names(make, share=None, **how):
        def run(seed):
            torch.manual_seed(seed)
            net, data = make(), nb["train_names"]
            if share == 0:
                X, T, Y, lengths = data
                data = X, F.one_hot(Y.clamp(min=0), 27) * (Y >= 0)[..., None].float(), Y, lengths
            seconds = nb["train_sequences"](net, data, 4000, seed=seed, **how).seconds
            losses = [nb["sequence_loss"](net, nb[pile]) for pile in ("train_names", "dev_names")]
            return *losses, seconds, size(net)
        return run

    todo = {}
    if args.only != "parts":
        todo["log"] = {name: (windows(*made), 2 if "loop" in name else args.n) for name, made in rungs(nb).items()}
    if args.only != "log":
        todo["parts"] = {name: (names(lambda parts=parts: Net(as_large(**parts), **parts)), args.n)
                         for name, parts in PARTS.items()}
        todo["parts"]["targets: the letter alone"] = names(lambda: Net(55), share=0), args.n

        def tree_with_dropout(seed):
            net = nb["tree"](24, 128, seed=seed)
            with_dropout = [each for layer in net
                            for each in ([layer, nn.Dropout(0.1)] if isinstance(layer, layers.Tanh) else [layer])]
            net = layers.Sequential(*with_dropout)
            return net, nb["train"](net, 6000, seed=seed).seconds
        todo["parts"]["(the large tree with dropout 0.1)"] = windows(tree_with_dropout, 8), args.n
    for kind, rows in todo.items():
        kept = found.get(kind, {}) if args.row else {}
        found[kind] = {}
        for name, (run, n) in rows.items():
            if args.row and args.row not in name:
                found[kind] |= {name: kept[name]} if name in kept else {}
                continue
            found[kind][name] = measure(n, run)
            print(f"{name:34s}", found[kind][name], flush=True)
    if args.record:
        what = ("Notebook 06: train and dev losses (nats; means over n seeds, the dev loss with its standard "
                "deviation) and median seconds. log: the lecture's five networks by the notebook's recipe, 6,000 "
                "steps, and the last by the lecture's loop, 200,000 steps. parts: the WaveNet, 4,000 steps, with one "
                "part changed at a time at an equal number of parameters.")
        _record.record(RESULT, what, "tests.bench.wavenet", ("log", "parts"), {kind: found[kind] for kind in todo})


if __name__ == "__main__":
    main()
