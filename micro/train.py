"""What every training run needs: a seed, a thread count, a device, a progress bar, and the loop itself.

Environment variables let the same notebooks run elsewhere without an edit: MICRO_THREADS (a number) and
MICRO_DEVICE (cpu, cuda, cuda:1, mps) override what the notebook asks for, and MICRO_PROGRESS=0 turns the
progress bars off.
"""

import contextlib
import dataclasses
import math
import os
import random
import statistics
import time

import torch
import torch.nn.functional as F

from micro.progress import progress


def seed(n=42):
    """Start all random numbers from `n`: Python's `random`, NumPy's (where it is installed) and PyTorch's.

    n: a whole number from 0 to 2**32 - 1 (NumPy takes no other). Returns n.

    On one machine the same seed gives the same numbers. From one device or PyTorch version to another it need
    not: https://docs.pytorch.org/docs/stable/notes/randomness.html

    Raises ValueError for anything else.

    >>> seed(0), random.random()
    (0, 0.8444218515250481)
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**32:
        raise ValueError(f"seed needs a whole number from 0 to 2**32 - 1, not {n!r}.")
    random.seed(n)
    torch.manual_seed(n)
    try:
        import numpy as np
    except ImportError:
        pass
    else:
        np.random.seed(n)
    return n


def threads(n=1):
    """Let PyTorch use `n` CPU threads, or $MICRO_THREADS where that is set. Returns the number in force.

    Why one: the tensors of this course are small, and handing a small tensor to a second thread costs more
    than it saves (two threads made the same small training step up to 80 times slower on a two-core machine).
    One thread also adds numbers in one order, so a run gives the same digits again.

    Raises ValueError if the number is not whole or less than 1.

    >>> threads(1) == int(os.environ.get("MICRO_THREADS") or 1)
    True
    """
    wanted = os.environ.get("MICRO_THREADS") or n
    try:
        count = int(wanted) if isinstance(wanted, (int, str)) and not isinstance(wanted, bool) else 0
    except ValueError:
        count = 0
    if count < 1:
        where = "MICRO_THREADS" if os.environ.get("MICRO_THREADS") else "threads(n)"
        raise ValueError(f"{where} must be a whole number of at least 1, not {wanted!r}.")
    torch.set_num_threads(count)
    return torch.get_num_threads()


def device(prefer=None):
    """The device to compute on, as a `torch.device`.

    $MICRO_DEVICE if it is set; else `prefer` ("cpu", "cuda", "cuda:1" or "mps"); else CUDA where there is a
    GPU for it, and the CPU otherwise. Apple's "mps" is taken only if asked for by name: it has no float64,
    and notebooks use float64 where they compare gradients.

    Raises ValueError if the name is none of these, and RuntimeError if this machine has no such device.

    >>> device("cpu")
    device(type='cpu')
    """
    name = os.environ.get("MICRO_DEVICE") or prefer
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except (RuntimeError, TypeError):
        found = None
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"no device is called {name!r}: choose 'cpu', 'cuda', 'cuda:N' or 'mps'.")
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    count = here[found.type]
    if (found.index or 0) >= count:
        asked = "MICRO_DEVICE asks" if os.environ.get("MICRO_DEVICE") else "the code asks"
        raise RuntimeError(f"{asked} for the device '{found}', but PyTorch finds {count or 'none'} "
                           "of that kind here: ask for 'cpu', or leave it out to get the best there is.")
    return found


def median_ms(function, repeats=7):
    """The median time of a call in milliseconds, on whatever this machine is; one call beforehand is not counted.

    On CUDA, wait inside `function` for the result (torch.cuda.synchronize), or you time the launch only.

    >>> median_ms(lambda: None) < 100
    True
    """
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def linear_schedule(step, steps, warmup=0.1):
    """The share of the full learning rate at `step` of `steps`: up from 0 over the first `warmup`, then down to 0.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, for the warm-up.

    step: 0 to steps - 1; no step has a share of 0.

    >>> [round(linear_schedule(step, 9, warmup=0.2), 3) for step in (0, 1, 4, 8)]
    [0.5, 1.0, 0.625, 0.125]
    """
    done = (step + 1) / (steps + 1)
    return done / warmup if done < warmup else (1 - done) / (1 - warmup)


@contextlib.contextmanager
def evaluating(model):
    """No gradients and, where `model` is a module, eval mode inside; every module's mode as before afterwards."""
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, torch.nn.Module) else []
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def split_loss(model, X, Y, batch=8192):
    """The mean cross entropy, in nats, of `model` on a whole split: a float.

    model: a torch module or a function, from X (n, ...) to logits (n, classes), or (n, T, classes) for a class at
    each position. Y: the classes, (n,) or (n, T) integers.
    batch: so many rows at a time, so that a large split fits into memory. The mean is that of all answers.

    >>> round(split_loss(lambda x: torch.zeros(len(x), 27), torch.zeros(5, 3), torch.arange(5)), 4)  # log 27
    3.2958
    """
    if len(X) != len(Y) or len(X) == 0:
        raise ValueError(f"split_loss needs as many rows in X as in Y, and at least one, not {len(X)} and {len(Y)}.")
    with evaluating(model):
        parts = zip(X.split(batch), Y.split(batch))
        return sum(F.cross_entropy(model(x).flatten(0, -2), y.flatten(), reduction="sum").item()
                   for x, y in parts) / Y.numel()


def find_lr(batch_loss, model, low=1e-3, high=1.0, steps=200, optimizer=torch.optim.SGD):
    """The learning-rate range test: (rates, losses), two lists, one step of training at each rate.

    The rate grows from `low` to `high` by the same factor each step, and the loss is noted before the step.
    It stops early where the loss is no longer finite. batch_loss(): the loss on a fresh batch. model: a module
    or a list of parameters, which get their old values (and buffers) back. optimizer(parameters, lr=...): whose
    rate it is. Source: Smith 2015, https://arxiv.org/abs/1506.01186.

    >>> w = torch.ones(1, requires_grad=True)
    >>> rates, losses = find_lr(lambda: (w**2).sum(), [w], low=0.001, high=0.1, steps=3)
    >>> [f"{r:.3g}" for r in rates], [round(loss, 3) for loss in losses], w.item()
    (['0.001', '0.01', '0.1'], [1.0, 0.996, 0.957], 1.0)
    """
    if not 0 < low < high or steps < 2:
        raise ValueError(f"find_lr needs 0 < low < high and 2 or more steps, not {low!r}, {high!r} and {steps!r}.")
    whole = isinstance(model, torch.nn.Module)
    parameters = list(model.parameters() if whole else model)
    kept = [(t, t.detach().clone()) for t in [*parameters, *(model.buffers() if whole else ())]]
    rates, losses, opt = [], [], optimizer(parameters, lr=low)
    try:
        for k in progress(range(steps), desc="rates"):
            rates.append(low * (high / low) ** (k / (steps - 1)))
            loss = batch_loss()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
            opt.param_groups[0]["lr"] = rates[-1]
            opt.zero_grad()
            loss.backward()
            opt.step()
    finally:
        opt.zero_grad()
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
    return rates, losses


@dataclasses.dataclass
class Log:
    """What `fit` noted: `losses`, a float a step; `watched`, name -> list of (step, value); `seconds` in the loop."""

    losses: list = dataclasses.field(default_factory=list)
    watched: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def fit(batch_loss, optimizer, steps, schedule=linear_schedule, watch=None, every=None, desc="training",
        clip=None, start=0):
    """Take `steps` steps of training: batch_loss(), backward(), optimizer.step(). Returns a Log.

    batch_loss(): the loss on a fresh batch. schedule(step, steps): the factor on each group's learning rate;
    None keeps it constant. watch: {name: function of no arguments}, called after every `every` steps and after
    the last. The clock stands still while they run. clip: a longer gradient (of all parameters together) is
    shortened to this length. start: the step to begin with, where an earlier run stopped before it.

    An interrupt (Jupyter's stop button) or a loss that is nan or infinite ends it early, with a sentence; the
    log so far is returned, and the learning rates are as they were before.

    >>> w = torch.ones(1, requires_grad=True)
    >>> log = fit(lambda: (w**2).sum(), torch.optim.SGD([w], lr=0.25), 3, schedule=None)
    >>> log.losses, w.item()
    ([1.0, 0.25, 0.0625], 0.125)
    """
    log, rates = Log(watched={name: [] for name in watch or {}}), [group["lr"] for group in optimizer.param_groups]
    started = time.perf_counter()
    try:
        for step in progress(range(start, steps), desc=desc):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * (schedule(step, steps) if schedule else 1)
            loss = batch_loss()
            log.losses.append(loss.item())
            if not math.isfinite(log.losses[-1]):
                print(f"Stopped at step {step}: the loss is {log.losses[-1]}. Try a lower learning rate.")
                break
            optimizer.zero_grad()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], clip)
            optimizer.step()
            if watch and (step + 1 == steps or every and (step + 1) % every == 0):
                log.seconds += time.perf_counter() - started
                for name, look in watch.items():
                    log.watched[name].append((step + 1, look()))
                started = time.perf_counter()
    except KeyboardInterrupt:
        print(f"Interrupted after {start + len(log.losses)} of {steps} steps.")
    finally:
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate
    log.seconds += time.perf_counter() - started
    return log
