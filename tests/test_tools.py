"""The tools and the set-up: tools/, the Makefile, constraints.txt, the wheel. Nothing here needs a network."""
import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import ROOT
from tools import run_notebooks, sync

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
SHA256 = {
    "names.txt": "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
    "shakespeare.txt": "4890ba032b118983431e0f57fde9e75275a781f1e09caef75613528e56674eeb",
}


# ---- what is installed --------------------------------------------------------------------------------

def test_every_installed_package_has_its_version_in_constraints():
    todo = [(Requirement(text), "") for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"]]
    seen, wrong = set(), []
    while todo:
        need, extra = todo.pop()
        name = canonicalize_name(need.name)
        if (name, *need.extras) in seen or (need.marker and not need.marker.evaluate({"extra": extra})):
            continue
        seen.add((name, *need.extras))
        if re.match("nvidia|cuda|triton", name):  # each build of PyTorch chooses these itself
            continue
        version = importlib.metadata.version(name).split("+")[0]
        if CONSTRAINTS.get(name) != version:
            wrong.append(f"{name}=={version}")
        requires = importlib.metadata.requires(name) or []
        todo += [(Requirement(text), extra) for text in requires for extra in ("", *need.extras)]
    assert len(seen) > 80 and not wrong, "constraints.txt says otherwise: run `make setup`, or change its lines"


def test_there_is_one_list_of_dependencies_and_one_of_versions():
    names = [Requirement(text).name for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"]]
    assert len(names) == len(set(names)) and set(names) <= set(CONSTRAINTS)
    assert not re.search("==", "".join(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"]))
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").split()
    assert " ".join(lines).endswith("- pip - pip: - -c constraints.txt - -e .[course]")


# ---- tools/env.py -------------------------------------------------------------------------------------

PIP = """
import pathlib, sys
if "fail" in pathlib.Path("constraints.txt").read_text():
    sys.exit("ERROR: the index is out of reach")
print("pip", *sys.argv[1:])
"""


@pytest.fixture
def project(tmp_path):
    """A tiny project with the real script, and a pip.py that Python finds before the real pip."""
    folder = tmp_path / "a project"
    shutil.copytree(ROOT / "tools", folder / "tools")
    (folder / "notebooks").mkdir()
    (folder / "pip.py").write_text(PIP)
    (folder / "pyproject.toml").touch()
    (folder / "constraints.txt").touch()
    return folder


@pytest.fixture
def env(project, monkeypatch):
    """tools/env.py of the tiny project. Commands are noted in env.ran and not run; `venv` makes an empty one."""
    spec = importlib.util.spec_from_file_location("env_under_test", project / "tools" / "env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran, module.fails = [], {}

    def run(command, env=None):
        words = [str(word) for word in command[1:]]
        module.ran.append(words)
        if words[:2] == ["-m", "venv"]:
            module.BIN.mkdir(parents=True, exist_ok=True)
            module.VENV_PYTHON.touch()
            (module.VENV / "pyvenv.cfg").touch()
        return next((status for word, status in module.fails.items() if word in words), 0)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module.subprocess, "call", lambda *args, **how: 0)
    return module


def what_ran(env):
    """The names of the modules that were run since the last time."""
    names = [words[1] if words[0] == "-m" else words[0] for words in env.ran]
    env.ran.clear()
    return names


def test_setup_fails_resumes_and_then_has_nothing_to_do(project):
    def setup():
        return subprocess.run([sys.executable, "tools/env.py", "setup"], cwd=project, capture_output=True, text=True)

    (project / "constraints.txt").write_text("fail")
    first = setup()
    assert first.returncode == 1 and "Making a virtual environment" in first.stdout
    message, ours = first.stderr.splitlines()
    assert message == "ERROR: the index is out of reach" and "run the same command again" in ours
    (project / "constraints.txt").write_text("")
    second = setup()
    assert second.returncode == 0 and "Making" not in second.stdout and second.stderr == ""
    assert "pip install --disable-pip-version-check -c constraints.txt -e .[course]" in second.stdout
    assert (project / ".venv/share/jupyter/lab/settings/overrides.json").exists()
    third = setup()
    assert third.returncode == 0 and third.stdout.startswith("Nothing to do")


def test_environment_follows_files_folder_and_python(env, project, monkeypatch):
    assert env.set_up() and what_ran(env) == ["venv", "pip"]
    assert not env.set_up() and what_ran(env) == []
    (project / "constraints.txt").write_text("numpy==2.4.7")
    assert env.set_up() and what_ran(env) == ["pip"]
    env.fails["pip"] = 1  # an update that fails half-way is not taken for either state
    (project / "constraints.txt").write_text("numpy==2.4.8")
    with pytest.raises(SystemExit, match="pip did not finish"):
        env.set_up()
    env.fails.clear()
    (project / "constraints.txt").write_text("numpy==2.4.7")
    what_ran(env)
    assert env.set_up() and what_ran(env) == ["pip"]
    monkeypatch.setattr(env, "ROOT", project.rename(project.with_name("moved")))
    for name in ("VENV", "STAMP", "VENV_PYTHON", "BIN"):
        monkeypatch.setattr(env, name, env.ROOT / getattr(env, name).relative_to(project))
    assert env.set_up() and what_ran(env) == ["venv", "pip"]
    env.VENV_PYTHON.unlink()  # a link to a Python that a system update removed
    assert env.set_up() and what_ran(env) == ["venv", "pip"]
    monkeypatch.setattr(env.sys, "version_info", (3, 15, 0))
    assert env.set_up() and what_ran(env) == ["venv", "pip"]


def test_what_is_not_ours_is_never_deleted(env):
    env.VENV.mkdir()
    (env.VENV / "diary.txt").touch()
    for command in ("setup", "clean"):
        with pytest.raises(SystemExit, match="is not a virtual environment"):
            env.main(command)
    assert (env.VENV / "diary.txt").exists() and not env.ran


def test_clean_removes_the_environment_and_nothing_else(env):
    env.main("clean")
    env.main("setup")
    env.main("clean")
    assert not env.VENV.exists() and (env.ROOT / "pyproject.toml").exists()


def test_problems_are_explained_in_one_sentence(env, monkeypatch):
    env.fails["venv"] = 1
    with pytest.raises(SystemExit, match="sudo apt install python3-venv"):
        env.main("setup")
    with pytest.raises(SystemExit, match="no command 'lap'"):
        env.main("lap")
    ast.parse((ROOT / "tools" / "env.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    monkeypatch.setattr(env.sys, "version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"Python 3.11 or newer.*make lab PYTHON=python3.13"):
        env.main("lab")


def test_commands_pass_arguments_on_and_return_the_exit_code(env):
    env.main("setup")
    env.ran.clear()
    env.fails.update({"pytest": 5, "ruff": 1})
    assert [env.main("test", "-k", "x"), env.main("lint"), env.main("notebooks", "01"), env.main("lab")] == [5, 1, 0, 0]
    assert env.ran == [["-m", "pytest", "-k", "x"], ["-m", "ruff", "check", "."], ["tools/sizes.py"],
                       ["tools/run_notebooks.py", "01"],
                       ["-m", "jupyterlab", f"--ServerApp.root_dir={env.NOTEBOOKS}"]]
    env.ran.clear()
    assert env.main("speedrun", "--runs", "9") == 0
    ladder = ["-m", "micro.speedrun", "--ladder", "--runs", "9"]
    assert env.ran == [ladder, [*ladder, "--kernels"]]


def test_bench_runs_the_named_benchmarks_or_all(env):
    env.BENCH.mkdir(parents=True)
    for name in ("engine", "gpt", "_record"):
        (env.BENCH / f"{name}.py").touch()
    env.main("setup")
    env.ran.clear()
    env.fails["tests.bench.engine"] = 3
    assert env.main("bench") == 3 and what_ran(env) == ["tests.bench.engine", "tests.bench.gpt"]
    assert env.main("bench", "eng", "--quick") == 3 and env.ran == [["-m", "tests.bench.engine", "--quick"]]
    env.ran.clear()
    assert env.main("gpt-gpu", "--n", "2") == 0
    assert env.ran == [["-m", "tests.bench.gpt", "--gpu", "--record", "--n", "2"]]


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_make_knows_the_same_commands(env, capsys):
    env.main()
    text = capsys.readouterr().out
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert set(phony.split()) == set(env.COMMANDS) == set(re.findall(r"^make ([\w-]+) ", text, re.M))
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTHON")}
    dry = subprocess.run(["make", "-n", "test", "ARGS=-k x", "PYTHON=py"], cwd=ROOT, capture_output=True, text=True,
                         env=clean)
    assert dry.stdout.strip() == "py tools/env.py test -k x"


# ---- tools/run_notebooks.py and tools/sizes.py ----------------------------------------------------------

def test_notebooks_are_run_and_stored_tidily_or_left_as_they_were(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.delenv("MICRO_PROGRESS", raising=False)
    good, bad = "import os\nprint(os.environ['MICRO_PROGRESS'])", "# The second.\n1 / 0"
    for name, source in (("01_good", good), ("02_bad", bad)):
        cells = [nbformat.v4.new_code_cell("x = 1", id="first"), nbformat.v4.new_code_cell(source, id="second")]
        book = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {}, "language_info": {"name": "python"}})
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    before = (tmp_path / "02_bad.ipynb").read_bytes()
    assert run_notebooks.main([]) == 1
    book = json.loads((tmp_path / "01_good.ipynb").read_text(encoding="utf-8"))
    assert [cell["execution_count"] for cell in book["cells"]] == [1, 2] and "widgets" not in book["metadata"]
    assert [cell["id"] for cell in book["cells"]] == ["first", "second"]
    assert [cell["metadata"] for cell in book["cells"]] == [{}, {}]
    assert book["cells"][1]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["0\n"]}]
    assert (tmp_path / "02_bad.ipynb").read_bytes() == before
    out, err = capsys.readouterr()
    assert "01_good.ipynb: stored" in out and "02_bad.ipynb: left as it was" in out
    assert "ZeroDivisionError" in err and "cell 1 (id second) failed. It begins with: # The second." in err
    with pytest.raises(SystemExit, match="no notebook '99'"):
        run_notebooks.main(["99"])


def test_tidy_removes_what_differs_between_two_people():
    printed = [{"output_type": "stream", "name": name, "text": text} for name, text in
               (("stdout", ["a\n", "b"]), ("stdout", ["\n"]), ("stderr", ["c\n"]), ("stdout", ["d\n"]))]
    cell = {"outputs": printed, "metadata": {"tags": ["copy"], "execution": {"time": "now"}}}
    book = run_notebooks.tidy({"cells": [cell], "metadata": {"language_info": {"name": "python", "version": "3.11.7"}}})
    assert book["metadata"] == {"language_info": {"name": "python"}} and cell["metadata"] == {"tags": ["copy"]}
    assert [(o["name"], o["text"]) for o in cell["outputs"]] == [
        ("stdout", ["a\n", "b\n"]), ("stderr", ["c\n"]), ("stdout", ["d\n"])]


# ---- tools/sync.py --------------------------------------------------------------------------------------

MODULE = '''"""The module."""
import functools

LIMIT = 3  # stays


@functools.cache
def double(x):
    """Twice x, at length.

    With a second paragraph.
    """

    return 2 * x


class Value:
    """A number."""

    def __init__(self, data):
        """Keep it."""
        self.data = data

    def grow(self):
        """Add one."""
        self.data += 1


class Other:
    pass
'''
CELL = '''before = 1

@functools.cache
def double(x):
    # a comment
    return x + x                # another

class Value:
    def __init__(self, data):
        """The cell's own words."""
        self.data = float(data)

    def grow(self): self.data += 2

after = "ü"'''


@pytest.fixture
def course_copy(tmp_path, monkeypatch):
    """A course of one notebook and one package, whose __init__ re-exports; a function that reads both."""
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    for name, text in (("__init__", "from .model import Value, double\n"), ("model", MODULE)):
        path = tmp_path / "micro" / "gpt" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    tags = ["graduate:micro.gpt.Value", "graduate:micro.gpt.model.double"]
    cell = nbformat.v4.new_code_cell(CELL, id="a", metadata={"tags": tags}, execution_count=1,
                                     outputs=[nbformat.v4.new_output("stream", text="1\n2\n")])
    book = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    (tmp_path / "notebooks").mkdir()
    sync.write(tmp_path / "notebooks" / "01_a.ipynb", book)

    def now():
        book = sync.read(tmp_path / "notebooks" / "01_a.ipynb")
        return path.read_bytes().decode(), "".join(book["cells"][0]["source"]), book
    return now


def test_sync_copies_a_cell_into_its_module(course_copy, capsys):
    before = course_copy()
    assert sync.main([]) == 1 and course_copy() == before
    assert "micro.gpt.Value: 01_a.ipynb (cell 0) and micro/gpt/model.py differ" in capsys.readouterr().out
    assert sync.main(["--to-module"]) == 0
    module, cell, _ = course_copy()
    expected = MODULE.replace("    return 2 * x", "    # a comment\n    return x + x                # another")
    expected = expected.replace("self.data = data", "self.data = float(data)").replace("+= 1", "+= 2")
    assert (module, cell) == (expected, CELL)
    assert sync.main([]) == 0 and sync.main(["--to-module"]) == 0 and course_copy()[0] == module


def test_sync_copies_a_module_into_its_cell(course_copy, tmp_path):
    outputs = course_copy()[2]["cells"][0]["outputs"]
    assert sync.main(["--to-notebook", "Value"]) == 0
    module, cell, book = course_copy()
    expected = CELL.replace("float(data)", "data").replace("(self): self.data += 2", "(self):\n        self.data += 1")
    assert (module, cell) == (MODULE, expected)
    assert sync.main(["--to-notebook", "micro.gpt.model.double"]) == 0
    _, cell, book = course_copy()
    assert cell == expected.replace("    # a comment\n    return x + x                # another", "    return 2 * x")
    assert book["cells"][0]["outputs"] == outputs and sync.main([]) == 0
    text = (tmp_path / "notebooks" / "01_a.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("target, source, expected", [
    ('def f(x):\n    """Doc."""\n    return x', "def f(x): return -x", 'def f(x):\n    """Doc."""\n    return -x'),
    ('class A:\n    "Doc."', "class A:\n    pass", 'class A:\n    "Doc."\n    pass'),
    ("class A:\n    pass", 'class A(B): "Doc."', "class A(B):\n    pass"),
    ('class A: "Doc."', "class A(B):\n    # why\n    x = 1", 'class A(B):\n    "Doc."\n    # why\n    x = 1'),
    ('def f():\n    """D."""\n    def g():\n        """E."""\n        return 1\n    return g',
     "def f():\n    def g():\n        return 2\n    return g",
     'def f():\n    """D."""\n    def g():\n        """E."""\n        return 2\n    return g'),
], ids=["one row", "only a docstring", "only in the source", "docstring in the row", "nested"])
def test_sync_keeps_docstrings_in_odd_places(target, source, expected):
    name = re.search(r"\w+ (\w+)", target)[1]
    assert sync.replace(f"a = 1\n{target}\nb = 2\n", name, source) == f"a = 1\n{expected}\nb = 2\n"


def test_sync_says_what_is_missing(course_copy, tmp_path, capsys):
    (tmp_path / "micro" / "gpt" / "model.py").write_text("")
    assert sync.main([]) == 1
    assert "micro.gpt does not define Value. Please write it there first." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        sync.main(["Nobody"])
    assert "no cell has the tag" in capsys.readouterr().err


# ---- the wheel and the data -----------------------------------------------------------------------------

def test_wheel_works_in_another_project_with_its_data(tmp_path):
    build = subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
                           cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    files = zipfile.ZipFile(wheel).namelist()
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "micro").rglob("*.py")} <= set(files)
    assert [f for f in files if not f.startswith(("micro/", "micro-"))] == []
    shutil.unpack_archive(wheel, tmp_path / "target", "zip")
    code = textwrap.dedent("""
        import sys; sys.path.insert(0, sys.argv[1])
        import micro; from micro.data import names, shakespeare
        print(micro.__file__, len(names()), len(shakespeare()), sep="|")""")
    target = tmp_path / "target"
    used = subprocess.run([sys.executable, "-c", code, target], cwd=tmp_path, capture_output=True, text=True)
    where = str(target / "micro" / "__init__.py")
    assert used.stdout.strip().split("|") == [where, "32257", "1182959"], used.stderr


def test_data_files_keep_their_hashes():
    for name, sha256 in SHA256.items():
        assert hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == sha256
    assert "*.txt text eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()


def test_sanitize_file_is_as_nbval_reads_it():
    text = (ROOT / "tests" / "sanitize.cfg").read_bytes().decode("ascii")
    pairs = re.findall("^regex: (.*)$\n^replace: (.*)$", text, flags=re.M)  # nbval's own way to read it
    example = "<f at 0x7f3a90b5e0d0> and <f at 0x0000021A5E3B7F40>"
    for regex, replace in pairs:
        example = re.sub(regex, replace, example)
    assert example == "<f at ADDRESS> and <f at ADDRESS>"
