"""micro.train and micro.progress: seeds, threads, devices, the loop, and a bar that never breaks nbval."""
import contextlib
import gc
import io
import math
import os
import random
import subprocess
import sys
import time
import types
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import progress as progress_module
from micro import train
from micro.progress import progress
from micro.train import device, evaluating, find_lr, fit, linear_schedule, median_ms, seed, split_loss, threads
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

ROOT = Path(__file__).resolve().parent.parent
ours = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def refuses(error, call, *parts):
    """call() raises `error`, in one line that has these parts."""
    with pytest.raises(error) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said and all(part in said for part in parts), (said, parts)


# -- seed ----------------------------------------------------------------------------------------------


def draw_all():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.fixture
def numbers_restored():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(before[0]), np.random.set_state(before[1]), torch.set_rng_state(before[2])


def test_seed_starts_all_three_generators(numbers_restored):
    assert seed() == 42, "the documented one"
    first = draw_all()
    assert draw_all() != first
    assert seed(42) == 42 and draw_all() == first
    seed(8)
    assert all(a != b for a, b in zip(draw_all(), first))


@pytest.mark.parametrize("n", [-1, 2**32, 1.0, None, True])
def test_bad_seeds_are_named(n):
    refuses(ValueError, lambda: seed(n), "seed", repr(n))


# -- threads -------------------------------------------------------------------------------------------


@pytest.fixture
def threads_restored(monkeypatch):
    monkeypatch.delenv("MICRO_THREADS", raising=False)
    before = torch.get_num_threads()
    yield monkeypatch
    torch.set_num_threads(before)


def test_threads_sets_what_it_returns_and_the_environment_has_the_last_word(threads_restored):
    for n in (2, 1, 3):
        assert threads(n) == n == torch.get_num_threads()
    assert threads() == 1 == torch.get_num_threads()
    threads_restored.setenv("MICRO_THREADS", "2")
    assert threads(1) == 2 == torch.get_num_threads()
    threads_restored.setenv("MICRO_THREADS", "")
    assert threads(1) == 1


@pytest.mark.parametrize("n, environment", [
    (0, ""), (-1, ""), (1.5, ""), ("one", ""), (None, ""), (True, ""), (1, "0"), (1, "two"), (1, "1.5")])
def test_bad_thread_counts_are_named(n, environment, threads_restored):
    threads_restored.setenv("MICRO_THREADS", environment)
    named = ("MICRO_THREADS", repr(environment)) if environment else ("threads(n)", repr(n))
    refuses(ValueError, lambda: threads(n), *named)


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


@pytest.mark.parametrize("cuda, env, prefer, error, parts", [
    (0, None, "cuda", RuntimeError, ("'cuda'", "none", "the code asks")),
    (1, None, "cuda:1", RuntimeError, ("'cuda:1'", "finds 1")), (1, None, "mps", RuntimeError, ("'mps'", "none")),
    (0, "cuda", None, RuntimeError, ("'cuda'", "MICRO_DEVICE asks")),
    *[(1, None, name, ValueError, (repr(name), "'cpu'")) for name in ("gpu", "CUDA", "meta", 3.5, "cuda:-1")],
])
def test_what_is_no_device_or_not_there_is_named(machine, cuda, env, prefer, error, parts):
    machine(cuda, env=env)
    refuses(error, lambda: device(prefer), *parts)


def test_on_this_machine_it_can_hold_a_tensor(monkeypatch):
    monkeypatch.delenv("MICRO_DEVICE", raising=False)
    assert torch.ones(2, device=device()).sum().item() == 2


# -- median_ms -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1e3), st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_median_ms_is_the_median_of_all_calls_but_the_first(first, ms):
    clock, waits = [0.0], iter([first, *(n / 1000 for n in ms)])

    def function():
        clock[0] += next(waits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))
        assert median_ms(function, repeats=len(ms)) == pytest.approx(np.median(ms), abs=1e-6)
    assert next(waits, "called repeats + 1 times") == "called repeats + 1 times"


# -- progress ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=["silent", "bar"])
def mode(request, monkeypatch):
    """Silent, as under pytest, and with the bar, as elsewhere."""
    if request.param == "bar":
        # Not monkeypatch.delenv: pytest sets its variables anew before it calls the test.
        monkeypatch.setattr(progress_module, "os", types.SimpleNamespace(environ={}))
    return request.param


def test_items_come_through_and_only_the_bar_is_printed(mode, capsys):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        assert list(progress(range(3), "adding")) == [0, 1, 2]
        assert list(progress(iter("abc"), "adding", total=3)) == ["a", "b", "c"] and list(progress([])) == []
    assert capsys.readouterr() == ("", "")
    if mode == "silent":
        assert terminal.getvalue() == ""
    else:
        *_, wiped, end = terminal.getvalue().split("\r")
        assert terminal.getvalue().count("adding:   0%") == 2 == terminal.getvalue().count("| 0/3 ")
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
    with contextlib.redirect_stderr(Terminal()) as terminal:
        for i in progress(made.append(i) or i for i in range(100)):
            if i == 3:
                break
        gc.collect()
    assert made == [0, 1, 2, 3]
    assert mode == "silent" or terminal.getvalue().split("\r")[-2].isspace(), "the bar is wiped here too"


@pytest.mark.parametrize("name, value", [("MICRO_PROGRESS", "0"), ("PYTEST_VERSION", "9.2.0"),
                                         ("PYTEST_CURRENT_TEST", "test_x (call)")])
def test_the_environment_turns_the_bar_off(name, value, monkeypatch):
    monkeypatch.setattr(progress_module, "os", types.SimpleNamespace(environ={name: value}))
    with contextlib.redirect_stderr(Terminal()) as terminal:
        assert sum(progress(range(3), "adding")) == 3
    assert terminal.getvalue() == ""


@pytest.fixture
def outside():
    """An environment that does not look like a test's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MICRO"))}
    return env | {"PYTHONPATH": str(ROOT)}


def test_in_a_log_file_there_is_no_bar(outside):
    code = "from micro.progress import progress; print(sum(progress(range(1000), 'adding')))"
    done = subprocess.run([sys.executable, "-c", code], env=outside, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("499500\n", "")


CELLS = [
    "from micro.progress import progress\nimport time",
    "for i in progress(range(4), 'training'):\n    time.sleep(0.03)\nprint('done', i)",
    "for i in progress(iter('abc')):\n    pass\nprint(i)",
    "for i in progress(range(100)):\n    if i == 3:\n        break\nprint('left at', i)",
    "try:\n    for i in progress(range(9)):\n        1 / (2 - i)\nexcept ZeroDivisionError:\n    print(i)",
    "sum(progress([1, 2, 3]))",
]


def test_a_notebook_saved_with_the_bar_passes_nbval(tmp_path, outside):
    """nbval runs silently. (A notebook that was saved silently passes too: the course's own are.)"""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbclient.NotebookClient(nb, resources={"metadata": {"path": tmp_path}}).execute(env=outside)
    outputs = [o for cell in nb.cells for o in cell.outputs]
    displays = [o for o in outputs if o.output_type == "display_data"]
    assert len(displays) == 5, "one bar in each of five cells"
    assert not any(o.data for o in displays), "and nothing is left of it"
    assert not [o for o in outputs if o.get("name") == "stderr"]
    nbformat.write(nb, tmp_path / "saved.ipynb")
    command = ["pytest", "-q", "-p", "nbval.plugin", "--nbval", "--nbval-current-env", "-c", os.devnull, "saved.ipynb"]
    done = subprocess.run([sys.executable, "-m", *command], env=outside | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "6 passed" in done.stdout, done.stdout + done.stderr


# -- the schedule --------------------------------------------------------------------------------------


@ours
@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_schedule_is_a_triangle_that_never_touches_zero(steps, warmup):
    shares = [linear_schedule(k, steps, warmup) for k in range(steps)]
    assert all(0 < s <= 1 + 1e-12 for s in shares)
    top = shares.index(max(shares))
    assert shares[:top + 1] == sorted(shares[:top + 1]) and shares[top:] == sorted(shares[top:], reverse=True)
    assert abs((top + 1) / (steps + 1) - warmup) <= 1 / (steps + 1) + 1e-9


def test_the_schedule_agrees_with_numbers_worked_out_by_hand():
    assert [round(linear_schedule(k, 9, 0.5), 6) for k in range(9)] == [.2, .4, .6, .8, 1, .8, .6, .4, .2]
    assert [round(linear_schedule(k, 3, 0), 6) for k in range(3)] == [0.75, 0.5, 0.25]


# -- split_loss ----------------------------------------------------------------------------------------


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5),
                               torch.nn.Linear(8, 3))


def data(n=50, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=g), torch.randint(0, 3, (n,), generator=g)


@ours
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 99))
def test_split_loss_is_the_mean_over_all_rows_however_they_are_cut(n, batch, seed):
    X, Y = data(n, seed)
    W = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    wanted = F.cross_entropy(X.double() @ W.double(), Y).item()
    assert split_loss(lambda x: x @ W, X, Y, batch=batch) == pytest.approx(wanted, abs=1e-5)


def test_split_loss_of_sequences_is_the_mean_over_all_positions():
    torch.manual_seed(0)
    model, X, Y = torch.nn.Embedding(5, 7), torch.randint(5, (11, 4)), torch.randint(7, (11, 4))
    plain = [-model(X)[i, t].log_softmax(0)[Y[i, t]].item() for i in range(11) for t in range(4)]
    assert split_loss(model, X, Y, batch=3) == pytest.approx(sum(plain) / 44, abs=1e-6)


def test_split_loss_is_taken_in_eval_mode_without_gradient_and_leaves_the_modes():
    model, (X, Y) = net(), data()
    model[2].eval()  # a mixed state must come back as it was
    modes, buffers = [m.training for m in model.modules()], [b.clone() for b in model.buffers()]
    seen = []
    model.register_forward_hook(lambda m, args, out: seen.append((m.training, out.requires_grad)))
    losses = {split_loss(model, X, Y), split_loss(model, X, Y)}
    assert len(losses) == 1 and seen == [(False, False)] * 2
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers()))
    with torch.no_grad():
        model.eval()
        assert losses.pop() == pytest.approx(F.cross_entropy(model(X), Y).item(), abs=1e-6)


def test_the_modes_come_back_after_an_error():
    model = net()
    with pytest.raises(RuntimeError), evaluating(model):
        assert not any(m.training for m in model.modules()) and not torch.is_grad_enabled()
        model(torch.zeros(2, 99))
    assert all(m.training for m in model.modules()) and torch.is_grad_enabled()


@pytest.mark.parametrize("x, y", [(3, 4), (0, 0)])
def test_split_loss_names_bad_sizes(x, y):
    refuses(ValueError, lambda: split_loss(net(), torch.zeros(x, 4), torch.zeros(y, dtype=torch.long)), f"{x} and {y}")


# -- find_lr -------------------------------------------------------------------------------------------


def test_the_sweep_is_the_one_written_out():
    X, Y = data()
    W = torch.zeros(4, 3, requires_grad=True)
    rates, losses = find_lr(lambda: F.cross_entropy(X @ W, Y), [W], low=0.01, high=10, steps=31)
    assert rates == pytest.approx([10 ** (-2 + k / 10) for k in range(31)])
    V, wanted = torch.zeros(4, 3, requires_grad=True), []
    for rate in rates:
        loss = F.cross_entropy(X @ V, Y)
        wanted.append(loss.item())
        V.data -= rate * torch.autograd.grad(loss, V)[0]
    assert losses == pytest.approx(wanted)
    assert torch.equal(W, torch.zeros(4, 3)) and W.grad is None


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_the_sweep_puts_weights_and_buffers_back(optimizer):
    model, (X, Y) = net(), data()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rates, losses = find_lr(lambda: F.cross_entropy(model(X), Y), model, 1e-3, 1, steps=20, optimizer=optimizer)
    assert len(rates) == len(losses) == 20 and losses[0] != losses[-1]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_sweep_puts_them_back_after_an_error_and_a_blow_up_too():
    w, calls = torch.ones(1, requires_grad=True), []

    def stops():
        calls.append(1)
        return (w**2).sum() if len(calls) < 3 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        find_lr(stops, [w])
    assert w.item() == 1
    rates, losses = find_lr(lambda: (w**4).sum(), [w], low=1, high=1e6, steps=50)
    assert w.item() == 1 and len(rates) == len(losses) < 50
    assert not math.isfinite(losses[-1]) and all(map(math.isfinite, losses[:-1]))


@pytest.mark.parametrize("change", [{"low": 0}, {"low": 1, "high": 1}, {"steps": 1}])
def test_the_sweep_names_bad_ranges(change):
    refuses(ValueError, lambda: find_lr(lambda: 0, [], **change), "0 < low < high", "2 or more steps")


# -- fit -----------------------------------------------------------------------------------------------


@pytest.fixture
def w():
    return torch.ones(1, requires_grad=True)


@ours
@given(st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5), st.integers(0, 2**31),
       st.sampled_from([None, linear_schedule]), st.none() | st.floats(0.01, 10))
def test_fit_is_the_loop_written_out(shapes, seed, schedule, clip):
    """With two groups, each with its rate, and a gradient that changes as the parameters move."""
    def loss(parameters):
        return sum((p**2 + p**3 / 9).sum() for p in parameters)

    ps, qs = ([bell(seed + k, *shape).requires_grad_() for k, shape in enumerate(shapes)] for _ in range(2))
    optimizer = torch.optim.SGD([{"params": ps[::2], "lr": 0.1}, {"params": ps[1::2], "lr": 0.02}])
    log, wanted = fit(lambda: loss(ps), optimizer, 4, schedule=schedule, clip=clip), []
    for step in range(4):
        wanted.append(loss(qs).item())
        grads = torch.autograd.grad(loss(qs), qs)
        length = math.sqrt(sum((g**2).sum().item() for g in grads))  # of all groups together
        share = min(1, clip / (length + 1e-6)) if clip else 1  # torch adds it, so as never to divide by 0
        with torch.no_grad():
            for k, (q, g) in enumerate(zip(qs, grads)):
                q -= (0.1, 0.02)[k % 2] * (schedule(step, 4) if schedule else 1) * share * g
    assert log.losses == pytest.approx(wanted, abs=1e-12)
    assert all(torch.allclose(p, q, rtol=0, atol=1e-12) for p, q in zip(ps, qs))
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.02], "the rates are as before"
    assert 0 < log.seconds < 60 and log.watched == {}


def test_what_is_watched_is_noted_every_so_often_and_at_the_end_off_the_clock(w):
    optimizer = torch.optim.SGD([w], lr=0.25)

    def slow():
        time.sleep(0.05)
        return w.item()
    log = fit(lambda: (w**2).sum(), optimizer, 7, None, watch={"w": slow}, every=3)
    assert log.watched == {"w": [(3, 0.125), (6, 2**-6), (7, 2**-7)]}
    assert log.seconds < 0.1
    log = fit(lambda: (time.sleep(0.02), (w**2).sum())[1], optimizer, 6, None, watch={"w": lambda: 1}, every=2)
    assert log.seconds > 0.11, "the steps before a look count too"
    log = fit(lambda: (w**2).sum(), optimizer, 7, None, watch={"w": lambda: 1})
    assert log.watched == {"w": [(7, 1)]}, "without `every`, at the end only"


def test_gradients_do_not_pile_up(w):
    w.grad = torch.full((1,), 100.0)
    fit(lambda: w.sum(), torch.optim.SGD([w], lr=0.1), 2, None)
    assert w.item() == pytest.approx(0.8)


@pytest.mark.parametrize("start", [0, 4])
def test_a_loss_that_is_not_finite_ends_it_with_a_sentence_and_the_log(start, capsys, w):
    optimizer = torch.optim.SGD([w], lr=10.0)
    log = fit(lambda: (w**4).sum(), optimizer, 50, None, start=start)
    assert 0 < len(log.losses) < 46 and not math.isfinite(log.losses[-1])
    said = capsys.readouterr().out  # the step is counted from the first of all
    assert f"step {start + len(log.losses) - 1}: the loss is {log.losses[-1]}" in said and said.count("\n") == 1
    assert optimizer.param_groups[0]["lr"] == 10.0 and torch.isfinite(w).all()


@pytest.mark.parametrize("start", [0, 4])
def test_an_interrupt_keeps_the_log(start, capsys, w):
    calls, optimizer = [], torch.optim.SGD([w], lr=0.1)

    def loss():
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return w.sum()
    log = fit(loss, optimizer, 10, start=start)
    assert len(log.losses) == 3 and optimizer.param_groups[0]["lr"] == 0.1
    assert f"after {start + 3} of 10 steps" in capsys.readouterr().out


@pytest.mark.parametrize("clip, step", [(None, 30), (100, 30), (1, 1), (0.5, 0.5)])
def test_clip_happens_after_each_backward_and_leaves_short_gradients_alone(clip, step):
    w = torch.zeros(1, requires_grad=True, dtype=torch.double)
    log = fit(lambda: 30 * w.sum(), torch.optim.SGD([w], lr=1.0), 3, None, clip=clip)
    assert w.item() == pytest.approx(-3 * step, abs=1e-4)
    assert log.losses == pytest.approx([0, -30 * step, -60 * step], abs=1e-4)


@ours
@given(st.integers(1, 12), st.data())
def test_a_run_from_start_is_the_tail_of_a_full_one(steps, data):
    start = data.draw(st.integers(0, steps))
    X = bell(steps, steps, 3)

    def run(w, first, last=steps):
        place = iter(range(first, steps))
        optimizer, watch = torch.optim.SGD([w], lr=0.2), {"w": lambda: w.tolist()}
        log = fit(lambda: ((X[next(place)] - w)**2).sum(), optimizer, last, watch=watch, every=2,
                  schedule=lambda k, _: linear_schedule(k, steps), start=first)
        assert optimizer.param_groups[0]["lr"] == 0.2
        return log
    one, two = (torch.zeros(3, dtype=torch.double, requires_grad=True) for _ in range(2))
    full, head = run(one, 0), run(two, 0, start)
    tail = run(two, start)
    assert head.losses + tail.losses == full.losses and len(tail.losses) == steps - start
    assert torch.equal(one, two)
    assert [seen for seen in full.watched["w"] if seen[0] > start] == tail.watched["w"]


def test_the_schedule_and_the_looks_count_from_the_first_step_of_all(w):
    seen, optimizer = [], torch.optim.SGD([w], lr=0.1)
    log = fit(lambda: w.sum(), optimizer, 9, lambda *at: seen.append(at) or 1, watch={"w": lambda: 0}, every=3, start=4)
    assert seen == [(k, 9) for k in range(4, 9)]
    assert [step for step, _ in log.watched["w"]] == [6, 9]
    log = fit(lambda: w.sum(), optimizer, 9, watch={"w": lambda: 1 / 0}, every=1, start=9)
    assert log.losses == [] and log.watched == {"w": []}, "nothing is left to do, or to look at"
