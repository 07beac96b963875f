"""Compares micro.speedrun with airbench's published program, step by step, and times two of its parts on a CPU.

    git clone https://github.com/KellerJordan/cifar10-airbench DIR
    python -m tests.bench.speedrun --airbench DIR      same weights, same batches: do both make the same steps?
    python -m tests.bench.speedrun                     Muon in stacks against one layer at a time; crop_flip

The comparison takes the net, the optimizer and the test views out of DIR/airbench94_muon.py (no word of it is copied
here), lets them compute in float64 on the CPU, and prints the largest difference of any weight after each step.
"""
import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from micro.data import drawn
from micro.speedrun import SpeedNet, crop_flip, init_whiten, newton_schulz, predict, recipe
from micro.speedrun.ladder import BASELINE, optimizers_for, rate

STEPS, BATCH = 16, 100


def parts_of(folder):
    """The names that airbench94_muon.py defines between its headings, in float64 and without CUDA or compiling."""
    source = (Path(folder) / "airbench94_muon.py").read_text(encoding="utf-8")

    def between(start, end):
        return source[source.index(start):source.index(end)]

    code = between("def zeropower", "#                DataLoader")
    code += "\n" + between("# note the use of low BatchNorm", "############################################\n"
                           "#                 Logging") + between("def infer(", "def evaluate(")
    code = code.replace("G.bfloat16()", "G.double()").replace("mod.half()", "mod.double()")
    code = code.replace("mod.float()", "mod.double()")
    space = {"torch": torch, "nn": torch.nn, "F": F}
    exec(code, space)
    return space


def compare(folder):
    theirs_, made = parts_of(folder), recipe(BASELINE)
    images = drawn(2000, 10)
    x = torch.from_numpy(images.train_images).permute(0, 3, 1, 2).double()
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    y = torch.from_numpy(images.train_labels)

    torch.manual_seed(0)
    ours, theirs = SpeedNet().double(), theirs_["CifarNet"]().double()
    theirs.reset()
    theirs.init_whiten(x)
    init_whiten(ours.first, x)
    sizes = [net.flatten(1).norm(dim=1).sort().values for net in (ours.first.weight, theirs.whiten.weight)]
    print(f"whitening, in float32: norms of the filters differ by {(sizes[0] / sizes[1] - 1).abs().max():.0e}")
    pairs = {"first.weight": "whiten.weight", "first.bias": "whiten.bias", "head.weight": "head.weight"}
    pairs |= {f"groups.{g}.{k}": f"layers.{g + 1}.{k}" for g in range(3)
              for k in ("conv1.weight", "conv2.weight", "norm1.bias", "norm2.bias")}
    a, b = dict(ours.named_parameters()), dict(theirs.named_parameters())
    with torch.no_grad():
        for name, other in pairs.items():
            a[name].copy_(b[other])

    muon, sgd = optimizers_for(ours, made)
    trained = {k: p for k, p in b.items() if p.requires_grad}
    decay, norms = made.decay, [p for k, p in trained.items() if "norm" in k]
    groups = [([theirs.whiten.bias], made.bias_lr), (norms, made.bias_lr), ([theirs.head.weight], made.head_lr)]
    torchs = torch.optim.SGD([{"params": ps, "lr": lr, "weight_decay": decay / lr} for ps, lr in groups],
                             momentum=made.momentum, nesterov=True)
    other = theirs_["Muon"]([p for p in trained.values() if p.dim() == 4], lr=made.lr, momentum=made.muon_momentum,
                            nesterov=True)
    total, first = 200, 75
    for k in range(STEPS):
        step, i = k * total // STEPS, torch.randint(len(x), (BATCH,))  # so that the whole schedule is seen
        early, share = step < first, rate(made.schedule, step, total)
        for logits in (ours(x[i], early), theirs(x[i], whiten_bias_grad=early)):
            F.cross_entropy(logits, y[i], label_smoothing=made.smoothing, reduction="sum").backward()
        muon.step(share)
        sgd.step(share, 1 - step / first if early else 0.0)
        for group, (_, lr), part in zip(torchs.param_groups, groups, [1 - step / first, share, share]):
            group["lr"] = lr * part
        other.param_groups[0]["lr"] = made.lr * share
        torchs.step()
        other.step()
        ours.zero_grad()
        theirs.zero_grad()
        apart = max((a[name] - b[twin]).abs().max().item() for name, twin in pairs.items())
        print(f"step {step:3}: largest difference of a weight {apart:.0e}")

    class Loader:
        images = x[:200]
        normalize = staticmethod(lambda images: images)

    with torch.no_grad():
        views = [predict(ours.eval(), x[:200]), theirs_["infer"](theirs.eval(), Loader, 2)]
    print(f"six views: largest difference of a logit {(views[0] - views[1]).abs().max():.0e}")
    return max(apart, (views[0] - views[1]).abs().max().item()) < 1e-10


def seconds(fn, repeat=7):
    fn()
    found = []
    for _ in range(repeat):
        start = time.perf_counter()
        fn()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def parts():
    torch.set_num_threads(1)
    G = torch.randn(3, 256, 2304)
    stacked, single = seconds(lambda: newton_schulz(G)), seconds(lambda: [newton_schulz(g) for g in G])
    print(f"Newton-Schulz of three 256 x 2304: stacked {stacked * 1e3:.1f} ms, one by one {single * 1e3:.1f} ms, "
          f"{single / stacked:.2f} times")
    images = torch.from_numpy(drawn(1000, 1).train_images)
    which, flip = torch.arange(1000), torch.rand(1000) < 0.5
    dy, dx = torch.randint(-2, 3, (2, 1000))

    def loop():
        wide = F.pad(images.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect")
        return torch.stack([(p.flip(-1) if t else p) for p, t in (
            (wide[i, :, 2 + b:34 + b, 2 + c:34 + c], t)
            for i, (b, c, t) in enumerate(zip(dy.tolist(), dx.tolist(), flip.tolist())))])

    fast = crop_flip(images, which, dy, dx, flip)
    assert torch.equal(loop().permute(0, 2, 3, 1).byte(), fast)
    one, many = seconds(lambda: crop_flip(images, which, dy, dx, flip)), seconds(loop)
    print(f"1,000 images cropped and flipped: one indexing {one * 1e3:.1f} ms, a loop {many * 1e3:.1f} ms, "
          f"{many / one:.2f} times")


def main(argv=None):
    top = argparse.ArgumentParser(prog="python -m tests.bench.speedrun", description=__doc__.splitlines()[0])
    top.add_argument("--airbench", metavar="DIR", help="a clone of github.com/KellerJordan/cifar10-airbench")
    args = top.parse_args(argv)
    if not args.airbench:
        parts()
        return 0
    if not (Path(args.airbench) / "airbench94_muon.py").is_file():
        print(f"there is no airbench94_muon.py in {args.airbench}: clone "
              "https://github.com/KellerJordan/cifar10-airbench and name its folder.", file=sys.stderr)
        return 2
    return 0 if compare(args.airbench) else 1


if __name__ == "__main__":
    sys.exit(main())
