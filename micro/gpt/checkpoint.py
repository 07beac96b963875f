"""Checkpoints of notebook 07: saved whole or not at all, and loaded without running what is in them.

Left out: many files for one model, moving tensors straight from the disk to a GPU.
"""
import torch

from micro.files import whole_file


def save(path, state):
    """Write `state` (tensors, numbers, text; dicts and lists of them) to `path`, atomically.
    """
    with whole_file(path) as file:
        torch.save(state, file)


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
