"""Exercises that race: train whatever you like against the clock, judged on piles of the check's own."""
import random
import time
from functools import cache

import torch
import torch.nn.functional as F

from micro.data import names, next_letter_examples


@cache
def _words():
    """Training and dev names with their letters exchanged: a model of the notebook's own piles is no help."""
    words = sorted(set(names()))
    random.Random(3).shuffle(words)
    deal = list("abcdefghijklmnopqrstuvwxyz")
    random.Random(4).shuffle(deal)
    words = [w.translate(str.maketrans("abcdefghijklmnopqrstuvwxyz", "".join(deal))) for w in words[:27000]]
    return words[:24000], words[24000:]


@cache
def _splits(block_size):
    return [next_letter_examples(words, block_size) for words in _words()]


def goal(seconds, most):
    """What a recipe has to reach; as an answer, it stands for a recipe that does."""
    return {"time": f"{seconds} s or less", "dev loss": f"{most} or less"}


def trained(recipe, *data):
    """recipe(*data) on one thread: (what it returned, seconds of processor time)."""
    many, start = torch.get_num_threads(), time.process_time()  # not by the clock: others may use the machine too
    torch.set_num_threads(1)
    try:
        return recipe(*data), time.process_time() - start
    finally:
        torch.set_num_threads(many)


def reached(loss, took, seconds, most):
    wanted = goal(seconds, most)
    return {"time": wanted["time"] if took <= seconds else f"{took:.0f} s",
            "dev loss": wanted["dev loss"] if loss <= most else f"{loss:.3f}"}


def race(recipe, block_size, seconds, most):
    """recipe(Xtr, Ytr) -> model, from contexts (m, block_size) to logits: `goal` if it is reached, else what it got."""
    (X, Y), (Xdev, Ydev) = _splits(block_size)
    model, took = trained(recipe, X.clone(), Y.clone())
    if model == goal(seconds, most):  # the reference answer
        return model
    with torch.no_grad():
        logits = torch.cat([model(x) for x in Xdev.split(4096)])
    if tuple(logits.shape) != (len(Xdev), 27):
        raise TypeError(f"the function you return gave shape {tuple(logits.shape)} where {(len(Xdev), 27)} is wanted")
    return reached(F.cross_entropy(logits.float(), Ydev).item(), took, seconds, most)


def race_words(recipe, seconds, most):
    """recipe(words) -> model, from a word to logits (len(word) + 1, 27): `goal` if it is reached, else what it got."""
    words, dev = _words()
    model, took = trained(recipe, list(words))
    if model == goal(seconds, most):
        return model
    total = 0.0
    with torch.no_grad():
        for word in dev:
            logits, Y = model(word), torch.tensor([ord(c) - 96 for c in word] + [0])
            if tuple(logits.shape) != (len(Y), 27):
                raise TypeError(f"for the word {word} the function you return gave shape {tuple(logits.shape)} "
                                f"where {(len(Y), 27)} is wanted")
            total += F.cross_entropy(logits.float().cpu(), Y, reduction="sum").item()
    return reached(total / sum(len(word) + 1 for word in dev), took, seconds, most)
