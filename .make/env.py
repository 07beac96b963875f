#!/usr/bin/env python3
"""The one script behind every make target; without make, call it yourself:

    python3 .make/env.py lab        (Windows: py .make\\env.py lab)

It keeps the course's environment in .venv and runs things in it. It uses the standard library only,
and it is written so that any Python from 2.7 on can at least read it: a Python that is too old then
gets one clear sentence instead of a SyntaxError. So: no f-strings, no type hints, no walrus in here.
"""
from __future__ import print_function

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time

PYTHONS = ((3, 13), (3, 12), (3, 11))  # newest first; the same range as in pyproject.toml (a test compares)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
NOTEBOOKS = os.path.join(ROOT, "notebooks")
BENCH = os.path.join(ROOT, "tests", "bench")
WINDOWS = os.name == "nt"
BIN = os.path.join(VENV, "Scripts" if WINDOWS else "bin")
VENV_PYTHON = os.path.join(BIN, "python.exe" if WINDOWS else "python")
STAMP = os.path.join(VENV, "micro-setup.json")  # what .venv was made for; written last
LOG = os.path.join(VENV, "install.log")

# Disk space, in GB, measured on Linux with the pinned versions. With PyTorch's CPU build .venv is 1.6 GB, and
# while it is made the downloads lie beside it twice, in a temporary folder and in pip's cache, 0.4 GB each.
# With less than the sum it can hardly end well, so that is where we stop. PyPI's PyTorch for Linux brings
# NVIDIA's libraries along: .venv is then about 6 GB and the downloads 3 GB. Below that we only say so, for
# the CPU build may well be what will be installed.
CPU_GB = 2.5
CUDA_GB = 9.0

HELP = """\
make setup       make or update the environment in .venv (the other targets do this by themselves)
make lab         open the notebooks in JupyterLab
make test        run the whole check: the package, the notebooks, the exercises (pytest)
make bench       run the measurements in tests/bench
make gpt-gpu     train notebook 07's GPT at full size on a CUDA GPU, five times, and record loss and seconds
make speedrun    measure notebook 11's whole ladder on a CUDA GPU, then the last rung a hundred times, and record it
make notebooks   run the notebooks again, top to bottom, and store their outputs
make lint        look for mistakes and style slips (ruff)
make clean       remove .venv
make help        this text

More arguments go in ARGS:     make test ARGS="-k engine"      make lab ARGS="--no-browser --port 9999"
Another Python goes in PYTHON: make setup PYTHON=python3.12
Without make, the same words:  python3 .make/env.py test -k engine     (Windows: py .make\\env.py lab)
The names of notebooks and benches, or their beginnings, choose some:  make notebooks ARGS="01 05"
"""


class Stop(Exception):
    """A problem that one sentence explains; main() prints the sentence and nothing else."""


def say(text):
    print(text)
    sys.stdout.flush()  # so that it stands before what a child process prints


def output_of(command):
    """What COMMAND prints, or None if it cannot be started or fails."""
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out = child.communicate()[0]
    except EnvironmentError:
        return None
    return out.decode("utf-8", "replace").strip() if child.returncode == 0 else None


# ---- the right Python -----------------------------------------------------------------------------

def names_of_pythons():
    names = [".".join(map(str, v)) for v in sorted(PYTHONS)]
    return ", ".join(names[:-1]) + " or " + names[-1]


def find_python():
    """The path of a fitting Python on this computer, or None."""
    # A name on PATH proves nothing (pyenv's python3.13 may only print an error), so each is run.
    # On Windows the versions are found through the launcher, `py -3.13`.
    probe = "import sys, venv; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"
    for version in PYTHONS:
        name = "%d.%d" % version
        for command in [["python" + name]] + ([["py", "-" + name]] if WINDOWS else []):
            lines = (output_of(command + ["-c", probe]) or "").splitlines()
            if len(lines) == 2 and lines[0] == name:
                return lines[1]
    return None


def use_right_python():
    """Return if this Python fits; else start over with one that does."""
    if sys.version_info[:2] in PYTHONS:
        return
    other = find_python()
    if other is None:
        raise Stop("This course needs Python %s, but this is Python %s (%s) and there is no other on PATH: "
                   "install one from https://www.python.org/downloads/, or use conda with environment.yml."
                   % (names_of_pythons(), sys.version.split()[0], sys.executable))
    become([other, os.path.abspath(__file__)] + sys.argv[1:])


def base_python():
    """This Python, or, if it runs in a virtual environment, the one that the environment was made with."""
    # make may well be called with our own .venv activated; a .venv cannot rebuild itself.
    return getattr(sys, "_base_executable", None) or sys.executable


# ---- setting up -----------------------------------------------------------------------------------

def wanted():
    """What .venv has to be made for. If any of it changes, the set-up has work to do."""
    with io.open(os.path.join(ROOT, "pyproject.toml"), "rb") as f:
        pins = hashlib.sha256(f.read()).hexdigest()
    # The path: the scripts in a virtual environment hold absolute paths, so it does not survive a move.
    return {"pyproject": pins, "python": "%d.%d" % sys.version_info[:2], "path": ROOT}


def read_stamp():
    try:
        with io.open(STAMP, encoding="utf-8") as f:
            stamp = json.load(f)
        return stamp if isinstance(stamp, dict) else {}
    except (EnvironmentError, ValueError):
        return {}


def write(path, text):
    """Write a file whole or not at all: an interruption leaves the old one, or none."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with io.open(path + ".new", "w", encoding="utf-8", newline="\n") as f:
        f.write(text)
    os.replace(path + ".new", path)


def write_stamp(stamp):
    write(STAMP, json.dumps(stamp, indent=1) + "\n")


def venv_python_version():
    """'3.11' if .venv has a Python that runs, else None."""
    return output_of([VENV_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])


def check_disk():
    place = VENV if os.path.isdir(VENV) else ROOT  # .venv may be a link to another disk
    free = shutil.disk_usage(place).free / 1e9
    if free < CPU_GB:
        raise Stop("Not enough disk space: the environment needs about %.1f GB and there are %.1f GB free at "
                   "%s: free some, then run this again." % (CPU_GB, free, place))
    if free < CUDA_GB and sys.platform == "linux" and not os.environ.get("PIP_EXTRA_INDEX_URL"):
        say("Note: %.1f GB are free. If pip picks PyTorch with CUDA it needs about %.0f GB; setting "
            "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu asks for the small CPU build."
            % (free, CUDA_GB))


def venv_command(*options):
    return [base_python(), "-m", "venv", "--clear"] + list(options) + [VENV]


def make_venv():
    """Make .venv afresh, with pip in it if this Python can do that."""
    if os.path.exists(VENV) and not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
        if not os.path.isdir(VENV) or os.listdir(VENV):  # not ours: never delete it
            raise Stop("%s is not a virtual environment: move it away, then run this again." % VENV)
    # Debian and Ubuntu ship Python without ensurepip unless python3-venv is installed. There the first
    # call fails; the second one makes an environment without pip, which pip_command() can serve as well.
    for command in (venv_command(), venv_command("--without-pip")):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out = child.communicate()[0].decode("utf-8", "replace")
        if child.returncode == 0:
            break
    else:
        raise Stop("Could not make the virtual environment %s: %s" % (VENV, reason(out)))
    write_stamp(dict(wanted(), pyproject=None))  # made, nothing installed yet


def pip_command():
    """How to call pip for .venv: its own pip, else the one outside, which can do it since 22.3."""
    if output_of([VENV_PYTHON, "-m", "pip", "--version"]):
        return [VENV_PYTHON, "-m", "pip"]
    outer = re.match(r"pip (\d+)\.(\d+)", output_of([base_python(), "-m", "pip", "--version"]) or "")
    if not outer or tuple(map(int, outer.groups())) < (22, 3):
        raise Stop("%s can neither put pip into a virtual environment nor has pip 22.3 or newer itself: "
                   "install its venv package (Debian, Ubuntu: sudo apt install python3-venv), then run this "
                   "again." % base_python())
    return [base_python(), "-m", "pip", "--python", VENV_PYTHON]


def reason(log):
    """Why pip failed, and the way out, in one sentence, from what it wrote."""
    if re.search(r"No space left on device|not enough space on the disk|Disk quota exceeded", log):
        return ("the disk is full: free some space (or set TMPDIR to a folder on a larger disk), "
                "then run this again.")
    missing = re.search(r"find a version that satisfies the requirement ([^\s(]+).*versions: (.*)\)", log)
    network = re.search(
        r"[Mm]ax retries exceeded|NewConnectionError|NameResolutionError|[Nn]ame resolution"
        r"|[Cc]onnection (refused|reset|aborted|broken)|getaddrinfo failed|Network is unreachable|timed out"
        r"|ProxyError|SSLError|IncompleteRead|incomplete-download", log)
    bits = 64 if sys.maxsize > 2 ** 32 else 32
    computer = "Python %s, %d bits, %s %s" % (
        sys.version.split()[0], bits, platform.system(), platform.machine())
    # 'from versions: none' means that pip saw no list at all, so a broken connection seen before explains it.
    if network and (not missing or missing.group(2) == "none"):
        return ("the package index could not be reached: check the network (or the proxy), then run this "
                "again; it goes on where it stopped.")
    if missing and missing.group(2) == "none":  # no network and no second try, or nothing for this computer
        return ("pip found no %s at all: check that the package index can be reached, then run this again; "
                "if it can, there is none for this computer (%s)." % (missing.group(1), computer))
    if missing:
        return ("there is no %s for this computer (%s): use 64-bit CPython %s on Linux, Windows or a Mac "
                "with Apple silicon." % (missing.group(1), computer, names_of_pythons()))
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["it did not say why."]
    errors = [line for line in lines if re.search(r"\berror: ", line, re.I)]
    return (errors or lines)[-1]


def pins():
    """The versions that pyproject.toml pins for the course."""
    import tomllib  # not at the top: only Python 3.11 and newer have it

    try:
        with io.open(os.path.join(ROOT, "pyproject.toml"), "rb") as f:
            return tomllib.load(f)["project"]["optional-dependencies"]["course"]
    except (ValueError, KeyError) as error:
        raise Stop("pyproject.toml cannot be used: %s: %s. Undo what was changed there, then run this again."
                   % (type(error).__name__, error))


def install():
    # The pins are named to pip beforehand. Else it meets the package's own loose `torch>=2.6` first,
    # downloads half a gigabyte of the newest torch, and only then finds the pin and throws it away.
    command = pip_command() + ["install"] + pins() + ["-e", ".[course]"]
    env = dict({"PIP_DISABLE_PIP_VERSION_CHECK": "1"}, **os.environ)  # no advice to upgrade pip
    # What pip prints is seen as it comes; its warnings and errors go to the log, of which we tell the gist.
    with io.open(LOG, "wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stderr=log)
        try:
            status = child.wait()
        except KeyboardInterrupt:  # it went to pip as well: let it tidy up first
            child.wait()
            raise
    if status != 0:
        with io.open(LOG, encoding="utf-8", errors="replace") as f:
            log = f.read()
        raise Stop("The set-up failed: %s (Details: %s)" % (reason(log), os.path.relpath(LOG, ROOT)))


def quiet_jupyter():
    """Turn off the notice about Jupyter news, which covers a corner of the first page: only in this .venv."""
    off = {"fetchNews": "false", "checkForUpdates": False}
    settings = {"@jupyterlab/apputils-extension:notification": off}
    write(os.path.join(VENV, "share", "jupyter", "lab", "settings", "overrides.json"),
          json.dumps(settings, indent=1) + "\n")


def set_up():
    """Bring .venv to what pyproject.toml asks for. True if there was something to do."""
    want, have, version = wanted(), read_stamp(), venv_python_version()
    if have == want and version == want["python"]:
        return False
    if version != want["python"] or have.get("path", ROOT) != ROOT:
        if os.path.exists(VENV):
            why = ("its Python no longer works" if version is None else
                   "it was made with Python " + version if version != want["python"] else
                   "the folder has moved")
            say("Making .venv again: " + why + ".")
        make_venv()
        have = read_stamp()
    if have.get("pyproject"):  # an update needs little space, and from now on .venv is neither old nor new
        write_stamp(dict(have, pyproject="being updated"))
    else:
        check_disk()
    say("Installing the course's packages into .venv with Python %s; the first time takes some minutes."
        % sys.version.split()[0])
    install()
    quiet_jupyter()
    write_stamp(want)
    return True


# ---- running things in it -------------------------------------------------------------------------

def venv_env(**more):
    """The environment variables of an activated .venv, for the child only."""
    env = dict(os.environ, VIRTUAL_ENV=VENV, PATH=BIN + os.pathsep + os.environ.get("PATH", ""))
    env.pop("PYTHONHOME", None)
    for name in more:  # what the user has set stays
        env.setdefault(name, more[name])
    return env


def become(command, env=None):
    """Turn into COMMAND: its exit status, and what it makes of Ctrl-C, are ours."""
    sys.stdout.flush()
    if not WINDOWS:
        os.execve(command[0], command, dict(os.environ) if env is None else env)
    child = subprocess.Popen(command, env=env)  # there, exec would give the prompt back at once
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            pass  # the child got it too and decides (JupyterLab asks first)


def chosen(folder, ending, args):
    """The files of FOLDER that ARGS name by their beginnings (all, if none), and the other arguments."""
    files = sorted(f for f in (os.listdir(folder) if os.path.isdir(folder) else [])
                   if f.endswith(ending) and not f.startswith((".", "_")))
    picked, others = [], []
    for arg in args:
        hits = [f for f in files if f.startswith(os.path.basename(arg))] if not arg.startswith("-") else []
        picked.extend(f for f in hits if f not in picked)
        if not hits:
            others.append(arg)
    return picked or files, others


def trust():
    """Sign the course's notebooks for this user. JupyterLab shows no drawing of a notebook that is not trusted
    until it was run; who runs this command trusts the course's code anyway."""
    files = [os.path.join(NOTEBOOKS, name) for name in sorted(os.listdir(NOTEBOOKS))
             if re.match(r"\d\d_\w+\.ipynb$", name)]
    with open(os.devnull, "w") as nothing:  # it only decides what is drawn at first: no reason to stop
        subprocess.call([VENV_PYTHON, "-c", "from nbformat.sign import TrustNotebookApp as app; app.launch_instance()"]
                        + files, stdout=nothing, stderr=nothing, env=venv_env())


def lab(args):
    trust()
    become([VENV_PYTHON, "-m", "jupyterlab", "--ServerApp.root_dir=" + NOTEBOOKS] + args, venv_env())


def test(args):
    os.chdir(ROOT)
    become([VENV_PYTHON, "-m", "pytest"] + args, venv_env())


def lint(args):
    os.chdir(ROOT)
    become([VENV_PYTHON, "-m", "ruff", "check"] + (args or ["."]), venv_env())


def bench(args):
    files, args = chosen(BENCH, ".py", args)
    if not files:
        raise Stop("There is no bench in %s yet." % os.path.relpath(BENCH, ROOT))
    failed = 0
    for name in files:
        say("== " + name)
        command = [VENV_PYTHON, "-m", "tests.bench." + name[:-3]] + args
        status = subprocess.call(command, cwd=ROOT, env=venv_env())
        failed = failed or status
    return failed


def gpt_gpu(args):
    return bench(["gpt", "--gpu", "--record"] + args)


def speedrun(args):
    os.chdir(ROOT)
    command = [VENV_PYTHON, "-m", "micro.speedrun", "--ladder"] + args
    # Kernels are counted in a process of their own: the profiler would slow down what is timed after it.
    return subprocess.call(command, env=venv_env()) or subprocess.call(command + ["--kernels"], env=venv_env())


def notebooks(args):
    files, unknown = chosen(NOTEBOOKS, ".ipynb", args)
    if unknown or not files:
        raise Stop("There is no notebook %s in %s."
                   % (" ".join(unknown) or "at all", os.path.relpath(NOTEBOOKS, ROOT)))
    failed = 0
    for name in files:
        started = time.time()
        path = os.path.join(NOTEBOOKS, name)
        # Progress bars would be stored with the outputs, and change with every run; and notebook 11 would take
        # photographs where it finds some, while its stored outputs belong to the drawn stand-in.
        status = subprocess.call(
            [VENV_PYTHON, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "--log-level=WARN",
             "--ExecutePreprocessor.record_timing=False", "--ExecutePreprocessor.timeout=900", path],
            cwd=ROOT, env=venv_env(MICRO_PROGRESS="0", MICRO_IMAGES="drawn"))
        if status == 0:
            tidy(path)
        say("%s: %s, %.0f s" % (name, "failed, left as it was" if status else "done", time.time() - started))
        failed = failed or status
    return failed


def tidy(path):
    """Take out of a notebook what differs between two people who run it: versions, timings, widget states."""
    with io.open(path, encoding="utf-8") as f:
        book = json.load(f)
    book["metadata"].pop("widgets", None)
    book["metadata"].get("language_info", {}).pop("version", None)
    for cell in book["cells"]:
        for key in ("execution", "ExecuteTime", "collapsed"):
            cell["metadata"].pop(key, None)
        cell.update({"outputs": joined(cell["outputs"])} if "outputs" in cell else {})
    write(path, json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def joined(outputs):
    """Printed text in one piece: where it was cut in two depends on how busy the machine was."""
    result = []
    for out in outputs:
        last = result[-1] if result else {}
        if out["output_type"] == last.get("output_type") == "stream" and out["name"] == last["name"]:
            last["text"] = "".join(last["text"] + out["text"]).splitlines(True)
        else:
            result.append(out)
    return result


def clean():
    if not os.path.lexists(VENV):
        return say("There is no .venv.")
    if not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
        raise Stop("%s is not a virtual environment: remove it yourself, if you are sure." % VENV)
    shutil.rmtree(os.path.realpath(VENV))
    if os.path.islink(VENV):
        os.remove(VENV)
    say("Removed .venv.")


COMMANDS = {"lab": lab, "test": test, "lint": lint, "bench": bench, "gpt-gpu": gpt_gpu, "speedrun": speedrun,
            "notebooks": notebooks}


def dispatch(command, args):
    if command in ("help", "-h", "--help"):
        return print(HELP, end="")
    if command == "clean":
        return clean()
    if command != "setup" and command not in COMMANDS:
        raise Stop("There is no '%s' here: say setup, lab, test, bench, gpt-gpu, speedrun, notebooks, lint, clean "
                   "or help." % command)
    use_right_python()
    fresh = set_up()
    if command != "setup":
        return COMMANDS[command](args)
    say(("Ready" if fresh else "Already there, nothing to do") + ": open the notebooks with "
        + ("py .make\\env.py lab" if WINDOWS else "make lab"))


def main(argv):
    try:
        return dispatch(argv[0] if argv else "help", argv[1:]) or 0
    except Stop as stop:
        message, status = str(stop), 1
    except KeyboardInterrupt:
        message, status = "Stopped. Run the same command again: it goes on where it was.", 130
    except EnvironmentError as error:  # a folder that cannot be written, a file in use
        message, status = "Could not go on: %s." % error, 1
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
