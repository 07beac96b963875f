"""The checks of notebook 11, debugging: detectors of seventeen bugs, and three faults in a second program."""
import copy
import dis
from dataclasses import dataclass, field
from functools import cache

import torch

from micro.check import STUB, Exercise, Verdict, short
from micro.check.bugs import EDITS, REPAIRS, SECOND, edit, program

FALSE_ALARM = "it fires on the healthy program too: a false alarm"
SILENT = "the bug is in, and your detector stays silent"
FOUND = set()


def not_done(name, answer):
    """The verdict on an answer that returned None: an untouched stub, or a forgotten return?"""
    if hasattr(answer, "__code__") and [i.opname for i in dis.get_instructions(answer)] == STUB:
        return Verdict("not done", f"{name}: not done yet")
    return Verdict("error", f"{name}: your function returned None: is a `return` missing?")


@cache
def made(seed, *bugs):
    """A run that nobody has touched yet: to be copied, since making one takes a tenth of a second."""
    return program(*bugs)(seed)


@dataclass
class Detector(Exercise):
    """detect(run) -> is it broken? Asked on fresh runs of the healthy program and of the one with bug `bug`."""

    answer: object = None
    cases: list = field(default_factory=list)
    bug: int = 0

    def __post_init__(self):
        self.mistakes = {FALSE_ALARM: "def detect(run):\n    return True",
                         SILENT: "def detect(run):\n    return False"}

    def ask(self, detect, seed, *bugs):
        """(what it said, a Verdict if that was no True or False) of one fresh run."""
        where = f"patient {bugs[0]}" if bugs else "the healthy program"
        try:
            run = copy.deepcopy(made(seed, *bugs))
            torch.manual_seed(seed)
            said = detect(run)
        except Exception as error:
            told = f"{type(error).__name__}: {error}".split("\n")[0]
            return None, Verdict("error", f"{self.name}: on {where} your code stopped with {told}")
        if said is None:
            return None, not_done(self.name, detect)
        try:
            answer = bool(said)                         # a tensor or array of one bool will do
            if said not in (True, False):
                raise ValueError
        except (ValueError, RuntimeError, TypeError):
            return None, Verdict("error", f"{self.name}: return True (broken) or False, not {short(said)}")
        return answer, None

    def judge(self, detect, *context):
        if not callable(detect):
            return super().judge(detect)
        said = {}
        for seed, *bugs in ((100,), (101, self.bug), (102,), (103, self.bug), (104,)):
            answer, problem = self.ask(detect, seed, *bugs)
            if problem:
                return problem
            said.setdefault(len(bugs), []).append(answer)
        for text, wrong in ((FALSE_ALARM, said[0]), (SILENT, [not rang for rang in said[1]])):
            if any(wrong):
                some = "" if all(wrong) else f" (in {sum(wrong)} of {len(wrong)} runs)"
                return Verdict("mistake", f"{self.name}: {text}{some}")
        return Verdict("right", f"{self.name}: found, it was: {EDITS[self.bug][0]}")

    def __call__(self, detect, *context):
        verdict = self.judge(detect)
        print(verdict)
        if verdict.kind == "right":
            FOUND.add(self.bug)
            print(edit(self.bug))


ex11_1 = Detector("11.1", bug=1)
ex11_2 = Detector("11.2", bug=2)
ex11_3 = Detector("11.3", bug=3)
ex11_4 = Detector("11.4", bug=4)
ex11_5 = Detector("11.5", bug=5)
ex11_6 = Detector("11.6", bug=6)
ex11_7 = Detector("11.7", bug=7)
ex11_8 = Detector("11.8", bug=8)
ex11_9 = Detector("11.9", bug=9)
ex11_10 = Detector("11.10", bug=10)
ex11_11 = Detector("11.11", bug=11)
ex11_12 = Detector("11.12", bug=12)
ex11_13 = Detector("11.13", bug=13)
ex11_14 = Detector("11.14", bug=14)
ex11_15 = Detector("11.15", bug=15)
ex11_16 = Detector("11.16", bug=16)
ex11_17 = Detector("11.17", bug=17)


# The numbers of the lines that may be named, for each of the second program's three faults.
LINES = [{k for k, line in enumerate(SECOND.split("\n"), 1) if any(part in line for part in parts)} for parts in (
    ["pictures.reshape"],
    ["with_mirrored(*load())", "val = split(x, y)"],
    ["net.eval()", "for _ in range(epochs)", "judged(net, *val)"])]


@dataclass
class Lines(Exercise):
    """suspects() -> three line numbers, one for each fault."""

    def judge(self, suspects, *context):
        if not callable(suspects):
            return super().judge(suspects)
        try:
            said = suspects()
        except Exception as error:
            return Verdict("error", f"{self.name}: your code stopped with {type(error).__name__}: {error}")
        if said is None:
            return not_done(self.name, suspects)
        if not (isinstance(said, (list, tuple, set)) and len(said) == 3 and all(type(k) is int for k in said)):
            return Verdict("error", f"{self.name}: return a list of three line numbers, not {short(said)}")
        hit = sum(any(k in lines for k in said) for lines in LINES)
        if hit == 3:
            return Verdict("right", f"{self.name}: all three: {'; '.join(REPAIRS)}")
        healthy = [str(k) for k in sorted(said) if not any(k in lines for lines in LINES)]
        more = f"; healthy: line {', line '.join(healthy)}" if healthy else "; two of your lines are the same fault"
        return Verdict("mistake", f"{self.name}: {hit} of 3 found{more}")


ex11_18 = Lines(
    "11.18", answer=lambda: [min(lines) for lines in LINES], cases=[()],
    mistakes={
        "2 of 3 found; healthy: line 1": """
            def suspects():
                return [1, 52, 43]
            """,
        "2 of 3 found; two of your lines are the same fault": """
            def suspects():
                return [13, 43, 57]
            """,
    })


def scoreboard():
    """How many of the seventeen are found in this session, as one line with a box for each."""
    boxes = " ".join(("☑" if bug in FOUND else "☐") + str(bug) for bug in EDITS)
    print(f"{len(FOUND)} of {len(EDITS)} found: {boxes}")
