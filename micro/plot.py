"""The figures of the course, in one style: loss curves, decision boundaries, bigram counts, bytes.

Call style() once, in a notebook's set-up cell. The other functions draw on `ax`, or on a new figure, and
return the Axes; none calls `plt.show()`: end the cell with it. Arrays may be lists, NumPy arrays or torch
tensors. No figure needs colour to be read: markers, dashes and text say the same.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, PowerNorm
from matplotlib.ticker import MaxNLocator

from micro.stats import mean_and_error

# Okabe and Ito's palette, which colour-blind readers can tell apart: https://jfly.uni-koeln.de/color
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ((0, (6, 3)), (0, (1.5, 2)), (0, (8, 2, 1.5, 2)), (0, (3, 5)))


def style():
    """Set matplotlib's defaults to the style of the course: size, fonts, colours, a light grid.

    Figures are 7.5 by 4.2 inches at 100 dots an inch: 750 pixels, which fits a notebook.

    >>> style()
    >>> plt.rcParams["figure.dpi"]
    100.0
    """
    plt.rcParams.update({
        "figure.figsize": (7.5, 4.2), "figure.dpi": 100, "savefig.dpi": 100, "savefig.bbox": "tight",
        "figure.facecolor": "white", "font.size": 11, "axes.titlesize": 13, "axes.labelsize": 11,
        "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
        "axes.prop_cycle": plt.cycler(color=COLORS), "lines.linewidth": 1.8, "image.cmap": "Blues",
        "axes.grid": True, "grid.color": "#E3E3E3", "grid.linewidth": 0.8, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#666666",
        "legend.frameon": True, "legend.framealpha": 0.9, "legend.edgecolor": "#CCCCCC",
    })


def loss_curve(losses, *, title, xlabel="step", ylabel="loss", smooth=None, label=None, ax=None,
               reference=None):
    """Losses against steps, counted from 0.

    losses: a sequence of numbers, or several in a dict {name: sequence}, each then with its own marker.
    smooth: a number of steps; draws the mean over the last `smooth` losses on top of the pale raw ones.
    label: the name of a single curve, for the legend.
    reference: {name: loss}, each drawn as a dashed line across.

    Returns the Axes. Raises ValueError if a curve is empty, not one-dimensional, has no finite number or is
    shorter than `smooth`.

    >>> ax = loss_curve([2.5, 2.1, 2.0], title="Training", reference={"bigram": 2.45})
    >>> ax.get_xlabel(), len(ax.lines)
    ('step', 2)
    """
    named = losses if isinstance(losses, dict) else {label: losses}
    curves = {name: _curve(values, name) for name, values in named.items()}
    if not curves:
        raise ValueError("loss_curve got no curves: losses is an empty dict.")
    ax = _axes(ax, title)
    for k, (name, y) in enumerate(curves.items()):
        steps, color = np.arange(len(y)), COLORS[k % len(COLORS)]
        if smooth is not None:
            if not isinstance(smooth, int) or not 1 <= smooth <= len(y):
                raise ValueError(f"smooth must be a whole number from 1 to {len(y)} here, not {smooth!r}.")
            ax.plot(steps, y, color=color, alpha=0.3, linewidth=0.8)
            y, steps = np.convolve(y, np.ones(smooth) / smooth, mode="valid"), steps[smooth - 1:]
        marker = MARKERS[k % len(MARKERS)] if len(curves) > 1 or len(y) == 1 else None
        every = max(1, len(y) // 8)  # about eight markers a curve, at other steps for each so that all show
        ax.plot(steps, y, color=color, label=name, zorder=3, marker=marker, markersize=6,
                markevery=(k * every // len(curves), every))
    for k, (name, value) in enumerate((reference or {}).items()):
        ax.axhline(float(value), color="#444444", linewidth=1.5, linestyle=_DASHES[k % len(_DASHES)],
                   label=f"{name}: {float(value):.4g}", zorder=2)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # no step 0.5
    if reference or any(name is not None for name in curves):
        ax.legend()
    return ax


def decision_boundary(predict, X, y, *, title, ax=None, resolution=60, labels=("class 0", "class 1")):
    """Two classes of points in the plane, and where a model draws the line between them.

    predict: a function from an (m, 2) float64 array of points to m scores, shape (m,); a score above 0 means
        the second class. It is asked at resolution x resolution points. The colour shows the score, the thick
        line is where it is 0.
    X: points, shape (n, 2). y: their classes, shape (n,), two numbers such as 0 and 1 or -1 and 1.
    labels: the names of the two classes, the lower number first.

    Returns the Axes. Raises ValueError if a shape does not fit or a score is not finite.

    >>> X, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    >>> ax = decision_boundary(lambda points: points.sum(axis=1) - 1, X, y, title="x1 + x2 = 1")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['class 0', 'class 1', 'score = 0']
    """
    X, y = _array(X), _array(y)
    classes = np.unique(y)
    if X.ndim != 2 or X.shape[1] != 2 or len(X) == 0 or y.shape != (len(X),) or len(classes) > 2:
        raise ValueError("decision_boundary needs X of shape (n, 2) and y of shape (n,) with two classes, "
                         f"not {X.shape} and {y.shape} with {len(classes)}.")
    margin = 0.1 * np.ptp(X, axis=0).max() or 1.0
    xs, ys = (np.linspace(x.min() - margin, x.max() + margin, resolution) for x in X.T)
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    score = _array(predict(points))
    if score.shape != (len(points),):
        raise ValueError(f"predict must give one score a point, shape ({len(points)},), not {score.shape}.")
    if not np.isfinite(score).all():
        raise ValueError("predict gave scores that are nan or infinite: the model may have diverged.")
    ax = _axes(ax, title, (6.6, 5.0), pad=32)  # the legend goes below the title
    score, limit = score.reshape(resolution, resolution), abs(score).max() or 1.0
    cmap = LinearSegmentedColormap.from_list("two classes", ["#6FAFD6", "#FFFFFF", "#EFA47A"])
    shade = ax.pcolormesh(xs, ys, score, cmap=cmap, vmin=-limit, vmax=limit, shading="gouraud")
    _colorbar(ax, shade, "score")
    second = y == classes[1] if len(classes) == 2 else y > 0  # with one class only, its sign decides which
    for k, (which, marker) in enumerate(((~second, "o"), (second, "^"))):
        ax.scatter(*X[which].T, marker=marker, s=42, color=COLORS[k], edgecolor="white", linewidth=0.7,
                   label=labels[k], zorder=3)
    if crosses := score.min() < 0 < score.max():
        ax.contour(xs, ys, score, levels=[0], colors="black", linewidths=2.5)
    ax.plot([], [], "k" if crosses else " ", linewidth=2.5,
            label="score = 0" if crosses else "score never crosses 0")
    ax.set(xlabel="x1", ylabel="x2", aspect="equal")
    ax.grid(False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, handletextpad=0.4)
    return ax


def bigram_heatmap(counts, itos, *, title, ax=None, annotate=True):
    """How often each character follows each other one, as a table with shaded cells.

    counts: shape (V, V), at least 0; row i, column j is how often character j comes right after character i.
        Probabilities do as well. itos: character of each index, a dict, list or string.
    annotate: write the pair and its count into each cell, a pale pair alone where the count is 0; without,
        a colour bar says what the shades mean.
    Shades grow with the square root of the count, else a few frequent pairs would leave all others white.

    Returns the Axes. Raises ValueError if a shape does not fit or a count is negative or not finite.

    >>> ax = bigram_heatmap([[0, 3], [2, 1]], ".a", title="Pairs")
    >>> [text.get_text() for text in ax.texts]
    ['..', '.a\\n3', 'a.\\n2', 'aa\\n1']
    """
    counts, size = _array(counts), len(itos)
    if counts.shape != (size, size) or size == 0:
        raise ValueError(f"bigram_heatmap needs counts of shape {(size, size)} here, not {counts.shape}.")
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise ValueError("bigram_heatmap needs counts that are finite and not negative.")
    names = [{" ": "␣", "\n": "\\n", "\t": "\\t"}.get(itos[i], itos[i]) for i in range(size)]
    ax = _axes(ax, title, (12, 12.4) if annotate else (7.5, 6.6))
    image = ax.imshow(counts, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=counts.max()))
    ax.set(xlabel="next character", xticks=range(size), xticklabels=names,
           ylabel="first character", yticks=range(size), yticklabels=names)
    ax.tick_params(length=0)
    ax.grid(False)
    if not annotate:
        return _colorbar(ax, image, "count")
    ax.figure.draw_without_rendering()  # so that the axes have their final size
    cell = 72 * min(ax.figure.get_size_inches() * ax.get_position().size) / size  # points
    form = ".0f" if (counts == np.round(counts)).all() else ".2f"
    for i, j in np.ndindex(size, size):
        dark = np.dot(image.to_rgba(counts[i, j])[:3], (0.299, 0.587, 0.114)) < 0.45  # the cell's luma
        number = f"\n{counts[i, j]:{form}}" if counts[i, j] else ""  # 0 and 1 have almost the same shade
        ax.text(j, i, f"{names[i]}{names[j]}{number}", ha="center", va="center", parse_math=False,
                fontsize=min(11, 0.3 * cell), color="white" if dark else "black" if number else "#808080",
                in_layout=False)  # the layout would measure each of them: seconds
    return ax


def utf8_bits(text, *, title, ax=None):
    """The UTF-8 bytes of each character of text, a row each, bit by bit.

    The bits that only say what kind of byte it is (0, 110, 1110 or 11110 first, 10 in what follows) are bold on
    orange; the others hold the code point (RFC 3629). Returns the axes.

    >>> ax = utf8_bits("é", title="two bytes")
    >>> "".join(bit.get_text() for bit in ax.texts)
    '1100001110101001'
    """
    if not text:
        raise ValueError("utf8_bits needs a text of one character or more.")
    longest = max(len(c.encode()) for c in text)
    ax = _axes(ax, title, figsize=(0.85 + 1.7 * longest, 0.5 + 0.65 * len(text)))
    for row, c in enumerate(text):
        for k, byte in enumerate(c.encode()):
            bits = f"{byte:08b}"
            head = (bits + "0").index("0") + 1
            for j, bit in enumerate(bits):
                x, mark = 9 * k + j, j < head
                ax.add_patch(plt.Rectangle((x, -row), 1, 0.8, ec="white", fc=COLORS[4 if mark else 5]))
                ax.text(x + 0.5, 0.4 - row, bit, ha="center", va="center", weight="bold" if mark else None)
    ax.set(xlim=(0, 9 * longest - 1), ylim=(0.9 - len(text), 1), xticks=[], yticks=[0.4 - k for k in range(len(text))],
           yticklabels=[f"U+{ord(c):04X}" for c in text])
    ax.grid(False)
    return ax


def _axes(ax, title, figsize=None, pad=None):
    if not isinstance(title, str) or not title.strip():
        raise ValueError("a figure needs a title: say in a few words what it shows.")
    if ax is None:
        ax = plt.subplots(figsize=figsize, layout="constrained")[1]
    ax.set_title(title, pad=pad)
    return ax


def _colorbar(ax, image, label):  # an inset, so that it is as tall as the picture whatever its shape
    ax.figure.colorbar(image, cax=ax.inset_axes([1.03, 0, 0.035, 1]), label=label)
    return ax


def _array(x):
    """x as a float64 array; torch tensors, and lists of them, are taken off the graph and the GPU."""
    try:
        if isinstance(x, (list, tuple)):
            return np.array([_array(v) for v in x], dtype=np.float64)
        return np.asarray(x.detach().cpu().double().numpy() if hasattr(x, "detach") else x, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"a figure needs numbers in rows of equal length, not {x!r:.60}.") from None


def _curve(values, name):
    y = _array(values)
    which = "losses" if name is None else f"the curve {name!r}"
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"{which} must hold at least one number in one row, not shape {y.shape}.")
    if not np.isfinite(y).any():
        raise ValueError(f"{which} must hold a finite number: all are nan or infinite.")
    return np.where(np.isfinite(y), y, np.nan)  # leaves gaps


def plot_seeds(ax, runs, title, reference, xlabel="loss on new data"):
    """A row for each kind: its runs as small dots, their mean and standard error; dashed, the reference's mean."""
    for place, kind in enumerate(reversed(runs)):
        mean, error = mean_and_error(runs[kind])
        ax.plot(runs[kind], [place] * len(runs[kind]), ".", color="#999999", markersize=4)
        ax.errorbar(mean, place, xerr=error, fmt="o", capsize=4, color=COLORS[0])
    ax.axvline(mean_and_error(runs[reference])[0], color=COLORS[1], linestyle="--", linewidth=1)
    ax.set(title=title, xlabel=xlabel, yticks=range(len(runs)), yticklabels=[*runs][::-1],
           ylim=(-0.5, len(runs) - 0.5))
    return ax


def plot_means(ax, runs_at, title, xlabel, kinds=None, ylabel="loss on new data"):
    """A line for each kind over the numbers x, with standard errors. runs_at: {x: runs}; the x axis is logarithmic."""
    places = sorted(runs_at)
    for k, kind in enumerate(kinds or runs_at[places[0]]):
        means, errors = zip(*(mean_and_error(runs_at[x][kind]) for x in places))
        ax.errorbar(places, means, errors, label=kind, capsize=3, color=COLORS[k], marker=MARKERS[k])
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.set_xticks(places, places)
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return ax


def plot_index_sets(masks, title, labels=("example", "channel", "place")):
    """A picture for each mask: the marked places in orange. Returns the figure.

    masks: {name: bool array of two or three dimensions}; index 0 of each is at the front corner (cubes) or top left
    (tables). labels: the names of a cube's dimensions; a table has those of tokens and features.

    >>> mask = np.zeros((2, 3, 4), bool)
    >>> mask[0] = True
    >>> len(plot_index_sets({"the first example": mask}, title="One of two").axes)
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


def plot_table(ax, table, title, most=None, cmap="Blues"):
    """A table (rows, columns) as shaded squares with their numbers; `most` has the darkest shade.

    most: 1.5 times the largest number, if it is not given.

    >>> ax = plot_table(plt.subplots()[1], [[1, 2.5]], title="Two")
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
