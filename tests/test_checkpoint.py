"""micro.checkpoint: what comes back, what a crash leaves behind, and what is not let in."""
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from micro import checkpoint
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

ROOT = Path(__file__).resolve().parent.parent


def same(a, b):
    """Equal in type, value and, for tensors, dtype; whatever lies within."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "a.pt"
    deep = [{"text": "é\n\0", "many": (1, 2.5, True, [])}, torch.zeros(0, 3), 2**80, float("inf")]
    state = {"weights": bell(1, 3, 4), "half": bell(2, 5).bfloat16(), "whole": torch.arange(4),
             "none": None, "deep": deep}
    checkpoint.save(path, state)
    assert same(checkpoint.load(path), state) and os.listdir(tmp_path) == ["a.pt"]
    checkpoint.save(str(path), [1])                     # over the old one, and by its name as text
    assert checkpoint.load(str(path)) == [1] and os.listdir(tmp_path) == ["a.pt"]


def test_a_model_and_its_optimizer_go_on_as_before(tmp_path):
    def made():
        torch.manual_seed(1)
        net = torch.nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    (net, optimizer), (other, another) = made(), made()
    step(net, optimizer)
    checkpoint.save(tmp_path / "a", {"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    state = checkpoint.load(tmp_path / "a")
    other.load_state_dict(state["net"])
    another.load_state_dict(state["optimizer"])
    step(net, optimizer)
    step(other, another)
    assert torch.equal(net.weight, other.weight) and not same(state["net"], dict(net.state_dict()))


def test_a_view_is_saved_by_value_and_later_changes_do_not_reach_the_file(tmp_path):
    x = bell(1, 4, 4)
    checkpoint.save(tmp_path / "a", {"row": x[1]})
    before = x[1].clone()
    x.zero_()
    assert torch.equal(checkpoint.load(tmp_path / "a")["row"], before)


# -- crashes -------------------------------------------------------------------------------------------

DIES = {
    "half of the file is written": """
def dies(state, file, real=torch.save):
    whole = io.BytesIO()
    real(state, whole)
    file.write(whole.getvalue()[:len(whole.getvalue()) // 2])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = dies""",
    "the file has no name yet": """
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)""",
}


def child(code, *args):
    code = "import io, os, signal, sys, torch\nfrom micro import checkpoint\n" + code
    words = [sys.executable, "-c", code, *args]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("where", DIES)
def test_killed_in_a_save_the_file_is_the_one_before(tmp_path, where):
    path = tmp_path / "a.pt"
    code = "\ncheckpoint.save(sys.argv[1], {'n': %d, 'x': torch.full((9999,), 1.0)})"
    dead = child(code % 1 + DIES[where] + code % 2 + "\nprint('alive')", str(path))
    assert dead.communicate(timeout=60) == ("", None) and dead.returncode == -signal.SIGKILL
    state = checkpoint.load(path)
    assert state["n"] == 1 and torch.equal(state["x"], torch.ones(9999))
    checkpoint.save(path, {"n": 3})                     # what lies about does not stand in the way
    assert checkpoint.load(path) == {"n": 3}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_at_any_moment_of_many_saves_the_file_is_whole(tmp_path):
    path = tmp_path / "a.pt"
    dead = child("""
for n in range(10**9):
    checkpoint.save(sys.argv[1], {'n': n, 'x': torch.full((300000,), float(n))})
    print(n, flush=True) if n == 0 else None
""", str(path))
    dead.stdout.readline()
    until, state = time.monotonic() + 30, {"n": 0}
    try:
        while state["n"] < 5 and time.monotonic() < until:  # read while it is written: always whole
            state = checkpoint.load(path)
            assert (state["x"] == state["n"]).all()
    finally:
        dead.kill()
        dead.communicate(timeout=60)
    state = checkpoint.load(path)
    assert (state["x"] == state["n"]).all() and state["n"] >= 5


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), RuntimeError("no")], ids=repr)
@pytest.mark.parametrize("old", [b"the one before", None])
@pytest.mark.parametrize("where", ["save", "fsync"])
def test_an_error_in_a_save_leaves_just_the_old_file(tmp_path, monkeypatch, error, old, where):
    path = tmp_path / "a.pt"
    if old:
        path.write_bytes(old)

    def half(state, file):
        file.write(b"half of it")
        raise error

    def fails(*_):
        raise error
    monkeypatch.setattr(torch if where == "save" else os, where, half if where == "save" else fails)
    with pytest.raises(type(error)):
        checkpoint.save(path, {"n": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"] * bool(old)
    assert not old or path.read_bytes() == old


def test_a_new_file_takes_the_name_when_it_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    path, seen = tmp_path / "a.pt", []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda n: (seen.append("fsync"), fsync(n))[1])

    def named(new, old):
        assert Path(new).parent == tmp_path, "os.replace is atomic in one folder only"
        seen.append(torch.load(new, weights_only=True))
        replace(new, old)
    monkeypatch.setattr(os, "replace", named)
    checkpoint.save(path, {"n": 1})
    assert seen == ["fsync", {"n": 1}]


# -- what is not let in --------------------------------------------------------------------------------

class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda x, file: pickle.dump(x, file, protocol=2)])
def test_code_in_a_checkpoint_does_not_run(tmp_path, write):
    path, trap = tmp_path / "a.pt", tmp_path / "trap"
    with open(path, "wb") as file:
        write({"model": torch.ones(2), "x": Evil(trap)}, file)
    with pytest.raises(ValueError, match=re.escape(f"{str(path)!r} is cut off, or no plain checkpoint")):
        checkpoint.load(path)
    assert not trap.exists()
    if write is torch.save:                             # and it would have run
        torch.load(path, weights_only=False)
        assert trap.exists()


def test_a_whole_module_is_more_than_plain_data(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="is cut off, or no plain checkpoint"):
        checkpoint.load(tmp_path / "a.pt")


def refused(path, kind=ValueError):
    with pytest.raises(kind) as caught:
        checkpoint.load(path)
    said = str(caught.value)
    assert repr(str(path)) in said and said.endswith(".") and "\n" not in said


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "none.pt", FileNotFoundError)
    refused(tmp_path / "no folder" / "none.pt", FileNotFoundError)


def cut(path, share):
    checkpoint.save(path, {"x": torch.arange(4000.0), "n": list(range(50))})
    path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.2])
def test_a_file_cut_off_near_its_start_is_named(tmp_path, share):
    cut(tmp_path / "a.pt", share)
    refused(tmp_path / "a.pt")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.9999])
def test_a_file_cut_off_later_is_named(tmp_path, share):
    cut(tmp_path / "a.pt", share)
    refused(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"To be, or not to be\n", b"PK\x03\x04", b"\0" * 99,
                                     bytes(range(256)), b"{}"])
def test_another_kind_of_file_is_named(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    refused(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"a", b"all's well", b"hello\n", b"\x80\x02.", b"hlrwl..", b"r\nq",
                                     b"cR\x03\x886\xc5\x83"])
def test_bytes_that_look_like_a_pickle_are_named(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    refused(tmp_path / "a.pt")


def test_a_folder_is_named(tmp_path):
    (tmp_path / "a.pt").mkdir()
    refused(tmp_path / "a.pt")
