"""micro.layers against the twins in torch.nn: numbers, gradients, running statistics, state_dict."""
import copy
import doctest
import functools
import inspect
import io
import math
import pickle
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import micro.layers
from micro.layers import BatchNorm1d, Embedding, Flatten, Linear, Sequential, Tanh
from tests.tensors import one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=50, derandomize=True, deadline=None, database=None)
seeds = st.integers(0, 2**31)
dtypes = st.sampled_from([torch.float64, torch.float32])
sizes = st.integers(1, 9)
leading = st.lists(st.integers(0, 4), max_size=3)  # the dimensions in front of the last: none to three
momenta = st.sampled_from([0.0, 0.001, 0.1, 0.5, 1.0])
epsilons = st.sampled_from([1e-5, 1e-3, 0.1, 2.0])


def close(ours, theirs, factor=1.0):
    """Same shape and dtype, and the same numbers but for rounding, measured against the largest."""
    tol = {torch.float64: 1e-9, torch.float32: 1e-5}.get(theirs.dtype, 0) * factor
    largest = max(1.0, theirs.abs().max().item()) if theirs.numel() else 1.0
    torch.testing.assert_close(ours, theirs, rtol=tol, atol=tol * largest)


def equip(ours, theirs, dtype):
    """Both modules in `dtype`; theirs gets our names and numbers (strict), so both start alike."""
    ours.to(dtype)
    theirs.to(dtype)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def shake(module):
    """Random numbers in every parameter, so that no gain of 1 or bias of 0 hides a mistake."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p))


def same_state(ours, theirs, factor=1.0):
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for name in a:
        close(a[name], b[name], factor)


def same_step(ours, theirs, x, factor=1.0):
    """The same output, and the same gradients for x and for every parameter.

    The loss weighs every output with a number of its own: a plain sum or mean would let the
    gradient through a batch normalisation vanish.
    """
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        inp = x.detach().clone()
        if inp.is_floating_point():
            inp.requires_grad_()
        y = module(inp)
        if y.requires_grad:
            pull = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
            pull -= y.detach() / 3
            (y * pull).sum().backward()
        grads = {name: p.grad for name, p in module.named_parameters()}
        results.append((y, inp.grad, grads))
    (y1, dx1, grads1), (y2, dx2, grads2) = results
    close(y1, y2, factor)
    assert (dx1 is None) == (dx2 is None)
    if dx1 is not None:
        close(dx1, dx2, factor)
    assert list(grads1) == list(grads2)
    for name in grads1:
        assert grads1[name] is not None, name
        close(grads1[name], grads2[name], factor)
    return y1


# --- Linear ------------------------------------------------------------------------------


@many
@given(seeds, dtypes, sizes, sizes, leading, st.booleans())
def test_linear_is_its_twin(seed, dtype, fan_in, fan_out, lead, bias):
    torch.manual_seed(seed)
    ours, theirs = Linear(fan_in, fan_out, bias=bias), nn.Linear(fan_in, fan_out, bias=bias)
    shake(ours)
    equip(ours, theirs, dtype)
    y = same_step(ours, theirs, torch.randn(*lead, fan_in, dtype=dtype))
    assert y.shape == (*lead, fan_out)
    assert (ours.bias is None) == (not bias)


@many
@given(seeds, st.sampled_from([1, 30, 200]), st.sampled_from([0.1, 1.0, 5 / 3, 2**0.5]))
def test_linear_starts_with_the_scale_it_promises(seed, fan_in, gain):
    torch.manual_seed(seed)
    layer = Linear(fan_in, 6000 // fan_in, gain=gain)
    n, sigma = layer.weight.numel(), gain / math.sqrt(fan_in)
    # The mean of n numbers strays by sigma / sqrt(n), their standard deviation by sigma / sqrt(2n);
    # five of those happen by chance once in two million times.
    assert abs(layer.weight.mean().item()) < 5 * sigma / math.sqrt(n)
    assert abs(layer.weight.std().item() - sigma) < 5 * sigma / math.sqrt(2 * n)
    assert layer.weight.abs().max() > 2.5 * sigma, "normal, not uniform"
    assert (layer.bias == 0).all() and layer.bias.shape == (6000 // fan_in,)


def test_linear_keeps_the_variance_whatever_the_width():
    torch.manual_seed(0)
    for fan_in in (10, 100, 1000):
        y = Linear(fan_in, 500, gain=2.0)(torch.randn(500, fan_in))
        assert 3.0 < y.var().item() < 5.0


def test_defaults_are_those_of_the_course():
    assert str(inspect.signature(Linear)) == "(fan_in, fan_out, bias=True, gain=1.0)"
    assert str(inspect.signature(BatchNorm1d)) == "(dim, eps=1e-05, momentum=0.1)"
    assert str(inspect.signature(Embedding)) == "(num_embeddings, embedding_dim)"
    torch.manual_seed(0)
    first = Linear(3, 2).weight
    torch.manual_seed(0)
    assert torch.equal(first, Linear(3, 2, gain=1.0).weight), "the seed decides the start"


# --- BatchNorm1d -------------------------------------------------------------------------


@many
@given(seeds, dtypes, sizes, st.integers(2, 40), momenta, epsilons, st.integers(1, 5))
def test_batchnorm_is_its_twin(seed, dtype, dim, B, momentum, eps, steps):
    torch.manual_seed(seed)
    # A feature that hardly varies in a small batch blows rounding up by 1 / its deviation, in the
    # twin as here: float32 gets enough examples that none does.
    B = B if dtype == torch.float64 else B + 14
    ours, theirs = BatchNorm1d(dim, eps, momentum), nn.BatchNorm1d(dim, eps, momentum)
    shake(ours)
    equip(ours, theirs, dtype)
    for step in range(1, steps + 1):
        same_step(ours, theirs, 3 * torch.randn(B, dim, dtype=dtype) + torch.arange(dim), 4)
        same_state(ours, theirs, 4)
        assert ours.num_batches_tracked.item() == step
        assert ours.num_batches_tracked.dtype == torch.long
    ours.eval(), theirs.eval()
    before = copy.deepcopy(ours.state_dict())
    for examples in (B, 1, 0):  # in eval mode a batch of one, or none, is fine
        same_step(ours, theirs, torch.randn(examples, dim, dtype=dtype), 4)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name]), f"eval mode changed {name}"
    ours.train(), theirs.train()
    same_step(ours, theirs, torch.randn(B, dim, dtype=dtype), 4)
    same_state(ours, theirs, 4)
    assert ours.num_batches_tracked.item() == steps + 1


def test_batchnorm_starts_as_its_twin_does():
    same_state(BatchNorm1d(3), nn.BatchNorm1d(3))


@many
@given(seeds, sizes, st.integers(3, 12))  # of two examples one is always near -1, the other near 1
def test_batchnorm_depends_on_the_other_examples_in_training_only(seed, dim, B):
    torch.manual_seed(seed)
    bn = BatchNorm1d(dim).double()
    bn(torch.randn(B, dim).double())
    x = torch.randn(B, dim).double()
    other = x.clone()
    other[1:] += 1 + torch.rand(B - 1, dim)  # every example but the first
    changed = (bn(x)[0] - bn(other)[0]).abs()
    assert (changed > 1e-6).all()
    bn.eval()
    assert torch.equal(bn(x)[0], bn(other)[0])
    close(torch.cat([bn(row) for row in x.split(1)]), bn(x))


@many
@given(seeds, sizes, st.integers(2, 40))
def test_batchnorm_gives_mean_0_and_variance_1(seed, dim, B):
    torch.manual_seed(seed)
    y = BatchNorm1d(dim, eps=0).double()(7 * torch.randn(B, dim).double() - 3)
    close(y.mean(0), torch.zeros(dim).double())
    close((y**2).mean(0), torch.ones(dim).double())


def test_batchnorm_gradients_agree_with_a_nudge():
    torch.manual_seed(0)
    bn = BatchNorm1d(3, eps=0.01).double()
    shake(bn)
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(bn, (x,))
    assert torch.autograd.gradcheck(bn.eval(), (x,))


def test_running_statistics_hold_no_graph_and_stay_the_same_tensors():
    bn = BatchNorm1d(2)
    kept = dict(bn.named_buffers())
    assert list(kept) == ["running_mean", "running_var", "num_batches_tracked"]
    early = bn.eval()(torch.randn(4, 2, requires_grad=True))
    bn.train()(torch.randn(4, 2, requires_grad=True))
    for name, buffer in bn.named_buffers():
        assert buffer is kept[name] and not buffer.requires_grad and buffer.grad_fn is None
    assert [n for n, _ in bn.named_parameters()] == ["weight", "bias"]
    early.sum().backward()  # a later training step doesn't spoil an earlier graph


def test_a_constant_feature_gives_the_bias_and_no_nan():
    bn = BatchNorm1d(2)
    x = torch.full((4, 2), 3.0, requires_grad=True)
    y = bn(x)
    y.sum().backward()
    assert (y == 0).all() and x.grad.isfinite().all()


def test_a_batch_that_is_refused_leaves_no_trace():
    bn = BatchNorm1d(2)
    before = copy.deepcopy(bn.state_dict())
    for x in (torch.randn(1, 2), torch.randn(4, 3), torch.randn(4, 2, 5)):
        with pytest.raises(ValueError):
            bn(x)
    for name, value in bn.state_dict().items():
        assert torch.equal(value, before[name])


# --- Tanh, Embedding, Flatten ------------------------------------------------------------


@many
@given(seeds, dtypes, leading)
def test_tanh_is_its_twin(seed, dtype, shape):
    torch.manual_seed(seed)
    same_step(Tanh(), nn.Tanh(), 3 * torch.randn(shape, dtype=dtype))


@many
@given(seeds, dtypes, leading, sizes, sizes)
def test_embedding_is_its_twin(seed, dtype, shape, rows, columns):
    torch.manual_seed(seed)
    ours, theirs = equip(Embedding(rows, columns), nn.Embedding(rows, columns), dtype)
    y = same_step(ours, theirs, torch.randint(rows, shape))  # rows that come up twice add up
    assert y.shape == (*shape, columns)


def test_embedding_starts_with_variance_1():
    torch.manual_seed(0)
    weight = Embedding(1000, 50).weight
    assert abs(weight.mean().item()) < 5 / math.sqrt(50_000)
    assert abs(weight.std().item() - 1) < 5 / math.sqrt(100_000)


def test_embedding_refuses_a_number_too_large():
    with pytest.raises(IndexError):
        Embedding(3, 2)(torch.tensor([3]))


@many
@given(seeds, dtypes, st.lists(sizes, min_size=1, max_size=3), st.integers(0, 4))
def test_flatten_is_its_twin(seed, dtype, shape, B):
    torch.manual_seed(seed)
    x = torch.randn(B, *shape, dtype=dtype)
    y = same_step(Flatten(), nn.Flatten(), x)
    assert y.shape == (B, math.prod(shape))
    same_step(Flatten(), nn.Flatten(), x.transpose(-1, 1))  # not contiguous


# --- Sequential, and whole nets ----------------------------------------------------------


def nets(vocab, columns, context, hidden, dtype, momentum=0.1, eps=1e-5):
    """The net of notebooks 04 and 05, ours and torch's, with the same numbers in it."""
    ours = Sequential(
        Embedding(vocab, columns), Flatten(),
        Linear(context * columns, hidden, bias=False, gain=5 / 3),
        BatchNorm1d(hidden, eps, momentum), Tanh(),
        Linear(hidden, vocab))
    theirs = nn.Sequential(
        nn.Embedding(vocab, columns), nn.Flatten(),
        nn.Linear(context * columns, hidden, bias=False),
        nn.BatchNorm1d(hidden, eps, momentum), nn.Tanh(),
        nn.Linear(hidden, vocab))
    return equip(ours, theirs, dtype)


@many
@given(seeds, dtypes, sizes, sizes, sizes, sizes, momenta, epsilons)
def test_a_net_is_its_twin_over_five_steps(seed, dtype, vocab, columns, context, hidden, momentum, eps):
    torch.manual_seed(seed)
    # As above, a larger epsilon keeps rounding from being blown up where a feature hardly varies.
    eps = eps if dtype == torch.float64 else max(eps, 1e-3)
    both = nets(vocab, columns, context, hidden, dtype, momentum, eps)
    sgd = [torch.optim.SGD(net.parameters(), lr=0.1) for net in both]
    for _ in range(5):
        ix, target = torch.randint(vocab, (32, context)), torch.randint(vocab, (32,))
        losses = []
        for net, optimizer in zip(both, sgd):
            loss = nn.functional.cross_entropy(net(ix), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        close(*losses, factor=100)  # what rounding did in a step, the next ones carry on
    same_state(*both, factor=100)
    for net in both:
        net.eval()
    close(both[0](ix[:1]), both[1](ix[:1]), factor=100)


def test_state_dict_both_ways_strictly():
    torch.manual_seed(0)
    ours, theirs = nets(5, 2, 3, 4, torch.float32)
    other = nets(5, 2, 3, 4, torch.float32)[0]
    ix = torch.randint(5, (8, 3))
    theirs(ix)  # moves the running statistics
    assert ours.load_state_dict(theirs.state_dict(), strict=True).missing_keys == []
    same_state(ours, theirs)
    ours(ix)
    other.load_state_dict(ours.state_dict(), strict=True)
    same_state(other, ours)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        ("0.weight", (5, 2)), ("2.weight", (4, 6)), ("3.weight", (4,)), ("3.bias", (4,)),
        ("3.running_mean", (4,)), ("3.running_var", (4,)), ("3.num_batches_tracked", ()),
        ("5.weight", (5, 4)), ("5.bias", (5,))]
    with pytest.raises(RuntimeError, match="bias"):
        nn.Linear(2, 3).load_state_dict(Linear(2, 3, bias=False).state_dict())


def test_train_and_eval_reach_every_layer():
    net = nets(5, 2, 3, 4, torch.float32)[0]
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_sequential_is_like_a_list():
    layers = [Linear(2, 3), Tanh(), nn.Linear(3, 4)]
    net = Sequential(*layers)
    assert len(net) == 3 and list(net) == layers and list(net.children()) == layers
    assert [net[i] for i in (0, 1, 2, -1)] == [*layers, layers[2]]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError):
        net[3]
    x = torch.randn(2)
    assert torch.equal(Sequential()(x), x) and len(Sequential()) == 0


def test_one_layer_in_two_places_runs_twice():
    tanh, square = Tanh(), Linear(3, 3)
    net = Sequential(square, tanh, square, tanh)
    x = torch.randn(2, 3)
    assert len(net) == len(list(net)) == 4 and net[3] is tanh
    assert torch.equal(net(x), tanh(square(tanh(square(x)))))
    assert len(list(net.parameters())) == 2
    same_state(net, nn.Sequential(square, tanh, square, tanh))


def test_hooks_see_every_layer():
    seen = []
    net = nets(5, 2, 3, 4, torch.float32)[0]
    for layer in net:
        layer.register_forward_hook(lambda module, args, out: seen.append(type(module)))
    net(torch.randint(5, (8, 3)))
    assert seen == [Embedding, Flatten, Linear, BatchNorm1d, Tanh, Linear]


def test_copies_and_saved_states():
    torch.manual_seed(0)
    net = nets(5, 2, 3, 4, torch.float32)[0]
    ix = torch.randint(5, (8, 3))
    net(ix)
    twice, saved = copy.deepcopy(net), io.BytesIO()
    same_state(twice, net)
    state = pickle.loads(pickle.dumps(net.state_dict()))
    torch.save(net.state_dict(), saved)
    saved.seek(0)
    on_disk = torch.load(saved, weights_only=True)
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    twice(ix + 0)
    for p in twice.parameters():
        p.data += 1
    for name, value in net.state_dict().items():
        assert torch.equal(value, kept[name]), f"the copy shares {name}"
        assert torch.equal(state[name], value) and torch.equal(on_disk[name], value)
    fresh = nets(5, 2, 3, 4, torch.float32)[0]
    fresh.load_state_dict(state)
    assert torch.equal(fresh.eval()(ix), net.eval()(ix))


def test_double_turns_all_but_the_counter():
    net = nets(5, 2, 3, 4, torch.float32)[0].double()
    ix = torch.randint(5, (8, 3))
    assert net(ix).dtype == torch.double
    for name, value in net.state_dict().items():
        assert value.dtype == (torch.long if "num_batches" in name else torch.double)


def with_threads(n, f):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        return f()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("B, dim", [(32, 200), (7, 13), (4096, 27), (20_000, 30), (3, 100_001)])
def test_the_number_of_threads_does_not_matter(B, dim):
    torch.manual_seed(0)
    x, ix = torch.randn(B, dim), torch.randint(27, (B, 8))
    bn = BatchNorm1d(dim)
    layers = [(bn, x), (Tanh(), x), (Flatten(), x), (Embedding(27, 10), ix)]
    small, w = x[:, :300], Linear(min(dim, 300), 27)
    for layer, inp in layers:
        first, *others = [with_threads(n, functools.partial(layer, inp)) for n in (1, 2, 4)]
        assert all(torch.equal(first, y) for y in others), type(layer).__name__
    # Here MKL itself adds up in another order, for nn.Linear too: equal but for rounding.
    first, *others = [with_threads(n, lambda: w(small)) for n in (1, 2, 4)]
    for y in others:
        close(y, first)


# --- what is refused ---------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(5, 4), (5, 1), (3,), (), (5, 3, 7), (1, 3), (0, 3)], ids=str)
def test_batchnorm_names_the_shape_and_the_way_out(shape):
    with pytest.raises(ValueError, match=rf"^BatchNorm1d takes \(B, 3\), .* not {re.escape(str(shape))}\. .*eval"):
        BatchNorm1d(3)(torch.zeros(shape))
    if shape not in [(1, 3), (0, 3)]:  # one example is fine in eval mode, another width is not
        with pytest.raises(ValueError, match="BatchNorm1d takes"):
            BatchNorm1d(3).eval()(torch.zeros(shape))
    else:
        assert BatchNorm1d(3).eval()(torch.zeros(shape)).shape == shape


def test_torch_refuses_a_batch_of_one_too():
    with pytest.raises(ValueError):
        nn.BatchNorm1d(3)(torch.zeros(1, 3))


# --- the module as a text ----------------------------------------------------------------


def test_docstring_examples():
    result = doctest.testmod(micro.layers)
    assert result.failed == 0 and result.attempted >= 10


def test_the_module_can_be_read_in_one_sitting():
    lines = inspect.getsource(micro.layers).splitlines()
    assert len(lines) < 250 and max(map(len, lines)) <= 104
