"""The checks of notebook 01, micrograd."""
import math
from types import SimpleNamespace

from micro.check import Exercise

ex01_1 = Exercise(
    "01.1", tol=1e-7,
    answer=lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
    cases=[(math.exp, 1.0, 1e-5), (math.sin, 0.5, 0.1), (math.sqrt, 0.3, 1e-3), (math.cos, -2.0, 1e-5)],
    show=lambda f, x, h: f"f = {f.__name__}, x = {x}, h = {h}",
    mistakes={
        "that is the slope to one side only: use f(x + h) and f(x - h)": """
            def central_slope(f, x, h=1e-5):
                return (f(x + h) - f(x)) / h
            """,
        "that is the slope to the left side only: use f(x + h) and f(x - h)": """
            def central_slope(f, x, h=1e-5):
                return (f(x) - f(x - h)) / h
            """,
        "your stretch is only h long: go h to *both* sides, which makes it 2 * h long": """
            def central_slope(f, x, h=1e-5):
                return (f(x + h / 2) - f(x - h / 2)) / h
            """,
        "you ignore the h that is given: use it": """
            def central_slope(f, x, h=1e-5):
                h = 1e-5
                return (f(x + h) - f(x - h)) / (2 * h)
            """,
        "brackets are missing: f(x + h) - f(x - h) / (2 * h) divides the second term only": """
            def central_slope(f, x, h=1e-5):
                return f(x + h) - f(x - h) / (2 * h)
            """,
        "`/ 2 * h` divides by 2 and then multiplies by h: write / (2 * h)": """
            def central_slope(f, x, h=1e-5):
                return (f(x + h) - f(x - h)) / 2 * h
            """,
    })


ex01_2 = Exercise(
    "01.2",
    answer=lambda a, b, c: [b + c, a + 2 * b + c, a + b],
    cases=[(2.0, -3.0, 11.0), (0.5, 1.5, -1.0), (-1.0, 4.0, 2.5)],
    mistakes={
        "b reaches L through both factors: you have the path through a + b, the one through b + c is missing": """
            def hand_gradient(a, b, c):
                return [b + c, b + c, a + b]
            """,
        "b reaches L through both factors: you have the path through b + c, the one through a + b is missing": """
            def hand_gradient(a, b, c):
                return [b + c, a + b, a + b]
            """,
        "b's two slopes were multiplied: slopes multiply along one path and add up where paths meet": """
            def hand_gradient(a, b, c):
                return [b + c, (b + c) * (a + b), a + b]
            """,
        "a and c are swapped: the slope of a factor is the *other* factor": """
            def hand_gradient(a, b, c):
                u, v = a + b, b + c
                return [u, u + v, v]
            """,
    })


def _mul_backward(a, b, out):
    a.grad += b.data * out.grad
    b.grad += a.data * out.grad
    return out


def _mul_case(mul, a, b, slope):
    """The grads after one call; (a, None) means that both inputs are the same node."""
    left = SimpleNamespace(data=a, grad=0.25)
    right = left if b is None else SimpleNamespace(data=b, grad=-0.5)
    mul(left, right, SimpleNamespace(data=left.data * right.data, grad=slope))
    return {"grad of a": left.grad} if b is None else {"grad of a": left.grad, "grad of b": right.grad}


ex01_3 = Exercise(
    "01.3", answer=_mul_backward, probe=_mul_case,
    cases=[(2.0, 3.0, 1.0), (2.0, 3.0, -2.0), (1.5, None, 0.5)],
    show=lambda a, b, slope: (
        f"a.data={a}, b the same node as a, out.grad={slope}, and a.grad 0.25 before" if b is None else
        f"a.data={a}, b.data={b}, out.grad={slope}, and before that a.grad 0.25, b.grad -0.5"),
    mistakes={
        "both of the original mistakes are still there: `a.grad` is assigned, and its chain rule is missing": """
            def backward_of_mul(a, b, out):
                a.grad = b.data
                b.grad += a.data * out.grad
                return out
            """,
        "`a.grad` is assigned: use += so that earlier slopes stay": """
            def backward_of_mul(a, b, out):
                a.grad = b.data * out.grad
                b.grad += a.data * out.grad
                return out
            """,
        "both are assigned: use += so that earlier slopes stay": """
            def backward_of_mul(a, b, out):
                a.grad = b.data * out.grad
                b.grad = a.data * out.grad
                return out
            """,
        "the chain rule is missing for `a`: multiply by out.grad": """
            def backward_of_mul(a, b, out):
                a.grad += b.data
                b.grad += a.data * out.grad
                return out
            """,
        "each input needs the *other* one's data": """
            def backward_of_mul(a, b, out):
                a.grad += a.data * out.grad
                b.grad += b.data * out.grad
                return out
            """,
        "a and b may be the same node: finish a.grad before you read b.grad": """
            def backward_of_mul(a, b, out):
                a.grad, b.grad = a.grad + b.data * out.grad, b.grad + a.data * out.grad
                return out
            """,
        "multiply by out.grad, the slope, not by out.data": """
            def backward_of_mul(a, b, out):
                a.grad += b.data * out.data
                b.grad += a.data * out.data
                return out
            """,
    })


class _Node:
    """A node with inputs and nothing else; compared and hashed by identity, as Values are."""

    def __init__(self, *inputs):
        self._prev = inputs

    def __repr__(self):
        return f"node({len(self._prev)} inputs)"


def _order_case(is_topological, graph, order):
    """graph: the inputs of each node, by number: ((), (0,), (0, 1))."""
    nodes = []
    for inputs in graph:
        nodes.append(_Node(*(nodes[i] for i in inputs)))
    return bool(is_topological([nodes[i] for i in order]))


def _is_topological(order):
    return all(set(node._prev) <= set(order[:i]) for i, node in enumerate(order))


_DIAMOND = ((), (0,), (1,), (1, 2))  # x, a = f(x), b = g(a), y = h(a, b)
ex01_4 = Exercise(
    "01.4", answer=_is_topological, probe=_order_case,
    cases=[(_DIAMOND, (0, 1, 2, 3)), (_DIAMOND, (3, 2, 1, 0)), (_DIAMOND, (0, 2, 1, 3)), (_DIAMOND, (1, 0, 2, 3)),
           (((), (), (0, 1)), (1, 0, 2)), (((), (0, 0)), (0, 1)), (((), (), (0, 1)), (0, 2, 1)), (_DIAMOND, (1, 2, 3)),
           (((), (0,), (0,), (1, 2)), (0, 2, 1, 3)), (((), (), (0, 1)), (0, 1, 2)),
           (((), (), (0, 1)), (1, 2, 0))],
    show=lambda graph, order: "the graph " + ", ".join(
        "abcd"[i] + (f"=f({','.join('abcd'[p] for p in inputs)})" if inputs else "") for i, inputs in enumerate(graph)
    ) + " in the order " + ", ".join("abcd"[i] for i in order),
    mistakes={
        "the direction is reversed: inputs come first, results after them": """
            def is_topological(order):
                passed = set()
                for node in reversed(order):
                    if any(p not in passed for p in node._prev):
                        return False
                    passed.add(node)
                return True
            """,
        "one input listed before is not enough: *all* of them must be (any or all?)": """
            def is_topological(order):
                passed = set()
                for node in order:
                    if node._prev and not any(p in passed for p in node._prev):
                        return False
                    passed.add(node)
                return True
            """,
        "an input that is nowhere in the list makes the order unsafe too": """
            def is_topological(order):
                for i, node in enumerate(order):
                    for p in node._prev:
                        if p in order[i:]:
                            return False
                return True
            """,
    })


def _softplus(x):
    small = math.exp(-abs(x.data))
    slope = 1 / (1 + small) if x.data > 0 else small / (1 + small)
    return type(x)(max(x.data, 0.0) + math.log1p(small), (x,), (slope,), "softplus")


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


ex01_5 = Exercise(
    "01.5", answer=_softplus, probe=_new_op,
    cases=[(0.0,), (1.0,), (-2.0,), (3.5,), (-8.0,), (800.0,), (-800.0,)], show=lambda x: f"x = {x}",
    advice=" (write the slope as a tuple, (slope,), and mind that e**800 is too large for a float: see the hint)",
    mistakes={
        "the number is right, but the slope is that of log(u) alone: multiply by the inner slope, e^x": """
            def softplus(x):
                small = math.exp(-abs(x.data))
                y = max(x.data, 0.0) + math.log1p(small)
                slope = small / (1 + small) if x.data > 0 else 1 / (1 + small)
                return Value(y, (x,), (slope,), "softplus")
            """,
        "the number is right, but the slope is that of e^x alone: multiply by the outer slope, 1 / (1 + e^x)": """
            def softplus(x):
                y = math.log(1 + math.exp(x.data))
                return Value(y, (x,), (math.exp(x.data),), "softplus")
            """,
        "the number is right, but the slope is that of the sigmoid: the slope of softplus is the sigmoid itself": """
            def softplus(x):
                small = math.exp(-abs(x.data))
                y = max(x.data, 0.0) + math.log1p(small)
                s = 1 / (1 + small) if x.data > 0 else small / (1 + small)
                return Value(y, (x,), (s * (1 - s),), "softplus")
            """,
        "the number is right, but the slope is always 1: work out the derivative": """
            def softplus(x):
                y = max(x.data, 0.0) + math.log1p(math.exp(-abs(x.data)))
                return Value(y, (x,), (1.0,), "softplus")
            """,
    })


def _loss_case(loss, Value, score, target):
    s = Value(score)
    out = loss(s, target)
    if not hasattr(out, "_prev"):
        raise TypeError(f"return a Value, so that it can go backward, not {type(out).__name__}")
    out.backward()
    return {"loss": out.data, "slope of the score": s.grad}


ex01_6 = Exercise(
    "01.6", answer=lambda score, target: (1 + (-target * score).exp()).log(), probe=_loss_case,
    cases=[(0.0, 1), (2.0, 1), (2.0, -1), (-1.5, 1), (-1.5, -1)],
    show=lambda score, target: f"score {score}, target {target}",
    advice=" (use .exp() and .log() of Value, and brackets: (-target * score).exp())",
    mistakes={
        "the sign in the exponent is missing: a right answer must cost little": """
            def logistic_loss(score, target):
                return (1 + (target * score).exp()).log()
            """,
        "that is the hinge loss of the text; here we want the smooth one, log(1 + exp(...))": """
            def logistic_loss(score, target):
                return (1 - target * score).relu()
            """,
        "the 1 + is missing: log(exp(z)) is just z": """
            def logistic_loss(score, target):
                return (-target * score).exp().log()
            """,
        "the log is missing": """
            def logistic_loss(score, target):
                return 1 + (-target * score).exp()
            """,
        "brackets are missing: the 1 must be added to exp(...), inside the log": """
            def logistic_loss(score, target):
                return 1 + (-target * score).exp().log()
            """,
        "the number is right, but no slope reaches the score: build the loss from the operations of Value": """
            def logistic_loss(score, target):
                return Value(math.log(1 + math.exp(-target * score.data)))
            """,
    })


def _momentum_step(parameters, velocity, lr, beta):
    for i, p in enumerate(parameters):
        velocity[i] = beta * velocity[i] + p.grad
        p.data -= lr * velocity[i]
    return velocity


def _momentum_case(step, grads, lr, beta):
    """Parameters and velocities after several steps with the given gradients."""
    params, velocity = [SimpleNamespace(data=1.0 + i, grad=0.0) for i in range(len(grads[0]))], [0.0] * len(grads[0])
    for row in grads:
        for p, g in zip(params, row):
            p.grad = g
        step(params, velocity, lr, beta)
    return {"velocity": velocity, "data": [p.data for p in params]}


ex01_7 = Exercise(
    "01.7", answer=_momentum_step, probe=_momentum_case,
    cases=[([[1.0, -2.0]], 0.1, 0.9), ([[1.0, -2.0], [0.5, 1.0], [0.0, 0.0]], 0.1, 0.9),
           ([[2.0], [1.0]], 0.01, 0.5), ([[2.0], [1.0]], 1.0, 0.0)],
    show=lambda grads, lr, beta: f"lr={lr}, beta={beta}, data from 1, velocity from 0, gradients by step {grads}",
    advice=" (a parameter p has p.data and p.grad, both plain numbers)",
    mistakes={
        "uphill: the step goes against the slope, data -= lr * v": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * velocity[i] + p.grad
                    p.data += lr * velocity[i]
                return velocity
            """,
        "lr belongs to the step, not into the velocity: v = beta * v + grad, data -= lr * v": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * velocity[i] + lr * p.grad
                    p.data -= velocity[i]
                return velocity
            """,
        "the step uses the gradient itself: it should use the velocity": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * velocity[i] + p.grad
                    p.data -= lr * p.grad
                return velocity
            """,
        "only the first parameter moves: `return` stands inside the loop": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * velocity[i] + p.grad
                    p.data -= lr * velocity[i]
                    return velocity
            """,
        "the gradient is damped too: here v = beta * v + grad, not + (1 - beta) * grad": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * velocity[i] + (1 - beta) * p.grad
                    p.data -= lr * velocity[i]
                return velocity
            """,
        "beta multiplies the gradient as well: only the old velocity is damped": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    velocity[i] = beta * (velocity[i] + p.grad)
                    p.data -= lr * velocity[i]
                return velocity
            """,
        "the step uses the old velocity: update it first, then move": """
            def momentum_step(parameters, velocity, lr, beta):
                for i, p in enumerate(parameters):
                    p.data -= lr * velocity[i]
                    velocity[i] = beta * velocity[i] + p.grad
                return velocity
            """,
        "the list `velocity` must change in place: velocity[i] = ...": """
            def momentum_step(parameters, velocity, lr, beta):
                velocity = [beta * v + p.grad for v, p in zip(velocity, parameters)]
                for v, p in zip(velocity, parameters):
                    p.data -= lr * v
                return velocity
            """,
    })
