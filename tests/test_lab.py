"""The course as a learner meets it: JupyterLab as `make lab` starts it, in a real browser (without a window).

Everything happens on a copy of notebooks/ and data/, so a run changes nothing here. It takes about a minute,
most of it the first notebook's own computing. It needs Chromium, Chrome or Edge: without one it is skipped,
or fails if MICRO_NEED_BROWSER=1. MICRO_BROWSER names the program to take if the right one is not found.
"""
import contextlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Error, expect, sync_playwright

from tests import helpers

SLOW = 60_000      # ms: what a busy computer may take to show a page or a menu
RUN_ALL = 300_000  # ms: and to run the first notebook, some 40 s in peace
SVG = "image/svg+xml"
FIRST = helpers.NAMES[0]
TO_RUN = f"run_{FIRST}"  # the copy of the first notebook that is run, its stored outputs taken out


# ---- a browser ----------------------------------------------------------------------------------------

def browsers():
    """The programs to try, the likeliest first."""
    if os.environ.get("MICRO_BROWSER"):
        return [os.environ["MICRO_BROWSER"]]
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"]
    found = [shutil.which(name) for name in names]
    for app in ("Google Chrome", "Chromium", "Microsoft Edge"):  # macOS
        for folder in (Path("/Applications"), Path.home() / "Applications"):
            found.append(folder / f"{app}.app" / "Contents" / "MacOS" / app)
    for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):  # Windows
        for program in ("Google/Chrome/Application/chrome.exe", "Chromium/Application/chrome.exe",
                        "Microsoft/Edge/Application/msedge.exe"):
            if os.environ.get(variable):
                found.append(Path(os.environ[variable], program))
    return [str(path) for path in found if path and Path(path).exists()]


def no_browser(why):
    text = (f"{why}: install Chromium, Chrome or Edge (Debian, Ubuntu: sudo apt install chromium; elsewhere: "
            "https://www.google.com/chrome), or set MICRO_BROWSER to the path of the one to use")
    if os.environ.get("MICRO_NEED_BROWSER") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


@pytest.fixture(scope="module")
def browser():
    programs = browsers()
    if not programs:
        no_browser("no browser found")
    expect.set_options(timeout=SLOW)
    # Started here and stopped after the last test of this file: while it runs, nothing else in this process
    # can start an event loop. The browser has no sandbox (playwright's default), so that root can run it too.
    with sync_playwright() as playwright:
        failures = []
        for program in programs:
            try:
                browser = playwright.chromium.launch(executable_path=program, timeout=SLOW)
            except Error as error:  # not of Chromium's kind, or not to be driven from outside
                failures.append(f"{program} does not start ({error.message.splitlines()[0]})")
                continue
            yield browser
            browser.close()
            return
        no_browser("; ".join(failures))


# ---- JupyterLab ---------------------------------------------------------------------------------------

def make_lab(notebooks, *args):
    """The command and the environment of `make lab`, but for these notebooks and with this Python."""
    spec = importlib.util.spec_from_file_location("make_env", helpers.ROOT / "tools" / "env.py")
    env_py = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(env_py)
    ran = []
    env_py.run = lambda command, env: ran.append((command, env))
    env_py.NOTEBOOKS, env_py.VENV_PYTHON = notebooks, sys.executable  # conda users have no .venv
    env_py.lab(*args)
    return ran[0]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lab:
    """JupyterLab on a copy of the course in `folder`."""

    def __init__(self, folder, browser):
        self.notebooks, self.log, self.browser = folder / "notebooks", folder / "lab.log", browser
        self.port, self.token = free_port(), secrets.token_hex(16)
        self.notebooks.mkdir()
        for path in helpers.PATHS:
            shutil.copy(path, self.notebooks)
        shutil.copytree(helpers.ROOT / "data", folder / "data", ignore=shutil.ignore_patterns(".cache"))
        fresh = self.read(FIRST)
        for cell in fresh.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(fresh, self.notebooks / f"{TO_RUN}.ipynb")

        own = {name: str(folder / name.lower())
               for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
        with pytest.MonkeyPatch.context() as patch:
            for name, place in own.items():  # `make lab` signs the notebooks there
                patch.setenv(name, place)
            command, env = make_lab(
                self.notebooks, "--no-browser", "--ServerApp.ip=127.0.0.1", f"--port={self.port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
                *(["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []))
        # A learner has no pytest around the kernel, which turns progress bars off, and this one no settings.
        unusual = ("PYTEST_", "JUPYTER", "MICRO_PROGRESS", "MPLBACKEND")
        env = {name: value for name, value in env.items() if not name.upper().startswith(unusual)}
        env.update(own)
        with open(self.log, "wb") as log:
            # In a session of its own, so that Ctrl+C stops only pytest, which then stops it.
            self.process = subprocess.Popen(
                command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)

    def read(self, name):
        return nbformat.read(self.notebooks / f"{name}.ipynb", as_version=4)

    def api(self, path, method="GET", timeout=30):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}", method=method,
                                         headers={"Authorization": f"token {self.token}"})
        local = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        with local.open(request, timeout=timeout) as answer:
            return json.loads(answer.read() or "null")

    def wait_until_it_answers(self):
        deadline = time.monotonic() + SLOW / 1000
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                return self.api("status")
            time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.log.read_text(errors='replace')}", pytrace=False)

    def stop(self):
        with contextlib.suppress(OSError):
            self.api("shutdown", "POST")  # so that it can stop its kernels first, on any system
        for end in (lambda: None, self.process.terminate, self.process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=15)

    @contextlib.contextmanager
    def page(self, path):
        """A window of its own with this page of JupyterLab, without the tabs that were open the last time."""
        page = self.browser.new_page(viewport={"width": 1280, "height": 800})  # a small laptop
        page.set_default_timeout(SLOW)
        try:
            page.goto(f"http://127.0.0.1:{self.port}/{path}?reset&token={self.token}")
            yield page
        finally:
            page.close()

    @contextlib.contextmanager
    def watch(self, page, folder):
        """Leave a picture of the page as it is at the end. What is printed is only shown if a test failed."""
        try:
            yield
        finally:
            with contextlib.suppress(Error):
                page.screenshot(path=folder / "page.png")
                print("the page as it was:", folder / "page.png")
            print("the server's last words:\n" + self.log.read_text(errors="replace")[-3000:])


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("course"), browser)
    try:
        lab.wait_until_it_answers()
        yield lab
    finally:
        lab.stop()


# ---- what is on a page --------------------------------------------------------------------------------

def cell(page, i):
    return page.locator(".jp-Notebook .jp-Cell").nth(i)


def scroll_to(thing):
    """Scroll until it is in sight. Once may not do: cells not drawn yet are given a guessed height."""
    deadline = time.monotonic() + SLOW / 1000
    while True:
        thing.scroll_into_view_if_needed()
        try:
            return expect(thing).to_be_in_viewport(timeout=1_000)
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def menu(page, name, item):
    page.locator(".lm-MenuBar-itemLabel").get_by_text(name, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def assert_quiet(page):
    """No dialog, and no notice of an error."""
    assert page.locator(".jp-Dialog, .Toastify__toast--error").all_inner_texts() == []


def assert_ready(page):
    """A notebook is there, and its kernel too."""
    idle = page.locator("#jp-main-statusbar").get_by_text("| Idle")
    expect(idle.or_(page.locator(".jp-Dialog")).first).to_be_visible()  # a dialog says why it isn't
    assert_quiet(page)
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()


@pytest.fixture(scope="module")
def running(lab, tmp_path_factory):
    """The page of the first notebook, where "Restart Kernel and Run All Cells…" was chosen."""
    with lab.page(f"lab/tree/{TO_RUN}.ipynb") as page:
        with lab.watch(page, tmp_path_factory.mktemp("running")):
            assert_ready(page)
            page.evaluate("""setInterval(() => {
                window.bar_seen ||= !!document.querySelector('.jp-OutputArea .widget-hprogress');
            }, 100)""")
            menu(page, "Run", "Restart Kernel and Run All Cells…")
            page.locator(".jp-Dialog .jp-mod-accept").click()
        yield page


# ---- every notebook opens -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def window(lab, running):  # `running` first: it computes while the others are opened
    with lab.page("lab") as page:
        yield page


@pytest.mark.parametrize("name", helpers.NAMES)
def test_opens(lab, window, name, tmp_path):
    cells, page = lab.read(name).cells, window
    with lab.watch(page, tmp_path):
        if page.locator(".jp-NotebookPanel, .jp-Dialog").count():  # left by a test that failed
            page.goto(f"{page.url.split('/lab')[0]}/lab?reset")
        page.locator(".jp-DirListing-itemText").get_by_text(f"{name}.ipynb", exact=True).dblclick()
        assert_ready(page)
        title = cells[0].source.splitlines()[0].removeprefix("# ")
        heading = page.locator(".jp-Notebook h1").first
        expect(heading).to_contain_text(re.sub("[`*]", "", title))
        expect(heading).to_be_in_viewport()
        expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(cells))
        expect(page.locator(".jp-MarkdownCell:not(.jp-mod-rendered)")).to_have_count(0)
        page.wait_for_function("[...document.querySelectorAll('.jp-Notebook img')].every(i => i.complete)")
        broken = "images => images.filter(i => !i.naturalWidth).map(i => i.alt + ' ' + i.src.slice(0, 99))"
        assert page.locator(".jp-Notebook img").evaluate_all(broken) == []
        drawn = [i for i, c in enumerate(cells) for o in c.get("outputs", []) if SVG in o.get("data", {})]
        for i in drawn[:1]:  # before it was run: only in a notebook that is trusted
            scroll_to(cell(page, i).locator(".jp-OutputArea-output").locator("img, svg").first)
        page.screenshot(path=tmp_path / "top.png")
        scroll_to(cell(page, len(cells) - 1))  # it can be read to its end
        assert_quiet(page)
        page.screenshot(path=tmp_path / "end.png")
        menu(page, "File", "Close and Shut Down Notebook…")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(page.locator(".jp-NotebookPanel")).to_have_count(0)


# ---- the first one runs -------------------------------------------------------------------------------

class Run:
    """The first notebook after it ran: its page, and the cells in its file."""

    def __init__(self, lab, page):
        self.page = page
        # A cell has a star until it ran; after an error those that follow lose theirs. Either way this ends.
        page.wait_for_function("""() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
            return /\\d/.test(prompts[0].textContent) && !prompts.some(p => p.textContent.includes('*'));
        }""", timeout=RUN_ALL, polling=100)
        assert_ready(page)
        with page.expect_response(lambda r: r.request.method == "PUT" and "/api/contents/" in r.url):
            menu(page, "File", "Save Notebook")
        self.cells = lab.read(TO_RUN).cells

    def find(self, pattern):
        """The numbers of the code cells that have this in their source."""
        found = [i for i, c in enumerate(self.cells)
                 if c.cell_type == "code" and re.search(pattern, c.source, re.M)]
        assert found, f"no cell with {pattern}"
        return found


@pytest.fixture(scope="module")
def run(lab, running, tmp_path_factory):
    with lab.watch(running, tmp_path_factory.mktemp("run")):
        return Run(lab, running)


@pytest.fixture
def done(run, lab, tmp_path):
    with lab.watch(run.page, tmp_path):
        yield run


def test_every_cell_runs(done):
    code = [c for c in done.cells if c.cell_type == "code"]
    for c in code:
        wrong = [o for o in c.outputs if o.output_type == "error" and "raises-exception" not in helpers.tags(c)
                 or o.get("name") == "stderr"]
        assert not wrong, c.source
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert_quiet(done.page)


def test_progress_bars_come_and_go(done):
    assert done.page.evaluate("window.bar_seen"), "none was seen while it ran"
    expect(done.page.locator(".jp-OutputArea .jupyter-widgets")).to_have_count(0)
    assert "application/vnd.jupyter.widget-view+json" not in json.dumps(done.cells), "one is left in the file"


def test_no_notice_covers_the_page(done):
    """`make setup` turns the question about Jupyter news off; elsewhere it may be asked."""
    if not (Path(sys.prefix) / "made-for.txt").exists():
        pytest.skip("this Python is not the one of `make setup`")
    expect(done.page.locator(".Toastify__toast")).to_have_count(0)


@pytest.mark.parametrize("call, kind", [
    ("draw_dot", SVG), ("plot.decision_boundary", "image/png"), ("plot.loss_curve", "image/png")])
def test_pictures_are_seen_whole(done, call, kind, tmp_path):
    for i in done.find(rf"^{re.escape(call)}\("):
        assert any(kind in o.get("data", {}) for o in done.cells[i].outputs), done.cells[i].source
        scroll_to(cell(done.page, i))
        outputs = cell(done.page, i).locator(".jp-OutputArea").first
        picture = outputs.locator(".jp-OutputArea-output").locator("img, svg").first  # an SVG is an img too
        scroll_to(picture)
        expect(picture).to_be_visible()
        assert picture.evaluate("p => p.tagName != 'IMG' || p.complete && p.naturalWidth > 0"), call
        inner, outer = picture.bounding_box(), outputs.bounding_box()
        assert inner["width"] > 100 and inner["height"] > 50, (call, inner)
        assert outer["x"] <= inner["x"] + 1, (call, inner, outer)
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1, (call, inner, outer)
        done.page.screenshot(path=tmp_path / f"cell_{i}.png")


def test_no_text_sticks_out_of_a_graph(done):
    """Graphviz guesses how wide a text will be, and the browser then draws it in a font of its own."""
    with contextlib.closing(done.page.context.browser.new_page()) as page:
        for i in done.find(r"^draw_dot\("):
            svg = "".join(o.get("data", {}).get(SVG, "") for o in done.cells[i].outputs)
            page.set_content(svg[svg.find("<svg"):])
            texts, outside = page.evaluate("""() => {
                const hair = 3;  // pixels: without Helvetica or Arial, a wider font may touch the lines
                const sticks_out = text => {
                    const node = text.closest('g.node')?.querySelector('path, polygon, ellipse');
                    const inner = text.getBoundingClientRect();
                    const outer = (node || document.querySelector('svg')).getBoundingClientRect();
                    return inner.left < outer.left - hair || inner.right > outer.right + hair
                        || inner.top < outer.top - hair || inner.bottom > outer.bottom + hair;
                };
                const texts = [...document.querySelectorAll('svg text')];
                return [texts.length, texts.filter(sticks_out).map(t => t.textContent)];
            }""")
            assert texts > 5 and not outside, (done.cells[i].source, outside)


def test_a_hint_unfolds(done):
    i = next(i for i, c in enumerate(done.cells) if "<summary>Hint</summary>" in c.source)
    hint = cell(done.page, i).locator("details").filter(has=done.page.get_by_text("Hint", exact=True))
    text = hint.locator(":scope > :not(summary)").first
    solution = cell(done.page, i).locator("details pre").first
    expect(text).to_be_hidden()
    hint.locator("summary").click()
    expect(text).to_be_visible()
    expect(text).to_have_text(re.compile(r"\w+"))
    expect(solution).to_be_hidden()


def test_an_exercise_answers(done, tmp_path):
    number, stub, solution = helpers.exercises(FIRST)[0]
    number = number.replace("_", ".")
    check = re.search(r"^check\..*", stub.source, re.M)[0]
    here = cell(done.page, next(i for i, c in enumerate(done.cells) if c.source == stub.source))
    answers = here.locator(".jp-OutputArea-output")
    expect(answers).to_contain_text(f"☐ {number}")

    for source, mark in [(stub.source.replace("return None", "return 42.0"), "✘"),
                         (f"{solution}\n{check}", "✔")]:
        here.locator(".cm-content").click()
        done.page.keyboard.press("ControlOrMeta+a")
        done.page.keyboard.insert_text(source)
        done.page.keyboard.press("Shift+Enter")
        expect(answers).to_have_text(re.compile(f"^{mark} {number}"))
        scroll_to(here)
        done.page.screenshot(path=tmp_path / f"answer_{mark == '✔'}.png")
