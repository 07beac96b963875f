"""micro.files: a file is written whole or not at all, whatever happens, and what can't be read is named."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from micro.files import Problem, read_text, whole_file
from tests.helpers import ROOT

# -- whole_file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, content", [("wb", b"\0\xff\r\n"), ("w", "é\n\r\n\N{SNOWMAN}")])
@pytest.mark.parametrize("kind", [Path, str])
def test_the_new_file_has_the_name_when_the_block_ends(tmp_path, mode, content, kind):
    path = tmp_path / "a"
    path.write_bytes(b"the one before")
    with whole_file(kind(path), mode) as file:
        file.write(content)
        file.flush()
        assert path.read_bytes() == b"the one before"
    assert path.read_bytes() == (content if mode == "wb" else content.encode("utf-8"))
    assert os.listdir(tmp_path) == ["a"]


def test_binary_is_the_usual_mode_and_a_new_name_is_fine(tmp_path):
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_new_file_takes_the_name_when_it_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    seen, fsync, replace = [], os.fsync, os.replace

    def synced(n):
        seen.append(("fsync", os.fstat(n).st_size))     # nothing waits in Python's buffer
        fsync(n)

    def named(new, old):
        assert Path(new).parent == Path(old).parent == tmp_path, "os.replace is atomic in one folder only"
        seen.append(("replace", Path(new).read_bytes()))
        replace(new, old)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    with whole_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert seen == [("fsync", 5), ("replace", b"whole")]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), RuntimeError("no")], ids=repr)
@pytest.mark.parametrize("old", [b"the one before", None])
@pytest.mark.parametrize("where", ["block", "fsync", "replace"])
def test_an_error_leaves_just_the_old_file_and_comes_out_as_it_was(tmp_path, monkeypatch, error, old, where):
    path = tmp_path / "a"
    if old:
        path.write_bytes(old)

    def fails(*_):
        raise error
    if where != "block":
        monkeypatch.setattr(os, where, fails)
    with pytest.raises(type(error)) as caught, whole_file(path) as file:
        file.write(b"half of it")
        if where == "block":
            fails()
    assert caught.value is error
    assert [p.name for p in tmp_path.iterdir()] == ["a"] * bool(old)
    assert not old or path.read_bytes() == old


@pytest.mark.parametrize("name", ["folder", "none/a"])
def test_a_place_that_takes_no_file_is_an_error_that_names_it_and_leaves_nothing(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=name), whole_file(tmp_path / name) as file:
        file.write(b"new")
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]


# -- kills and company ---------------------------------------------------------------------------------

no_kill = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def child(code, *args):
    code = "import os, signal, sys\nfrom micro.files import whole_file\npath = sys.argv[1]\n" + code
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@no_kill
@pytest.mark.parametrize("where", ["block", "fsync", "replace"])
def test_killed_while_it_writes_the_file_is_the_one_before(tmp_path, where):
    path = tmp_path / "a"
    path.write_bytes(b"the one before")
    dies = f"file.flush(); {DIE}" if where == "block" else f"os.{where} = lambda *_: {DIE}"
    dead = child(f"with whole_file(path) as file:\n    file.write(b'half of it'); {dies}\nprint('alive')", path)
    assert dead.communicate(timeout=60) == ("", None) and dead.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"the one before"
    with whole_file(path) as file:                      # what lies about does not stand in the way
        file.write(b"new")
    assert path.read_bytes() == b"new"


WRITES = """
for n in range(10**9):
    with whole_file(path) as file:
        for _ in range(50):
            file.write(f"{sys.argv[2]} {n:9}\\n".encode() * 500)
    if n == 0:
        print(n, flush=True)
"""


@no_kill
def test_two_processes_write_it_and_are_killed_at_any_moment_and_it_is_whole(tmp_path):
    path, lines, turns = tmp_path / "a", 50 * 500, set()
    writers = [child(WRITES, path, name) for name in "AB"]
    for writer in writers:
        writer.stdout.readline()
    until = time.monotonic() + 30
    try:
        while time.monotonic() < until and not all(len([t for t in turns if t[0] == n]) > 4 for n in "AB"):
            line, *rest = path.read_text().splitlines()     # read while it is written: always whole
            assert rest == [line] * (lines - 1)
            turns.add(tuple(line.split()))
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate(timeout=60)
    line, *rest = path.read_text().splitlines()
    assert rest == [line] * (lines - 1) and {name for name, _ in turns} == {"A", "B"} and len(turns) >= 10


# -- read_text and Problem -----------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [Path, str])
def test_a_text_is_read_as_utf_8_wherever_it_is(tmp_path, monkeypatch, kind):
    (tmp_path / "a").write_bytes("é \N{SNOWMAN}\n".encode())
    assert read_text(kind(tmp_path / "a")) == "é \N{SNOWMAN}\n"
    monkeypatch.chdir(tmp_path)
    assert read_text(kind("a")) == "é \N{SNOWMAN}\n"


@pytest.mark.parametrize("kind", [Path, str])
@pytest.mark.parametrize("name, pieces", [
    ("none", ["file that exists"]), ("folder", ["file that exists"]), ("latin", ["byte 2", "UTF-8 first"]),
    ("cut", ["byte 1", "UTF-8 first"])])
def test_what_can_not_be_read_is_a_problem_in_one_sentence(tmp_path, monkeypatch, kind, name, pieces):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("latin").write_bytes(b"af\xe9 au lait")
    Path("cut").write_bytes("a\N{SNOWMAN}".encode()[:-1])
    with pytest.raises(Problem) as caught:
        read_text(kind(name))
    said = str(caught.value)
    assert repr(name) in said and all(piece in said for piece in pieces) and "\n" not in said


def test_a_problem_is_no_error_of_the_code():
    """Programs catch Problem to print it; it must not hide among errors that mean a mistake in the code."""
    assert issubclass(Problem, Exception) and not issubclass(Problem, (OSError, ValueError, RuntimeError))
