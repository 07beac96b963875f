"""Measures notebooks 09 and 10 at full length, in its own cells, on one thread: what each layer does to the loss.

    python -m tests.bench.layers                  prints losses, means and standard errors
    python -m tests.bench.layers --record         also writes data/results/layers.json
    python -m tests.bench.layers --only gated     one part alone; with --record the other recorded parts stay

Every kind of layer gets its own learning rate: the best of a grid for seed 0 (for the GPT, the best mean over the
seeds). The seeds that are reported (1, 2, ...) are shared by all kinds: they see the same batches, so kinds can be
compared pair by pair. The image nets' rate is chosen on the first 1,000 test pictures; they are judged by the others.
About an hour and a half on one core.
"""
import functools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from micro.layers import BatchRenorm, GroupNorm, LayerNorm, RMSNorm, normalize
from micro.stats import mean_and_error
from tests import helpers
from tests.bench import _record

RESULT = Path(__file__).parents[2] / "data" / "results" / "layers.json"
CELLS = ("images", "words", "image_net", "flat", "shapes", "deep", "gated", "feeds", "text")


def measured(run, rates, seeds, grow=True):
    """run(lr, seed) -> (figure to choose by, figures to report). The best rate of seed 0, then all seeds.

    grow: where the best is the first or last of the grid, the grid grows at that end, twofold, until it no longer is.
    """
    def score(lr):
        value = run(lr, 0)[0]
        return value if value < 99.0 else 99.0 + abs(math.log(lr))      # nan and infinite too: last, no two equal

    tried = {lr: score(lr) for lr in rates}
    while grow and (best := min(tried, key=tried.get)) in (min(tried), max(tried)) and len(tried) < 10:
        lr = round(best * 2 if best == max(tried) else best / 2, 6)
        tried[lr] = score(lr)
    best = min(tried, key=tried.get)
    return row_of(best, [run(best, seed)[1] for seed in range(1, seeds + 1)])


def row_of(lr, runs):
    """What is recorded of several runs, each {name: figure}; nan and infinite count as 99."""
    row = {"lr": lr, "n": len(runs)}
    for name in runs[0]:
        values = [r[name] if r[name] < 99.0 else 99.0 for r in runs]
        mean, error = mean_and_error(values)
        row[name] = {"mean": round(mean, 4), "se": round(error, 4), "runs": [round(v, 4) for v in values]}
    return row


def image_figures(nb, net, batch=64):
    """Loss by eval mode on the pictures to choose by; on the others by eval mode and by train mode, and accuracy."""
    net.eval()
    logits = torch.cat([net(x) for x in nb["Xte"].split(500)])
    choose, rest = (F.cross_entropy(logits[part], nb["Yte"][part]).item() for part in (slice(1000), slice(1000, None)))
    right = (logits[1000:].argmax(1) == nb["Yte"][1000:]).float().mean().item()
    X, Y = nb["Xte"][1000:], nb["Yte"][1000:]
    return choose, {"loss": rest, "train_mode": nb["two_modes"](net, X, Y, batch)[1], "accuracy": right}


def image_part(nb, kinds, rates=(0.005, 0.01, 0.02), seeds=5, **how):
    def run(kind, lr, seed):
        net = nb["learn"](nb["image_net"](**kind, seed=seed), lr=lr, seed=seed, **how)
        with torch.no_grad():
            return image_figures(nb, net, how.get("batch", 64))
    return {name: measured(functools.partial(run, kind), rates, seeds) for name, kind in kinds.items()}


def flat_norms(nb):
    """The same on names, without places: batch norm has nothing but the batch. 16,000 letters in all cases."""
    found = {}
    for batch in (64, 16, 4, 2):
        m = batch / 640
        kinds = {"none": None, "batch": lambda d, m=m: nn.BatchNorm1d(d, momentum=m),
                 "batch renorm": lambda d, m=m: BatchRenorm(d, momentum=m, r_max=3, d_max=5),
                 "layer": LayerNorm, "RMS": RMSNorm}

        def run(norm, lr, seed, batch=batch):
            net = nb["flat_net"](norm, seed=seed)
            loss = nb["learn_names"](net, 16_000 // batch, lr * (batch / 64)**0.5, batch, seed=seed)
            return loss, {"loss": loss, "train_mode": nb["two_modes"](net, nb["Wte"], nb["Vte"], batch)[1]}
        rows = {name: measured(functools.partial(run, norm), (0.003, 0.006, 0.012), 5) for name, norm in kinds.items()}
        found[str(batch)] = say(f"names, batch {batch}", rows)
    return found


class RMSImage(nn.Module):
    """RMS norm over all channels and places of an example, a gain for each channel."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return self.weight.view(-1, 1, 1) * normalize(x, (1, 2, 3), center=False)


def norms(nb):
    """Batch sizes against norms, at equal pictures. Running statistics remember about 640 pictures in all cases."""
    found = {}
    for batch in (64, 16, 4, 2, 1):
        momentum = batch / 640
        kinds = {"none": None, "batch": lambda d, m=momentum: nn.BatchNorm2d(d, momentum=m),
                 "batch renorm": lambda d, m=momentum: BatchRenorm(d, momentum=m, r_max=3, d_max=5),
                 "group": lambda d: GroupNorm(4, d), "layer": lambda d: GroupNorm(1, d), "RMS": RMSImage,
                 "instance": lambda d: nn.InstanceNorm2d(d, affine=True)}
        kinds = {name: {"norm": norm} for name, norm in kinds.items()}
        found[str(batch)] = say(f"batch {batch}", image_part(nb, kinds, seeds=3, batch=batch))
    return found


def activations(nb):
    kinds = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU,
             "leaky ReLU": lambda: nn.LeakyReLU(0.1), "GELU": nn.GELU, "SiLU": nn.SiLU, "squared ReLU": nb["Squared"]}
    plain = {name: {"act": act} for name, act in kinds.items()}
    normed = {name: {"act": act, "norm": nn.BatchNorm2d} for name, act in kinds.items()}
    return {"with batch norm": say("activations, batch norm", image_part(nb, normed)),
            "no norm": say("activations, no norm", image_part(nb, plain))}


def text_part(nb, kinds, rates=(0.008, 0.016), seeds=5, steps=1000, **how):
    """Each kind at each rate with all seeds; the rate with the best mean. (Differences here are as small as the
    noise of one seed, so one seed can't choose. 0.032 was worse for GELU, GLU and SiLU.)"""
    found = {}
    for name, make in kinds.items():
        rows = [row_of(lr, [{"loss": nb["learn_text"](nb["gpt"](**make, seed=seed), steps, lr, seed, **how)}
                            for seed in range(1, seeds + 1)]) for lr in rates]
        found[name] = min(rows, key=lambda row: row["loss"]["mean"])
    return found


def gated(nb):
    return say("gated", text_part(nb, {name: {"make": make} for name, make in nb["feeds"].items()}))


def text_norms(nb):
    kinds = {"layer": lambda: LayerNorm(48), "RMS": lambda: RMSNorm(48), "none": nn.Identity}
    return say("norms of the GPT", text_part(nb, {name: {"norm": norm} for name, norm in kinds.items()}))


def dropout(nb):
    """30,000 letters, read over and over: 2,000 steps of 1,024 letters are 68 times."""
    few = nb["text_train"][:30_000]
    kinds = {"none": (0, 0, 0), "embedding 0.1": (0.1, 0, 0), "attention 0.1": (0, 0.1, 0),
             "branches 0.1": (0, 0, 0.1), "all three 0.1": (0.1, 0.1, 0.1), "all three 0.2": (0.2, 0.2, 0.2)}
    found = text_part(nb, {name: {"drop": drop} for name, drop in kinds.items()}, rates=(0.004,), seeds=3,
                      steps=2000, data=few)
    return say("dropout", found)


def dropped(nb):
    """In the image net: before the norms, after them, at the end; eval mode, and as an ensemble."""
    kinds = {"none": {}, "features 0.1": {"drop": 0.1}, "features 0.3": {"drop": 0.3},
             "output 0.1": {"last": 0.1}, "output 0.3": {"last": 0.3}}
    found = {}
    for name, norm in (("no norm", None), ("batch norm", nn.BatchNorm2d), ("group norm", lambda d: GroupNorm(4, d))):
        found[name] = say(f"dropout, {name}", image_part(nb, {k: {"norm": norm, **v} for k, v in kinds.items()},
                                                         pictures=32_000))
    return found


def depth(nb):
    """Losses on new names after 400 steps, for each wiring and number of layers."""
    found = {}
    for layers in (2, 8, 16, 32, 64):
        def run(wiring, warmup, lr, seed, layers=layers):
            loss = nb["learn_names"](nb["deep"](layers, wiring, seed=seed), lr=lr, seed=seed, warmup=warmup)
            return loss, {"loss": loss}
        kinds = {w: (w, 0.1) for w in ("plain", "identity", "residual", "zero", "pre", "post")}
        kinds |= {f"{w}, no warm-up": (w, 0.0) for w in ("pre", "post")} | {"post, long warm-up": ("post", 0.5)}
        rows = {name: measured(functools.partial(run, *kind), (0.0003, 0.001, 0.003, 0.01), 5, grow=False)
                for name, kind in kinds.items()}
        found[str(layers)] = say(f"{layers} layers", rows)
    return found


def pools(nb):
    kinds = {"max": nn.MaxPool2d, "average": nn.AvgPool2d, "every second": lambda k: nn.MaxPool2d(1, k)}
    return say("pools", image_part(nb, {k: {"pool": p, "norm": nn.BatchNorm2d} for k, p in kinds.items()}))


def enlarging(nb):
    small = F.avg_pool2d(nb["Xte"], 4)

    def run(up, lr, seed):
        net = nb["enlarger"](up, seed)
        with torch.no_grad():
            before = nb["checkerboard"](net(small))
        nb["learn_enlarging"](net, 1000, lr, seed)
        with torch.no_grad():
            y = net(small)
        loss = F.mse_loss(y[:1000], nb["Xte"][:1000]).item()
        return loss, {"loss": F.mse_loss(y[1000:], nb["Xte"][1000:]).item(), "before": before,
                      "after": nb["checkerboard"](y)}
    return say("enlarging", {name: measured(functools.partial(run, up), (0.002, 0.005, 0.01), 5)
                             for name, up in nb["ups"].items()})


def say(title, rows):
    print(title)
    for name, row in rows.items():
        figures = "  ".join(f"{k} {v['mean']:.4f} ± {v['se']:.4f}" for k, v in row.items() if isinstance(v, dict))
        print(f"  {name:22s} lr {row['lr']:<7} {figures}", flush=True)
    return rows


PARTS = {f.__name__: f for f in (norms, flat_norms, activations, gated, text_norms, dropout, dropped, depth, pools,
                                 enlarging)}


WHAT = ("Notebooks 09 and 10: losses (nats; enlarging: mean squared error) after short trainings, means over n seeds "
        "with their standard errors (se). Each kind has the best learning rate of a grid, chosen with another "
        "seed (gated, text_norms: by the mean of all; dropout: one rate for all). norms: by "
        "batch size, 16,000 pictures; train_mode: the loss by the batch's own statistics.")


def record(found):
    _record.record(RESULT, WHAT, "tests.bench.layers", PARTS, found)


def main():
    def load():
        return helpers.run("10_layers", *CELLS, space=helpers.run("09_images", "images", "ups")),
    _record.command(__doc__, PARTS, load, record)


if __name__ == "__main__":
    main()
