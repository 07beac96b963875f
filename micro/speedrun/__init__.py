"""CIFAR-10 to 94%, as fast as one GPU allows: the net, its optimizers, the ladder of ideas, and the clock.

    model      SpeedNet, init_whiten
    optim      newton_schulz, Muon, SGD, Lookahead: no step waits for the GPU
    augment    crop_flip, draw_plan, resize, predict: augmentation by one indexing, views at test time
    baseline   the DataLoader and the ResNet-18 that the first rungs still have
    ladder     Recipe, LADDER, recipe(name): what is switched on, rung by rung; its rates and optimizers
    train      Run: one recipe made ready; once(seed) trains and tests
    measure    Clock, Result; many runs: means, errors, a record on disk

    python -m micro.speedrun --help

Left out on purpose: several GPUs, gradient accumulation, float8, other nets. For CIFAR-100 only the number of
classes changes.
"""

from micro.speedrun.augment import crop_flip, predict
from micro.speedrun.ladder import BASELINE, LADDER, Recipe, recipe
from micro.speedrun.model import SpeedNet, init_whiten
from micro.speedrun.optim import SGD, Lookahead, Muon, newton_schulz
from micro.speedrun.train import Run

__all__ = ["BASELINE", "LADDER", "Lookahead", "Muon", "Recipe", "Run", "SGD", "SpeedNet", "crop_flip", "init_whiten",
           "newton_schulz", "predict", "recipe"]
