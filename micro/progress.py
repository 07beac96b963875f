"""A progress bar that leaves nothing behind: in a terminal, in Jupyter, and under `pytest --nbval`."""

import os
import sys


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
