"""The exercises' checks: `check.ex01_3(answer)` prints what is right or wrong about an answer.

Each notebook has its checks in a file of the same name: those of 01_micrograd are in `ch01_micrograd.py`.
"""
import re

from micro.check.describe import describe, same, short, to_array
from micro.check.exercise import STUB, Exercise, Returned, Verdict, chapter, typed

__all__ = ["STUB", "Exercise", "Returned", "Verdict", "describe", "same", "short", "to_array", "typed"]


def __getattr__(name):
    """`check.ex01_3`: exercise 3 of notebook 01. Its chapter is imported when it is first asked for."""
    match = re.fullmatch(r"ex(\d\d)_\d+", name)
    module = match and chapter(match[1])
    if hasattr(module, name):
        return getattr(module, name)
    raise AttributeError(f"there is no exercise check.{name}; they are named like check.ex01_3 "
                         "(notebook 01, exercise 3)")
