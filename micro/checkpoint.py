"""Checkpoints of notebook 07: saved whole or not at all, and loaded without running what is in them.

Left out: many files for one model, moving tensors straight from the disk to a GPU.
"""
import os
import pickle
import tempfile
from pathlib import Path

import torch


def save(path, state):
    """Write `state` (tensors, numbers, text; dicts and lists of them) to `path`, atomically.

    It goes to a new file in the same folder, which takes the old one's name when it is complete: os.replace is
    all or nothing (POSIX rename). Killed before that, the file at `path` is still the one before.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())         # on the disk, not just in the system's memory
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def load(path, device="cpu"):
    """What `save` wrote, with its tensors on `device`.

    weights_only=True: a pickle may hold code and run it when it is loaded; so only plain data is let in.
    Raises FileNotFoundError if there is no file, and ValueError if it is not a whole checkpoint of plain data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {str(path)!r}.") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{str(path)!r} is no checkpoint: it is cut off, of another kind, or holds more than "
                         "tensors, numbers and text.") from error
