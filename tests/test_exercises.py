"""Every exercise: its stub says "not done yet", its solution passes, its known mistakes are named."""
import contextlib
import io
import json
import re
import textwrap

import matplotlib
import pytest

from micro import check
from micro.check.exercise import chapter
from tests import helpers

matplotlib.use("Agg")
EXERCISES = [(name, *e) for name in helpers.NAMES for e in helpers.exercises(name)]
ids = [e[1] for e in EXERCISES]
each = pytest.mark.parametrize("name, number, stub, solution", EXERCISES, ids=ids)


def find(number):
    return getattr(check, f"ex{number}")


def run_answer(name, stub, answer):
    """What the check prints when `answer` (source) stands in place of the stub."""
    check_line = re.search(r"^check\.ex.*$", stub.source, re.M)[0]
    cells = helpers.named(name)
    before = [helpers.imports(name), *[cells[n] for n in helpers.needs(stub)]]
    printed, space = io.StringIO(), {"__name__": "learner"}
    exec("\n".join(before), space)
    with contextlib.redirect_stdout(printed):
        exec(f"{answer}\n{check_line}", space)
    return printed.getvalue()


@pytest.mark.parametrize("name", helpers.NAMES)
def test_no_exercise_is_forgotten(name):
    numbers = [e[0] for e in helpers.exercises(name)]
    assert numbers == [f"{name[:2]}_{i + 1}" for i in range(len(numbers))]
    checks = {k[2:] for k in vars(chapter(name[:2])) if re.match(r"ex\d", k)}
    assert checks == set(numbers), "checks without an exercise, or exercises without a check"


@each
def test_stub_is_not_done_yet(name, number, stub, solution):
    assert "exercise" in helpers.tags(stub)
    assert "".join(o.text for o in stub.outputs) == f"☐ {number.replace('_', '.')}: not done yet\n"


@each
def test_task_hint_and_solution_stand_there(name, number, stub, solution):
    cells = helpers.read(name).cells
    i = cells.index(stub)
    assert re.search(rf"^### Exercise {int(number[3:])} ★+ \(\d+ min\): ", cells[i - 1].source, re.M)
    assert cells[i + 1].source.count("<details>") == cells[i + 1].source.count("</details>") == 2
    assert "<summary>Hint</summary>" in cells[i + 1].source
    assert solution


@each
def test_solution_passes(name, number, stub, solution, monkeypatch):
    if number == "06_6":  # at full length it trains for over a minute: a fifth of the steps, and a goal to match
        assert solution.count("1500") == 1
        solution = solution.replace("1500", "300")
        monkeypatch.setattr(chapter("06"), "MOST", 2.08)
    assert run_answer(name, stub, solution).startswith("✔"), run_answer(name, stub, solution)


@each
def test_check_is_one_of_ours(name, number, stub, solution):
    assert find(number).name == number.replace("_", ".")


MISTAKES = [(name, number, stub, part, text, source) for name, number, stub, _ in EXERCISES
            for part, known in (getattr(find(number), "part_mistakes", None) or {"": find(number).mistakes}).items()
            for text, source in known.items()]


@pytest.mark.parametrize("name, number, stub, part, text, source", MISTAKES,
                         ids=[f"{m[1]}-{m[3]}-{m[4][:30]}" for m in MISTAKES])
def test_known_mistake_is_named(name, number, stub, part, text, source):
    """Typed by a learner below the cells that the exercise needs, it is told what is wrong with it."""
    told = run_answer(name, stub, textwrap.dedent(source))
    assert ": ".join(filter(None, (f"✘ {find(number).name}", part, text))) in told, told


def test_what_the_solutions_of_02_claim():
    """The last one says 2.23 at strength 0.3 on distinct names, and 2.46 for the bigram model of the same split."""
    solution = next(e[3] for e in EXERCISES if e[1] == "02_6")
    cells = helpers.named("02_bigram")
    space = {}
    exec("\n".join([helpers.imports("02_bigram"), cells["words"], cells["vocabulary"]]), space)
    exec(solution, space)
    distinct = sorted(set(space["words"]))
    train, dev = [w for i, w in enumerate(distinct) if i % 10], distinct[::10]
    assert f"{space['trigram_loss'](train, dev, 0.3):.2f}" == "2.23"
    from micro.check.ch02_bigram import _counts, _loss_of
    train, dev = _counts(train), _counts(dev)
    assert f"{_loss_of(train, 0.3, dev):.2f}" == "2.46"
    assert min((0.01, 0.1, 0.3, 1, 3, 10), key=lambda s: _loss_of(train, s, dev)) == 0.3  # exercise 4


def space_of(name, *cells):
    """What the named cells of a notebook define, without what they print."""
    with contextlib.redirect_stdout(io.StringIO()):
        return helpers.run(name, *cells)


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
    found = json.loads((helpers.ROOT / "data" / "results" / "wavenet.json").read_text(encoding="utf-8"))
    parts, tree = found["parts"], found["log"]["tree, scaled up"]
    error = (parts["no dropout"]["dev_sd"]**2 / 3 + parts["WaveNet"]["dev_sd"]**2 / 3)**0.5
    assert error < parts["no dropout"]["dev"] - parts["WaveNet"]["dev"] < 2 * error  # "three seeds are too few"
    dropped = parts["(the large tree with dropout 0.1)"]
    assert dropped["dev"] - dropped["train"] < tree["dev"] - tree["train"] and dropped["dev"] > tree["dev"] + 0.01
