"""The rooms of the house: who may import whom, how fast `import micro` is, how long a module may be."""

import ast
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import micro

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "micro"
HELPERS = {"bar", "check", "compare", "data", "diagnose", "draw", "flow", "grids", "images", "patient", "plot",
           "shapes", "tips", "train"}
GRADUATES = {"engine", "nn", "layers", "wavenet", "gpt", "checkpoint", "bpe", "speedrun"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path, modules):
    """The modules of micro that a file names in an import, anywhere in it, functions included."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            # `from micro import nn` names the module micro.nn, `from micro.nn import MLP` a thing in it.
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else base for name in names}
    return {name for name in found if name in modules}


def room(name):
    return name.split(".")[1] if "." in name else ""


GRAPH = {name: imported(path, MODULES) - {name} for name, path in MODULES.items()}


def test_this_test_sees_every_way_to_import(monkeypatch):
    source = ("import micro.a\nimport os, micro.b as x\nfrom micro import c\nfrom micro.d import thing\n"
              "from . import e\nfrom .f import thing\ndef late():\n    from micro.g.h import z\n")
    path = PACKAGE / "imaginary.py"
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: source)
    names = {f"micro.{m}" for m in ("a", "b", "c", "d", "e", "f", "g.h")}
    assert imported(path, names | {"micro", "micro.other"}) == names


@pytest.mark.parametrize("name", MODULES)
def test_no_helper_imports_a_graduate(name):
    if room(name) in HELPERS:
        assert not {other for other in GRAPH[name] if room(other) in GRADUATES}


def test_every_module_has_its_floor():
    assert {room(name) for name in MODULES} - {""} <= HELPERS | GRADUATES


def test_no_circles():
    state = {}

    def visit(name, trail):
        assert state.get(name) != "open", " -> ".join([*trail, name])
        if name not in state:
            state[name] = "open"
            for other in sorted(GRAPH[name]):
                visit(other, [*trail, name])
            state[name] = "done"

    for name in MODULES:
        visit(name, [])


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_read_in_one_sitting(name):
    lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    most = 300 if ".check.ex" in name else 250  # tables of known mistakes: long, but no reading
    assert lines < most, f"{name} has {lines} lines"


def test_the_map_in_the_docstring_names_the_rooms_that_there_are():
    named = set(re.findall(r"^    micro\.(\w+)  ", micro.__doc__, re.M))
    assert named == {room(name) for name in MODULES} - {""}


@pytest.mark.parametrize("name", ["bar", "compare", "data", "diagnose", "draw", "flow", "grids", "images", "patient",
                                  "plot", "shapes", "tips", "train", "speedrun.images", "speedrun.ladder",
                                  "speedrun.measure", "speedrun.net", "gpt", "layers", "layers.norms",
                                  "layers.gated", "wavenet", "bpe.merges", "bpe.tokenizers"])
def test_the_examples_in_the_docstrings_are_true(name):
    # In a process of their own: they draw figures and set seeds and threads.
    env = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    code = f"import doctest, micro.{name} as m; raise SystemExit(doctest.testmod(m, verbose=True).failed)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Test passed." in done.stdout, done.stdout


# -- import micro --------------------------------------------------------------------------------------


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_import_micro_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import micro; print(*set(sys.modules) - before)"
    assert python(code).split() == ["micro"]


def test_import_micro_takes_under_50_milliseconds():
    def seconds(code):
        start = time.perf_counter()
        python(code)
        return time.perf_counter() - start

    # In turns, so that a busy moment of the machine hits both.
    pairs = [(seconds("import micro"), seconds("pass")) for _ in range(9)]
    assert statistics.median(a - b for a, b in pairs) < 0.05


def test_the_version_is_the_packages():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert micro.__version__ == declared[1]


@pytest.mark.parametrize("name, never", [
    ("data", "numpy torch matplotlib"), ("images", "numpy torch filelock tqdm matplotlib"),
    ("draw", "torch matplotlib numpy"), ("flow", "torch matplotlib numpy"),
    ("plot", "torch"),
    ("train", "matplotlib ipywidgets"), ("bar", "torch numpy matplotlib ipywidgets"), ("diagnose", "matplotlib"),
])
def test_helpers_load_only_what_they_need(name, never):
    code = f"import sys, micro.{name}; print([m for m in {never.split()!r} if m in sys.modules])"
    assert python(code).strip() == "[]"
