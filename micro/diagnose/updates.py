"""How far each training step moves the weights."""
import math

from torch import nn

from .report import COLORS, MARKERS
from .watch import measure


class Updates:
    """How far each training step moves the weights: log10 of std(change) / std(weight), whatever the optimizer.

    model: a Module or its named_parameters(); weights with two or more dimensions count.  every: each how many steps.
    Write `with updates: optimizer.step()`, or call before() and after() around it; then read `ratios`, {name: list},
    or plot(). A weight whose std is 0 gives nan. ValueError without weights, RuntimeError for after() alone.
    """

    def __init__(self, model, every=1):
        named = model.named_parameters() if isinstance(model, nn.Module) else model
        self.weights, self.every, self.steps, self.old = {n: p for n, p in named if p.ndim > 1}, every, 0, None
        self.ratios = {name: [] for name in self.weights}
        if not self.weights:
            raise ValueError("Updates found no weight with two or more dimensions: give it a model that has some.")

    def before(self):
        self.old = {n: p.detach().clone() for n, p in self.weights.items()} if self.steps % self.every == 0 else {}

    def after(self):
        if self.old is None:
            raise RuntimeError("Updates.after() needs before(), called ahead of optimizer.step(): call that first.")
        for name, old in self.old.items():
            change, std = measure(self.weights[name].detach() - old).std, measure(old).std
            self.ratios[name].append((math.log10(change / std) if change else -math.inf) if std else math.nan)
        self.steps, self.old = self.steps + 1, None

    def __enter__(self):
        self.before()
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.after()

    def plot(self, ax=None, title="How far each step moves the weights"):
        """Draw the ratios against the steps, on `ax` or a new figure; returns the Axes."""
        import matplotlib.pyplot as plt
        ax = ax or plt.subplots(figsize=(8, 4.5), layout="constrained")[1]
        for k, (name, ratios) in enumerate(self.ratios.items()):
            steps, label = range(0, self.every * len(ratios), self.every), name if k < 10 else None  # else too long
            ax.plot(steps, ratios, color=COLORS[k % 5], marker=MARKERS[k % 5], label=label,
                    markevery=1 + len(ratios) // 8)
        ax.axhline(-3, color="black", linestyle="--", label="1e-3: a usual guide")
        ax.set(title=title, xlabel="step", ylabel="log10 of std(change) / std(weight)")
        ax.legend(fontsize=9)
        return ax
