"""Exercises that ask for several results at once, each judged on its own; that get new inputs each time; and cases."""
import copy
import itertools
import traceback
from dataclasses import dataclass, field
from inspect import signature

import torch

from micro.check import Exercise, Verdict, same, short
from micro.check.exercise import counted

EPS = 1e-5  # what the notebooks add to a variance


def randn(g, *shape):
    """Normal random numbers in float64 from the generator g."""
    return torch.randn(shape, generator=g, dtype=torch.double)


def cases_of(make, *sizes):
    """make(generator, *size) for each size, with another generator each time."""
    return [make(torch.Generator().manual_seed(k), *size) for k, size in enumerate(sizes)]


def by_autograd(f, leaves, arrives):
    """Gradients of sum(f(*leaves)[0] * arrives): for what f returns beside its first value, then for the leaves."""
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in leaves]
        out, *between = f(*leaves)
        return torch.autograd.grad(out, [*between, *leaves], arrives)


def shapes_of(*tensors):
    return "tensors of shape " + ", ".join(str(tuple(t.shape)) for t in tensors)


def arguments(*names):
    """A `show` for an exercise: the values of a case with the names of the answer's arguments."""
    return lambda *values: ", ".join(f"{name}={short(value)}" for name, value in zip(names, values))


class Shown(str):
    """A result in words: compared exactly, even where it looks like a number, and shown without quotes."""

    __repr__ = str.__str__


class Places(dict):
    """A list as results with names, "pair number 1" and so on, so that the first one that differs is named."""

    def __init__(self, name, found):
        super().__init__({f"{name} number {k}": Shown(v) for k, v in enumerate(found, 1)})
        self[f"number of {name}s"] = Shown(len(found))

    def get(self, name):
        return super().get(name, Shown("nothing"))


def type_of(x):
    """The type of an answer, of its numbers if it is a tensor."""
    return Shown(x.dtype if isinstance(x, torch.Tensor) else type(x).__name__)


def with_type(fn, *case):
    """An answer and its type."""
    out = fn(*case)
    return {"type": type_of(out), "answer": out}


@dataclass
class OnePart(Exercise):
    """One part of an exercise of the next kind: its answers, and its known mistakes, return all parts as a tuple."""

    part: int = 0

    def mistaken(self, source, context=()):
        whole = super().mistaken(source, context)
        return lambda *args: whole(*args)[self.part]


@dataclass
class Parts(Exercise):
    """An exercise whose answer returns a tuple, one result for each name in `parts`; None is "not done yet".

    part_mistakes: part -> {what to say: the source of an answer with this mistake in that part; its other parts are
    not looked at, and may be None}. The other fields are those of Exercise. The check prints one line for each part,
    unless all are right or none is done.
    """

    parts: tuple = ()
    part_mistakes: dict = field(default_factory=dict)

    def _only(self, fn, k):
        """The answer's part k, as a function."""
        return lambda *args: fn(*args)[k]

    def stopped(self, fn):
        """A Verdict where there is nothing to judge part by part, else None."""
        for case in self.cases:
            try:
                found = fn(*copy.deepcopy(case))
            except Exception as error:
                code = getattr(fn, "__code__", None)
                lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
                where = f" in line {lines[-1] - code.co_firstlineno + 1} of it" if lines else ""
                told = f"{type(error).__name__}: {error}".split("\n")[0]
                lost = " (a lost keepdim?)" if "size of tensor" in told or "doesn't match" in told else ""
                return Verdict("error", f"{self.name}: for {self.shown(case)} your code stopped{where} with "
                                        f"{told}{lost}{self.advice}")
            if found is None:
                return Exercise(self.name, self.answer, [case]).judge(fn)  # an untouched stub, or no return
            if not isinstance(found, (tuple, list)) or len(found) != len(self.parts):
                many = f"{len(found)} results" if isinstance(found, (tuple, list)) else "one result"
                return Verdict("error", f"{self.name}: return {len(self.parts)} results, {', '.join(self.parts)} "
                                        f"(None for those to come), not {many}")

    def verdicts(self, fn):
        """One Verdict for each part."""
        found = []
        for k, part in enumerate(self.parts):
            one = OnePart(f"{self.name}: {part}", lambda *args, k=k: self.answer(*args)[k], self.cases,
                          self.part_mistakes.get(part, {}), show=self.show, tol=self.tol, part=k)
            verdict = one.judge(self._only(fn, k))
            if "your function returned None" in verdict.text:  # the part, not the whole: see stopped
                verdict = Verdict("not done", f"{self.name}: {part}: not done yet")
            found.append(verdict)
        return found

    def judge(self, fn, *context):
        """The verdict on the first part that is not right, or "right"."""
        if not callable(fn):
            return super().judge(fn)
        nothing = self.stopped(fn)
        if nothing:
            return nothing
        wrong = [v for v in self.verdicts(fn) if v.kind != "right"]
        return wrong[0] if wrong else Verdict("right", f"{self.name}: right, on {counted(self.cases)}")

    def __call__(self, fn, *context):
        """Print the verdict on `fn`, or one for each part."""
        whole = self.judge(fn)
        if whole.kind == "right" or not callable(fn) or self.stopped(fn):
            print(whole)
            return
        verdicts = self.verdicts(fn)
        print(*verdicts, sep="\n")
        if sum(v.kind not in ("right", "not done") for v in verdicts) > 1:
            print("Mend the first ✘ first: later parts may build on it.")


def randint(g, low, high):
    """A whole number from low to high, both included, from the generator g."""
    return int(torch.randint(low, high + 1, (), generator=g))


def shuffled(g, values):
    return [values[k] for k in torch.randperm(len(values), generator=g)]


def kept(x):
    """What an answer must leave as it is in an argument: something that `same` can compare later."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone()
    if isinstance(x, torch.nn.Module):
        return {"training": x.training} | {name: t.clone() for name, t in x.state_dict().items()}
    return list(x) if isinstance(x, list) else None


@dataclass
class Fresh(Exercise):
    """An exercise with new inputs, make(generator), for every answer; an answer that changes them is told so."""

    cases: list = field(default_factory=list)
    make: object = None

    def __post_init__(self):
        self.seeds, self.changed, self.learners = itertools.count(1), set(), None
        self.cases = self.make(torch.Generator().manual_seed(0))

    def run(self, fn, case, context):
        if fn is not self.learners:                 # the reference and known mistakes may change what they like
            return super().run(fn, case, context)

        def watched(*args):
            before = [kept(a) for a in args]
            out = fn(*args)
            self.changed |= {name for name, a, old in zip(signature(self.answer).parameters, args, before)
                             if not same(kept(a), old, 0)}
            return out
        return super().run(watched, case, context)

    def judge(self, fn, *context):
        self.cases, self.changed = self.make(torch.Generator().manual_seed(next(self.seeds))), set()
        self.learners = fn
        verdict, names = super().judge(fn, *context), " and ".join(sorted(self.changed))
        if not names or verdict.kind in ("error", "not done"):
            return verdict
        if verdict.kind == "right":
            return Verdict("mistake", f"{self.name}: the result is right, but your function changes {names}, which "
                                      "others still need: work on a copy")
        return Verdict(verdict.kind, f"{verdict.text}; and your function changes {names}: work on a copy")


@dataclass
class Apart(Fresh):
    """An exercise in which a mistake is known by one part of the result, or by the inputs that are not edges.

    by: the parts of a result (a dict) that are also compared alone.  edges: how many inputs at the end are edges.
    hard: what to say where all inputs but the last are right.  nearly: what to add after "almost".
    """

    by: tuple = ()
    edges: int = 0
    hard: str = ""
    nearly: str = ""

    def known(self, results, wanted, of):
        if all(same(of(r), of(w), self.tol) for r, w in zip(results, wanted)):
            return None
        for text, wrong in self.mistakes.items():
            try:
                mistaken = self.mistaken(wrong)
                if all(same(of(r), of(self.run(mistaken, c, ())), self.tol) for r, c in zip(results, self.cases)):
                    return Verdict("mistake", f"{self.name}: {text}")
            except Exception:  # this mistake can't be made on these inputs
                continue

    def explain(self, results, wanted):
        right = [same(r, w, self.tol) for r, w in zip(results, wanted)]
        if self.hard and len(right) == len(self.cases) and all(right[:-1]):
            return Verdict("mistake", f"{self.name}: {self.hard}")
        found = self.known(results[:len(self.cases) - self.edges], wanted, lambda r: r) if self.edges else None
        for part in self.by:
            found = found or self.known(results, wanted, lambda r, part=part: r.get(part))
        verdict = found or super().explain(results, wanted)
        return Verdict("almost", verdict.text + self.nearly) if verdict.kind == "almost" else verdict
