"""What the tests share: the course's notebooks, read as documents; random tensors; a program run in this process.

Tags on code cells (a tag can't hold a comma, so lists are joined with +):
  name:NAME                 this cell can be named by others
  copy, copy:after=A+B      runs alone after the notebook's imports and the cells named
  graduate:micro.x.Name     defines Name exactly as the module does
  exercise, after=A+B       a stub with its check; the solution needs the cells named
"""
import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
import torch

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [p.stem for p in PATHS]


@cache
def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def code_cells(name):
    return [c for c in read(name).cells if c.cell_type == "code" and c.source.strip()]


def markdown(name):
    return [c.source for c in read(name).cells if c.cell_type == "markdown"]


def tags(cell):
    return cell.metadata.get("tags", [])


def without_details(text):
    """Prose as it stands on the page before anything is unfolded."""
    return re.sub(r"<details>.*?</details>", "", text, flags=re.S)


def is_import(node):
    return isinstance(node, (ast.Import, ast.ImportFrom))


def imports(name):
    """The notebook's own imports, as source."""
    found = [node for c in code_cells(name) for node in ast.parse(c.source).body if is_import(node)]
    return "\n".join(dict.fromkeys(ast.unparse(node) for node in found))


def named(name):
    """NAME -> source of the cell tagged name:NAME."""
    return {t[5:]: c.source for c in code_cells(name) for t in tags(c) if t.startswith("name:")}


def run(name, *cells, space=None):
    """What the named cells of a notebook define, after its imports: a dictionary (`space`, filled further)."""
    space, there = {"__name__": "reader"} if space is None else space, named(name)
    exec("\n".join([imports(name), *[there[cell] for cell in cells]]), space)
    return space


def definitions(name):
    """NAME -> source of every function and class that a notebook defines at the top of a cell."""
    found = [(node, c.source) for c in code_cells(name) for node in ast.parse(c.source).body]
    return {node.name: ast.get_source_segment(source, node) for node, source in found
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def needs(cell):
    """The names behind after=, in a copy: tag or in a tag of its own."""
    found = [t.split("after=")[1].split("+") for t in tags(cell) if "after=" in t]
    return sum(found, [])


def standing_alone(name, cell):
    """Source that runs `cell` in a fresh interpreter: imports, the cells it names, itself.

    Of the set-up cell only the imports come along.
    """
    cells = named(name)
    missing = [n for n in needs(cell) if n not in cells]
    if missing:
        raise ValueError(f"{name}: a tag names the cell {missing[0]}, and no cell has the tag name:{missing[0]}")
    before = [cells[n] for n in needs(cell)]
    return "\n\n".join([imports(name), *before, cell.source])


def exercises(name):
    """(id, stub cell, solution source) of each exercise, in order; solution None where there is none."""
    cells, found = read(name).cells, []
    for i, c in enumerate(cells):
        call = re.search(r"^check\.ex(\d\d_\d+)\(", c.source, re.M) if c.cell_type == "code" else None
        if call:
            after = cells[i + 1].source if i + 1 < len(cells) else ""
            solution = re.search(r"<summary>Solution</summary>.*?```python\n(.*?)```", after, re.S)
            found.append((call[1], c, solution and solution[1]))
    return found


def runner(main, capsys):
    """A function that runs a program's main with the words given, and returns (exit code, stdout, stderr)."""
    def run_main(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()
    return run_main


# --- tensors ----------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: on a busy machine a second thread makes these tests eight times slower. Import it to use it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bell(seed, *shape):
    """Normal random numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
