"""The exercises of notebook 10: 1 to 17, detectors of bugs, and 18; the others are in the modules imported."""
import copy
import dis
from dataclasses import dataclass, field
from functools import cache

import torch

from micro.check import STUB, Exercise, Verdict, short
from micro.check.ex10_memory import ex10_23, ex10_24  # noqa: F401
from micro.check.ex10_numbers import ex10_21, ex10_22  # noqa: F401
from micro.check.ex10_rates import ex10_19, ex10_20  # noqa: F401
from micro.patient import EDITS, REPAIRS, STRANGER, edit, program

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
        self.mistakes = {FALSE_ALARM: lambda run: True, SILENT: lambda run: False}

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


# What a line that may be named holds, for each of the stranger's three faults.
ILL = [("pictures.reshape",), ("with_mirrored(*load())", "val = split(x, y)"),
       ("net.eval()", "for _ in range(epochs)", "judged(net, *val)")]
LINES = [{k for k, line in enumerate(STRANGER.split("\n"), 1) if any(part in line for part in parts)} for parts in ILL]


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


ex10_18 = Lines("10.18", answer=lambda: [min(lines) for lines in LINES], cases=[()], mistakes={
    "2 of 3 found; healthy: line 1": lambda: [1, *[min(lines) for lines in LINES[1:]]],
    "1 of 3 found; two of your lines are the same fault": lambda: sorted(LINES[2])})


def scoreboard():
    """How many of the seventeen are found in this session, as one line with a box for each."""
    boxes = " ".join(("☑" if bug in FOUND else "☐") + str(bug) for bug in EDITS)
    print(f"{len(FOUND)} of {len(EDITS)} found: {boxes}")


globals().update({f"ex10_{k}": Detector(f"10.{k}", bug=k) for k in EDITS})
