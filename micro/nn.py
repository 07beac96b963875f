"""Neurons, layers and a multi-layer perceptron on `micro.engine.Value` (notebook 01).

Left out: every layer but the fully connected one, optimizers, tensors (see `micro.layers`).
Random weights come from Python's `random`: seed it first (`micro.train.seed`).
"""
import random

from micro.engine import Value, dot


class Module:
    """Anything that has parameters."""

    def parameters(self):
        return []

    def zero_grad(self):
        """Set every parameter's `grad` to 0: gradients add up from one backward to the next."""
        for p in self.parameters():
            p.grad = 0.0


class Neuron(Module):
    """relu(w . x + b), or w . x + b with `nonlin=False`.

    nin: number of inputs; weights start uniform in [-1, 1], the bias at 0.
    """

    def __init__(self, nin, nonlin=True):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin

    def __call__(self, x):
        act = dot(self.w, x, self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return self.w + [self.b]


class Layer(Module):
    """`nout` neurons side by side on the same `nin` inputs; returns a list of `nout` Values."""

    def __init__(self, nin, nout, nonlin=True):
        self.neurons = [Neuron(nin, nonlin) for _ in range(nout)]

    def __call__(self, x):
        return [n(x) for n in self.neurons]

    def parameters(self):
        return [p for n in self.neurons for p in n.parameters()]


class MLP(Module):
    """Layers one after the other, ReLU after each but the last.

    nin: number of inputs; nouts: the sizes of the layers. Returns a Value where the last
    layer has one neuron, else a list of Values.

    >>> len(MLP(2, [16, 16, 1]).parameters())
    337
    """

    def __init__(self, nin, nouts):
        sizes = [nin] + list(nouts)
        last = len(nouts) - 1
        self.layers = [Layer(sizes[i], sizes[i + 1], nonlin=i < last) for i in range(len(nouts))]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x[0] if len(x) == 1 else x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]
