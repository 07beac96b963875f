"""Collects the verdicts on the fifty tips from the stored outputs of notebooks 11 and 12 (a second).

    python -m tests.bench.verdicts --record      writes data/results/verdicts.json

Run the two notebooks first (`make notebooks ARGS="11 12"`): what `tip(...)` printed there is what is recorded, so the
table at the end of notebook 12 needs no other cell to have run. A test holds the record and the outputs equal.
"""
import argparse
import re

from tests import helpers
from tests.bench import _record

PATH = helpers.ROOT / "data" / "results" / "verdicts.json"


def collect(names=("11_debugging", "12_training")):
    """{number: {"verdict", "figures", "notebook"}} of everything that tip() printed, in order of the numbers."""
    found = {}
    for name in names:
        for cell in helpers.code_cells(name):
            printed = "".join(out.text for out in cell.outputs if out.output_type == "stream")
            for number, told in re.findall(r"^tip (\d+) · .*\n  → (.*)$", printed, re.M):
                verdict, _, figures = told.partition(": ")
                found[int(number)] = {"verdict": verdict, "figures": figures, "notebook": name[:2]}
    return {str(number): found[number] for number in sorted(found)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    tips = collect()
    for number, row in tips.items():
        print(f"{number:>3s}  {row['verdict']}: {row['figures']}")
    if args.record:
        _record.write(PATH, "verdicts on the fifty tips, as notebooks 11 and 12 print them", "tests.bench.verdicts",
                      {"tips": tips})


if __name__ == "__main__":
    main()
