"""The set-up: .make/env.py, the Makefile, the two lists of dependencies, the wheel.

Nothing here needs a network. What is set up is a tiny project in a temporary folder, with the real script.
"""

import ast
import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
ENV_PY = ROOT / ".make" / "env.py"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SHA256 = {
    "names.txt": "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
    "shakespeare.txt": "4890ba032b118983431e0f57fde9e75275a781f1e09caef75613528e56674eeb",
}
TARGETS = {"setup", "lab", "test", "bench", "gpt-gpu", "speedrun", "notebooks", "lint", "clean", "help"}


HERE = "python" + ".".join(map(str, sys.version_info[:2]))  # this Python's name on PATH


def dotted(version):
    return ".".join(map(str, version))


def load(path):
    """A script as a module, so that a test can look at its parts and replace some."""
    spec = importlib.util.spec_from_file_location("env_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def env(project):
    """The set-up script of a tiny project."""
    return load(project / ".make" / "env.py")


# ---- pyproject.toml and environment.yml say the same -------------------------------------------------

CONDA_NAMES = {"pytorch": "torch", "python-graphviz": "graphviz"}  # conda-forge's name: PyPI's name


def pins_of_pyproject():
    requirements = [Requirement(text) for text in PYPROJECT["project"]["optional-dependencies"]["course"]]
    assert all(re.fullmatch(r"==[\d.]+", str(r.specifier)) for r in requirements), "exact versions, please"
    return {r.name: str(r.specifier) for r in requirements}


def conda_file():
    """environment.yml as (conda's requirements, pip's requirements, pip's other lines)."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    by_conda = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    return by_conda, [Requirement(e) for e in by_pip if e[0] != "-"], [e for e in by_pip if e[0] == "-"]


def test_conda_and_pip_install_the_same_versions():
    by_conda, by_pip, links = conda_file()
    got = {CONDA_NAMES.get(r.name, r.name): str(r.specifier) for r in by_conda} | {
        r.name: str(r.specifier) for r in by_pip}
    assert len(got) == len(by_conda) + len(by_pip), "something is listed twice in environment.yml"
    assert got.pop("pip") == "" and links == ["-e ."]
    python = got.pop("python")
    assert got == pins_of_pyproject()
    assert set(python.split(",")) == set(PYPROJECT["project"]["requires-python"].split(","))


def test_the_python_range_is_the_same_in_the_set_up_script():
    wanted = Requirement("python" + PYPROJECT["project"]["requires-python"]).specifier
    fitting = {(3, minor) for minor in range(30) if f"3.{minor}.0" in wanted}
    assert set(load(ENV_PY).PYTHONS) == fitting


def test_ci_runs_the_oldest_and_the_newest_python_on_three_systems():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert {name.split("-")[0] for name in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos", "windows"}
    pythons = load(ENV_PY).PYTHONS
    assert job["strategy"]["matrix"]["python"] == [dotted(min(pythons)), dotted(max(pythons))]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert len(runs) == 3 and all(re.search(r"make test|env\.py test", run) for run in runs)
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M)


def test_the_course_pins_what_the_package_needs_within_its_bounds():
    pins = pins_of_pyproject()
    for text in PYPROJECT["project"]["dependencies"]:
        need = Requirement(text)
        assert re.fullmatch(r">=[\d.]+", str(need.specifier)), f"{text}: lower bounds only, please"
        assert pins[need.name].removeprefix("==") in need.specifier


@pytest.mark.parametrize("file, entry", [("pyproject.toml", r'^    "[\w-]+[=>]='),
                                         ("environment.yml", r"^ +- \S")])
def test_every_dependency_has_its_reason_beside_it(file, entry):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if re.search(entry, line) and not re.search(r"# \S+ \S+", line)]
    assert [line for line in bare if line.strip() not in ("- conda-forge", "- pip:")] == []


# ---- an old Python can read .make/env.py and says what is wrong -------------------------------------

def old_pythons():
    """Other Pythons on this computer, by version: on PATH, or where pyenv keeps them."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    paths = [str(p) for p in sorted(pyenv.glob("versions/*/bin/python"))]
    paths += filter(None, (shutil.which(f"python{v}") for v in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10")))
    found = {}
    for path in paths:
        probe = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        out = subprocess.run(probe, capture_output=True, text=True)
        if out.returncode == 0:
            found.setdefault(out.stdout.strip(), path)
    return found


OLD = old_pythons()
VERSIONS = ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10"]


def interpreter(version):
    if version not in OLD:
        pytest.skip(f"no Python {version} on this computer")
    return OLD[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_python_can_read_the_set_up_script(version):
    help_text = subprocess.run([interpreter(version), ENV_PY, "help"], capture_output=True, text=True)
    assert (help_text.returncode, help_text.stderr) == (0, "")
    assert help_text.stdout.startswith("make setup")


def test_the_set_up_script_has_no_syntax_newer_than_python_2_7():
    source = ENV_PY.read_bytes()
    source.decode("ascii")  # Python 2 wants a coding line for anything else
    text = source.decode()
    assert not re.search(r"\b\d+_\d+\b", re.sub(r"#.*|\"[^\"]*\"", "", text)), "Python 2 knows no 1_000"
    new = (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.Nonlocal, ast.YieldFrom, ast.Await, ast.Match,
           ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    for node in ast.walk(ast.parse(text)):
        where = f"line {getattr(node, 'lineno', '?')}"
        assert not isinstance(node, new), f"{where}: {type(node).__name__}"
        if isinstance(node, ast.arguments):
            args = node.args + [a for a in (node.vararg, node.kwarg) if a]
            assert not node.kwonlyargs and not node.posonlyargs, where
            assert all(a.annotation is None for a in args), where
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None, where
        if isinstance(node, ast.Raise):
            assert node.cause is None, f"{where}: raise from"
        if isinstance(node, ast.Dict):
            assert None not in node.keys, f"{where}: ** in a dict"
        if isinstance(node, (ast.List, ast.Tuple)):
            assert not any(isinstance(item, ast.Starred) for item in node.elts), f"{where}: * in a list"
        if isinstance(node, ast.Call):
            stars = [isinstance(a, ast.Starred) for a in node.args]
            assert True not in stars[:-1], f"{where}: an argument after *"
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import)]
    top = {alias.name for node in imports for alias in node.names}
    in_python_2 = {"hashlib", "io", "json", "os", "platform", "re", "shutil", "subprocess", "sys", "time"}
    assert top <= in_python_2, "what is imported at the top must exist in Python 2.7"


def one_line(result):
    """The one line that a failed command said on stderr."""
    out, err = result.stdout, result.stderr
    assert result.returncode == 1, (result.returncode, out, err)
    assert len(err.splitlines()) == 1 and "Traceback" not in out + err, (out, err)
    return err.strip()


@pytest.mark.skipif(os.name == "nt", reason="there the py launcher is found without PATH")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_python_that_is_too_old_says_so_in_one_line(version, tmp_path):
    command = [interpreter(version), ENV_PY, "setup"]
    message = one_line(subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)}))
    for part in (f"this is Python {version}", "3.11, 3.12 or 3.13", "https://www.python.org/downloads/"):
        assert part in message


@pytest.mark.skipif(os.name == "nt", reason="there the py launcher is found without PATH")
@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_a_python_out_of_range_says_so_even_where_none_is_installed(version, tmp_path):
    pretend = (f"import sys, runpy; sys.version_info = {version + ('final', 0)};"
               f"sys.argv = ['env.py', 'setup']; sys.version = '{dotted(version)} (pretended)';"
               f"runpy.run_path({str(ENV_PY)!r}, run_name='__main__')")
    message = one_line(subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True,
                                      env={"PATH": str(tmp_path)}))
    assert "this is Python " + dotted(version) in message


@pytest.mark.skipif(os.name == "nt", reason="the pretenders on PATH are shell scripts")
def test_another_python_on_path_is_used_if_it_is_what_it_says(env, tmp_path, monkeypatch):
    # One that only prints an error, as pyenv's do; one that is older than its name; a good one.
    bodies = ["echo 'pyenv: command not found' >&2; exit 127", "printf '3.9\\npython3.9\\n'"]
    names = [n for n in ("python3.13", "python3.12", "python3.11") if n != HERE]
    scripts = dict(zip(names, bodies)) | {HERE: f'exec "{sys.executable}" "$@"'}
    for name, body in scripts.items():
        (tmp_path / name).write_text("#!/bin/sh\n" + body + "\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(env.sys, "version_info", (3, 9, 18, "final", 0))
    monkeypatch.setattr(env.sys, "argv", ["env.py", "test", "-k", "x"])
    became = []
    monkeypatch.setattr(env, "become", became.append)
    env.use_right_python()
    assert became == [[sys.executable, os.path.abspath(env.__file__), "test", "-k", "x"]]


# ---- setting up, in a tiny project -------------------------------------------------------------------

BACKEND = '''
"""A build backend of a few lines, so that `pip install -e .` works without a network."""
import os, tomllib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    project = tomllib.load(open("pyproject.toml", "rb"))["project"]
    info = f"micro-{project['version']}.dist-info/"
    metadata = "Metadata-Version: 2.1\\nName: micro\\nProvides-Extra: course\\n"
    metadata += f"Version: {project['version']}\\n"
    for need in project["optional-dependencies"]["course"]:
        metadata += f"Requires-Dist: {need}; extra == 'course'\\n"
    name = f"micro-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("micro_here.pth", os.getcwd())
        wheel.writestr(info + "METADATA", metadata)
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
'''


def write_pyproject(project, version="0.1.0", course=()):
    (project / "pyproject.toml").write_text(textwrap.dedent(f"""\
        [build-system]
        requires = []
        build-backend = "backend"
        backend-path = ["."]
        [project]
        name = "micro"
        version = "{version}"
        [project.optional-dependencies]
        course = {list(course)}
        """), encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the real set-up script and nothing to install, and a pip that reaches no index."""
    folder = tmp_path / "a project"  # with a space: it must not matter
    (folder / ".make").mkdir(parents=True)
    shutil.copy(ENV_PY, folder / ".make")
    (folder / "backend.py").write_text(BACKEND, encoding="utf-8")
    write_pyproject(folder)
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with socket.socket() as s:  # a port that nothing listens on once this is closed
        s.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{s.getsockname()[1]}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "1")
    return folder


def quick(env, monkeypatch):
    """Let .venv be made without pip, as on a bare Debian: a second instead of four."""
    found = re.match(r"pip (\d+)\.(\d+)", env.output_of([env.base_python(), "-m", "pip", "--version"]) or "")
    if not found or tuple(map(int, found.groups())) < (22, 3):
        pytest.skip("the Python behind this environment has no pip 22.3 or newer")
    whole = env.venv_command
    monkeypatch.setattr(env, "venv_command", lambda *options: whole("--without-pip"))


def linked(env):
    """Where .venv's Python finds a module of the project, which is installed as a link."""
    code = "import backend; print(backend.__file__)"
    return Path(env.output_of([env.VENV_PYTHON, "-c", code]) or "nowhere")


def setup_says(env, capfd, status=0):
    """Run `env.py setup` in this process: what it printed on stdout, or on stderr if it failed."""
    capfd.readouterr()
    assert env.main(["setup"]) == status, capfd.readouterr()
    out, err = capfd.readouterr()
    if status == 0:
        assert err == ""
        return out
    assert len(err.splitlines()) == 1 and "Traceback" not in out + err, err
    return err


def test_no_network_then_done_then_nothing_to_do(env, project, monkeypatch, capfd):
    # A first try without a network: one line, a log, and no stamp that says it is done.
    write_pyproject(project, course=["a-package-of-the-course==1.0"])
    message = setup_says(env, capfd, status=1)
    assert "package index could not be reached: check the network" in message
    assert os.path.join(".venv", "install.log") in message
    assert "a-package-of-the-course" in Path(env.LOG).read_text(encoding="utf-8")
    made = (project / ".venv" / "pyvenv.cfg").stat().st_mtime_ns

    # The same without a second try, where pip does not say why it found nothing.
    monkeypatch.setenv("PIP_RETRIES", "0")
    message = setup_says(env, capfd, status=1)
    assert "pip found no a-package-of-the-course==1.0 at all: check that the package index" in message

    # It goes on with the half-made .venv, and says when it is done.
    write_pyproject(project)
    assert "Ready" in setup_says(env, capfd)
    assert (project / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made
    settings = project / ".venv" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    news = json.loads(settings.read_text(encoding="utf-8"))
    assert news["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"

    # Again, as its own process: nothing to do, pip is not asked, quickly.
    installs = []
    monkeypatch.setattr(env, "install", lambda: installs.append(1))
    assert "Already there" in setup_says(env, capfd) and not installs
    again = subprocess.run([sys.executable, env.__file__, "setup"], capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.startswith("Already there"), again

    # A changed pyproject.toml means work, once.
    write_pyproject(project, version="0.2.0")
    assert "Ready" in setup_says(env, capfd) and len(installs) == 1
    assert "Already there" in setup_says(env, capfd) and len(installs) == 1

    # If that work is broken off, even the old pyproject.toml is no longer what .venv holds.
    def broken():
        raise KeyboardInterrupt

    monkeypatch.setattr(env, "install", broken)
    write_pyproject(project)
    assert setup_says(env, capfd, status=130).startswith("Stopped.")
    monkeypatch.setattr(env, "install", lambda: installs.append(1))
    write_pyproject(project, version="0.2.0")
    assert "Ready" in setup_says(env, capfd) and len(installs) == 2


def test_a_moved_a_broken_and_an_older_environment_are_made_again(env, project, monkeypatch, capfd):
    quick(env, monkeypatch)
    assert "Ready" in setup_says(env, capfd)
    assert linked(env) == project / "backend.py"

    # Its Python no longer runs (a system update took it away, say).
    Path(env.VENV_PYTHON).unlink()
    assert "its Python no longer works" in setup_says(env, capfd)
    assert env.venv_python_version() == dotted(sys.version_info[:2])

    # It was made with another Python: not ours to use.
    real = env.venv_python_version
    monkeypatch.setattr(env, "venv_python_version", lambda: "3.8")
    assert "it was made with Python 3.8" in setup_says(env, capfd)
    monkeypatch.setattr(env, "venv_python_version", real)
    assert "Already there" in setup_says(env, capfd)

    # The folder moved: the scripts in .venv still name the old one.
    moved = project.rename(project.with_name("moved"))
    env = load(moved / ".make" / "env.py")
    quick(env, monkeypatch)
    assert "the folder has moved" in setup_says(env, capfd)
    assert linked(env) == moved / "backend.py"

    # And away with it.
    assert env.main(["clean"]) == 0 and not (moved / ".venv").exists() and (moved / "backend.py").exists()


def test_a_python_that_cannot_put_pip_into_an_environment_will_do(env, monkeypatch, capfd):
    quick(env, monkeypatch)  # skips where there is no pip outside
    tried = []

    def like_debian(*options):
        tried.append(options)
        if options:
            return [env.base_python(), "-m", "venv", "--clear", "--without-pip", env.VENV]
        return [sys.executable, "-c", "import sys; sys.exit('ensurepip is not available')"]

    monkeypatch.setattr(env, "venv_command", like_debian)
    assert "Ready" in setup_says(env, capfd)
    assert tried == [(), ("--without-pip",)]
    assert env.output_of([env.VENV_PYTHON, "-m", "pip", "--version"]) is None
    assert linked(env) == Path(env.ROOT) / "backend.py"

    # No pip outside either, or one too old to install into another environment: one line.
    real = env.output_of
    for outside in (None, "pip 20.3.4 from somewhere"):
        answers = {env.VENV_PYTHON: None, env.base_python(): outside}
        monkeypatch.setattr(env, "output_of", lambda command, answers=answers: (
            answers[command[0]] if "pip" in command else real(command)))
        Path(env.STAMP).unlink(missing_ok=True)
        assert "install its venv package" in setup_says(env, capfd, status=1)


def test_too_little_disk_space_is_said_before_anything_is_installed(env, monkeypatch, capfd):
    installs = []
    monkeypatch.setattr(env, "make_venv", lambda: None)
    monkeypatch.setattr(env, "install", lambda: installs.append(1))
    usage = shutil.disk_usage(env.ROOT)
    monkeypatch.setattr(env.shutil, "disk_usage", lambda path: usage._replace(free=int(1.2e9)))
    message = setup_says(env, capfd, status=1)
    assert "needs about 2.5 GB and there are 1.2 GB free" in message and installs == []

    # Between the CPU build and the CUDA build it is only mentioned, and not to those who chose.
    monkeypatch.setattr(env.shutil, "disk_usage", lambda path: usage._replace(free=int(5e9)))
    monkeypatch.setattr(env.sys, "platform", "linux")
    assert "asks for the small CPU build" in setup_says(env, capfd) and installs == [1]
    Path(env.STAMP).unlink()
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://example.org/whl/cpu")
    assert "CPU build" not in setup_says(env, capfd) and installs == [1, 1]


RETRYING = """WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('<x>: \
Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/torch/
"""
NO_VERSION = """ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from micro) \
(from versions: {})
ERROR: No matching distribution found for torch==2.13.0
"""


@pytest.mark.parametrize("log, gist", [
    ("ERROR: Could not install packages: OSError: [Errno 28] No space left on device\n", "disk is full"),
    (RETRYING + NO_VERSION.format("none"), "could not be reached"),
    ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Pool: Read timed out.\n", "could not be reached"),
    (RETRYING + NO_VERSION.format("2.2.1, 2.2.2"), "there is no torch==2.13.0 for this computer"),
    (NO_VERSION.format("none"), "pip found no torch==2.13.0 at all"),
    ("WARNING: a thing\nERROR: Invalid requirement: 'x y'\nsome more\n", "ERROR: Invalid requirement: 'x y'"),
    ("Segmentation fault\n", "Segmentation fault"),
    ("", "it did not say why"),
], ids=["disk", "network", "time-out", "no build", "nothing", "other", "crash", "silence"])
def test_the_gist_of_what_pip_said(env, log, gist):
    assert gist in env.reason(log) and "\n" not in env.reason(log)


def test_what_is_not_ours_is_never_deleted(env, project, capfd):
    (project / ".venv").mkdir()
    (project / ".venv" / "diary.txt").write_text("dear diary", encoding="utf-8")
    assert "is not a virtual environment: move it away" in setup_says(env, capfd, status=1)
    assert env.main(["clean"]) == 1
    assert (project / ".venv" / "diary.txt").exists()


def test_a_broken_pyproject_is_said_in_one_line(env, project, monkeypatch, capfd):
    monkeypatch.setattr(env, "make_venv", lambda: (project / ".venv").mkdir())
    (project / "pyproject.toml").write_text("[project]\nname = micro\n", encoding="utf-8")
    assert "pyproject.toml cannot be used: TOMLDecodeError" in setup_says(env, capfd, status=1)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(env, monkeypatch, capfd):
    def refuse():
        raise PermissionError(13, "Permission denied", ".venv")

    monkeypatch.setattr(env, "make_venv", refuse)
    assert "Permission denied" in setup_says(env, capfd, status=1)


# ---- running things ----------------------------------------------------------------------------------

@pytest.fixture
def ready(env, monkeypatch):
    """The set-up script with nothing to set up, this Python in place of .venv's, and `became` to look at."""
    monkeypatch.setattr(env, "set_up", lambda: False)
    monkeypatch.setattr(env, "VENV_PYTHON", sys.executable)
    monkeypatch.setattr(env, "trust", lambda: None)  # the browser test looks at what it does
    env.became = []
    monkeypatch.setattr(env, "become", lambda command, variables: env.became.append(command[1:]))
    monkeypatch.chdir(env.ROOT)
    return env


def test_arguments_are_passed_on(ready):
    for words in (["lab", "--no-browser", "--port", "9"], ["test", "-k", "x"], ["lint"], ["lint", "micro"]):
        assert ready.main(words) == 0
    root = "--ServerApp.root_dir=" + os.path.join(ready.ROOT, "notebooks")
    assert ready.became == [["-m", "jupyterlab", root, "--no-browser", "--port", "9"],
                            ["-m", "pytest", "-k", "x"],
                            ["-m", "ruff", "check", "."],
                            ["-m", "ruff", "check", "micro"]]


def test_bench_runs_all_or_the_named_and_keeps_the_status(ready, project, capfd):
    bench = project / "tests" / "bench"
    bench.mkdir(parents=True)
    (project / "tests" / "__init__.py").touch()  # as here: else another `tests` on the path would win
    (bench / "one.py").write_text("import sys; print('one', *sys.argv[1:])", encoding="utf-8")
    (bench / "two.py").write_text("print('two'); raise SystemExit(3)", encoding="utf-8")
    (bench / "_helper.py").write_text("raise SystemExit(9)", encoding="utf-8")
    assert ready.main(["bench"]) == 3
    assert capfd.readouterr().out.split() == ["==", "one.py", "one", "==", "two.py", "two"]
    assert ready.main(["bench", "one", "--quick"]) == 0
    assert capfd.readouterr().out.split() == ["==", "one.py", "one", "--quick"]


def test_gpt_gpu_runs_the_bench_of_the_gpt_on_the_gpu(ready, project, capfd):
    bench = project / "tests" / "bench"
    bench.mkdir(parents=True)
    (project / "tests" / "__init__.py").touch()
    (bench / "gpt.py").write_text("import sys; print(*sys.argv[1:])", encoding="utf-8")
    assert ready.main(["gpt-gpu", "--n", "2"]) == 0
    assert capfd.readouterr().out.split() == ["==", "gpt.py", "--gpu", "--record", "--n", "2"]


def test_speedrun_measures_and_then_counts_kernels_in_another_process(ready, project, capfd):
    (project / "micro").mkdir(exist_ok=True)
    (project / "micro" / "__init__.py").touch()
    program = project / "micro" / "speedrun.py"
    program.write_text("import sys; print(*sys.argv[1:])", encoding="utf-8")
    assert ready.main(["speedrun", "--runs", "9"]) == 0
    assert capfd.readouterr().out.splitlines() == ["--ladder --runs 9", "--ladder --runs 9 --kernels"]
    program.write_text("raise SystemExit(2)", encoding="utf-8")
    assert ready.main(["speedrun"]) == 2


def test_notebooks_are_stored_without_what_differs_between_two_people(ready, project, capfd):
    path = project / "a.ipynb"
    printed = [{"output_type": "stream", "name": name, "text": text} for name, text in
               (("stdout", ["a\n", "b"]), ("stdout", ["\n"]), ("stderr", ["c\n"]), ("stdout", ["d\n"]))]
    cell = {"cell_type": "code", "source": "1", "outputs": printed,
            "metadata": {"tags": ["copy"], "execution": {"time": "now"}}}
    path.write_text(json.dumps({"cells": [cell], "metadata": {
        "language_info": {"name": "python", "version": "3.11.7"}, "widgets": {"x": 1}}}), encoding="utf-8")
    ready.tidy(str(path))
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["metadata"] == {"language_info": {"name": "python"}}
    assert book["cells"][0]["metadata"] == {"tags": ["copy"]}
    assert [(o["name"], o["text"]) for o in book["cells"][0]["outputs"]] == [
        ("stdout", ["a\n", "b\n"]), ("stderr", ["c\n"]), ("stdout", ["d\n"])]
    assert ready.main(["notebooks", "99_no_such"]) == 1
    assert "There is no notebook 99_no_such" in capfd.readouterr().err


def test_an_unknown_word_is_answered_in_one_line():
    message = one_line(subprocess.run([sys.executable, ENV_PY, "lap"], capture_output=True, text=True))
    assert "There is no 'lap' here" in message and all(word in message for word in TARGETS)


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")


def make(*words):
    """Run make with this Python, as if not under another make."""
    variables = {name: value for name, value in os.environ.items()
                 if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTHON")}
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, env=variables)


@needs_make
def test_every_make_target_is_there_and_explained():
    python = Path(sys.executable).as_posix()  # make's shell takes backslashes for something else
    text = make(f"PYTHON={python}")
    assert text.returncode == 0 and text.stdout == make("help", f"PYTHON={python}").stdout
    explained = {m[1] for m in re.finditer(r"^make ([\w-]+) +\S.{5}", text.stdout, re.M)}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert explained == TARGETS == set(phony.split())
    for target in TARGETS:
        dry = make("-n", target, "ARGS=-k x", f"PYTHON={python}")
        assert dry.stdout.strip() == f"{python} .make/env.py {target} -k x", dry


@needs_make
def test_make_without_a_python_says_so_in_one_line():
    result = make("setup", "PYTHON=no-such-python")
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "no working no-such-python here: install Python" in result.stderr


# ---- the wheel ---------------------------------------------------------------------------------------

def test_the_wheel_works_in_another_project_with_its_data(tmp_path):
    build = subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
                           cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        for name, sha256 in SHA256.items():
            assert hashlib.sha256(archive.read(f"micro/_data/{name}")).hexdigest() == sha256
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "micro").rglob("*.py")}
    assert modules <= set(files), "a module is missing"
    strangers = [f for f in files if not f.startswith(("micro/", "micro-"))]
    assert strangers == [], "only the package, please"

    target = tmp_path / "target"
    install = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
                              "--target", target, wheel], capture_output=True, text=True)
    if "No module named pip" in install.stderr:  # an environment made without pip: a wheel is a zip file
        shutil.unpack_archive(wheel, target, "zip")
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import micro; from micro.engine import Value;"
            "from micro.data import names, shakespeare; a = Value(3.0); (a * a).backward();"
            "print(micro.__file__, a.grad, len(names()), len(shakespeare()), sep='|')")
    used = subprocess.run([sys.executable, "-c", code, target], cwd=tmp_path, capture_output=True, text=True)
    where = str(target / "micro" / "__init__.py")
    assert used.stdout.strip().split("|") == [where, "6.0", "32257", "1182959"], used.stderr


# ---- small things that are easy to break -------------------------------------------------------------

def test_the_sanitize_file_is_as_nbval_reads_it():
    text = (ROOT / "tests" / "sanitize.cfg").read_bytes().decode("ascii")
    pairs = re.findall("^regex: (.*)$\n^replace: (.*)$", text, flags=re.M)  # nbval's own way to read it
    for word in ("regex", "replace"):
        assert len(pairs) == len(re.findall(f"^{word}:", text, re.M)) > 0, "a line without its partner"
    example = "<f at 0x7f3a90b5e0d0> and <f at 0x0000021A5E3B7F40>"
    for regex, replace in pairs:
        example = re.sub(regex, replace, example)
    assert example == "<f at ADDRESS> and <f at ADDRESS>"


def test_the_data_files_keep_their_hashes():
    for name, sha256 in SHA256.items():
        assert hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == sha256
    assert "*.txt text eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
