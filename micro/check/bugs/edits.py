"""Seventeen silent bugs that can be planted in a small training program, one by one, for notebook 11.

A bug is an edit of the program's text (healthy.py), so the program itself has no trace of them, and the
answer to "what was it?" is a line crossed out and a line put in its place. Left out: bugs that raise an error.
"""
import ast
import difflib
import textwrap
import types
from functools import cache
from pathlib import Path

TEXT = Path(__file__).with_name("healthy.py").read_text(encoding="utf-8")
SECOND = Path(__file__).with_name("second.py").read_text(encoding="utf-8")

# The three faults of second.py: what is wrong -> [(the faulty code, the correct code)].
REPAIRS = {
    "reshape moves colours into places: permute the axes": [
        ("pictures.reshape(-1, 3, 16, 16)", "pictures.permute(0, 3, 1, 2).contiguous()")],
    "mirror images of the pictures to judge by are in training: split first": [
        ("    x, y = with_mirrored(*load())\n    (x, y), val = split(x, y)\n",
         "    (x, y), val = split(*load())\n    x, y = with_mirrored(x, y)\n")],
    "after the first epoch nobody calls net.train() again": [
        ("    for _ in range(epochs):\n", "    for _ in range(epochs):\n        net.train()\n")],
}

# number -> (its name, [(what stands in the program, what the bug makes of it), ...])
EDITS = {
    1: ("the answer leaks in", [("place.append(i - 3)", "place.append((i - 3) / len(word))")]),
    2: ("labels shuffled against inputs", [
        ("return context[chosen], place[chosen], target[chosen]",
         "near = chosen.sort().values                     # neighbours are faster to read\n"
         "        return context[near], place[near], target[chosen]")]),
    3: ("no zero_grad", [("        self.optimizer.zero_grad()\n", "")]),
    4: ("softmax twice", [("return self.outer(h)  ", "return self.outer(h).softmax(dim=1)  ")]),
    5: ("wrong axis", [("F.log_softmax(logits, dim=1)", "F.log_softmax(logits, dim=0)")]),
    6: ("eval mode forgotten", [("        self.model.eval()\n", "")]),
    7: ("validation names in training", [("return words[:cut], words[cut:]", "return words, words[cut:]")]),
    8: ("the rate by epoch, not by step", [("(1 - self.done / self.steps)",
                                           "(1 - self.done // self.epoch / self.steps)")]),
    9: ("weight decay on everything", [('"weight_decay": 0.0', '"weight_decay": 0.1')]),
    10: ("wrong broadcasting", [("logits.argmax(dim=1)", "logits.argmax(dim=1, keepdim=True)")]),
    11: ("dropout in evaluation", [("F.dropout(h, 0.1, self.training)", "F.dropout(h, 0.1)")]),
    12: ("equal seeds in all workers", [("manual_seed(1000 * seed + k) for k", "manual_seed(1000 * seed) for _")]),
    13: ("normalized with the statistics of the test data", [
        ("(place - self.mean) / self.std", "(place - place.mean()) / place.std()")]),
    14: ("target off by one", [("range(3, len(ids))", "range(3, len(ids) - 1)"),
                               ("target.append(ids[i])", "target.append(ids[i + 1])")]),
    15: ("clipping after the step", [
        ("        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)\n        self.optimizer.step()\n",
         "        self.optimizer.step()\n        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)\n")]),
    16: ("running statistics by the wrong momentum", [("nn.BatchNorm1d(hidden)",
                                                      "nn.BatchNorm1d(hidden, momentum=0.99)")]),
    17: ("the mean of the parts' means", [
        ("loss += self.loss_of(logits, wanted).item() * len(part) / len(target)",
         "loss += self.loss_of(logits, wanted).item() / -(-len(target) // size)")]),
}


def text(*bugs):
    """The program's source with the bugs of these numbers in it.

    KeyError: there is no bug of that number. ValueError: two of the bugs edit the same place.

    >>> "zero_grad" in text(), "zero_grad" in text(3)
    (True, False)
    """
    source = TEXT
    for number in bugs:
        if number not in EDITS:
            raise KeyError(f"there is no bug {number!r}; they are numbered 1 to {len(EDITS)}.")
        for old, new in EDITS[number][1]:
            if source.count(old) != 1:
                raise ValueError(f"bug {number} edits a line that another one has changed: take them one by one.")
            source = source.replace(old, new)
    return source


@cache
def program(*bugs):
    """The class Program with the bugs of these numbers in it; without a number, the clean one.

    >>> program(14)(seed=1).rows(["ab"])[2].tolist()                # b, end; and a was to come first
    [2, 0]
    """
    module = types.ModuleType("program")
    exec(compile(text(*bugs), f"<the program, bugs {bugs}>", "exec"), module.__dict__)
    return module.Program


def listing(*names, bugs=()):
    """Classes or methods of the program, "Net" or "Program.step", as Markdown for a notebook."""
    from IPython.display import Markdown  # here, so that the rest needs no Jupyter
    source = text(*bugs)
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
            found |= {f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)}
    lines = source.split("\n")
    parts = []
    for name in names:
        if name not in found:
            raise KeyError(f"the program has no {name!r}; it has {', '.join(found)}.")
        first = min([found[name].lineno, *[d.lineno for d in found[name].decorator_list]])
        parts.append(textwrap.dedent("\n".join(lines[first - 1:found[name].end_lineno])))
    # No language: in exported pages coloured code of an output has letters of unequal width.
    return Markdown("```\n" + "\n\n".join(parts) + "\n```")


def edit(bug):
    """What bug number `bug` changes, as a diff: the lines crossed out, the lines put in, and a line around them.

    >>> print(edit(6))
             context, place, target = data or self.val
    -        self.model.eval()
             loss, right = 0.0, 0.0
    """
    lines = difflib.unified_diff(TEXT.split("\n"), text(bug).split("\n"), lineterm="", n=1)
    return "\n".join(line for line in lines if line[:2] not in ("--", "++", "@@"))


def numbered(source=SECOND):
    """A source with its lines numbered, as Markdown for a notebook."""
    from IPython.display import Markdown
    lines = source.rstrip().split("\n")
    return Markdown("```\n" + "\n".join(f"{k:2d}  {line}" for k, line in enumerate(lines, 1)) + "\n```")


def repaired(*faults):
    """The second program's source without these faults (keys of REPAIRS)."""
    source = SECOND
    for fault in faults:
        for old, new in REPAIRS[fault]:
            source = source.replace(old, new)
    return source
