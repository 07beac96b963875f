"""Many runs of a recipe, and what to say of them: means with errors, a t-test, the chip's share, a record on disk."""

import copy
import dataclasses
import json
import math
import platform
import statistics
import time
from datetime import date

import torch
from torch import nn

from micro.data import processor
from micro.files import whole_file
from micro.speedrun.model import SpeedNet
from micro.stats import summary

# Dense half-precision peaks, FLOP/s, from NVIDIA's data sheets (SXM boards). Shares are of these in every rung, also
# in those that compute in single precision (TF32: half of it).
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def forward_flops(net, size=32):
    """Floating-point operations (a product and a sum are two) of one image's way through convolutions and matrices.

    >>> round(forward_flops(SpeedNet()) / 1e6)
    236
    """
    total, hooks = [], []

    def count(m, inputs, out):
        total.append(2 * out[0].numel() * m.weight[0].numel())

    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            hooks.append(m.register_forward_hook(count))
    like, training = next(net.parameters()), net.training
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device))
    net.train(training)
    for hook in hooks:
        hook.remove()
    if isinstance(net, SpeedNet):  # its first layer is called as a function, which no hook sees
        total.append(2 * 24 * (size - 1)**2 * net.first.weight[0].numel())
    return sum(total)


def work(run):
    """Floating-point operations of one run, counted: forward and twice as much backward, and the test's views."""
    r, net = run.recipe, copy.deepcopy(run.net).float().cpu()  # hooks on the net itself would compile it anew
    per_image = {size: forward_flops(net, size) for size in {run.size(k) for k in range(run.steps)}}
    trained = sum(3 * r.batch_size * per_image[run.size(k)] for k in range(run.steps))
    looks = 2 + 4 * r.doubtful if r.views == 6 else r.views
    return trained + looks * len(run.test_labels) * forward_flops(net, run.test_bytes.shape[1])


def kernels(run):
    """GPU kernels of one training step, its batch included (None on a CPU).

    Do this in a process that times nothing: after PyTorch's profiler, launches may stay slower.
    """
    if run.device.type != "cuda":
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    run.net.train()
    batches = run.batches()
    run.step(0, *next(batches))
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        x, y = run.batch_of(0) if run.recipe.on_device else next(batches)
        run.step(0, x, y)
        torch.cuda.synchronize()
    mine = [e for e in seen.events() if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    return sum(not e.name.startswith(("Memcpy", "Memset")) for e in mine)


def row(rung, run, results):
    """What the ladder's table says of a rung, as a dict of plain numbers."""
    accuracies, seconds = [r.accuracy for r in results], [r.seconds for r in results]
    flops, mean = work(run), statistics.fmean(seconds)
    peak = next((peak for name, peak in PEAKS.items() if name in device_name(run.device)), None)
    return {
        "name": rung.name, "why": rung.why, "source": run.images.source, "n": len(results),
        "epochs": run.recipe.epochs, "steps": run.steps,
        "accuracy": summary(accuracies), "accuracies": accuracies,
        "seconds": summary(seconds) | {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)},
        "seconds_without_test": statistics.fmean(r.seconds - r.seconds_test for r in results),
        "seconds_with_reset": statistics.fmean(r.seconds + r.seconds_reset for r in results),
        "images_per_second": run.steps * run.recipe.batch_size
        / statistics.fmean(r.seconds - r.seconds_test for r in results),
        "flops": flops, "share_of_peak": peak and flops / mean / peak,
    }


def line(row, kernels=None):
    """A row in words. kernels: of a step, if they were counted.

    >>> line({"failed": "RuntimeError: out of memory"})
    'failed: RuntimeError: out of memory'
    """
    if "failed" in row:
        return "failed: " + row["failed"]
    accuracy, error = row["accuracy"]["mean"], row["accuracy"]["error"]
    said = [f"{row['seconds']['mean']:.3f} s", f"{accuracy:.2%}" + ("" if error is None else f" ± {error:.3%}"),
            f"n={row['n']}", f"{row['images_per_second']:,.0f} images/s"]
    said += [f"{row['share_of_peak']:.1%} of peak"] if row["share_of_peak"] else []
    return ", ".join(said + ([f"{kernels} kernels a step"] if kernels else []))


def several(run, n, minutes=math.inf, first_seed=0, tell=lambda result: None):
    """Up to n Results, seeds first_seed, first_seed + 1, ...; none is begun after `minutes`. At least one."""
    started, results = time.perf_counter(), []
    while len(results) < n and (not results or time.perf_counter() - started < 60 * minutes):
        results.append(run.once(first_seed + len(results)))
        tell(results[-1])
    return results


def in_turns(runs, n, first_seed=0, tell=lambda result: None):
    """n Results of each run, taken in turns, so that a warm or a busy moment of the chip meets all alike.

    Ctrl-C ends it: what every run has done by then is returned, if it is anything.
    """
    results = [[] for _ in runs]
    try:
        for k in range(n):
            for run, found in zip(runs, results):
                found.append(run.once(first_seed + k))
                tell(found[-1])
    except KeyboardInterrupt:
        done = len(results[-1])
        if not done:
            raise
        return [found[:done] for found in results]
    return results


def device_name(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {processor()}, {torch.get_num_threads()} thread(s)"


def where(device):
    """What every record names: when, on what, with which versions."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if device.type == "cuda":
        versions |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return {"date": date.today().isoformat(), "device": device_name(device), "versions": versions}


def record(path, part, entry, made_by="make speedrun"):
    """Write `entry` under its name in `part` of the JSON file `path`; all else in the file stays.

    The file's own date, device and versions are those of its last entry; every entry keeps its own.
    The file is replaced whole or not at all, so that an interruption loses nothing.
    """
    book = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    book.setdefault("what", "CIFAR-10 speedrun: every rung of the ladder, and the final recipe beside the baseline")
    book.setdefault("made_by", made_by)
    book |= {key: entry[key] for key in ("date", "device", "versions") if key in entry}
    book.setdefault(part, {})[entry["name"]] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, "w") as file:
        file.write(json.dumps(book, indent=1) + "\n")


@dataclasses.dataclass(frozen=True)
class Result:
    """One run. seconds: whitening, normalization, augmentation, training and test-time views, all inside."""

    accuracy: float         # on the test images, 0 to 1
    seconds: float
    seconds_test: float     # of those, the test-time views
    seconds_reset: float    # before the clock: new random weights


class Clock:
    """Points in time and the seconds between them: CUDA events on a GPU, else the processor's clock.

    A CUDA event is a mark in the GPU's own queue: the program does not have to wait for it, and what it
    measures is when the GPU came by, not when Python asked.
    """

    def __init__(self, device):
        self.cuda = device.type == "cuda"

    def now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self):
        """Until the GPU has done all that it was asked."""
        if self.cuda:
            torch.cuda.synchronize()

    def between(self, start, stop):
        if not self.cuda:
            return stop - start
        self.wait()
        return start.elapsed_time(stop) / 1000
