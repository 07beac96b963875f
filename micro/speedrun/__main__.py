"""python -m micro.speedrun: the claim, and with --ladder every rung, measured on one GPU."""

import argparse
import dataclasses
import gc
import math
import statistics
import sys
from ast import literal_eval
from pathlib import Path

import torch

from micro.data import cifar10, cifar100, load_images
from micro.speedrun import measure
from micro.speedrun.ladder import BASELINE, LADDER, Recipe, recipe, rung_names, shrink
from micro.speedrun.train import Run
from micro.stats import one_sided_t_test
from micro.train import device

RESULTS = Path(__file__).parents[2] / "data" / "results" / "speedrun.json"


def parser():
    top = argparse.ArgumentParser(
        prog="python -m micro.speedrun", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains CIFAR-10 nets against the clock: the highest rung and the baseline, in turns.",
        epilog="rungs, from the lowest:\n  " + "\n  ".join(rung_names()))
    add = top.add_argument
    add("--runs", type=int, default=100, metavar="N", help="runs of the final recipe and of the baseline (100)")
    add("--final", default=LADDER[-1].name, metavar="RUNG", help="the rung that makes the claim (the highest)")
    add("--ladder", action="store_true", help="before that, measure every rung")
    add("--rung", action="append", default=[], metavar="RUNG", help="measure this rung; may be said again")
    add("--rung-runs", type=int, default=5, metavar="N", help="runs of each rung (5)")
    add("--minutes", type=float, default=2.0, metavar="M", help="begin no further run of a rung after M minutes (2)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", dest="fields",
        help="change a field of every recipe, as in --set compile='' or --set epochs=80")
    add("--data", type=Path, metavar="FILE", help="images from this .npz instead of CIFAR-10")
    add("--source", default="", metavar="TEXT", help="what to call the images of --data in the record")
    add("--cifar100", action="store_true", help="CIFAR-100: only the number of classes changes")
    add("--tune", action="store_true", help="test on 5,000 training images held out; the test images stay unseen")
    add("--small", action="store_true", help="for a CPU: a quarter of the width, 8,000 images, 4 epochs")
    add("--kernels", action="store_true", help="only count the GPU kernels of a step, for the chosen rungs")
    add("--record", type=Path, metavar="FILE", help="where to write (plain runs on a GPU: data/results/speedrun.json)")
    return top


def values(fields):
    """{"epochs": 80, ...} from ["epochs=80", ...]."""
    known, found = [f.name for f in dataclasses.fields(Recipe)], {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--set {field}: say FIELD=VALUE, FIELD one of {', '.join(known)}.")
        try:
            found[name] = literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def load(args):
    if args.data and args.cifar100:
        raise ValueError("--data and --cifar100 exclude each other: say one of them.")
    if args.data:
        images = load_images(args.data, args.source or args.data.name)
    else:
        images = cifar100() if args.cifar100 else cifar10()
    if args.small:
        images = images.first(8000, 2000)
    return held_out(images) if args.tune else images


def held_out(images, n=5000):
    """The last n training images (a tenth, if there are few) in place of the test images."""
    n = max(1, min(n, len(images.train_images) // 10))
    return images._replace(
        train_images=images.train_images[:-n], train_labels=images.train_labels[:-n],
        test_images=images.train_images[-n:], test_labels=images.train_labels[-n:],
        source=images.source + f", {n:,} held out")


def report(row):
    print(f"{row['name']:27} {row['epochs']:5} epochs: {measure.line(row)}", flush=True)


def main(argv=None):
    args = parser().parse_args(argv)
    try:
        return go(args)
    except (ValueError, OSError) as problem:
        print(f"python -m micro.speedrun: {problem}", file=sys.stderr)
        return 2


def go(args):
    changes = values(args.fields)
    try:
        here = device()
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    if here.type != "cuda" and not args.small:
        raise ValueError("there is no CUDA GPU here, and a full run would take an hour on a processor core: "
                         "say --small for the miniature, or run this where there is a GPU.")
    if args.runs < 0 or args.rung_runs < 1:
        raise ValueError("--runs must be at least 0 and --rung-runs at least 1.")
    for name in [args.final, *args.rung]:
        recipe(name, **changes)  # a name that no rung has stops us here, not after ten minutes
    usual = here.type == "cuda" and not (args.small or args.tune or args.data or args.cifar100 or changes)
    path = args.record or (RESULTS if usual else None)
    images = load(args)
    place = measure.where(here)
    print(f"{place['device']}, PyTorch {place['versions']['torch']}, {images.source}: "
          f"{len(images.train_images):,} training images, {len(images.test_images):,} to test on", flush=True)

    def ready(name):
        made = recipe(name, **changes)
        return Run(shrink(made, 1 / 4, 250, 4) if args.small else made, images, here)

    for rung in LADDER:
        if args.ladder or rung.name in args.rung:
            done = one_rung(args, rung, ready)
            tidy(here)
            if path:
                measure.record(path, "kernels" if args.kernels else "rungs", place | {"changed": changes} | done,
                               made_by(args))
    if args.kernels or not args.runs:
        return 0
    return claim(args, ready, place | {"changed": changes}, path)


def one_rung(args, rung, ready):
    """What there is to say of a rung. One that this machine cannot do must not cost us the others."""
    try:
        run = ready(rung.name)
        if args.kernels:
            done = {"name": rung.name, "kernels_per_step": measure.kernels(run)}
            print(f"{rung.name:27} {done['kernels_per_step']} kernels a step", flush=True)
        else:
            done = measure.row(rung, run, measure.several(run, args.rung_runs, args.minutes))
            report(done)
    except Exception as error:  # PyTorch's compilers raise all kinds
        said = (str(error).splitlines() or [""])[0]
        done = {"name": rung.name, "failed": f"{type(error).__name__}: {said}"}
        print(f"{rung.name:27} {measure.line(done)}", flush=True)
    return done


def claim(args, ready, place, path):
    """The final recipe and the baseline, in turns, and what follows from them."""
    rungs = [next(rung for rung in LADDER if rung.name == name) for name in (args.final, BASELINE)]
    runs = [ready(rung.name) for rung in rungs]
    rows = [measure.row(rung, run, found) for rung, run, found in
            zip(rungs, runs, measure.in_turns(runs, args.runs, first_seed=10_000))]
    for done in rows:
        report(done)
    final, base = rows
    ratio = final["seconds"]["mean"] / base["seconds"]["mean"]
    summary = {"name": final["source"], "final": final, "baseline": base, "ratio_of_times": ratio}
    print(f"{ratio:.3f} of the baseline's time; accuracy {100 * final['accuracy']['mean']:.2f}% "
          f"against {100 * base['accuracy']['mean']:.2f}%")
    if final["n"] > 1:
        t, p = one_sided_t_test(final["accuracies"], 0.94)
        summary["t_test_against_94"] = {"t": None if math.isnan(t) else t, "p": None if math.isnan(p) else p}
        print(f"one-sided t-test against 94%: t = {t:.2f}, p = {p:.3g}; "
              f"one run: ± {100 * statistics.stdev(final['accuracies']):.2f}")
    if path:
        measure.record(path, "claims", place | summary, made_by(args))
        print(f"written to {path}")
    return 0


def made_by(args):
    return "python -m micro.speedrun --small --ladder" if args.small else "make speedrun"


def tidy(here):
    """Give a finished rung's memory and compiled code back."""
    torch.compiler.reset()
    gc.collect()  # a Run holds itself by its functions
    if here.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
