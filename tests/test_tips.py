"""micro.check.tips: fifty tips, their verdicts, and notebooks 11 and 12, which try all of them."""
import json
import re

import pytest

from micro.check import tips
from micro.check.tips import PARTS, TIPS, VERDICTS, WHERE, tip, tip_counts, tip_table, verdict_kind
from tests import helpers
from tests.bench import tips as bench
from tests.bench import verdicts


def test_every_tip_is_in_one_part_and_has_its_place():
    assert [n for numbers in PARTS.values() for n in numbers] == list(TIPS) == list(range(1, 51))
    assert set(WHERE) == set(TIPS)


def test_where_names_sections_that_there_are():
    for number, where in WHERE.items():
        for part in where.split("; ") if where else ():
            book = next(name for name in helpers.NAMES if name.startswith(part.split()[1].strip(",")))
            sections = "\n".join(helpers.markdown(book))
            for section in re.findall(r"\d+", part.rpartition("section")[2]):
                assert re.search(rf"^## {section} · ", sections, re.M), (number, where)


@pytest.mark.parametrize("verdict", ["holds", "holds here only if it rains", "not seen", "can't be tested here"])
def test_the_four_kinds_of_verdict(verdict, capsys, monkeypatch):
    tip(7, verdict, "1 | 2")
    assert capsys.readouterr().out == f"tip 7 · {TIPS[7]}\n  → {verdict}: 1 | 2\n"
    assert verdict_kind(verdict) in VERDICTS
    recorded = {str(n): {"verdict": verdict, "figures": "1 | 2"} for n in TIPS}
    monkeypatch.setattr(tips, "results", lambda name: {"tips": recorded})
    assert tip_counts() == {v: 50 * (v == verdict_kind(verdict)) for v in VERDICTS}
    row = next(line for line in tip_table("Building").data.split("\n") if line.startswith("| 7."))
    assert verdict in row and "1 \\| 2" in row and ("**" in row) == verdict.startswith("holds")


@pytest.mark.parametrize("verdict", ["holds, mostly", "holds here only if", "holds here only if ", "seen", "", None, 3])
def test_other_verdicts_are_refused(verdict):
    with pytest.raises(ValueError, match="a verdict is"):
        tip(7, verdict, "")
    with pytest.raises(ValueError, match="numbers from 1 to 50"):
        tip(51, "holds", "")


def test_the_table_is_of_all_parts_or_of_those_named():
    whole, part = tip_table().data.split("\n"), tip_table("Debugging").data.split("\n")
    assert len(whole) == 2 + 50 + len(PARTS) and len(part) == 2 + 6
    with pytest.raises(ValueError, match="the parts are 'Building'"):
        tip_table("Nonsense")


def test_the_record_is_what_the_notebooks_print():
    """All fifty, and each verdict is one of the four. To record anew: python -m tests.bench.verdicts --record"""
    recorded = json.loads(verdicts.PATH.read_text(encoding="utf-8"))["tips"]
    assert recorded == verdicts.collect(), "python -m tests.bench.verdicts --record"
    assert [int(number) for number in recorded] == list(TIPS)
    assert all(verdict_kind(row["verdict"]) for row in recorded.values())


def test_all_parts_are_recorded_with_their_runs():
    recorded = json.loads(bench.RESULT.read_text(encoding="utf-8"))
    assert set(bench.PARTS) <= set(recorded)
    assert set(bench.CELLS_12) <= set(helpers.named("12_training"))
    assert set(bench.CELLS_10) <= set(helpers.named("10_layers"))
