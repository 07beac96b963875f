"""micro.check: what is said of right, wrong, unfinished and broken answers."""
import numpy as np
import pytest
import torch

from micro import check
from micro.check import Exercise, same, to_array, typed
from micro.check.kinds import Fresh, Parts, by_autograd, randn

# === check ===============================================================================================

GRID = torch.arange(1.0, 7.0).view(2, 3)

demo = Exercise("00.1", answer=lambda x: x * 2, cases=[(GRID,), (-GRID,)],
                mistakes={"that is half of it": """
                    def double(x):
                        return x / 2
                """})


@pytest.mark.parametrize("answer, kind, says", [
    (lambda x: None, "not done", "not done yet"),
    (lambda x: x * 2, "right", "right, on 2 inputs"),
    (lambda x: x / 2, "mistake", "that is half of it"),
    (lambda x: x * 2 + 1e-9, "right", "right"),
    (lambda x: x * 2.003, "almost", "almost"),
    (lambda x: -x * 2, "value", "sign"),
    (lambda x: x * 6, "value", "3 times what it should be"),
    (lambda x: x * 2 + 1, "value", "off by 1"),
    (lambda x: (x * 2).T, "shape", "transposed"),
    (lambda x: (x * 2)[None], "shape", "size 1"),
    (lambda x: (x * 2).sum(), "shape", "a single value"),
    (lambda x: (x * 2)[:, :2], "shape", "(2, 2), it should be (2, 3)"),
    (lambda x: x * 0 / 0, "value", "nan"),
    (lambda x: x**2 + 3, "value", "expected"),
    (lambda x: "six", "value", "expected numbers"),
    (lambda x: x.no_such_thing, "error", "AttributeError"),
    (lambda: 1, "error", "TypeError"),
    (3, "error", "give the check your function"),
])
def test_each_kind_of_answer_has_its_message(answer, kind, says):
    verdict = demo.judge(answer)
    assert verdict.kind == kind and says in verdict.text, verdict


def test_a_missing_return_is_not_an_untouched_stub():
    def worked(x):
        y = x * 2  # noqa: F841 (the mistake is that nothing is returned)
    assert demo.judge(worked).kind == "error" and "return" in demo.judge(worked).text

    def stub(x):
        """With a docstring."""
        return None
    assert demo.judge(stub).kind == "not done"


def test_moved_by_one():
    ex = Exercise("00.2", answer=lambda: [1, 4, 9, 16, 25], cases=[()])
    assert "off by one" in ex.judge(lambda: [0, 1, 4, 9, 16]).text
    assert "off by one" in ex.judge(lambda: [4, 9, 16, 25, 36]).text


def test_parts_are_named():
    ex = Exercise("00.3", answer=lambda x: x, cases=[(3.0,)],
                  probe=lambda fn, x: {"double": fn(2 * x), "half": fn(x / 2)})
    assert "the double for 3" in ex.judge(lambda x: x + (x > 4) * 7).text
    assert "the half for 3" in ex.judge(lambda x: x + (x < 4) * 7).text


def test_what_all_cases_share_is_said_only_if_they_share_it():
    ex = Exercise("00.5", answer=lambda x: x, cases=[(2.0,), (5.0,)])
    assert "3 times" in ex.judge(lambda x: 3 * x).text
    told = ex.judge(lambda x: x * x).text
    assert "times" not in told and "x=2: expected 2" in told


def test_an_error_late_does_not_hide_a_mistake_before():
    ex = Exercise("00.6", answer=lambda x: x + 1, cases=[(1.0,), (0.0,)],
                  mistakes={"minus": "def f(x):\n    return x - 1"})
    assert ex.judge(lambda x: x - 1 / (x > 0)).text == "00.6: minus"
    assert "ZeroDivisionError" in ex.judge(lambda x: x + 1 / (x > 0)).text


def test_an_answer_that_changes_its_input_spoils_nothing():
    ex = Exercise("00.7", answer=lambda x: x * 2, cases=[(torch.ones(3),)])
    for _ in range(2):
        assert ex.judge(lambda x: x.mul_(2)).kind == "right"


def test_exact_answers_are_compared_exactly():
    ex = Exercise("00.4", answer=lambda w: list(w), cases=[("emma",), ("a",)])
    assert ex.judge(lambda w: list(w)).kind == "right"
    assert ex.judge(lambda w: list(w[::-1])).kind == "value"


def test_the_call_prints_one_line_and_returns_nothing(capsys):
    assert demo(lambda x: x * 2) is None
    assert capsys.readouterr().out == "✔ 00.1: right, on 2 inputs\n"


def test_numbers_of_every_kind():
    class Value:
        data, _prev = 2.0, ()
    for x in ([Value(), 2], [torch.tensor(2.0), 2.0], (2, np.float32(2)), torch.tensor([2, 2])):
        assert to_array(x).tolist() == [2.0, 2.0]
    assert same([Value()], [2], 1e-9) and not same([Value()], [2.1], 1e-9) and not same([2], 2, 1e-9)


@pytest.mark.parametrize("name", ["ex01_99", "ex99_1", "exercises"])
def test_an_exercise_that_does_not_exist(name):
    with pytest.raises(AttributeError, match="named like check.ex01_3"):
        getattr(check, name)


def test_a_broken_exercise_module_is_not_hidden(tmp_path, monkeypatch):
    """A mistake inside micro/check/chNN_name.py must show as itself, not as "there is no exercise"."""
    (tmp_path / "ch77_new.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setattr(check, "__path__", [str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        check.ex77_1  # noqa: B018 (asking for it is the test)


# === parts ===============================================================================================

pair = Parts("00.2", answer=lambda x, y: (x + y, (x * y).sum(0)), parts=("total", "product"),
             cases=[(torch.arange(6.0).view(2, 3), torch.ones(2, 3) * k) for k in (2, 3)],
             part_mistakes={"total": {"that is the difference": "def both(x, y):\n    return x - y, None"},
                            "product": {"the sum is missing": "def both(x, y):\n    return None, x * y"}})


def lines(fn, capsys):
    pair(fn)
    return capsys.readouterr().out.splitlines()


def stub(x, y):
    return None


def no_return(x, y):
    x + y


def crash(x, y):
    total = x + y
    return total, total.view(-1)[:, None] + torch.zeros(4, 5)


def test_one_line_where_there_is_one_thing_to_say(capsys):
    assert lines(lambda x, y: (x + y, (x * y).sum(0)), capsys) == ["✔ 00.2: right, on 2 inputs"]
    assert lines(stub, capsys) == ["☐ 00.2: not done yet"]
    assert lines(no_return, capsys) == ["✘ 00.2: your function returned None: is a `return` missing?"]
    assert lines(lambda x, y: x + y, capsys) == [
        "✘ 00.2: return 2 results, total, product (None for those to come), not one result"]
    assert "not 3 results" in lines(lambda x, y: (x, y, x), capsys)[0]
    assert lines(3, capsys) == ["✘ 00.2: give the check your function, not 3"]


def test_a_crash_names_the_line_and_no_part(capsys):
    (line,) = lines(crash, capsys)
    assert "stopped in line 3 of it with RuntimeError" in line and "(a lost keepdim?)" in line
    assert "total" not in line and "product" not in line


def test_parts_are_judged_apart(capsys):
    assert lines(lambda x, y: (x + y, None), capsys) == [
        "✔ 00.2: total: right, on 2 inputs", "☐ 00.2: product: not done yet"]
    assert lines(lambda x, y: (None, x * y), capsys) == [
        "☐ 00.2: total: not done yet", "✘ 00.2: product: the sum is missing"]
    found = lines(lambda x, y: (x - y, x * y), capsys)
    assert found[:2] == ["✘ 00.2: total: that is the difference", "✘ 00.2: product: the sum is missing"]
    assert found[2].startswith("Mend the first ✘ first")


def test_a_flattened_result_is_not_told_of_keepdim():
    ex = Exercise("00.4", answer=lambda x: x * 2, cases=[(GRID,)])
    told = ex.judge(lambda x: (x * 2).flatten()).text
    assert "in another shape" in told and "keepdim" not in told


def test_a_known_mistake_sees_the_chapters_helpers_and_the_context():
    """What a learner would have: torch from the chapter's imports, and what the notebook hands over."""
    class Value:
        data = 3.0
    source = """
        def helper(x):
            return math.sqrt(x)

        def answer(x):
            return helper(x) * Value.data
    """
    assert typed(source, "01.1", [Value])(4.0) == 6.0


def test_only_the_learners_own_changes_of_an_argument_are_told():
    ex = Fresh("00.7", answer=lambda x: x + 1, make=lambda g: [(randn(g, 3),)], mistakes={
        "in place": "def f(x):\n    x -= 1\n    return x"})
    assert "changes" not in ex.judge(lambda x: x * 3).text

    def changing(x):
        x += 1
        return x
    assert "changes x" in ex.judge(changing).text


def test_the_answer_may_change_its_inputs(capsys):
    def greedy(x, y):
        total = x + y
        product = (x * y).sum(0)
        x.zero_()
        return total, product
    kept = [x.clone() for x, _ in pair.cases]
    assert lines(greedy, capsys) == ["✔ 00.2: right, on 2 inputs"]
    assert all(torch.equal(a, x) for a, (x, _) in zip(kept, pair.cases))


def test_by_autograd_works_with_gradients_switched_off():
    x = torch.tensor([2.0, 3.0])
    with torch.no_grad():
        between, leaf = by_autograd(lambda x: ((y := x**2) * 5, y), [x], torch.ones(2))
    assert between.tolist() == [5, 5] and leaf.tolist() == [20, 30] and not x.requires_grad
