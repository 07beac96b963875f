"""The training loop of micro.train: fit, its schedule and log, split_loss, the learning-rate finder."""
import math
import time

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.train import evaluating, find_lr, fit, linear_schedule, split_loss
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

ours = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5),
                               torch.nn.Linear(8, 3))


def data(n=50, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=g), torch.randint(0, 3, (n,), generator=g)


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


@ours
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 99))
def test_split_loss_is_the_mean_over_all_rows_however_they_are_cut(n, batch, seed):
    X, Y = data(n, seed)
    W = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    wanted = F.cross_entropy(X.double() @ W.double(), Y).item()
    assert split_loss(lambda x: x @ W, X, Y, batch=batch) == pytest.approx(wanted, abs=1e-5)


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
    with pytest.raises(ValueError, match=f"rows in X as in Y, and at least one, not {x} and {y}"):
        split_loss(net(), torch.zeros(x, 4), torch.zeros(y, dtype=torch.long))


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


@pytest.mark.parametrize("change", [{"low": 0}, {"low": 1, "high": 1}, {"steps": 1}, {"low": -1}])
def test_the_sweep_names_bad_ranges(change):
    with pytest.raises(ValueError, match="0 < low < high and 2 or more steps"):
        find_lr(lambda: 0, [torch.ones(1, requires_grad=True)], **change)


# -- fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [None, linear_schedule])
def test_fit_is_the_loop_written_out(schedule):
    X, Y = data()
    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    W, V = start.clone().requires_grad_(), start.clone().requires_grad_()
    log = fit(lambda: F.cross_entropy(X @ W, Y), torch.optim.SGD([W], lr=0.5), 25, schedule=schedule)
    wanted = []
    for k in range(25):
        loss = F.cross_entropy(X @ V, Y)
        wanted.append(loss.item())
        V.data -= 0.5 * (schedule(k, 25) if schedule else 1) * torch.autograd.grad(loss, V)[0]
    assert log.losses == pytest.approx(wanted, abs=1e-6)
    assert torch.allclose(W, V, atol=1e-6)
    assert 0 < log.seconds < 60 and log.watched == {}


def test_every_group_keeps_its_own_rate_and_gets_it_back():
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.01}])
    seen = []

    def schedule(step, steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        return 0.5
    fit(lambda: (a + b).sum(), optimizer, 3, schedule=schedule)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]
    assert a.item() == pytest.approx(1 - 3 * 0.05) and b.item() == pytest.approx(1 - 3 * 0.005)


def test_what_is_watched_is_noted_every_so_often_and_at_the_end_off_the_clock():
    w = torch.ones(1, requires_grad=True)

    def slow():
        time.sleep(0.05)
        return w.item()
    log = fit(lambda: (w**2).sum(), torch.optim.SGD([w], lr=0.25), 7, None, watch={"w": slow}, every=3)
    assert log.watched == {"w": [(3, 0.125), (6, 2**-6), (7, 2**-7)]}
    assert log.seconds < 0.1
    log = fit(lambda: (time.sleep(0.02), (w**2).sum())[1], torch.optim.SGD([w], lr=0.25), 6, None,
              watch={"w": lambda: 1}, every=2)
    assert log.seconds > 0.11, "the steps before a look count too"
    log = fit(lambda: (w**2).sum(), torch.optim.SGD([w], lr=0.25), 7, None, watch={"w": lambda: 1})
    assert log.watched == {"w": [(7, 1)]}, "without `every`, at the end only"


def test_gradients_do_not_pile_up():
    w = torch.ones(1, requires_grad=True)
    w.grad = torch.full((1,), 100.0)
    fit(lambda: w.sum(), torch.optim.SGD([w], lr=0.1), 2, None)
    assert w.item() == pytest.approx(0.8)


def test_a_loss_that_is_not_finite_ends_it_with_a_sentence_and_the_log(capsys):
    w = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=10.0)
    log = fit(lambda: (w**4).sum(), optimizer, 50, None)
    assert len(log.losses) < 50 and not math.isfinite(log.losses[-1])
    said = capsys.readouterr().out
    assert said == f"Stopped at step {len(log.losses) - 1}: the loss is {log.losses[-1]}. Try a lower learning rate.\n"
    assert optimizer.param_groups[0]["lr"] == 10.0 and torch.isfinite(w).all()


def test_an_interrupt_keeps_the_log(capsys):
    w, calls = torch.ones(1, requires_grad=True), []

    def loss():
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return w.sum()
    optimizer = torch.optim.SGD([w], lr=0.1)
    log = fit(loss, optimizer, 10)
    assert len(log.losses) == 3 and optimizer.param_groups[0]["lr"] == 0.1
    assert capsys.readouterr().out == "Interrupted after 3 of 10 steps.\n"


def test_split_loss_of_sequences_is_the_mean_over_all_positions():
    torch.manual_seed(0)
    model, X, Y = torch.nn.Embedding(5, 7), torch.randint(5, (11, 4)), torch.randint(7, (11, 4))
    plain = [-model(X)[i, t].log_softmax(0)[Y[i, t]].item() for i in range(11) for t in range(4)]
    assert split_loss(model, X, Y, batch=3) == pytest.approx(sum(plain) / 44, abs=1e-6)



# -- clip and start -------------------------------------------------------------------------------------

shapes = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5)


def problem(shapes, seed):
    """Parameters in two groups with a rate each, and a loss whose gradient changes as they move."""
    ps = [bell(seed + k, *shape).requires_grad_() for k, shape in enumerate(shapes)]
    optimizer = torch.optim.SGD([{"params": ps[::2], "lr": 0.1}, {"params": ps[1::2], "lr": 0.02}])
    return ps, optimizer, lambda: sum((p**2 + p**3 / 9).sum() for p in ps)


@ours
@given(shapes, st.integers(0, 2**31), st.floats(0.01, 10))
def test_clip_shortens_the_gradient_of_all_groups_together(shapes, seed, clip):
    ps, optimizer, loss = problem(shapes, seed)
    qs, _, same = problem(shapes, seed)
    fit(loss, optimizer, 3, schedule=None, clip=clip)
    for _ in range(3):
        grads = torch.autograd.grad(same(), qs)
        length = math.sqrt(sum((g**2).sum().item() for g in grads))
        share = min(1, clip / (length + 1e-6))  # torch adds it, so as never to divide by 0
        with torch.no_grad():
            for k, (q, g) in enumerate(zip(qs, grads)):
                q -= (0.1 if k % 2 == 0 else 0.02) * share * g
    assert all(torch.allclose(p, q, rtol=0, atol=1e-12) for p, q in zip(ps, qs))


@ours
@given(shapes, st.integers(0, 2**31), st.floats(0.01, 10))
def test_clip_is_torchs(shapes, seed, clip):
    ps, optimizer, loss = problem(shapes, seed)
    qs, other, same = problem(shapes, seed)
    log = fit(loss, optimizer, 4, schedule=linear_schedule, clip=clip)
    losses = []
    for k in range(4):
        for group, rate in zip(other.param_groups, (0.1, 0.02)):
            group["lr"] = rate * linear_schedule(k, 4)
        losses.append(same().item())
        other.zero_grad()
        same().backward()
        torch.nn.utils.clip_grad_norm_(qs, clip)
        other.step()
    assert log.losses == pytest.approx(losses, abs=1e-12)
    assert all(torch.allclose(p, q, rtol=0, atol=1e-12) for p, q in zip(ps, qs))


@pytest.mark.parametrize("clip, step", [(None, 30), (100, 30), (1, 1), (0.5, 0.5)])
def test_without_clip_or_with_a_long_one_the_gradient_stays(clip, step):
    w = torch.zeros(1, requires_grad=True, dtype=torch.double)
    fit(lambda: 30 * w.sum(), torch.optim.SGD([w], lr=1.0), 1, None, clip=clip)
    assert w.item() == pytest.approx(-step, abs=1e-5)


def test_clip_happens_after_each_backward_and_once_a_step():
    w = torch.zeros(2, requires_grad=True, dtype=torch.double)
    slope, optimizer = torch.tensor([3.0, 4.0]), torch.optim.SGD([w], lr=1.0)
    log = fit(lambda: (slope * w).sum(), optimizer, 4, None, clip=1.0)
    assert log.losses == pytest.approx([0, -5, -10, -15], abs=1e-4)     # each step is 1 long


@ours
@given(st.integers(1, 12), st.data())
def test_a_run_from_start_is_the_tail_of_a_full_one(steps, data):
    start = data.draw(st.integers(0, steps))
    X = bell(steps, steps, 3)

    def run(w, first, last=steps):
        place = iter(range(first, steps))
        optimizer, watch = torch.optim.SGD([w], lr=0.2), {"w": lambda: w.tolist()}
        return fit(lambda: ((X[next(place)] - w)**2).sum(), optimizer, last, watch=watch, every=2,
                   schedule=lambda k, _: linear_schedule(k, steps), start=first)
    one, two = (torch.zeros(3, dtype=torch.double, requires_grad=True) for _ in range(2))
    full, head = run(one, 0), run(two, 0, start)
    tail = run(two, start)
    assert head.losses + tail.losses == full.losses and len(tail.losses) == steps - start
    assert torch.equal(one, two)
    assert [seen for seen in full.watched["w"] if seen[0] > start] == tail.watched["w"]


def test_the_schedule_and_the_looks_count_from_the_first_step_of_all():
    w, seen = torch.ones(1, requires_grad=True), []

    def schedule(step, steps):
        seen.append((step, steps))
        return 1.0
    optimizer, watch = torch.optim.SGD([w], lr=0.1), {"w": lambda: 0}
    log = fit(lambda: w.sum(), optimizer, 9, schedule, watch=watch, every=3, start=4)
    assert seen == [(k, 9) for k in range(4, 9)]
    assert [step for step, _ in log.watched["w"]] == [6, 9]


def test_nothing_is_left_to_do_at_the_end():
    w, seen = torch.ones(1, requires_grad=True), []
    optimizer = torch.optim.SGD([w], lr=0.1)
    log = fit(lambda: w.sum(), optimizer, 5, watch={"w": lambda: seen.append(1)}, every=1, start=5)
    assert log.losses == [] and log.watched == {"w": []} and seen == [] and w.item() == 1
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_an_interrupt_or_a_blow_up_names_the_step_counted_from_the_first_of_all(capsys):
    w, calls = torch.ones(1, requires_grad=True), []

    def loss():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return w.sum()
    fit(loss, torch.optim.SGD([w], lr=0.1), 10, start=4)
    assert capsys.readouterr().out == "Interrupted after 6 of 10 steps.\n"
    fit(lambda: w.sum() * math.nan, torch.optim.SGD([w], lr=0.1), 10, start=4)
    assert capsys.readouterr().out.startswith("Stopped at step 4: the loss is nan.")
