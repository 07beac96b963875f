"""What diagnose() gives back: words, a table and a figure."""
import math
import textwrap
from collections import namedtuple
from types import SimpleNamespace

COLORS, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), "os^Dv"  # Okabe and Ito's colours

Weight = namedtuple("Weight", "name shape std grad ratio")


class Report(SimpleNamespace):
    """What diagnose() found: print it for words and a table, or draw it with plot()."""

    def __str__(self):
        calm = "nothing stands out: no saturated or dead units, and sizes keep within bounds from layer to layer"
        words = [f"{f.level}: {f.text}" for f in self.findings] or [calm]
        rows = [("layer", "kind", "output", "mean", "std", "saturated", "dead", "gradient std")]
        for l in self.layers:
            mean = 0 if abs(l.mean) < l.std / 100 else l.mean  # else noise, another one on the next computer
            numbers = f"{mean:.2g} {l.std:.2g} {l.saturated:.0%} {l.dead / l.units:.0%} {l.grad:.2g}"
            numbers = numbers.replace("nan%", "-").replace("nan", "-").split()
            rows.append((l.name, l.kind, "x".join(map(str, l.shape)), *numbers))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join([*map(str.ljust, row[:3], widths), *map(str.rjust, row[3:], widths[3:])]) for row in rows]
        return "\n".join([textwrap.fill(text, 110, subsequent_indent="    ") for text in words] + ["", *lines])

    __repr__ = __str__

    def plot(self):
        """Draw the layers in the order of their calls; returns the Figure, two panels, four if there is a loss."""
        import matplotlib.pyplot as plt
        back, marked = self.loss is not None, {f.layer for f in self.findings}
        figure, axes = plt.subplots(1 + back, 2, figsize=(10, 4.2 + 4.2 * back), layout="constrained", squeeze=False)
        left, right = axes[0]
        panel(left, self.layers, marked, "Activations: standard deviation of each layer's output",
               {"standard deviation": lambda l: l.std}, "size of the outputs (log scale)")
        left.fill_between(range(len(self.layers)), [l.low for l in self.layers], [l.high for l in self.layers],
                          color=COLORS[0], alpha=0.2, hatch="//", linewidth=0, label="5% to 95% of |output|")
        left.legend(fontsize=9)
        if judged := [l for l in self.layers if l.saturated >= 0 or l.dead >= 0]:
            panel(right, judged, marked, "Saturated outputs and dead units", {
                "saturated": lambda l: 100 * l.saturated, "dead": lambda l: 100 * l.dead / l.units}, "share (%)", False)
        else:
            panel(right, [l for l in self.layers if l.gain > 0], marked, "Size (rms) of output / of input, where "
                   "there are weights", {"gain": lambda l: l.gain}, "gain (log scale)")
        if back:
            panel(axes[1][0], self.layers, marked, "Gradients at each layer's output: standard deviation",
                   {"gradient": lambda l: l.grad}, "standard deviation (log scale)")
            panel(axes[1][1], [w for w in self.weights if len(w.shape) > 1], marked, "Weight gradient / weight",
                   {"ratio": lambda w: w.ratio}, "std / std (log scale)")
        return figure


def panel(ax, records, marked, title, curves, ylabel, log=True):
    for k, (label, value) in enumerate(curves.items()):
        values = [value(r) or (math.nan if log else 0) for r in records]
        if not all(map(math.isnan, values)):
            ax.plot(values, color=COLORS[k], marker=MARKERS[k], linestyle=("-", "--")[k], label=label)
    if log and (finite := [v for v in values if math.isfinite(v)]):
        ax.set(yscale="log", ylim=(min(finite) / 6, max(finite) * 6))  # some decades, so that there are labels
    elif not log:
        ax.set_ylim(-4, 104)
    found = [i for i, r in enumerate(records) if r.name in marked or r.name.rpartition(".")[0] in marked]
    for i in found:
        ax.axvline(i, color=COLORS[1], linestyle=":", zorder=0, label="see findings" if i == found[0] else None)
    shown = range(0, len(records), 1 + max(0, len(records) - 1) // 24)  # more names would not fit
    names = [f"{r.name} {r.kind}" if r.name.rpartition(".")[2].isdigit() else r.name for r in records]
    names = [name if len(name) < 27 else "…" + name[-25:] for name in names]
    ax.set_xticks(shown, [names[i] for i in shown], rotation=90, fontsize=8)
    ax.set_title(title, fontsize=11)
    ax.set_ylabel(ylabel, fontsize=10)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=9)
    else:
        ax.text(0.5, 0.5, "no such layer here", ha="center", va="center", transform=ax.transAxes)
