"""Two parts of micro.train.fit: clipping the gradient, and starting where an earlier run stopped."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.train import fit, linear_schedule
from tests.tensors import bell, one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=40, deadline=None, derandomize=True, database=None)
shapes = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5)


def problem(shapes, seed):
    """Parameters in two groups with a rate each, and a loss whose gradient changes as they move."""
    ps = [bell(seed + k, *shape).requires_grad_() for k, shape in enumerate(shapes)]
    optimizer = torch.optim.SGD([{"params": ps[::2], "lr": 0.1}, {"params": ps[1::2], "lr": 0.02}])
    return ps, optimizer, lambda: sum((p**2 + p**3 / 9).sum() for p in ps)


@many
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


@many
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


@many
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
