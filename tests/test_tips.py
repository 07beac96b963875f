"""micro.tips: fifty tips, their verdicts, and notebook 10, which tells all of them."""
import json
import re

import pytest

from micro.tips import PARTS, TIPS, VERDICTS, WHERE, Tips, kind
from tests import course
from tests.bench import tips as bench


def test_every_tip_is_in_one_part_and_has_its_place():
    assert [n for numbers in PARTS.values() for n in numbers] == list(TIPS) == list(range(1, 51))
    assert set(WHERE) == set(TIPS) and all(len(text.split()) <= 14 for text in TIPS.values())


def test_where_names_sections_that_there_are():
    for number, where in WHERE.items():
        book = "10_training"
        for part in where.split("; ") if where else ():
            if other := re.match(r"notebook (\d\d), ", part):
                book = next(name for name in course.NAMES if name.startswith(other[1]))
            sections = "\n".join(course.markdown(book))
            for section in re.findall(r"\d+", part.rpartition("section")[2]):
                assert re.search(rf"^## {section} · ", sections, re.M), (number, where)


@pytest.mark.parametrize("said", ["holds", "holds here only if it rains", "not seen", "can't be tested here"])
def test_the_four_kinds_of_verdict(said, capsys):
    tip = Tips()
    tip(7, said, "1 | 2")
    assert capsys.readouterr().out == f"tip 7 · {TIPS[7]}\n  → {said}: 1 | 2\n"
    assert kind(said) in VERDICTS and tip.counts() == {v: int(said.startswith(v) and v == kind(said)) for v in VERDICTS}
    row = next(line for line in tip.table("Building").data.split("\n") if line.startswith("| 7."))
    assert said in row and "1 \\| 2" in row and ("**" in row) == said.startswith("holds")


@pytest.mark.parametrize("said", ["holds, mostly", "holds here only if", "holds here only if ", "seen", "", None, 3])
def test_other_verdicts_are_refused(said):
    tip = Tips()
    with pytest.raises(ValueError, match="a verdict is"):
        tip(7, said, "")
    with pytest.raises(ValueError, match="numbers from 1 to 50"):
        tip(51, "holds", "")
    assert tip.told == {}


def test_the_table_is_of_all_parts_or_of_those_named(capsys):
    tip = Tips()
    tip(1, "holds", "a")
    tip(1, "not seen", "b")
    whole, part = tip.table().data.split("\n"), tip.table("Debugging").data.split("\n")
    assert len(whole) == 2 + 50 + len(PARTS) and len(part) == 2 + 6
    assert "| not seen | b |" in whole[3] and all("not told" in line for line in part[2:])
    with pytest.raises(ValueError, match="the parts are 'Building'"):
        tip.table("Nonsense")


def test_notebook_10_tells_all_fifty_and_tries_35_or_more():
    said = [text for cell in course.code_cells("10_training") for out in cell.outputs
            for text in re.findall(r"^tip (\d+) · .*\n  → (.*?): ", out.get("text", ""), re.M)]
    assert sorted(int(number) for number, _ in said) == list(TIPS)
    assert sum(kind(verdict) != "can't be tested here" for _, verdict in said) >= 35


def test_all_parts_are_recorded_with_their_runs():
    recorded = json.loads(bench.RESULT.read_text(encoding="utf-8"))
    assert set(bench.PARTS) <= set(recorded)
    assert set(bench.TEN) <= set(course.named("10_training")) and set(bench.NINE) <= set(course.named("09_layers"))
