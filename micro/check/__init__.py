"""Checks for the exercises: `check.ex01_3(fn)` prints what is right or wrong about `fn`.

Each notebook NN has its exercises in `micro/check/exNN.py`; this module is what they share.
An answer is run on a few inputs and compared with a reference, and with the answers of
known mistakes, so that a wrong answer is told *what* is wrong. A check prints and never raises,
so that a notebook with untouched exercises still runs from top to bottom.
"""
import copy
import dis
import importlib.util
import inspect
import re
from dataclasses import dataclass, field

import numpy as np

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


def numbers(x):
    """Anything an exercise may return as one float64 array: a number, a Value, a torch tensor,
    an array, or lists of these. Raises TypeError or ValueError for anything else.

    >>> numbers([1, 2.5])
    array([1. , 2.5])
    """
    if hasattr(x, "_prev"):  # a Value
        return np.float64(x.data)
    if hasattr(x, "detach"):  # a torch tensor
        return x.detach().cpu().double().numpy()
    if isinstance(x, (list, tuple)):
        return np.array([numbers(v) for v in x], dtype=np.float64)
    return np.asarray(x, dtype=np.float64)


def same(a, b, tol):
    """Do two results agree? Numbers within tol (absolute and relative), all else exactly."""
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(same(a[k], b[k], tol) for k in b)
    try:
        a, b = numbers(a), numbers(b)
    except (TypeError, ValueError):
        return type(a) is type(b) and a == b
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tol, atol=tol, equal_nan=True))


def pattern(pairs):
    """What is wrong with numbers in the same way in *every* case, or None: (got, wanted) pairs."""
    try:
        a, b = (np.concatenate([numbers(x).ravel() for x in side]) for side in zip(*pairs))
    except (TypeError, ValueError):
        return None
    if a.shape != b.shape or len(a) < 2 or not np.isfinite(a).all():
        return None
    if np.allclose(a, -b, rtol=1e-6):
        return "the sign is wrong"
    there = b != 0
    if there.any() and not a[~there].any() and abs(a[there][0] / b[there][0] - 1) > 0.05:
        factor = a[there][0] / b[there][0]
        if factor and np.allclose(a, factor * b, rtol=1e-6):
            return f"it is {factor:.4g} times what it should be, in every case"
    if abs(a[0] - b[0]) > 0.01 and np.allclose(a - b, a[0] - b[0], rtol=1e-6):
        return f"every number is off by {a[0] - b[0]:.4g}"
    return None


def describe(got, want, tol, near=0.01):
    """(kind, what is wrong) for a result that is not the wanted one, or None if it is."""
    if same(got, want, tol):
        return None
    try:
        b = numbers(want)
    except (TypeError, ValueError):
        return "value", f"expected {short(want)}, got {short(got)}"
    try:
        a = numbers(got)
    except (TypeError, ValueError):
        return "value", f"expected numbers like {short(want)}, got {type(got).__name__}: {short(got)}"
    if a.shape != b.shape:
        known = ""
        if a.shape == b.shape[::-1] and np.allclose(a.T, b):
            known = ": the numbers are right but transposed"
        elif a.size == b.size and np.allclose(a.ravel(), b.ravel()):
            known = ": the numbers are right, a dimension of size 1 is lost or extra (keepdim?)"
        elif a.ndim == 0 and b.ndim:
            known = ": one number where many are wanted (was something summed too far?)"
        return "shape", f"the shape is {a.shape}, it should be {b.shape}{known}"
    if not np.isfinite(a).all():
        return "value", f"it contains {a[~np.isfinite(a)].ravel()[0]}: something divided by 0 or overflowed"
    if b.size > 2 and (np.allclose(a.ravel()[1:], b.ravel()[:-1]) or np.allclose(a.ravel()[:-1], b.ravel()[1:])):
        return "value", "the right numbers, moved by one position (off by one)"
    worst = float(np.max(np.abs(a - b)))
    if np.allclose(a, b, rtol=near, atol=near * float(np.max(np.abs(b)))):
        return "almost", f"almost: the largest difference is {worst:.2g}, {tol:.0e} is allowed"
    return "value", f"expected {short(want)}, got {short(got)}"


def short(x, width=70):
    """x on one line, numbers rounded, cut to `width` characters."""
    if isinstance(x, np.ndarray) or hasattr(x, "detach"):
        x = numbers(x).tolist()
    text = f"{x:.6g}" if isinstance(x, float) else " ".join(repr(x).split())
    text = re.sub(r"\d+\.\d{5,}(e-?\d+)?", lambda m: f"{float(m[0]):.5g}", text)
    return text if len(text) <= width else text[:width - 1] + "…"


@dataclass
class Exercise:
    """One exercise.

    name: "01.3".  answer: the reference.  cases: tuples of arguments.
    mistakes: what to say -> a function that makes this mistake; it gets the same arguments.
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
            right = Verdict("right", f"{self.name}: right, on {len(self.cases)} inputs")
            return Verdict("error", stopped) if stopped else right
        for text, wrong in self.mistakes.items():
            try:
                if all(same(r, self.run(wrong, c, context), self.tol) for r, c in zip(results, self.cases)):
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


def __getattr__(name):
    """`check.ex01_3`: exercise 3 of notebook 01, imported when it is asked for."""
    match = re.fullmatch(r"ex(\d\d)_(\d+)", name)
    if match and importlib.util.find_spec(f"micro.check.ex{match[1]}"):
        exercises = vars(importlib.import_module(f"micro.check.ex{match[1]}"))
        if name in exercises:
            return exercises[name]
    raise AttributeError(f"there is no exercise check.{name}; they are named like check.ex01_3 "
                         "(notebook 01, exercise 3)")
