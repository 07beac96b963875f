"""Pictures of small tensors: which places of a cube are meant, and what numbers a table holds."""
import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from micro.plot import COLORS


def cubes(masks, title, labels=("example", "channel", "place")):
    """A picture for each mask: the marked places in orange. Returns the figure.

    masks: {name: bool array of two or three dimensions}; index 0 of each is at the front corner (cubes) or top left
    (tables). labels: the names of a cube's dimensions; a table has those of tokens and features.

    >>> mask = np.zeros((2, 3, 4), bool)
    >>> mask[0] = True
    >>> len(cubes({"the first example": mask}, title="One of two").axes)
    1
    """
    fig = plt.figure(figsize=(11, 3.5 * (1 + (len(masks) - 1) // 3)))
    fig.subplots_adjust(hspace=0.35)
    for k, (name, mask) in enumerate(masks.items(), 1):
        mask = np.asarray(mask, bool)
        ax = fig.add_subplot(1 + (len(masks) - 1) // 3, 3, k, projection="3d" if mask.ndim == 3 else None)
        if mask.ndim == 3:
            mask = mask.swapaxes(0, 1)  # the plot's x is the second dimension
            colors = ListedColormap(["#DCE6EE", COLORS[1]])(mask.astype(int))
            ax.voxels(np.ones_like(mask), facecolors=colors, edgecolor="#667788", linewidth=0.5)
            ax.set(xlabel=labels[1], ylabel=labels[0], zlabel=labels[2], zticks=[])
            ax.view_init(25, -120)
        else:
            ax.pcolormesh(mask[::-1], cmap=ListedColormap(["#DCE6EE", COLORS[1]]), edgecolor="white", linewidth=2,
                          vmin=0, vmax=1)
            ax.set(xlabel="feature", ylabel="token")
        ax.set(title=name, xticks=[], yticks=[])
    fig.suptitle(title)
    return fig


def numbers(ax, table, title, most=None, cmap="Blues"):
    """A table (rows, columns) as shaded squares with their numbers; `most` has the darkest shade.

    most: 1.5 times the largest number, if it is not given.

    >>> ax = numbers(plt.subplots()[1], [[1, 2.5]], title="Two")
    >>> [text.get_text() for text in ax.texts]
    ['1', '2.5']
    """
    table = np.asarray(table.detach() if hasattr(table, "detach") else table, float)
    ax.imshow(table, cmap=cmap, vmin=0, vmax=most or 1.5 * table.max())
    for i, j in itertools.product(*map(range, table.shape)):
        ax.text(j, i, f"{table[i, j]:g}", ha="center", va="center", fontsize=8)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)
    return ax
