"""CIFAR-10 to 94%, as fast as one GPU allows: the net, its optimizers, the ladder of ideas, and the clock.

    net       SpeedNet, init_whiten; a ResNet-18 to begin with
    images    crop_flip, draw_plan, resize, predict: augmentation by one indexing, views at test time
    muon      newton_schulz, Muon, SGD, Lookahead: no step waits for the GPU
    ladder    Recipe, LADDER, recipe(name): what is switched on, rung by rung; its rates and optimizers
    plain     the DataLoader and the ResNet-18 that the first rungs still have
    run       Run: one recipe made ready; once(seed) trains and tests
    clock     Clock, Result
    measure   many runs: means, errors, a t-test, a record on disk

    python -m micro.speedrun --help

Left out on purpose: several GPUs, gradient accumulation, float8, other nets. For CIFAR-100 only the number of
classes changes.
"""

from micro.speedrun.images import crop_flip, predict
from micro.speedrun.ladder import BASELINE, LADDER, Recipe, recipe
from micro.speedrun.muon import SGD, Lookahead, Muon, newton_schulz
from micro.speedrun.net import SpeedNet, init_whiten
from micro.speedrun.run import Run

__all__ = ["BASELINE", "LADDER", "Lookahead", "Muon", "Recipe", "Run", "SGD", "SpeedNet", "crop_flip", "init_whiten",
           "newton_schulz", "predict", "recipe"]
