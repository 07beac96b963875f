"""A scalar that remembers how it was made: reverse-mode automatic differentiation.

Notebook 01 builds this module line by line. Every operation makes a new `Value` that stores
its inputs (`_prev`) and, beside each, one number: how fast the result moves when that input
moves (`_local`). `backward` walks the graph from the result to the inputs and multiplies and
adds those numbers: the chain rule (Linnainmaa 1970; the interface follows Karpathy's micrograd).

Left out on purpose: tensors, higher derivatives, in-place changes, comparisons, graphs that
are kept for a second use after an input's `data` was changed by hand.
"""
import math


def number(x):
    """x as a float; TypeError with one clear sentence if x is not one real number.

    >>> number(3)
    3.0
    """
    try:
        return float(x + 0)  # "+ 0" turns away strings, which float() would read
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"a Value holds one real number, not {x!r:.60}; "
                        "for several numbers make a list of Values") from None


def real(f, *args):
    """f(*args); ValueError or OverflowError with one clear sentence where that has no
    finite real value.

    >>> real(math.log, 1.0)
    0.0
    """
    try:
        return f(*args)
    except (ValueError, OverflowError) as error:
        call = f"{f.__name__}({', '.join(map(str, args))})"
        raise type(error)(f"{call} is not a finite real number: check the input, "
                          "for instance log(x + 1e-9) or exp(x - largest x)") from None


def topological_order(root):
    """Every node that `root` depends on, each after all of its inputs; `root` is last.

    A stack of its own stands in for recursion, so depth is limited by memory only.

    >>> a = Value(2.0); b = a * a
    >>> topological_order(b) == [a, b]
    True
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, inputs_listed = stack.pop()
        if inputs_listed:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))  # comes back after everything pushed below
            stack += [(child, False) for child in node._prev]
    return order


class Node:
    """What every operation's result shares: its number, its inputs, and the way back.

    data: the number (float).  grad: d(result)/d(this), filled by `result.backward()`.
    `_prev`: the inputs; `_local`: d(this)/d(input) for each; `_op`, `label`: for drawings.
    No attribute refers to a later node, so a graph has no reference cycle and is freed at
    once when its result is dropped, without the garbage collector.
    """

    __slots__ = ("data", "grad", "_prev", "_local", "_op", "label")

    def __init__(self, data, _prev=(), _local=(), _op="", label=""):
        self.data = data if type(data) is float else number(data)
        self.grad = 0.0
        self._prev, self._local, self._op, self.label = _prev, _local, _op, label

    def __repr__(self):
        return f"Value(data={self.data:.6g}, grad={self.grad:.6g})"

    def _backward(self):
        for child, slope in zip(self._prev, self._local):
            child.grad += slope * self.grad

    def backward(self):
        """Fill `grad` of every node below with d(self)/d(node).

        Inputs (nodes without `_prev`) add to the `grad` they have, as PyTorch's leaves do:
        set it to 0 before a new pass. Nodes in between start afresh.
        """
        order = topological_order(self)
        for node in order:
            if node._prev:
                node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


class Derived:
    """Arithmetic that follows from +, *, ** and exp, so it needs no derivative of its own."""

    __slots__ = ()

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __truediv__(self, other):
        return self * other**-1

    def __radd__(self, other):
        return self + other

    def __rsub__(self, other):
        return -self + other

    def __rmul__(self, other):
        return self * other

    def __rtruediv__(self, other):
        return self**-1 * other

    def __rpow__(self, base):
        return (self * real(math.log, base)).exp()


class Value(Node, Derived):
    """One real number in a computation graph, with the derivative of a later result to it.

    Attributes and `backward`: see `Node`. Raises TypeError for anything that is not one real
    number, ValueError or OverflowError where an operation has no finite real value.

    >>> x = Value(3.0)
    >>> y = x * x + 2 * x
    >>> y.backward()
    >>> y.data, x.grad
    (15.0, 8.0)
    """

    __slots__ = ()

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data), "*")

    def __pow__(self, k):
        if not isinstance(k, (int, float)):
            raise TypeError(f"x ** k needs a plain number k, not {k!r:.60}; "
                            "for a Value k write (k * x.log()).exp()")
        y = real(math.pow, self.data, k)
        slope = k and k * real(math.pow, self.data, k - 1)  # k = 0: slope 0, at x = 0 too
        return Value(y, (self,), (slope,), f"**{k}")

    def exp(self):
        y = real(math.exp, self.data)
        return Value(y, (self,), (y,), "exp")

    def log(self):
        return Value(real(math.log, self.data), (self,), (1 / self.data,), "log")

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self,), (1 - t * t,), "tanh")

    def relu(self):
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),), "ReLU")


def dot(weights, inputs, bias):
    """bias + sum of weight * input as *one* node: the same number and the same gradients
    as the sum written out, with 1 node in place of 2 * len(weights).

    weights: Values; inputs: as many Values or numbers; bias: a Value.
    Raises ValueError if there are not as many weights as inputs.

    >>> dot([Value(2.0), Value(3.0)], [10, 100], Value(1.0))
    Value(data=321, grad=0)
    """
    if len(weights) != len(inputs):
        raise ValueError(f"dot needs as many inputs as weights, got {len(inputs)} for {len(weights)}")
    inputs = [x if isinstance(x, Value) else Value(x) for x in inputs]
    w, x = [v.data for v in weights], [v.data for v in inputs]
    y = sum(map(float.__mul__, w, x), bias.data)
    return Value(y, (bias, *weights, *inputs), (1.0, *x, *w), "dot")
