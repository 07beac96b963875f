"""seed, threads, device and progress: what they promise, and that a progress bar never breaks nbval."""

import contextlib
import gc
import io
import os
import random
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import bar
from micro.train import device, progress, seed, threads

ROOT = Path(__file__).resolve().parent.parent


def one_sentence(caught, *parts):
    text = str(caught.value)
    assert "\n" not in text and text.endswith("."), text
    for part in parts:
        assert part in text, text


# -- seed ----------------------------------------------------------------------------------------------


def draw_all():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.fixture
def numbers_restored():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(before[0]), np.random.set_state(before[1]), torch.set_rng_state(before[2])


def test_seed_starts_all_three_generators(numbers_restored):
    assert seed(7) == 7
    first = draw_all()
    assert draw_all() != first
    seed(7)
    assert draw_all() == first
    seed(8)
    assert all(a != b for a, b in zip(draw_all(), first))


def test_the_default_seed_is_the_documented_one(numbers_restored):
    assert seed() == 42
    first = draw_all()
    seed(42)
    assert draw_all() == first


@pytest.mark.parametrize("n", [-1, 2**32, 1.0, "1", None, True])
def test_bad_seeds_are_named(n):
    with pytest.raises(ValueError) as caught:
        seed(n)
    one_sentence(caught, "seed", repr(n))


# -- threads -------------------------------------------------------------------------------------------


@pytest.fixture
def threads_restored(monkeypatch):
    monkeypatch.delenv("MICRO_THREADS", raising=False)
    before = torch.get_num_threads()
    yield monkeypatch
    torch.set_num_threads(before)


def test_threads_sets_what_it_returns(threads_restored):
    for n in (2, 1, 3):
        assert threads(n) == n == torch.get_num_threads()
    assert threads() == 1 == torch.get_num_threads()


def test_the_environment_has_the_last_word_on_threads(threads_restored):
    threads_restored.setenv("MICRO_THREADS", "2")
    assert threads(1) == 2 == torch.get_num_threads()
    threads_restored.setenv("MICRO_THREADS", "")
    assert threads(1) == 1


@pytest.mark.parametrize("n", [0, -1, 1.5, "one", None, True])
def test_bad_thread_counts_are_named(n, threads_restored):
    with pytest.raises(ValueError) as caught:
        threads(n)
    one_sentence(caught, "threads(n)", repr(n))


@pytest.mark.parametrize("text", ["0", "two", "1.5"])
def test_a_bad_environment_is_named(text, threads_restored):
    threads_restored.setenv("MICRO_THREADS", text)
    with pytest.raises(ValueError) as caught:
        threads(1)
    one_sentence(caught, "MICRO_THREADS", repr(text))


# -- device --------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many CUDA GPUs, with or without Apple's."""
    monkeypatch.delenv("MICRO_DEVICE", raising=False)

    def has(cuda=0, mps=False, env=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        if env is not None:
            monkeypatch.setenv("MICRO_DEVICE", env)
    return has


@pytest.mark.parametrize("cuda, mps, env, prefer, expected", [
    (0, False, None, None, "cpu"), (1, False, None, None, "cuda"), (1, False, None, "cpu", "cpu"),
    (0, True, None, None, "cpu"), (0, True, None, "mps", "mps"), (2, False, None, "cuda:1", "cuda:1"),
    (1, False, "cpu", "cuda", "cpu"), (1, False, "cpu", None, "cpu"), (1, False, "cuda", "cpu", "cuda"),
    (0, True, "mps", None, "mps"), (1, False, "", None, "cuda"), (0, False, "cpu", "cuda", "cpu"),
])
def test_the_device_is_the_one_asked_for_or_the_best(machine, cuda, mps, env, prefer, expected):
    machine(cuda, mps, env)
    found = device(prefer)
    assert isinstance(found, torch.device) and found == torch.device(expected)
    assert device(torch.device(expected)) == found or env


@pytest.mark.parametrize("cuda, env, prefer, parts", [
    (0, None, "cuda", ("'cuda'", "none", "the code asks")), (1, None, "cuda:1", ("'cuda:1'", "finds 1")),
    (1, None, "mps", ("'mps'", "none")), (0, "cuda", None, ("'cuda'", "MICRO_DEVICE asks")),
])
def test_a_device_that_is_not_there_is_named(machine, cuda, env, prefer, parts):
    machine(cuda, env=env)
    with pytest.raises(RuntimeError) as caught:
        device(prefer)
    one_sentence(caught, *parts)


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:x", "meta", 3.5, "cuda:-1"])
def test_what_is_no_device_is_named(machine, name):
    machine(1)
    with pytest.raises(ValueError) as caught:
        device(name)
    one_sentence(caught, repr(name), "'cpu'")


def test_on_this_machine_it_can_hold_a_tensor(monkeypatch):
    monkeypatch.delenv("MICRO_DEVICE", raising=False)
    assert torch.ones(2, device=device()).sum().item() == 2


# -- progress ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=["silent", "bar"])
def mode(request, monkeypatch):
    """Silent, as under pytest, and with the bar, as elsewhere."""
    if request.param == "bar":
        # Not monkeypatch.delenv: pytest sets its variables anew before it calls the test.
        monkeypatch.setattr(bar, "os", types.SimpleNamespace(environ={}))
    return request.param


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers()))
def test_progress_passes_every_item_on(items):
    assert list(progress(items)) == items
    assert list(progress(iter(items), "words", total=len(items))) == items


def test_items_come_through_and_only_the_bar_is_printed(mode, capsys):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        assert list(progress(range(3), "adding")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    if mode == "silent":
        assert terminal.getvalue() == ""
    else:
        *_, wiped, end = terminal.getvalue().split("\r")
        assert "adding" in terminal.getvalue() and "0/3" in terminal.getvalue()
        assert wiped.isspace() and end == "", "the finished bar is wiped"


def test_errors_in_the_loop_and_in_the_iterable_pass_through(mode):
    def broken():
        yield 1
        raise KeyError("inside")

    with contextlib.redirect_stderr(Terminal()):
        with pytest.raises(KeyError, match="inside"):
            list(progress(broken()))
        seen = []
        with pytest.raises(ZeroDivisionError):
            for i in progress(range(5)):
                seen.append(i)
                1 / (2 - i)
        assert seen == [0, 1, 2]
        with pytest.raises(TypeError, match="not iterable"):
            progress(3)


def test_a_loop_may_be_left_early_and_items_are_made_on_demand(mode):
    made = []

    def source():
        for i in range(100):
            made.append(i)
            yield i

    with contextlib.redirect_stderr(Terminal()) as terminal:
        for i in progress(source()):
            if i == 3:
                break
        gc.collect()
    assert made == [0, 1, 2, 3]
    assert mode == "silent" or terminal.getvalue().split("\r")[-2].isspace(), "the bar is wiped here too"


@pytest.mark.parametrize("name, value", [("MICRO_PROGRESS", "0"), ("PYTEST_VERSION", "9.2.0"),
                                         ("PYTEST_CURRENT_TEST", "test_x (call)")])
def test_the_environment_turns_the_bar_off(name, value, monkeypatch):
    monkeypatch.setattr(bar, "os", types.SimpleNamespace(environ={name: value}))
    with contextlib.redirect_stderr(Terminal()) as terminal:
        assert sum(progress(range(3), "adding")) == 3
    assert terminal.getvalue() == ""


def test_in_a_log_file_there_is_no_bar():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MICRO"))}
    code = "from micro.train import progress; print(sum(progress(range(1000), 'adding')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("499500\n", "")


def test_a_step_costs_little(mode):
    """Measured: 0.02 microseconds silent, 0.25 with the bar; the bound leaves room for a busy machine."""
    n, best = 100_000, float("inf")
    with contextlib.redirect_stderr(Terminal()):
        for _ in range(3):
            start = time.perf_counter()
            for _ in progress(range(n)):
                pass
            best = min(best, (time.perf_counter() - start) / n)
    assert best < (1e-6 if mode == "silent" else 10e-6)


CELLS = [
    "from micro.train import progress\nimport time",
    "for i in progress(range(4), 'training'):\n    time.sleep(0.03)\nprint('done', i)",
    "for i in progress(iter('abc')):\n    pass\nprint(i)",
    "for i in progress(range(100)):\n    if i == 3:\n        break\nprint('left at', i)",
    "try:\n    for i in progress(range(9)):\n        1 / (2 - i)\nexcept ZeroDivisionError:\n    print(i)",
    "sum(progress([1, 2, 3]))",
]


def test_a_notebook_saved_with_the_bar_passes_nbval(tmp_path):
    """nbval runs silently. (A notebook that was saved silently passes too: the course's own are.)"""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "saved.ipynb"
    nbformat.write(nb, path)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MICRO"))}
    env["PYTHONPATH"] = str(ROOT)

    def run(*command):
        done = subprocess.run([sys.executable, "-m", *command], env=env, cwd=tmp_path,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", path)
    outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.outputs]
    displays = [o for o in outputs if o.output_type == "display_data"]
    assert len(displays) == 5, "one bar in each of five cells"
    assert not any(o.data for o in displays), "and nothing is left of it"
    assert not [o for o in outputs if o.get("name") == "stderr"]
    options = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-c", os.devnull]
    assert "6 passed" in run("pytest", *options, path)
