"""What every training run needs and no notebook is about: a seed, a thread count, a device, a progress bar.

Environment variables let the same notebooks run elsewhere without an edit: MICRO_THREADS (a number) and
MICRO_DEVICE (cpu, cuda, cuda:1, mps) override what the notebook asks for, and MICRO_PROGRESS=0 turns the
progress bars off.
"""

import os
import random
import sys

import torch


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
        asked = "MICRO_DEVICE asks" if os.environ.get("MICRO_DEVICE") else "the notebook asks"
        raise RuntimeError(f"{asked} for the device '{found}', but PyTorch finds {count or 'none'} "
                           "of that kind here: ask for 'cpu', or leave it out to get the best there is.")
    return found


def progress(iterable, desc="", total=None):
    """Go through `iterable` and show a progress bar meanwhile, which vanishes at the end.

    desc: a few words before the bar. total: the number of steps, where `len(iterable)` does not tell.

    In Jupyter the bar is a widget, in a terminal a line of text (both by tqdm); in a log file, under pytest
    and with MICRO_PROGRESS=0 there is none. Nothing of it stays in the notebook that `pytest --nbval` would
    compare, so a notebook that you ran and saved with the bar passes like one without.

    Returns an iterator over the items. Errors in the loop and in `iterable` pass through.

    Raises TypeError if `iterable` cannot be gone through.

    >>> sum(progress(range(5), "adding"))
    10
    """
    # pytest sets these two, and the kernels that it starts inherit them.
    tested = "PYTEST_VERSION" in os.environ or "PYTEST_CURRENT_TEST" in os.environ
    if tested or os.environ.get("MICRO_PROGRESS") == "0":
        return iter(iterable)
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    return _with_bar(iter(iterable), desc, total)


def _with_bar(items, desc, total):
    bar, remove = _notebook_bar(desc, total) if "ipykernel.zmqshell" in sys.modules else (None, None)
    if bar is None:
        from tqdm import tqdm
        bar = tqdm(desc=desc or None, total=total, leave=False, disable=None)  # None: only on a terminal
    try:
        for item in items:
            yield item
            bar.update()
    finally:  # also after an error or a `break` in the loop
        bar.close()
        if remove:
            remove()


def _notebook_bar(desc, total):
    """tqdm's bar for notebooks, shown, and a function to remove it; or Nones where its parts are missing."""
    try:
        from IPython.display import display
        from tqdm.notebook import IProgress, tqdm
    except ImportError:
        return None, None
    if IProgress is None:
        return None, None
    bar = tqdm(desc=desc or None, total=total, leave=False, display=False)
    shown = display(bar.container, display_id=True)

    def remove():
        # tqdm hides its bar (but for a red one after a `break`), and leaves in the notebook's file a widget
        # that is no more: Jupyter shows an error there, and nbval compares its text, "0%| | 0/10". An empty
        # output in its place is neither shown nor compared.
        bar.container.close()
        shown.update({}, raw=True)

    return bar, remove
