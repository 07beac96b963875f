"""Draws the picture of the README: python tools/picture.py (in the course's environment)."""
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from micro import plot
from micro.data import moons
from micro.draw import draw_dot
from micro.engine import Value
from micro.nn import MLP
from micro.train import seed

X, y = moons(100, noise=0.1, seed=0)
inputs, targets = X.tolist(), (2 * y - 1).tolist()
seed(1337)
model = MLP(2, [16, 16, 1])
for k in range(100):
    scores = [model(x) for x in inputs]
    loss = sum((1 - t * s).relu() for t, s in zip(targets, scores)) * (1 / len(targets))
    loss = loss + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= (1.0 - 0.9 * k / 100) * p.grad

x, w, b = Value(2.0, label="x"), Value(-3.0, label="w"), Value(6.8814, label="b")
o = (x * w + b).tanh()
o.label = "o"
o.backward()

plot.style()
graph = plt.imread(io.BytesIO(draw_dot(o).pipe(format="png")))
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), width_ratios=[1.25, 1], layout="constrained")
left.imshow(graph)
left.set_axis_off()
left.set_title("from a number that knows its slope …")
plot.decision_boundary(lambda points: np.array([model(p).data for p in points.tolist()]), X, y, ax=right,
                       title="… to a network that learned two moons")
fig.savefig(Path(__file__).parents[1] / ".github" / "course.png", dpi=100)
