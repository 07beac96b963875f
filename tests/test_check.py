"""The machinery of the exercises: each kind of wrong answer gets a message of its own, and nothing raises."""
import numpy as np
import pytest
import torch

from micro import check
from micro.check import Exercise, numbers, same

GRID = torch.arange(1.0, 7.0).view(2, 3)
demo = Exercise("00.1", answer=lambda x: x * 2, cases=[(GRID,), (-GRID,)],
                mistakes={"that is half of it": lambda x: x / 2})


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
    (lambda x: (x * 2).sum(), "shape", "summed too far"),
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
    assert "times" not in ex.judge(lambda x: x * x).text and "x=2: expected 2" in ex.judge(lambda x: x * x).text


def test_an_error_late_does_not_hide_a_mistake_before():
    ex = Exercise("00.6", answer=lambda x: x + 1, cases=[(1.0,), (0.0,)], mistakes={"minus": lambda x: x - 1})
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
        assert numbers(x).tolist() == [2.0, 2.0]
    assert same([Value()], [2], 1e-9) and not same([Value()], [2.1], 1e-9) and not same([2], 2, 1e-9)


@pytest.mark.parametrize("name", ["ex01_99", "ex99_1", "exercise"])
def test_an_exercise_that_does_not_exist(name):
    with pytest.raises(AttributeError, match="named like check.ex01_3"):
        getattr(check, name)


def test_a_broken_exercise_module_is_not_hidden(tmp_path, monkeypatch):
    """A mistake inside micro/check/exNN.py must show as itself, not as "there is no exercise"."""
    (tmp_path / "ex77.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setattr(check, "__path__", [str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        check.ex77_1  # noqa: B018 (asking for it is the test)
