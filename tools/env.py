"""Makes the course's environment in .venv and runs things in it. The Makefile calls it; without make, say

    python3 tools/env.py lab        (Windows: py tools\\env.py lab)

It needs only the standard library, and its syntax is that of Python 3.8, so that an older Python can say what is wrong.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
BENCH = ROOT / "tests" / "bench"
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
VENV_PYTHON = BIN / ("python.exe" if WINDOWS else "python")
STAMP = VENV / "made-for.txt"  # what .venv was made for


def run(command, env=None):
    """The exit code of a command. Ctrl-C reaches it too, so we wait until it has finished in its own way."""
    child = subprocess.Popen([str(word) for word in command], cwd=str(ROOT), env=env)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            pass


def venv_env():
    """The environment variables that activating .venv would set."""
    env = dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=str(BIN) + os.pathsep + os.environ.get("PATH", ""))
    env.pop("PYTHONHOME", None)
    return env


def in_venv(*command):
    return run([VENV_PYTHON, *command], venv_env())


# ---- the environment ----------------------------------------------------------------------------------

def set_up():
    """Bring .venv up to date with pyproject.toml and constraints.txt. False if there was nothing to do."""
    # A virtual environment holds absolute paths, so it has to be made again after a move.
    made_for = f"Python {sys.version_info[0]}.{sys.version_info[1]} in {ROOT}\n"
    files = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    installed = hashlib.sha256(files).hexdigest() + "\n"
    stamp = STAMP.read_text(encoding="utf-8") if STAMP.exists() and VENV_PYTHON.exists() else ""
    if stamp == made_for + installed:
        return False
    if not stamp.startswith(made_for):
        make_venv()
    STAMP.write_text(made_for, encoding="utf-8")  # without the second line, the next call continues from here
    install()
    STAMP.write_text(made_for + installed, encoding="utf-8")
    return True


def make_venv():
    if (VENV.is_symlink() or VENV.exists()) and not (VENV / "pyvenv.cfg").exists():
        if not VENV.is_dir() or any(VENV.iterdir()):  # not ours, so we never delete it
            sys.exit(f"{VENV} is not a virtual environment. Please move it away, then run this again.")
    print("Making a virtual environment in .venv", flush=True)
    python = getattr(sys, "_base_executable", None) or sys.executable  # an active .venv can't remake itself
    if run([python, "-m", "venv", "--clear", VENV]) != 0:
        sys.exit("The virtual environment could not be made; the reason is above. "
                 "(On Debian and Ubuntu, run `sudo apt install python3-venv` first.)")


def install():
    print("Installing the course's packages. The first time, this takes a few minutes.", flush=True)
    pip = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    if run([*pip, "-c", "constraints.txt", "-e", ".[course]"]) != 0:
        sys.exit("pip did not finish; its message is above. Once the problem is solved, run the same command again: "
                 "it continues where it stopped. (The course was tested with Python 3.11 to 3.14.)")
    # Turn off JupyterLab's question about news, which covers a corner of the first page.
    settings = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    folder = VENV / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


# ---- the commands, each with the line that `make help` shows --------------------------------------------

def setup():
    "make or update the environment in .venv (the other commands do this first)"
    return 0


def lab(*args):
    "open the notebooks in JupyterLab"
    # JupyterLab shows the drawings of a notebook only if the notebook is trusted, so we sign the course's.
    names = sorted(str(path) for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    subprocess.call([str(VENV_PYTHON), "-m", "nbformat.sign", *names], env=venv_env(),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return in_venv("-m", "jupyterlab", f"--ServerApp.root_dir={NOTEBOOKS}", *args)


def test(*args):
    "run the whole check: the package, the notebooks, the exercises (pytest)"
    return in_venv("-m", "pytest", *args)


def lint(*args):
    "look for mistakes and style slips (ruff), and show what is long"
    status = in_venv("-m", "ruff", "check", *(args or ["."]))
    in_venv("tools/sizes.py")  # advice only
    return status


def notebooks(*args):
    "run notebooks from top to bottom and store their outputs"
    return in_venv("tools/run_notebooks.py", *args)


def bench(*args):
    "repeat the measurements; all of them take hours, so name one: make bench ARGS=engine"
    names = sorted(path.stem for path in BENCH.glob("[!_]*.py"))
    chosen = [name for name in names if any(name.startswith(word) for word in args)]
    options = [word for word in args if not any(name.startswith(word) for name in names)]
    failed = 0
    for name in chosen or names:
        print("== " + name, flush=True)
        failed = in_venv("-m", "tests.bench." + name, *options) or failed
    return failed


def gpt_gpu(*args):
    "train notebook 07's GPT at full size on a CUDA GPU, five times, and record the results"
    return bench("gpt", "--gpu", "--record", *args)


def speedrun(*args):
    "measure the speedrun on a CUDA GPU and record the results"
    # The kernels are counted in a second process, because the profiler slows down what runs after it.
    ladder = ["-m", "micro.speedrun", "--ladder", *args]
    return in_venv(*ladder) or in_venv(*ladder, "--kernels")


def clean():
    "remove .venv"
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists():
        sys.exit(f"{VENV} is not a virtual environment. If you are sure, please remove it yourself.")
    if VENV.exists():
        shutil.rmtree(str(VENV.resolve()))
    if VENV.is_symlink():
        VENV.unlink()


def help():
    "show this list"
    for name, command in COMMANDS.items():
        print(f"make {name:10} {command.__doc__}")
    print('\nMore arguments go in ARGS:     make test ARGS="-k engine"     make notebooks ARGS="01 05"\n'
          "Another Python goes in PYTHON: make setup PYTHON=python3.13\n"
          "Without make, the same words:  python3 tools/env.py test -k engine     (Windows: py tools\\env.py lab)")


COMMANDS = {f.__name__.replace("_", "-"): f
            for f in (setup, lab, test, lint, notebooks, bench, gpt_gpu, speedrun, clean, help)}


def main(name="help", *args):
    if name not in COMMANDS:
        sys.exit(f"There is no command {name!r}. The commands are {', '.join(COMMANDS)}.")
    if name in ("help", "clean"):
        return COMMANDS[name]()
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python does get here)
        sys.exit(f"The course needs Python 3.11 or newer, and this is {sys.version.split()[0]}. If you have a newer "
                 f"one, name it (make {name} PYTHON=python3.13); otherwise see https://www.python.org/downloads/.")
    made = set_up()
    if name == "setup":
        print(f"{'Ready' if made else 'Nothing to do'}: open the notebooks with "
              + ("py tools\\env.py lab" if WINDOWS else "make lab"))
    return COMMANDS[name](*args)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
