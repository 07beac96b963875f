"""Every exercise: its stub says "not done yet", its solution passes, its known mistakes are named."""
import contextlib
import importlib
import io
import re

import matplotlib
import pytest

from tests import course

matplotlib.use("Agg")
EXERCISES = [(name, *e) for name in course.NAMES for e in course.exercises(name)]
ids = [e[1] for e in EXERCISES]
each = pytest.mark.parametrize("name, number, stub, solution", EXERCISES, ids=ids)


def find(number):
    return getattr(importlib.import_module(f"micro.check.ex{number[:2]}"), f"ex{number}")


def run_answer(name, stub, answer):
    """What the check prints when `answer` (source) stands in place of the stub."""
    check_line = re.search(r"^check\.ex.*$", stub.source, re.M)[0]
    cells = course.named(name)
    before = [course.imports(name), *[cells[n] for n in course.needs(stub)]]
    printed, space = io.StringIO(), {"__name__": "learner"}
    exec("\n".join(before), space)
    with contextlib.redirect_stdout(printed):
        exec(f"{answer}\n{check_line}", space)
    return printed.getvalue()


@pytest.mark.parametrize("name", course.NAMES)
def test_enough_exercises_and_none_forgotten(name):
    numbers = [e[0] for e in course.exercises(name)]
    assert numbers == [f"{name[:2]}_{i + 1}" for i in range(len(numbers))] and len(numbers) >= 5
    checks = {k[2:] for k in vars(importlib.import_module(f"micro.check.ex{name[:2]}")) if re.match(r"ex\d", k)}
    assert checks == set(numbers), "checks without an exercise, or exercises without a check"


@each
def test_stub_is_not_done_yet(name, number, stub, solution):
    assert "exercise" in course.tags(stub)
    assert "".join(o.text for o in stub.outputs) == f"☐ {number.replace('_', '.')}: not done yet\n"


@each
def test_task_hint_and_solution_stand_there(name, number, stub, solution):
    cells = course.read(name).cells
    i = cells.index(stub)
    assert re.search(rf"^### Exercise {int(number[3:])} ★+ \(\d+ min\): ", cells[i - 1].source, re.M)
    assert cells[i + 1].source.count("<details>") == cells[i + 1].source.count("</details>") == 2
    assert "<summary>Hint</summary>" in cells[i + 1].source
    assert solution


@each
def test_solution_passes(name, number, stub, solution):
    assert run_answer(name, stub, solution).startswith("✔"), run_answer(name, stub, solution)


@each
def test_check_is_one_of_ours(name, number, stub, solution):
    assert find(number).name == number.replace("_", ".")


MISTAKES = [(name, number, stub, text) for name, number, stub, _ in EXERCISES for text in find(number).mistakes]


@pytest.mark.parametrize("name, number, stub, text", MISTAKES, ids=[f"{m[1]}-{m[3][:30]}" for m in MISTAKES])
def test_known_mistake_is_named(name, number, stub, text):
    exercise = find(number)
    context = []
    if re.search(r"check\.ex\d\d_\d+\(\w+, Value\)", stub.source):
        from micro.engine import Value
        context = [Value]
    verdict = exercise.judge(exercise.mistakes[text], *context)
    assert (verdict.kind, verdict.text) == ("mistake", f"{exercise.name}: {text}")


# Wrong answers as a learner would type them, and a word that the verdict must contain.
TYPED = {
    "01_1": [("def central_slope(f, x, h=1e-5):\n    return (f(x + h) - f(x)) / h", "one side"),
             ("def central_slope(f, x, h=1e-5):\n    return (f(x + h) - f(x - h)) / 2 * h", "2 * h"),
             ("def central_slope(f, x, h=1e-5):\n    return (f(x - h) - f(x + h)) / (2 * h)", "sign"),
             ("def central_slope(f, x, h=0.1):\n    return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5", "plays no part")],
    "01_2": [("def hand_gradient(a, b, c):\n    return [b + c, b + c, a + b]", "both factors"),
             ("def hand_gradient(a, b, c):\n    return [b + c, a + 2 * b + c]", "shape")],
    "01_3": [("def backward_of_mul(a, b, out):\n    a.grad = b.data\n    b.grad += a.data * out.grad\n    return out",
              "still the two mistakes"),
             ("def backward_of_mul(a, b, out):\n    a.grad += b.data * out.grad\n    b.grad += a.data * out.grad",
              "return")],
    "01_4": [("def is_topological(order):\n    return all(p in order for n in order for p in n._prev)", "expected"),
             ("def is_topological(order):\n    return order.sorted()", "AttributeError")],
    "01_5": [("def softplus(x):\n    return math.log(1 + math.exp(x.data))", "return a Value"),
             ("def softplus(x):\n    y = math.log(1 + math.exp(x.data))\n    return Value(y, (x,), (1.0,), 'sp')",
              "always 1"),
             ("def softplus(x):\n    return (1 + x.exp()).log()", "one input")],
    "01_6": [("def logistic_loss(score, target):\n    return (1 + (target * score).exp()).log()", "sign"),
             ("def logistic_loss(score, target):\n    return math.log(1 + math.exp(-target * score.data))", "Value")],
    "01_7": [("def momentum_step(parameters, velocity, lr, beta):\n"
              "    velocity = [beta * v + p.grad for v, p in zip(velocity, parameters)]\n"
              "    for v, p in zip(velocity, parameters):\n        p.data -= lr * v\n    return velocity", "in place")],
    "02_1": [("def trigrams(word):\n    m = '.' + word + '.'\n    return list(zip(m, m[1:], m[2:]))", "two dots")],
    "02_2": [("def normalize(N, over):\n    return N / N.sum()", "expected"),
             ("def normalize(N, over):\n    return N / N.sum({'row': 1, 'column': 0}[over])", "keepdim")],
    "02_3": [("def temperature(p, T):\n    return p ** (1 / T)", "sum to 1"),
             ("def temperature(p, T):\n    return (p / T).softmax(0)", "logits"),
             ("def temperature(p, T):\n    return (p ** (1 / T)).max()", "shape")],
    "02_4": [("def best_strength(N_train, N_dev, strengths):\n"
              "    return min(strengths, key=lambda s: count_loss(smooth(N_train, s), N_train))", "N_dev alone"),
             ("def best_strength(N_train, N_dev, strengths):\n"
              "    return min(count_loss(smooth(N_train, s), N_dev) for s in strengths)", "not the loss")],
    "02_5": [("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs].softmax(1), ys)", "twice"),
             ("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs], ys).item()", "tensor"),
             ("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs].detach(), ys)", "cut off")],
    "02_6": [("def trigram_loss(train_words, dev_words, strength):\n"
              "    return -sum(math.log(1 / 27) for _ in dev_words) / len(dev_words)", "expected"),
             ("def trigram_loss(train_words, dev_words, strength):\n    return 0.0", "expected")],
}


@pytest.mark.parametrize("number, answer, word", [(n, *a) for n, answers in TYPED.items() for a in answers])
def test_typed_wrong_answers_are_told_what_is_wrong(number, answer, word):
    name = next(e[0] for e in EXERCISES if e[1] == number)
    stub = next(e[2] for e in EXERCISES if e[1] == number)
    told = run_answer(name, stub, answer)
    assert not told.startswith(("✔", "☐")) and word in told, told


def test_what_the_solutions_of_02_claim():
    """The last one says 2.23 at strength 0.3 on distinct names, and 2.46 for the bigram model of the same split."""
    solution = next(e[3] for e in EXERCISES if e[1] == "02_6")
    cells = course.named("02_bigram")
    space = {}
    exec("\n".join([course.imports("02_bigram"), cells["words"], cells["vocabulary"]]), space)
    exec(solution, space)
    distinct = sorted(set(space["words"]))
    train, dev = [w for i, w in enumerate(distinct) if i % 10], distinct[::10]
    assert f"{space['trigram_loss'](train, dev, 0.3):.2f}" == "2.23"
    from micro.check.ex02 import _counts, _loss_of
    train, dev = _counts(train), _counts(dev)
    assert f"{_loss_of(train, 0.3, dev):.2f}" == "2.46"
    assert min((0.01, 0.1, 0.3, 1, 3, 10), key=lambda s: _loss_of(train, s, dev)) == 0.3  # exercise 4
