"""An exercise and the verdict on an answer to it.

An answer is run on a few inputs and compared with a reference, and with the answers of known mistakes, so that a wrong
answer is told *what* is wrong. A check prints and never raises, so that a notebook with untouched exercises still runs
from top to bottom.
"""
import ast
import copy
import dis
import importlib
import inspect
import pkgutil
import textwrap
from dataclasses import dataclass, field

import micro.check
from micro.check.describe import describe, pattern, same, short

STUB = [i.opname for i in dis.get_instructions(lambda: None)]


@dataclass
class Verdict:
    """kind: 'not done', 'error', 'shape', 'value', 'almost', 'mistake' or 'right'."""

    kind: str
    text: str

    def __str__(self):
        mark = {"right": "✔", "not done": "☐", "almost": "≈"}.get(self.kind, "✘")
        return f"{mark} {self.text}"


class Returned(Exception):
    """The answer returned None: there is nothing to compare."""


def counted(cases):
    """How many inputs there are, in words."""
    return f"{len(cases)} input{'s' * (len(cases) != 1)}"


def chapter(number):
    """The module with the checks of a chapter: `chapter("01")` is micro.check.ch01_micrograd; None if there is none."""
    for module in pkgutil.iter_modules(micro.check.__path__):
        if module.name.startswith(f"ch{number}_"):
            return importlib.import_module(f"micro.check.{module.name}")


def typed(source, name, context=()):
    """The last function that `source` defines, run where the helpers of the exercise's chapter are known by name.

    source: an answer as a learner would type it.  name: of the exercise, "01.3".  context: what the notebook hands
    over (its Value), known by its own name.
    """
    source = textwrap.dedent(source)
    module = chapter(name[:2])
    space = dict(vars(module)) if module else {}
    space |= {c.__name__: c for c in context if hasattr(c, "__name__")}
    exec(compile(source, f"<a known mistake of {name}>", "exec"), space)
    return space[[n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)][-1]]


@dataclass
class Exercise:
    """One exercise.

    name: "01.3".  answer: the reference.  cases: tuples of arguments.
    mistakes: what to say -> the source of an answer that makes this mistake, as a learner would type it.
    probe: how to run an answer, `probe(fn, *case)` -> something comparable; a dict compares
    part by part and names the part. show: a case in words, `show(*case)`, where its arguments
    do not speak for themselves. advice: said after an error in the answer. tol: allowed
    difference, absolute and relative; near: what counts as almost right, relative.
    """

    name: str
    answer: object
    cases: list
    mistakes: dict = field(default_factory=dict)
    probe: object = None
    show: object = None
    advice: str = ""
    tol: float = 1e-6
    near: float = 0.01

    def __call__(self, fn, *context):
        """Print the verdict on `fn`. `context`: what the notebook hands over (its Value, its words)."""
        print(f"{self.judge(fn, *context)}")

    def run(self, fn, case, context):
        def guarded(*args, **kwargs):
            out = fn(*args, **kwargs)
            if out is None:
                raise Returned
            return out
        probe = self.probe or (lambda f, *args: f(*args))
        return probe(guarded, *context, *copy.deepcopy(case))  # an answer may change its inputs

    def mistaken(self, source, context=()):
        """The answer with a known mistake, as a function."""
        return typed(source, self.name, context)

    def judge(self, fn, *context):
        if not callable(fn):
            return Verdict("error", f"{self.name}: give the check your function, not {short(fn)}")
        results, stopped = [], None
        for case in self.cases:
            try:
                results.append(self.run(fn, case, context))
            except Returned:
                if hasattr(fn, "__code__") and [i.opname for i in dis.get_instructions(fn)] != STUB:
                    return Verdict("error", f"{self.name}: your function returned None: is a `return` missing?")
                return Verdict("not done", f"{self.name}: not done yet")
            except Exception as error:
                told = f"{type(error).__name__}: {error}".split("\n")[0]
                stopped = f"{self.name}: for {self.shown(case)} your code stopped with {told}{self.advice}"
                break
        wanted = [self.run(self.answer, case, context) for case in self.cases[:len(results)]]
        if all(same(r, w, self.tol) for r, w in zip(results, wanted)):
            right = Verdict("right", f"{self.name}: right, on {counted(self.cases)}")
            return Verdict("error", stopped) if stopped else right
        for text, wrong in self.mistakes.items():
            try:
                mistaken = self.mistaken(wrong, context)
                if all(same(r, self.run(mistaken, c, context), self.tol) for r, c in zip(results, self.cases)):
                    return Verdict("mistake", f"{self.name}: {text}")
            except Exception:  # this mistake can't be made on these inputs
                continue
        return self.explain(results, wanted)

    def explain(self, results, wanted):
        """The first difference in words, and whether all cases share it."""
        for case, got, want in zip(self.cases, results, wanted):
            for part in want if isinstance(want, dict) else [None]:
                of = (lambda r, part=part: r) if part is None else (lambda r, part=part: r.get(part))
                found = describe(of(got), of(want), self.tol, self.near)
                if found:
                    kind, text = found
                    shared = pattern([(of(r), of(w)) for r, w in zip(results, wanted)]) if kind == "value" else None
                    text = f"{shared}: {text}" if shared else text
                    where = f" for {self.shown(case)}" if case else ""
                    return Verdict(kind, f"{self.name}: the {part or 'result'}{where}: {text}")

    def shown(self, case):
        """The inputs of a case in words, with the names of the answer's arguments where it takes just these."""
        if self.show:
            return self.show(*case)
        names = list(inspect.signature(self.answer).parameters)
        if self.probe or len(names) != len(case):
            return ", ".join(short(v) for v in case)
        return ", ".join(f"{n}={short(v)}" for n, v in zip(names, case))
