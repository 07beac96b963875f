"""The exercises of notebook 01, micrograd: references, inputs and known mistakes."""
import math
from types import SimpleNamespace

from micro.check import Exercise

ex01_1 = Exercise(
    "01.1", tol=1e-7,
    answer=lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
    cases=[(math.exp, 1.0, 1e-5), (math.sin, 0.5, 0.1), (math.sqrt, 0.3, 1e-3), (math.cos, -2.0, 1e-5)],
    show=lambda f, x, h: f"f = {f.__name__}, x = {x}, h = {h}",
    mistakes={
        "that is the slope to one side only: use f(x + h) and f(x - h)": lambda f, x, h: (f(x + h) - f(x)) / h,
        "that is the slope to the left side only: use f(x + h) and f(x - h)": lambda f, x, h: (f(x) - f(x - h)) / h,
        "the h that is given plays no part: use it": lambda f, x, h: (f(x + 1e-5) - f(x - 1e-5)) / 2e-5,
        "the stretch is h long there: go h to *both* sides, it is then 2 * h long":
            lambda f, x, h: (f(x + h / 2) - f(x - h / 2)) / h,
        "brackets are missing: f(x + h) - f(x - h) / (2 * h) divides the second term only":
            lambda f, x, h: f(x + h) - f(x - h) / (2 * h),
        "twice too large: from x - h to x + h it is 2 * h": lambda f, x, h: (f(x + h) - f(x - h)) / h,
        "`/ 2 * h` divides by 2 and then multiplies by h: write / (2 * h)":
            lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h,
    })

ex01_2 = Exercise(
    "01.2",
    answer=lambda a, b, c: [b + c, a + 2 * b + c, a + b],
    cases=[(2.0, -3.0, 10.0), (0.5, 1.5, -1.0), (-1.0, 4.0, 2.5)],
    mistakes={
        "that is L itself; its slopes are asked for": lambda a, b, c: (a + b) * (b + c),
        "b reaches L through both factors: its two slopes add up": lambda a, b, c: [b + c, b + c, a + b],
        "b reaches L through both factors: the one through b + c is in, the one through a + b is missing":
            lambda a, b, c: [b + c, a + b, a + b],
        "b's two slopes were multiplied: slopes multiply along one path and add up where paths meet":
            lambda a, b, c: [b + c, (b + c) * (a + b), a + b],
        "a and c are swapped: the slope of a factor is the *other* factor":
            lambda a, b, c: [a + b, a + 2 * b + c, b + c],
    })


def _mul_case(mul, a, b, slope):
    """The grads after one call; (a, None) means that both inputs are the same node."""
    left = SimpleNamespace(data=a, grad=0.25)
    right = left if b is None else SimpleNamespace(data=b, grad=-0.5)
    mul(left, right, SimpleNamespace(data=left.data * right.data, grad=slope))
    return {"grad of a": left.grad} if b is None else {"grad of a": left.grad, "grad of b": right.grad}


def _mul(assign_a=False, assign_b=False, chain_a=True, chain_b=True, own=False):
    """A backward step of a * b with the given mistakes; returns out, as the answer does."""
    def backward(a, b, out):
        to_a = (a.data if own else b.data) * (out.grad if chain_a else 1.0)
        a.grad = to_a if assign_a else a.grad + to_a
        to_b = (b.data if own else a.data) * (out.grad if chain_b else 1.0)
        b.grad = to_b if assign_b else b.grad + to_b
        return out
    return backward


def _both_first(a, b, out):
    to_a, to_b = a.grad + b.data * out.grad, b.grad + a.data * out.grad
    a.grad, b.grad = to_a, to_b
    return out


def _out_data(a, b, out):
    a.grad += b.data * out.data
    b.grad += a.data * out.data
    return out


ex01_3 = Exercise(
    "01.3", answer=_mul(), probe=_mul_case,
    cases=[(2.0, 3.0, 1.0), (2.0, 3.0, -2.0), (1.5, None, 0.5)],
    show=lambda a, b, slope: (
        f"a.data={a}, b the same node as a, out.grad={slope}, and a.grad 0.25 before" if b is None else
        f"a.data={a}, b.data={b}, out.grad={slope}, and before that a.grad 0.25, b.grad -0.5"),
    mistakes={
        "still the two mistakes of the start: `a.grad` is assigned, and its chain rule is missing":
            _mul(assign_a=True, chain_a=False),
        "`a.grad` is assigned: use += so that earlier slopes stay": _mul(assign_a=True),
        "`b.grad` is assigned: use += so that earlier slopes stay": _mul(assign_b=True),
        "both are assigned: use += so that earlier slopes stay": _mul(assign_a=True, assign_b=True),
        "the chain rule is missing for `a`: times out.grad": _mul(chain_a=False),
        "the chain rule is missing for both: times out.grad": _mul(chain_a=False, chain_b=False),
        "each input needs the *other* one's data": _mul(own=True),
        "a and b may be the same node: finish a.grad before you read b.grad": _both_first,
        "times out.grad, the slope, not out.data": _out_data,
    })


class _Node:
    """A node with inputs and nothing else; compared and hashed by identity, as Values are."""

    def __init__(self, *inputs):
        self._prev = inputs

    def __repr__(self):
        return f"node({len(self._prev)} inputs)"


def _graph(*inputs):
    """Nodes numbered from 0, each with the given inputs: `_graph((), (0,), (0, 1))`."""
    nodes = []
    for prev in inputs:
        nodes.append(_Node(*(nodes[i] for i in prev)))
    return nodes


def _order(judge, inputs, order):
    nodes = _graph(*inputs)
    return bool(judge([nodes[i] for i in order]))


def _safe(order):
    passed = []
    for node in order:
        if any(all(p is not q for q in passed) for p in node._prev):
            return False
        passed.append(node)
    return True


_DIAMOND = ((), (0,), (1,), (1, 2))  # x, a = f(x), b = g(a), y = h(a, b)
ex01_4 = Exercise(
    "01.4", answer=_safe, probe=_order,
    cases=[(_DIAMOND, (0, 1, 2, 3)), (_DIAMOND, (3, 2, 1, 0)), (_DIAMOND, (0, 2, 1, 3)), (_DIAMOND, (1, 0, 2, 3)),
           (((), (), (0, 1)), (1, 0, 2)), (((), (0, 0)), (0, 1)), (((), (), (0, 1)), (0, 2, 1)), (_DIAMOND, (1, 2, 3)),
           (((), (0,), (0,), (1, 2)), (0, 2, 1, 3)), (((), (), (0, 1)), (0, 1, 2)),
           (((), (), (0, 1)), (1, 2, 0))],
    show=lambda inputs, order: "the graph " + ", ".join(
        "abcd"[i] + (f"=f({','.join('abcd'[p] for p in prev)})" if prev else "") for i, prev in enumerate(inputs)
    ) + " in the order " + ", ".join("abcd"[i] for i in order),
    mistakes={
        "the direction is reversed: inputs come first, results after them": lambda order: _safe(order[::-1]),
        "one input listed before is not enough: *all* of them must be (any or all?)":
            lambda order: all(not n._prev or any(p is q for p in n._prev for q in order[:i])
                              for i, n in enumerate(order)),
        "it looks at the node just before only: an input may stand anywhere before":
            lambda order: all(not n._prev or any(p is order[i - 1] for p in n._prev) for i, n in enumerate(order)),
        "an input that comes nowhere in the list makes it unsafe too":
            lambda order: all(all(p is not q for q in order[i:] for p in n._prev) for i, n in enumerate(order)),
    })


def _new_op(op, Value, x):
    """One node: its number, its slope behind another operation, and that it is one node."""
    v = Value(x, label="x")
    out = op(v)
    if not hasattr(out, "_prev"):
        raise TypeError(f"return a Value, not {type(out).__name__}")
    v.grad = 0.0
    (out * 3.0).backward()
    if hasattr(v.grad, "_prev") or hasattr(out.data, "_prev"):
        raise TypeError("result and slope must be plain numbers: compute them from x.data, not from x")
    return {"number": out.data, "slope": v.grad / 3,
            "way back": "x is the one input of the new node" if list(out._prev) == [v] else
            "x is not the one input of the new node (was it composed of several?)"}


def _softplus(slope):
    def op(x):
        y = max(x.data, 0.0) + math.log1p(math.exp(-abs(x.data)))
        return type(x)(y, (x,), (slope(x.data, y),), "softplus")
    return op


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


ex01_5 = Exercise(
    "01.5", answer=_softplus(lambda x, y: _sigmoid(x)), probe=_new_op,
    cases=[(0.0,), (1.0,), (-2.0,), (3.5,), (-8.0,), (800.0,), (-800.0,)], show=lambda x: f"x = {x}",
    advice=" (write the slope as a tuple, (slope,), and mind that e**800 is too large for a float: see the hint)",
    mistakes={
        "the number is right, but the slope is that of log(u) alone: times the inner slope, e^x":
            _softplus(lambda x, y: _sigmoid(-x)),
        "the number is right, but the slope is that of e^x alone: times the outer slope, 1 / (1 + e^x)":
            _softplus(lambda x, y: math.exp(x)),
        "the number is right, the slope belongs to sigmoid, not to softplus":
            _softplus(lambda x, y: _sigmoid(x) * (1 - _sigmoid(x))),
        "the number is right, but the slope stored is the number itself": _softplus(lambda x, y: y),
        "the number is right, the slope is that of ReLU: softplus has none of its corners":
            _softplus(lambda x, y: float(x > 0)),
        "the number is right, the slope is always 1: work out the derivative": _softplus(lambda x, y: 1.0),
    })


def _loss_case(loss, Value, score, target):
    s = Value(score)
    out = loss(s, target)
    if not hasattr(out, "_prev"):
        raise TypeError(f"return a Value, so that it can go backward, not {type(out).__name__}")
    out.backward()
    return {"loss": out.data, "slope of the score": s.grad}


ex01_6 = Exercise(
    "01.6", answer=lambda s, t: (1 + (-t * s).exp()).log(), probe=_loss_case,
    cases=[(0.0, 1), (2.0, 1), (2.0, -1), (-1.5, 1), (-1.5, -1)],
    show=lambda score, target: f"score {score}, target {target}",
    advice=" (use .exp() and .log() of Value, and brackets: (-target * score).exp())",
    mistakes={
        "the sign in the exponent is missing: a right answer must cost little":
            lambda s, t: (1 + (t * s).exp()).log(),
        "that is the hinge loss of the text; here smooth: log(1 + exp(...))": lambda s, t: (1 - t * s).relu(),
        "the 1 + is missing: log(exp(z)) is just z": lambda s, t: (-t * s).exp().log(),
        "the log is missing": lambda s, t: 1 + (-t * s).exp(),
        "the 1 stands in the wrong place: it is added to exp(...), inside the log": lambda s, t: 1 - t * s * 1.0,
        "the number is right, but the way back to the score is cut: build it from the operations of Value":
            lambda s, t: type(s)(math.log(1 + math.exp(-t * s.data))),
        "the target plays no part": lambda s, t: (1 + (-s).exp()).log(),
    })


def _momentum_case(step, grads, lr, beta):
    """Parameters and velocities after several steps with the given gradients."""
    params, velocity = [SimpleNamespace(data=1.0 + i, grad=0.0) for i in range(len(grads[0]))], [0.0] * len(grads[0])
    for row in grads:
        for p, g in zip(params, row):
            p.grad = g
        step(params, velocity, lr, beta)
    return {"velocity": velocity, "data": [p.data for p in params]}


def _momentum(update, new_velocity=True, in_place=True, sign=-1, lr_inside=False, plain=False,
              first_only=False):
    def step(params, velocity, lr, beta):
        kept = velocity if in_place else list(velocity)
        for i, p in enumerate(params[:1] if first_only else params):
            old = kept[i]
            kept[i] = beta * old + lr * p.grad if lr_inside else update(beta, old, p.grad)
            moved = p.grad if plain else kept[i] if new_velocity else old
            p.data += sign * moved * (1 if lr_inside else lr)
        return kept
    return step


ex01_7 = Exercise(
    "01.7", answer=_momentum(lambda b, v, g: b * v + g), probe=_momentum_case,
    cases=[([[1.0, -2.0]], 0.1, 0.9), ([[1.0, -2.0], [0.5, 1.0], [0.0, 0.0]], 0.1, 0.9),
           ([[2.0], [1.0]], 0.01, 0.5), ([[2.0], [1.0]], 1.0, 0.0)],
    show=lambda grads, lr, beta: f"lr={lr}, beta={beta}, data from 1, velocity from 0, gradients by step {grads}",
    advice=" (a parameter p has p.data and p.grad, both plain numbers)",
    mistakes={
        "uphill: the step goes against the slope, data -= lr * v": _momentum(lambda b, v, g: b * v + g, sign=1),
        "lr belongs to the step, not into the velocity: v = beta * v + grad, data -= lr * v":
            _momentum(None, lr_inside=True),
        "the step uses the gradient itself: it should use the velocity":
            _momentum(lambda b, v, g: b * v + g, plain=True),
        "only the first parameter moves: `return` stands inside the loop":
            _momentum(lambda b, v, g: b * v + g, first_only=True),
        "the parameters do not move: p.data -= lr * velocity[i]": _momentum(lambda b, v, g: b * v + g, sign=0),
        "beta plays no part: v = beta * v + grad": _momentum(lambda b, v, g: v + g),
        "the velocity forgets: keep beta times the old one": _momentum(lambda b, v, g: g),
        "the gradient is damped too: here v = beta * v + grad, not + (1 - beta) * grad":
            _momentum(lambda b, v, g: b * v + (1 - b) * g),
        "the step uses the old velocity: update it first, then move":
            _momentum(lambda b, v, g: b * v + g, new_velocity=False),
        "the list `velocity` must change in place: velocity[i] = ...":
            _momentum(lambda b, v, g: b * v + g, in_place=False),
        "beta multiplies the gradient as well: only the old velocity is damped":
            _momentum(lambda b, v, g: b * (v + g)),
    })
