"""Exercises with several results: each is judged, and what stops them all is said once."""
import pytest
import torch

from micro.check.parts import Parts, by_autograd

pair = Parts("00.2", answer=lambda x, y: (x + y, (x * y).sum(0)), parts=("total", "product"),
             cases=[(torch.arange(6.0).view(2, 3), torch.ones(2, 3) * k) for k in (2, 3)],
             part_mistakes={"total": {"that is the difference": lambda x, y: x - y},
                            "product": {"the sum is missing": lambda x, y: x * y}})


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


@pytest.mark.parametrize("text", ["total: that is the difference", "product: the sum is missing"])
def test_known_mistakes_are_whole_answers(text):
    verdict = pair.judge(pair.mistakes[text])
    assert (verdict.kind, verdict.text) == ("mistake", f"00.2: {text}")


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
