"""Checkpoints of notebook 07: saved whole or not at all, and loaded without running what is in them.

Left out: many files for one model, moving tensors straight from the disk to a GPU.
"""
import os
from pathlib import Path

import torch


def save(path, state):
    """Write `state` (tensors, numbers, text; dicts and lists of them) to `path`, atomically.

    It goes to a new file in the same folder, which takes the old one's name when it is complete: os.replace is
    all or nothing (POSIX rename). Killed before that, the file at `path` is still the one before.
    """
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())         # on the disk, not just in the system's memory
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(path, device="cpu"):
    """What `save` wrote, with its tensors on `device`.

    weights_only=True: a pickle may hold code and run it when it is loaded; so only plain data is let in.
    Raises FileNotFoundError if there is no file, and ValueError if it is not a whole checkpoint of plain data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {str(path)!r}: name another.") from None
    except Exception as error:              # a damaged file can raise nearly anything
        raise ValueError(f"{str(path)!r} is cut off, or no plain checkpoint: name another.") from error
