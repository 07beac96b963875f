"""The rooms of the package: who may import whom, what an import loads, unique names, true examples in docstrings."""
import ast
import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot
import pytest

import micro

matplotlib.use("agg")
ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "micro"
SHARED = {"check", "data", "diagnose", "draw", "files", "plot", "progress", "stats", "train"}
BUILT = {"engine", "nn", "layers", "wavenet", "gpt", "bpe", "speedrun"}


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
def test_what_is_shared_imports_nothing_that_a_notebook_builds(name):
    if room(name) in SHARED:
        assert not {other for other in GRAPH[name] if room(other) in BUILT}


def test_every_room_is_shared_or_built():
    assert {room(name) for name in MODULES} - {""} == SHARED | BUILT


def test_the_map_in_the_docstring_names_the_rooms_that_there_are():
    named = set(re.findall(r"^    micro\.(\w+)  ", micro.__doc__, re.M))
    assert named == SHARED | BUILT


def test_the_tree_in_the_readme_names_every_file():
    """Of micro: every module by its name, so that `ls` and the README tell the same."""
    tree = re.search(r"```\nmicro/\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    for path in MODULES.values():
        if path.name != "__init__.py":
            assert re.search(rf"\b{path.stem}\b", tree), path
    assert not set(re.findall(r"\b(\w+)\.py\b", tree)) - {path.stem for path in MODULES.values()}


def test_no_circles():
    """Between modules; a folder's __init__, which only hands names on, may be named by what it names."""
    graph = {name: {n for n in GRAPH[name] if MODULES[n].name != "__init__.py"} for name in MODULES}
    state = {}

    def visit(name, trail):
        assert state.get(name) != "open", " -> ".join([*trail, name])
        if name not in state:
            state[name] = "open"
            for other in sorted(graph[name]):
                visit(other, [*trail, name])
            state[name] = "done"

    for name in MODULES:
        visit(name, [])


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_the_init_of_a_folder_only_hands_names_on(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    defined = [n.name for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    assert set(defined) <= {"__getattr__"}, defined


def test_no_name_has_two_homes():
    """Public functions and classes; those of exercises, and methods that two kinds of module share, apart."""
    homes = {}
    for name, path in MODULES.items():
        if room(name) != "check" or name in ("micro.check.kinds", "micro.check.exercise", "micro.check.describe"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(name)
    several = {name: where for name, where in homes.items() if len(where) > 1}
    assert set(several) <= ALLOWED_TWICE, {name: where for name, where in several.items() if name not in ALLOWED_TWICE}


# The same word for the same job in different rooms: every program has a main, every file format a save and a load.
ALLOWED_TWICE = {"main", "parser", "run_train", "save", "load", "Module"}


def doctests(name):
    return doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name)


WITH_EXAMPLES = [name for name, path in MODULES.items() if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_are_true(name):
    import torch

    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    try:
        for test in doctests(name):
            runner.run(test)
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)
        matplotlib.pyplot.close("all")
    assert runner.tries and not runner.failures, f"{runner.failures} examples of {name} are not true: see above"


# -- import micro --------------------------------------------------------------------------------------


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_import_micro_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import micro; print(*set(sys.modules) - before)"
    assert python(code).split() == ["micro"]


def test_the_version_is_the_packages():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert micro.__version__ == declared[1]


@pytest.mark.parametrize("name, never", [
    ("data", "numpy torch matplotlib"), ("draw", "torch matplotlib numpy"), ("engine", "torch numpy matplotlib"),
    ("check", "torch matplotlib"), ("plot", "torch"), ("stats", "torch numpy matplotlib"),
    ("train", "matplotlib ipywidgets"), ("progress", "torch numpy matplotlib ipywidgets"), ("diagnose", "matplotlib"),
])
def test_an_import_loads_only_what_it_needs(name, never):
    code = f"import sys, micro.{name}; print([m for m in {never.split()!r} if m in sys.modules])"
    assert python(code).strip() == "[]"
