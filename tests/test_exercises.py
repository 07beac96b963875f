"""Every exercise: its stub says "not done yet", its solution passes, its known mistakes are named."""
import contextlib
import importlib
import io
import json
import re

import matplotlib
import pytest

from tests import course
from tests.typed import TYPED

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


@pytest.mark.parametrize("number, answer, word", [(n, *a) for n, answers in TYPED.items() for a in answers])
def test_typed_wrong_answers_are_told_what_is_wrong(number, answer, word):
    name = next(e[0] for e in EXERCISES if e[1] == number)
    stub = next(e[2] for e in EXERCISES if e[1] == number)
    told = run_answer(name, stub, answer)
    assert re.search("^[✘≈]", told, re.M) and word in told, told


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


def space_of(name, *cells):
    """What the named cells of a notebook define, without what they print."""
    with contextlib.redirect_stdout(io.StringIO()):
        return course.run(name, *cells)


def solution_of(number):
    return next(e[3] for e in EXERCISES if e[1] == number)


def test_what_the_solutions_of_03_claim():
    """Floors 0.25 and 1.87; tied: 8,497 numbers and dev 2.170; direct: 2.115; the mixture: 2.08."""
    nb = space_of("03_mlp", "words", "dataset", "split", "model", "loss_on", "calm", "answers", "recipe", "counted")
    torch = nb["torch"]
    for number in ("03_1", "03_3", "03_7", "03_8", "03_9"):
        exec(solution_of(number), nb)
    dev = nb["Xdev"], nb["Ydev"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert nb["size"](27, 10, 3, 200) == 11_897
        assert f"{nb['floor'](nb['Xtr'][:32], nb['Ytr'][:32]):.2f}" == "0.25"
        assert f"{nb['floor'](nb['Xtr'], nb['Ytr']):.2f}" == "1.87"
        C, W1, b1, _, b2 = nb["calm_start"]()
        W2 = (0.01 * torch.randn(200, 10, generator=torch.Generator().manual_seed(1))).requires_grad_()
        assert sum(p.numel() for p in (C, W1, b1, W2, b2)) == 8497
        parameters, _ = nb["train_mlp"]([C, W1, b1, W2, b2], nb["tied"])
        assert f"{nb['loss_on'](*dev, parameters, nb['tied']):.2f}" == "2.17"
        parameters, _ = nb["train_mlp"]([*nb["calm_start"](), torch.zeros(30, 27, requires_grad=True)], nb["direct"])
        assert abs(nb["loss_on"](*dev, parameters, nb["direct"]) - 2.115) < 0.003
        mixture = nb["my_recipe"](nb["Xtr"], nb["Ytr"])
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(mixture(dev[0]), dev[1]).item()
        assert f"{loss:.2f}" == "2.08"
    finally:
        torch.set_num_threads(threads)


def test_what_the_solutions_of_04_claim():
    """Running statistics: 44 batches at momentum 0.1, 4,603 at 0.001, until less than 1% of the start is left."""
    space = {}
    exec(solution_of("04_3"), space)
    for momentum, n in ((0.1, 44), (0.001, 4603)):
        left = [1 - r for r in space["running"]([1.0] * n, momentum)]
        assert left[-1] < 0.01 <= left[-2]
    assert 0.999**693 < 0.5 < 0.999**692


def test_what_the_solution_of_06_claims():
    """Dropout: 0.05 may help the WaveNet, 0.1 narrows the large tree's gap and raises its dev loss."""
    found = json.loads((course.ROOT / "data" / "results" / "wavenet.json").read_text(encoding="utf-8"))
    parts, tree = found["parts"], found["log"]["tree, scaled up"]
    error = (parts["no dropout"]["dev_sd"]**2 / 3 + parts["WaveNet"]["dev_sd"]**2 / 3)**0.5
    assert error < parts["no dropout"]["dev"] - parts["WaveNet"]["dev"] < 2 * error  # "three seeds are too few"
    dropped = parts["(the large tree with dropout 0.1)"]
    assert dropped["dev"] - dropped["train"] < tree["dev"] - tree["train"] and dropped["dev"] > tree["dev"] + 0.01
