"""Notebook 11's programs: a healthy one, seventeen edits that break it silently, and a second program with three bugs.

    healthy.py   the program        edits.py   the bugs, as edits of its text        second.py   the other program
"""
from micro.check.bugs.edits import EDITS, REPAIRS, SECOND, TEXT, edit, listing, numbered, program, repaired, text
from micro.check.bugs.healthy import LETTERS

__all__ = ["EDITS", "LETTERS", "REPAIRS", "SECOND", "TEXT", "edit", "listing", "numbered", "program", "repaired",
           "text"]
