"""The dashboard: it leaves models alone, its numbers are right, it finds planted faults and no others."""

import copy
import math
import random
import re
import threading
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from micro.diagnose import Updates, diagnose


@pytest.fixture(autouse=True)
def clean():
    """Each test starts from the same random numbers; a warning is a failure; figures are closed."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_num_threads(threads)
    plt.close("all")


# -- models ----------------------------------------------------------------------------------------------


class Seq2Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer, self.head = nn.Transformer(64, 4, 2, 2, 128, batch_first=True), nn.Linear(64, 20)

    def forward(self, source, target):
        return self.head(self.transformer(source, target))


class Recurrent(nn.Module):
    def __init__(self, cell=nn.LSTM):
        super().__init__()
        self.table, self.rnn, self.head = nn.Embedding(30, 16), cell(16, 32, 2, batch_first=True), nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.rnn(self.table(x))[0][:, -1])


class Causal(nn.Module):
    def __init__(self, wide=64, deep=3):
        super().__init__()
        layer = nn.TransformerEncoderLayer(wide, 4, 4 * wide, batch_first=True, norm_first=True, activation="gelu")
        self.table, self.place = nn.Embedding(27, wide), nn.Embedding(16, wide)
        self.blocks = nn.TransformerEncoder(layer, deep, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, 27)

    def forward(self, x):
        T = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        x = self.blocks(self.table(x) + self.place(torch.arange(T)), mask=mask, is_causal=True)
        return self.head(self.norm(x))


class Block(nn.Module):
    """Attention by hand: queries and keys get far smaller gradients than values, and that is healthy."""

    def __init__(self, wide=32):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.key, self.query, self.value = (nn.Linear(wide, wide, bias=False) for _ in range(3))
        self.proj, self.fc1, self.fc2 = nn.Linear(wide, wide), nn.Linear(wide, 4 * wide), nn.Linear(4 * wide, wide)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.proj(F.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h), is_causal=True))
        return x + self.fc2(self.relu(self.fc1(self.norm2(x))))


class Parts(nn.Module):
    def __init__(self, use):
        super().__init__()
        self.a, self.b, self.spare, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.use = use

    def forward(self, x):
        return self.head(self.use(self.b(self.a(x).relu())))


class Residual(nn.Module):
    """A residual block as in ResNet: one ReLU, called twice; `scale` multiplies the branch."""

    def __init__(self, n=32, scale=None):
        super().__init__()
        self.a, self.b, self.relu = nn.Linear(n, n), nn.Linear(n, n), nn.ReLU()
        self.scale = None if scale is None else nn.Parameter(torch.full((n,), scale))

    def forward(self, x):
        y = self.b(self.relu(self.a(x)))
        return self.relu(x + (y if self.scale is None else self.scale * y))


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.policy, self.value = nn.Linear(8, 32), nn.Linear(32, 4), nn.Linear(32, 1)
        self.policy.weight.data *= 0.001
        self.policy.bias.data.zero_()

    def forward(self, x):
        h = torch.tanh(self.trunk(x))
        return self.policy(h), self.value(h)


class Applied(nn.Module):
    """A function in the place of a layer."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def seq2seq():
    return Seq2Seq(), (torch.randn(16, 10, 64), torch.randn(16, 8, 64)), torch.randint(20, (16, 8))


def conv():
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Dropout2d(0.1), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    return net, torch.randn(32, 3, 14, 14), torch.randint(10, (32,))


def recurrent():
    return Recurrent(), torch.randint(30, (32, 12)), torch.randint(5, (32,))


def causal():
    return Causal(), torch.randint(27, (16, 16)), torch.randint(27, (16, 16))


def by_hand():
    net = nn.Sequential(nn.Embedding(27, 32), Block(), Block(), nn.LayerNorm(32), nn.Linear(32, 27))
    return net, torch.randint(27, (16, 16)), torch.randint(27, (16, 16))


def small():
    """Small weights, as GPT-2 starts with. In so narrow a net they shrink their inputs, which is said."""
    net, inputs, targets = by_hand()
    for p in net.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.03)
    return net, inputs, targets


def tanh(deep=6, norm=False, gain=5 / 3, wide=100):
    layers, sizes = [], [30] + [wide] * deep
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        linear = nn.Linear(fan_in, fan_out, bias=not norm)
        nn.init.normal_(linear.weight, std=gain / fan_in**0.5)
        layers += [linear, nn.BatchNorm1d(fan_out), nn.Tanh()] if norm else [linear, nn.Tanh()]
    layers.append(nn.Linear(wide, 27))
    return nn.Sequential(*layers), torch.randn(64, 30), torch.randint(27, (64,))


def mlp():
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
    return net, torch.randn(256, 8), torch.randint(5, (256,))


HEALTHY = [seq2seq, conv, recurrent, causal, by_hand, small, tanh, lambda: tanh(norm=True), mlp]


def serious(report):
    return [f for f in report.findings if f.level == "serious"]


def find(report, pattern):
    """The one finding whose text matches."""
    found = [f for f in report.findings if re.search(pattern, f.text)]
    assert len(found) == 1, report.findings
    return found[0]


def layer(report, name):
    return next(l for l in report.layers if l.name == name)


# -- nothing is changed ----------------------------------------------------------------------------------


def snapshot(model):
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
        "needs": {n: p.requires_grad for n, p in model.named_parameters()},
        "modes": {n: m.training for n, m in model.named_modules()},
        "hooks": {n: [len(v) for k, v in vars(m).items() if "hooks" in k] for n, m in model.named_modules()},
        "attributes": {n: list(vars(m)) for n, m in model.named_modules()},
        "versions": {n: p._version for n, p in model.named_parameters()},
        "random": torch.get_rng_state(), "fast": torch.backends.mha.get_fastpath_enabled(),
        "grad mode": torch.is_grad_enabled(),
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [seq2seq, conv, recurrent])
def test_the_model_the_inputs_and_chance_stay_as_they_were(make, training):
    model, inputs, targets = make()
    model.train(training)
    parameters = list(model.parameters())
    for p in parameters[::2]:
        p.grad = torch.randn_like(p)  # the others keep None
    parameters[-1].requires_grad_(False)
    next(m for m in model.modules() if not list(m.children())).train(not training)
    before, given = snapshot(model), copy.deepcopy(inputs)
    for evaluating in (False, True):
        diagnose(model, inputs, targets, evaluating=evaluating)
        diagnose(model, inputs, evaluating=evaluating)
        assert same(before, snapshot(model))
    assert all(p is q for p, q in zip(parameters, model.parameters()))
    pairs = zip(given, inputs) if isinstance(inputs, tuple) else [(given, inputs)]
    assert all(torch.equal(a, b) and b.grad is None for a, b in pairs)


@pytest.mark.parametrize("where", ["forward", "loss"])
def test_nothing_is_changed_by_an_error_either(where):
    model, inputs, targets = conv()
    if where == "forward":
        model.append(Applied(fails))
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        diagnose(model, inputs, targets, loss=fails if where == "loss" else None)
    assert same(before, snapshot(model))


def test_in_place_layers_change_neither_the_inputs_nor_the_model():
    for first in (nn.Identity(), nn.ReLU(inplace=True)):
        x = torch.randn(32, 8, requires_grad=isinstance(first, nn.Identity))
        given = x.detach().clone()
        diagnose(nn.Sequential(first, nn.Linear(8, 4)), x, torch.randint(4, (32,)))
        assert torch.equal(x, given) and x.grad is None
    table = nn.Embedding(5, 3, max_norm=0.1)  # it renormalises its rows
    before = table.weight.detach().clone()
    diagnose(nn.Sequential(table, nn.Linear(3, 2)), torch.randint(5, (16,)))
    assert torch.equal(table.weight, before)


def test_memories_of_home_made_layers_stay():
    """Layers that keep their last output, or running statistics as a plain attribute, like those of lectures."""
    class Keeps(nn.Linear):
        def forward(self, x):
            self.out, self.calls = super().forward(x), [*getattr(self, "calls", []), 1]
            self.mean = 0.9 * getattr(self, "mean", 0) + 0.1 * x.mean(0)
            return self.out

    model, x = nn.Sequential(Keeps(8, 8), nn.ReLU(), nn.Linear(8, 4)), torch.randn(32, 8)
    model(x)
    out, mean = model[0].out, model[0].mean.clone()
    diagnose(model, x, torch.randint(4, (32,)))
    assert model[0].out is out and model[0].calls == [1] and torch.equal(model[0].mean, mean)
    out.sum().backward()  # the graph that the user has is still whole
    assert model[0].weight.grad is not None


def test_the_random_numbers_are_those_that_the_model_would_have_drawn():
    model, x, _ = conv()
    state = torch.get_rng_state()
    expected = copy.deepcopy(model)(x)
    torch.set_rng_state(state)
    assert layer(diagnose(model, x), "13").std == pytest.approx(expected.std(correction=0).item(), rel=1e-5)


def test_python_and_numpy_draw_the_same_afterwards():
    def draw():
        return random.random(), numpy.random.rand()

    def seed():
        random.seed(1), numpy.random.seed(1)

    seed()
    wanted = draw()
    seed()
    diagnose(nn.Sequential(nn.Linear(8, 3), Applied(lambda h: h * sum(draw()))), torch.randn(32, 8))
    assert draw() == wanted


# -- the numbers -----------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_a_direct_computation():
    model, x, y = tanh(2, gain=2.5)
    report = diagnose(model, x, y)
    values, h = [], x
    for module in model:
        h = module(h)
        h.retain_grad()
        values.append(h)
    loss = F.cross_entropy(h, y)
    loss.backward()
    assert report.loss == pytest.approx(loss.item())
    assert [l.name for l in report.layers] == list("01234")
    assert [l.kind for l in report.layers] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    for record, value in zip(report.layers, values):
        assert record.shape == value.shape
        assert record.mean == pytest.approx(value.mean().item(), abs=1e-6)
        assert record.std == pytest.approx(value.std(correction=0).item(), rel=1e-5)
        assert record.rms == pytest.approx(value.pow(2).mean().sqrt().item(), rel=1e-5)
        assert record.low == pytest.approx(value.abs().quantile(0.05).item(), rel=1e-5)
        assert record.high == pytest.approx(value.abs().quantile(0.95).item(), rel=1e-5)
        assert record.grad == pytest.approx(value.grad.std(correction=0).item(), rel=1e-5)
    assert report.layers[1].saturated == pytest.approx((values[1].abs() > 0.97).float().mean().item())
    assert report.layers[1].units == 100 and report.layers[1].dead == 0
    assert report.layers[2].gain == pytest.approx(
        (values[2].pow(2).mean() / values[1].pow(2).mean()).sqrt().item(), rel=1e-5)
    assert math.isnan(report.layers[0].saturated) and math.isnan(report.layers[0].dead)
    for weight, (name, p) in zip(report.weights, model.named_parameters()):
        assert (weight.name, weight.shape) == (name, p.shape)
        assert weight.std == pytest.approx(p.std(correction=0).item(), rel=1e-5)
        assert weight.grad == pytest.approx(p.grad.std(correction=0).item(), rel=1e-5)
        assert weight.ratio == pytest.approx(weight.grad / weight.std)


def test_without_targets_only_activations():
    report = diagnose(*mlp()[:2])
    assert report.loss is None and not report.findings
    assert all(math.isnan(l.grad) for l in report.layers) and all(math.isnan(w.grad) for w in report.weights)


@pytest.mark.parametrize("shape, targets, expected", [
    ((6, 5), torch.randint(5, (6,)), lambda o, t: F.cross_entropy(o, t)),
    ((6, 5), torch.randint(5, (6,), dtype=torch.uint8), lambda o, t: F.cross_entropy(o, t.long())),
    ((4, 6, 5), torch.randint(5, (4, 6)), lambda o, t: F.cross_entropy(o.reshape(24, 5), t.reshape(24))),
    ((4, 3, 2, 5), torch.randint(5, (4, 3, 2)), lambda o, t: F.cross_entropy(o.reshape(24, 5), t.reshape(24))),
    ((4, 5, 3, 2), torch.randint(5, (4, 3, 2)), lambda o, t: F.cross_entropy(o, t)),
    ((4, 5), torch.randn(4, 5), lambda o, t: F.mse_loss(o, t)),
])
def test_the_usual_losses(shape, targets, expected):
    x = torch.randn(shape)
    assert diagnose(nn.Identity(), x, targets).loss == pytest.approx(expected(x, targets).item())


def test_a_loss_of_ones_own():
    class Two(nn.Linear):
        def forward(self, x):
            return {"y": super().forward(x), "other": None}

    model, x = Two(3, 2), torch.randn(32, 3)
    report = diagnose(model, x, None, loss=lambda out, targets: out["y"].mean() if targets is None else 1 / 0)
    assert report.loss == pytest.approx(model(x)["y"].mean().item(), abs=1e-6) and report.layers[0].name == "Two"
    assert diagnose(model, x, 3.0, loss=lambda out, t: (out["y"] * t).mean()).loss == pytest.approx(3 * report.loss)


def test_inputs_by_position_and_by_name():
    model, (a, b), _ = seq2seq()
    model.eval()
    texts = {str(diagnose(model, x)) for x in ((a, b), [a, b], {"source": a, "target": b})}
    assert len(texts) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(dtype):
    model, x, y = mlp()
    expected = diagnose(model, x, y)
    report = diagnose(model.to(dtype), x.to(dtype), y)
    assert not serious(report)
    for a, b in zip(report.layers, expected.layers):
        assert a.std == pytest.approx(b.std, rel=0.02) and a.grad == pytest.approx(b.grad, rel=0.05)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_under_no_grad(switch):
    model, x, y = mlp()
    expected = str(diagnose(model, x, y))
    with switch():
        assert str(diagnose(model, x.clone(), y)) == expected
        assert not torch.is_grad_enabled()


def test_a_module_called_again_counts_with_its_last_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu, self.out = nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)

        def forward(self, x):
            for _ in range(2):
                x = self.relu(self.linear(x))
            return self.out(x)

    model, x = Twice(), torch.randn(32, 8)
    report = diagnose(model, x, torch.randint(3, (32,)))
    assert [l.name for l in report.layers] == ["linear", "relu", "out"] and not serious(report)
    several = nn.Sequential(model.linear, model.relu, nn.Linear(8, 8), model.relu, model.out)
    assert [l.name for l in diagnose(several, x).layers] == ["0", "2", "1", "4"]  # the order of the last calls
    last = model.linear(model.relu(model.linear(x)))
    assert layer(report, "linear").std == pytest.approx(last.std(correction=0).item(), rel=1e-5)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_give_their_first_tensor(cell):
    model = Recurrent(cell)
    x = torch.randint(30, (32, 12))
    record = layer(diagnose(model, x, torch.randint(5, (32,))), "rnn")
    assert record.shape == (32, 12, 32) and record.grad > 0
    assert record.std == pytest.approx(model.rnn(model.table(x))[0].std(correction=0).item(), rel=1e-5)


def test_a_transformer_in_eval_mode_shows_its_layers():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).eval()
    encoder.requires_grad_(False)  # now PyTorch would take its fast path, past the layers
    padded = torch.zeros(4, 6, dtype=torch.bool)
    padded[:, 4:] = True
    report = diagnose(encoder, {"src": torch.randn(4, 6, 16), "src_key_padding_mask": padded})
    names = [l.name for l in report.layers]
    assert {"layers.0.self_attn", "layers.0.linear1", "layers.1.linear2", "layers.1.norm2"} <= set(names)
    assert layer(report, "layers.1.norm2").shape == (4, 6, 16)  # and not (4, 4, 16), cut where all is padding


def test_weights_made_by_parametrizations_and_by_checkpointing():
    class Checkpointed(nn.Sequential):
        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)

    inner = Checkpointed(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.BatchNorm1d(8), nn.ReLU())
    report = diagnose(nn.Sequential(inner, nn.Linear(8, 3)), torch.randn(32, 8), torch.randint(3, (32,)))
    assert [l.name for l in report.layers] == ["0.0", "0.1", "0.2", "1"]
    assert not serious(report) and all(l.grad > 0 for l in report.layers)


def test_other_odd_models():
    x, y = torch.randn(32, 8), torch.randint(4, (32,))
    assert [l.name for l in diagnose(nn.Linear(8, 4), x, y).layers] == ["Linear"]
    assert [l.name for l in diagnose(nn.Sequential(nn.Sequential(), nn.Linear(8, 4)), x, y).layers] == ["1"]
    sparse = nn.Sequential(nn.Embedding(9, 8, sparse=True), nn.Linear(8, 4))
    assert diagnose(sparse, torch.randint(9, (32,)), y).weights[0].grad > 0
    complexes = nn.Sequential(nn.Linear(8, 4), nn.Identity())
    complexes[1].forward = lambda x: torch.fft.fft(x)
    assert [l.name for l in diagnose(complexes, x).layers] == ["0"]
    assert diagnose(nn.Linear(8, 4), x[0]).layers[0].shape == (4,)
    assert not diagnose(nn.BatchNorm1d(8, track_running_stats=False).eval(), x).findings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    model, x, y = conv()
    model.cuda()
    state = torch.cuda.get_rng_state()
    report = diagnose(model, x.cuda(), y.cuda())
    assert not serious(report) and torch.equal(state, torch.cuda.get_rng_state())


# -- healthy nets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", HEALTHY)
def test_no_false_alarms(make, seed):
    torch.manual_seed(seed)
    model, inputs, targets = make()
    report = diagnose(model, inputs, targets)
    assert not serious(report)
    # The first layer of a tanh net sees inputs of size 1 and a gain of 5/3: 20% saturated is so, and is said.
    noted = {tanh: "saturated", small: "multiplies the size"}.get(make)
    assert all(noted and noted in f.text for f in report.findings) and len(report.findings) <= 2
    if not report.findings:
        assert str(report).startswith("nothing stands out: ")


# -- planted faults --------------------------------------------------------------------------------------


def plant(net, edits):
    """net, its parameters changed by functions {name: f}."""
    with torch.no_grad():
        for name, edit in edits.items():
            p = net[0].get_parameter(name)
            p.copy_(edit(p))
    return net


def times(factor):
    return lambda p: factor * p


def low(count=None, value=-100.0):  # the first biases, or all
    return lambda p: torch.cat([torch.full_like(p[:count], value), p[len(p) if count is None else count:]])


def replaced(net, i, layer):
    net[0][i] = layer
    return net


def only(net, keep=nn.Linear):
    return nn.Sequential(*(m for m in net[0] if isinstance(m, keep))), *net[1:]


def with_relu(count):
    return plant(replaced(tanh(2, gain=1), 3, nn.ReLU()), {"2.bias": low(count, -10.0)})


def channels(layers, x, name="0.bias"):
    return plant((nn.Sequential(*layers), x, None), {name: low(4)})


def blocks(scale=None, edits=()):
    model = nn.Sequential(nn.Linear(8, 32), *[Residual(scale=scale) for _ in range(3)], nn.Linear(32, 5))
    return plant((model, *mlp()[1:]), dict(edits))


def parts(use=lambda h: h):
    return Parts(use), torch.randn(32, 8), torch.randint(3, (32,))


def frozen(count):
    net = mlp()
    for p in list(net[0].parameters())[:count]:
        p.requires_grad_(False)
    return net


def lossy(loss):
    return *mlp(), loss


def shifted(f, *before):
    model, x, y = mlp()
    return nn.Sequential(*before, *model), f(x), y


def shrunk_before(norm):  # a layer that makes small what was large, with a norm behind it or not
    model, x, y = plant(mlp(), {"2.weight": times(1 / 20), "2.bias": times(0)})
    return nn.Sequential(*model[:3], *norm, *model[3:]), x, y


def biased(training):
    model, x, y = tanh(2, norm=True)
    model[0].bias = nn.Parameter(torch.randn(100))
    model(x)
    return model.train(training), x, y


def pooled():
    """Behind an average over 900 places, each gets a 900th of the gradient: nothing vanishes there."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 5))
    return model, torch.randn(16, 3, 30, 30), torch.randint(5, (16,))


def sure():
    """Saturated, but its answers are right (they are its own)."""
    model, x, _ = plant(tanh(6, gain=6), {"12.weight": times(30)})
    return model, x, model(x).argmax(1)


def forgets():
    middle = Applied(lambda h: h.softmax(-1).sum(-1, keepdim=True))
    return nn.Sequential(nn.Linear(8, 8), middle, nn.Linear(1, 3)), torch.randn(32, 8), None


def endless(f):
    layers = [nn.Linear(8, 8), nn.Sequential(Applied(f)), nn.Linear(8, 3)]
    return nn.Sequential(*layers), torch.randn(256, 8), torch.randint(3, (256,))


def endless_weight():
    model, x, y = mlp()
    twist = Applied(lambda w: w + (w - w).abs().sqrt())
    nn.utils.parametrize.register_parametrization(model[2], "weight", twist)
    return model, x, y


def calm(net):
    """net, its biases 0."""
    return plant(net, {name: times(0) for name, p in net[0].named_parameters() if name.endswith("bias")})


FAULTS = {  # what is diagnosed (model, inputs, targets, perhaps the loss); level and layer of the one finding; its text
    "dead ReLU": (lambda: plant(mlp(), {"2.bias": low()}), "serious", "3", r"`3` \(ReLU\): all 32 units are dead"),
    "and nothing before it learns": (lambda: plant(mlp(), {"2.bias": low()}), "serious", "0",
                                     r"`0\.weight`.*exactly 0.*`3` is dead"),
    "2% dead": (lambda: with_relu(2), None, None, ""),
    "12% dead": (lambda: with_relu(12), "note", "3", "12 of 100 units are dead"),
    "30% dead": (lambda: with_relu(30), "serious", "3", "30 of 100 units are dead"),
    "dead in an earlier call": (lambda: blocks(edits={"2.a.bias": low()}), "serious", "2.relu",
                                "all 32 units are dead.*earlier call"),
    "dead channels of images": (lambda: channels([nn.Conv2d(3, 10, 3), nn.ReLU(inplace=True)],
                                                 torch.randn(2, 3, 9, 9)), "serious", "1", "4 of 10 units are dead"),
    "dead channels of sequences": (lambda: channels([nn.Conv1d(3, 10, 3), nn.ReLU()], torch.randn(2, 3, 20)),
                                   "serious", "1", "4 of 10 units are dead"),
    "dead units of tokens": (lambda: channels(
        [nn.Conv1d(3, 10, 3), nn.Flatten(), nn.Linear(180, 10), nn.Unflatten(1, (1, 10)), nn.ReLU()],
        torch.randn(20, 3, 20), "2.bias"), "serious", "4", "4 of 10 units are dead"),
    "examples alike": (lambda: shifted(lambda x: torch.randn(1, 8) + 0.001 * x), None, None, "dead"),
    "saturated at its end": (lambda: replaced(tanh(1, gain=1), 1, nn.Identity()), None, None, "saturated"),
    "saturated at the start": (lambda: tanh(6, gain=6)[:3], "serious", "1", "`1`.*saturated.*scale down"),
    "saturated and sure": (sure, "note", "1", "`1`.*saturated.*may just be sure"),
    "weights 20 times": (lambda: plant(mlp(), {"2.weight": times(20)}), "serious", "2", "multiplies the size"),
    "weights a 20th": (lambda: shrunk_before([]), "serious", "2", r"multiplies the size.*by 0\.0\d+,"),
    "weights a 20th, then a norm": (lambda: shrunk_before([nn.LayerNorm(32)]), None, None, "multiplies the size"),
    "small what was large": (lambda: plant(shifted(lambda x: 100 * x), {"0.weight": times(0.1)}), None, None,
                             "multiplies the size"),
    "the largest of two": (lambda: calm(plant(only(tanh(4, gain=1)), {"1.weight": times(20), "3.weight": times(40)})),
                           "serious", "3", "`3`.*`1`.*multiplies the size"),
    "the smallest of two": (lambda: calm(plant(only(tanh(4, gain=1)), {"1.weight": times(0.05),
                                                                       "3.weight": times(0.02)})),
                            "serious", "3", "`3`.*`1`.*multiplies the size"),
    "weights a quarter": (lambda: plant(mlp(), {"2.weight": times(1 / 4), "2.bias": times(0)}), "note", "2",
                          "multiplies the size"),
    "a small output layer": (lambda: plant(mlp(), {"4.weight": times(1e-3), "4.bias": times(0)}), None, None,
                             "multiplies the size"),
    "a large bias": (lambda: plant(mlp(), {"2.bias": low(value=40.0)}), "serious", "2", "its bias is to blame"),
    "growth": (lambda: calm(only(tanh(8, gain=3))), "serious", "7", r"times that of `0`.*by 0\.33"),
    "fading": (lambda: calm(only(tanh(8, gain=0.4))), "serious", "7", r"is 0\.00\d+ times that of `0`"),
    "slow fading": (lambda: calm(tanh(6, gain=0.5)), "note", "10", r"outputs is 0\.0\d+ times that of `0`"),
    "vanishing gradients": (lambda: tanh(8, gain=0.35), "serious", "0", r"its gradient is 0\.00\d+ times.*`14`"),
    "slowly vanishing gradients": (lambda: tanh(6, gain=0.5), "note", "0", r"its gradient is 0\.0\d+ times"),
    "exploding gradients": (lambda: only(tanh(8, gain=3)), "serious", "0",
                            "its gradient is.*`7`; the largest step is from"),
    "one step explodes": (lambda: only(plant(tanh(4, gain=1), {"4.weight": times(20), "4.bias": times(0)})),
                          "note", "2", "multiplies the gradient"),
    "pooling": (pooled, None, None, "gradient"),
    "the same for all": (forgets, "serious", "1", "the same for every example"),
    "the same inputs": (lambda: (nn.Sequential(nn.Embedding(3, 2)), torch.zeros(32, dtype=torch.long)), None, None, ""),
    "an output layer of 0": (lambda: plant(mlp(), {"4.weight": times(0)}), "note", "4", "the same for every example"),
    "and its gradient": (lambda: plant(mlp(), {"4.weight": times(0)}), "note", "0", r"exactly 0.*`4\.weight` is all 0"),
    "unused": (parts, "note", "spare", r"`spare.weight`, `spare.bias`: no gradient comes here.*never uses"),
    "cut off": (lambda: parts(torch.Tensor.detach), "serious", "a",
                r"`a.weight`, `a.bias`, `b.weight`, 3 more: no gradient comes here"),
    "times 0": (lambda: parts(lambda h: 0 * h), "serious", "a", "`a.weight`.*exactly 0.*loss does not depend"),
    "frozen": (lambda: frozen(2), "note", "0", "frozen.* 2 of 6 parameters"),
    "all frozen": (lambda: frozen(6), "note", "0", "frozen.* 6 of 6 parameters"),
    "nan weight": (lambda: plant(mlp(), {"2.weight": times(math.nan)}), "serious", "2", "its input is finite"),
    "nan input": (lambda: shifted(lambda x: x / 0), "serious", "0", "its input is so too"),
    "infinite loss": (lambda: lossy(lambda out, t: out.sum() * math.inf), "serious", "4", "the loss is"),
    "nan on the way back": (lambda: lossy(lambda out, t: (out - out).sqrt().sum()), "serious", "4",
                            "the loss is 0.*on the way back"),
    "and deeper": (lambda: endless(lambda h: (h - h).abs().sqrt() + h), "serious", "0", "on the way back"),
    "in a parameter alone": (endless_weight, "serious", "2.parametrizations.weight", "on the way back"),
    "-inf is a mask": (lambda: (nn.Sequential(Applied(lambda h: h.masked_fill(h > 0.5, -math.inf)), nn.Softmax(-1)),
                                torch.randn(256, 8)), None, None, "infinity"),
    "useless bias": (lambda: biased(True), "note", "0", r"`0\.bias`: useless.*bias=False"),
    "useful bias": (lambda: biased(False), None, None, "useless"),
    "too confident": (lambda: plant(tanh(2, gain=1), {"4.weight": times(30)}), "serious", "4",
                      r"guessing costs 3\.3 \(log 27\).*too confident"),
    "rather confident": (lambda: plant(tanh(2, gain=1), {"4.weight": times(5)}), "note", "4", "too confident"),
    "another loss": (lambda: (*tanh(2, gain=1), lambda out, y: 100 * out.abs().mean()), None, None, ""),
    "inputs of pixels": (lambda: shifted(lambda x: 128 + 74 * x), "note", "0",
                         "input has mean 12. and standard deviation 7"),
    "inputs off": (lambda: shifted(lambda x: 5 + x), "note", "0", r"input has mean (5|4\.9)"),
    "inputs small": (lambda: shifted(lambda x: x / 100), "note", "0", r"input has.*deviation 0\.0"),
    "inputs of 0 to 1": (lambda: shifted(torch.rand_like), None, None, ""),
    "inputs and a norm": (lambda: shifted(lambda x: 128 + 74 * x, nn.BatchNorm1d(8)), None, None, ""),
    "no one learning rate": (lambda: plant(tanh(3, gain=1), {"2.weight": times(1e-3), "2.bias": times(1e3)}),
                             "note", "2", r"`2\.weight`: gradient / weight"),
    "a small start at the end": (lambda: plant(tanh(3, gain=1), {"6.weight": times(1e-3)}), None, None,
                                 "gradient / weight"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_planted_fault_is_found_and_named(case):
    make, level, where, pattern = FAULTS[case]
    model, x, *rest = make()
    report = diagnose(model, x, *rest[:1], loss=rest[1] if rest[1:] else None)
    found = [f for f in report.findings if re.search(pattern, f.text)]
    assert [f[:2] for f in found] == ([(level, where)] if level else []), report.findings


def branch(scale):
    return lambda: diagnose(*blocks(scale))


def settled():
    net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    for _ in range(60):
        net(torch.randn(256, 8))
    return net


def one_example():
    return diagnose(settled().eval(), torch.randn(1, 8))


def trained():
    model, x = mlp()[0], torch.randn(512, 8)
    y = x[:, :5].argmax(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return diagnose(model, x, y)


def several_outputs():
    return diagnose(Heads(), torch.randn(64, 8),
                    loss=lambda out, _: out[0].logsumexp(1).mean() + out[1].square().mean())


@pytest.mark.parametrize("make", [branch(0.0), branch(1e-6), one_example, trained, several_outputs])
def test_what_only_looks_like_a_fault_is_not_serious(make):
    assert not serious(make())


def test_from_nan_all_else_follows():
    model, x, y = shifted(lambda x: 50 * x)
    assert len(diagnose(model, x, y).findings) > 1
    model[2].weight.data[3, 3] = math.nan
    assert [f[:2] for f in diagnose(model, x, y).findings] == [("serious", "2")]


def test_too_few_examples_say_nothing_about_dead_units():
    model, x, y = with_relu(30)
    report = diagnose(model, x, y)
    assert layer(report, "3").dead == 30 and layer(report, "3").units == 100
    assert math.isnan(layer(diagnose(model, x[:15]), "3").dead)
    model, x, y = mlp()
    assert math.isnan(layer(diagnose(model, torch.randn(1, 8) + 0.001 * x, y), "1").dead)  # all of them alike


def test_saturated_layers_also_of_ones_own():
    class Tanh(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    x = torch.randn(64, 30)
    model = nn.Sequential(nn.Linear(30, 100), Tanh(), nn.Linear(100, 100), nn.Sigmoid(), nn.Linear(100, 3), nn.Tanh())
    model[0].weight.data.normal_(std=5 / 3 / 30**0.5)
    model[4].weight.data *= 100  # at the end, being sure is no fault
    report = diagnose(model, x)
    finding = find(report, "saturated")
    assert finding[:2] == ("note", "1") and f"(Tanh): {layer(report, '1').saturated:.0%} of" in finding.text
    assert layer(report, "5").saturated > 0.5 and layer(report, "3").saturated == 0
    model[2].weight.data.normal_()
    report = diagnose(model, x)
    assert layer(report, "3").saturated > 0.3
    assert [f.layer for f in report.findings if "saturated" in f.text] == ["3", "1"]
    model[0].bias.data[:30] = 100
    assert find(diagnose(model, x), "30 of 100 units are dead .saturated")[:2] == ("serious", "1")


def test_hardtanh_saturates_at_its_own_ends():
    net, x, y = nn.Sequential(nn.Linear(8, 32), nn.Hardtanh(-3, 3), nn.Linear(32, 5)), *mlp()[1:]
    assert not diagnose(net, x, y).findings
    net[0].weight.data *= 40
    assert "(-2.91, 2.91)" in find(diagnose(net, x, y), "saturated").text


def test_findings_name_the_numbers_of_the_table():
    model, x, y = plant(mlp(), {"2.weight": times(20)})
    report = diagnose(model, x, y)
    assert f"by {layer(report, '2').gain:.3g}," in serious(report)[0].text and layer(report, "2").gain > 10
    model, x, y = plant(tanh(2, gain=1), {"4.weight": times(30)})
    report = diagnose(model, x, y)
    assert f"loss is {report.loss:.3g} " in find(report, "too confident").text
    assert "too confident" not in str(diagnose(model, x, model(x).argmax(1)))  # far better than guessing is no fault


def test_a_step_past_a_residual_is_no_fault_of_a_layer():
    model = nn.Sequential(Residual(64), Residual(64), Residual(64), nn.Linear(64, 5))
    for block in model[:3]:
        nn.init.normal_(block.b.weight, std=0.005)
        block.relu = nn.Identity()
    report = diagnose(model, torch.randn(64, 64), torch.randint(5, (64,)))
    assert layer(report, "0.b").grad / layer(report, "1.a").grad > 10
    # Within each block `b` does so indeed; from block to block, the sum in between does.
    assert {f.layer for f in report.findings if "multiplies the gradient" in f.text} == {"0.b", "1.b", "2.b"}


def test_many_layers_with_one_fault_give_one_finding_and_the_worst_comes_first():
    layers = [m for _ in range(4) for m in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())]
    net, x, y = nn.Sequential(*layers, nn.Linear(16, 10)), torch.randn(64, 16), torch.arange(64) % 10
    never = find(diagnose(net.eval(), x, y), "never seen")
    assert "`1` (BatchNorm1d), `4` (BatchNorm1d), `7` (BatchNorm1d), 1 more" in never.text
    assert find(diagnose(net.train(), x[:4], y[:4]), "noisy").level == "note"
    levels = [f.level for f in diagnose(*plant(shifted(lambda x: 50 * x), {"2.bias": low()})).findings]
    assert levels == sorted(levels, reverse=True) and set(levels) == {"serious", "note"}


# -- two modes -------------------------------------------------------------------------------------------


def test_norms_and_dropouts_in_another_mode_than_the_model():
    model, x, y = conv()
    for _ in range(50):
        model(x)
    model.eval()
    assert not serious(diagnose(model, x, y))
    model[5].train()
    model[6].train()
    finding = find(diagnose(model, x, y), "in train mode while the model is in eval mode")
    assert finding[:2] == ("serious", "6") and finding.text.startswith("`6` (BatchNorm2d): ")
    assert "rest of the batch" in finding.text and "model.eval()" in finding.text
    model.train()
    model[1].eval()
    model[10].eval()
    model[3].eval().p = 0.0  # the same in both modes
    finding = find(diagnose(model, x, y), "in eval mode while the model is in train mode")
    assert finding[:2] == ("serious", "1") and "`1` (BatchNorm2d), `10` (Dropout): " in finding.text
    assert "model.train()" in finding.text


def test_evaluating_in_train_mode():
    model, x, y = conv()
    for _ in range(50):
        model(x)
    state = torch.get_rng_state()
    trained = copy.deepcopy(model)(x)
    torch.set_rng_state(state)
    proper = copy.deepcopy(model).eval()(x)
    change = ((trained - proper).pow(2).mean() / proper.pow(2).mean()).sqrt().item()
    finding = find(diagnose(model, x, y, evaluating=True), "though you evaluate")
    assert finding.level == "serious" and f"by {change:.0%};" in finding.text and "call model.eval()" in finding.text
    assert "`1` (BatchNorm2d), `6` (BatchNorm2d), `3` (Dropout2d), 1 more: " in finding.text
    assert not diagnose(model, x, y).findings and not diagnose(model.eval(), x, y, evaluating=True).findings
    assert not diagnose(*mlp(), evaluating=True).findings  # nothing in it has two modes
    rnn = nn.LSTM(8, 8, 2, dropout=0.5)  # a dropout that is no module
    assert find(diagnose(rnn, torch.randn(5, 3, 8), evaluating=True), r"`LSTM` \(LSTM\).*though you evaluate")


def test_batch_norms_that_see_too_little_or_other_data():
    class BatchNorm1d(nn.Module):  # one's own, for (B, T, C)
        def __init__(self, dim):
            super().__init__()
            self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

        def forward(self, x):
            mean, var = self.running_mean, self.running_var
            if self.training:
                mean, var = x.mean((0, 1)), x.var((0, 1))
                self.running_mean, self.running_var = mean.detach(), var.detach()
            return (x - mean) / (var + 1e-5).sqrt()

    for norm, x in ((nn.BatchNorm1d(5), torch.randn(64, 5)), (BatchNorm1d(5), torch.randn(16, 4, 5))):
        norm.momentum, model = None, nn.Sequential(norm, nn.Linear(5, 3))
        assert find(diagnose(model, x[:4]), "statistics of 4 examples")[:2] == ("note", "0")
        assert not diagnose(model, x).findings
        model.eval()
        assert find(diagnose(model, x), "never seen training data")[:2] == ("serious", "0")
        model.train()(5 + 3 * x)
        assert not diagnose(model.eval(), 5 + 3 * x).findings
        finding = find(diagnose(model, 5 + 10 * x), "do not describe this batch")
        assert finding[:2] == ("note", "0") and "variances 1" in finding.text
        finding = find(diagnose(model, 20 + 3 * x), "do not describe this batch")
        assert finding[:2] == ("serious", "0") and re.search(r"means [45][.0-9]* standard deviations off", finding.text)


def test_a_frozen_batch_norm_may_rest_in_eval_mode():
    net, x, y = settled(), torch.randn(64, 8), torch.arange(64) % 10
    net[1].requires_grad_(False).eval()
    assert not serious(diagnose(net, x, y))
    net[1].requires_grad_(True)
    assert serious(diagnose(net, x, y))[0].layer == "1"


# -- errors ----------------------------------------------------------------------------------------------


def fails(*_):
    raise RuntimeError("on purpose")


def locked():
    net = nn.Linear(3, 3)
    net.lock = threading.Lock()
    return net


LINEAR, ONES = nn.Linear(2, 2), torch.ones(4, 2)


@pytest.mark.parametrize("error, words, call", [
    (TypeError, "torch.nn.Module, not type", lambda: diagnose(nn.ReLU, ONES)),
    (ValueError, "lazy", lambda: diagnose(nn.LazyLinear(2), ONES)),
    (ValueError, "no layer", lambda: diagnose(nn.Sequential(), ONES)),
    (ValueError, "cannot be copied", lambda: diagnose(locked(), torch.ones(2, 3))),
    (ValueError, "tuple, and targets, Tensor: pass loss=", lambda: diagnose(nn.LSTM(2, 3), ONES, ONES)),
    (ValueError, "Tensor, and targets, list", lambda: diagnose(LINEAR, ONES, [0, 1])),
    (ValueError, r"\(4, 2\), and targets, torch.int64 \(3,\)", lambda: diagnose(LINEAR, ONES, torch.arange(3))),
    (ValueError, r"\(4, 2\), and targets, torch.float32 \(4,\)", lambda: diagnose(LINEAR, ONES, torch.zeros(4))),
    (ValueError, "targets, torch.bool", lambda: diagnose(LINEAR, ONES, torch.zeros(4) > 0)),
    (ValueError, "one number", lambda: diagnose(LINEAR, ONES, loss=lambda o, t: o)),
    (ValueError, "one number", lambda: diagnose(LINEAR, ONES, loss=lambda o, t: 1.0)),
    (RuntimeError, "shapes cannot be multiplied", lambda: diagnose(LINEAR, torch.ones(4, 3))),  # the model's own pass
    (ValueError, "two or more dimensions", lambda: Updates(nn.LayerNorm(3))),
    (RuntimeError, r"before\(\)", lambda: Updates(LINEAR).after()),
])
def test_errors_are_one_clear_sentence(error, words, call):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# -- text and figures ------------------------------------------------------------------------------------


def test_the_printed_report():
    report = diagnose(*plant(mlp(), {"0.bias": low(8)}))
    text = str(report)
    words, table = (part.splitlines() for part in text.split("\n\n"))
    assert text == repr(report) and words[0].startswith("serious: `1` (ReLU): 8 of 32 units are dead")
    assert table[2].split()[:3] == ["1", "ReLU", "256x32"] and table[2].split()[5:7] == ["-", "25%"]
    assert len(table) == 6 and len({len(line) for line in table}) == 1  # aligned
    assert "nan" not in text
    for number in re.findall(r"\d\.\d+", "\n".join(table)):
        assert len(number.replace(".", "").lstrip("0")) <= 2, number


def test_a_mean_that_is_only_rounding_is_printed_as_0():
    row = str(diagnose(nn.Sequential(nn.BatchNorm1d(8)), torch.randn(64, 8))).splitlines()[-1]
    assert row.split()[3:5] == ["0", "1"]


def check_figure(figure, panels):
    assert len(figure.axes) == panels and figure.get_figwidth() * figure.dpi <= 1050
    figure.draw_without_rendering()
    renderer, frame = figure.canvas.get_renderer(), figure.bbox
    for ax in figure.axes:
        assert ax.get_title() and ax.get_ylabel() and ax.get_legend() and ax.lines
        texts = [ax.title, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_legend().get_texts()]
        boxes = [t.get_window_extent(renderer) for t in texts if t.get_text()]
        assert all(frame.x0 - 1 <= b.x0 and b.x1 <= frame.x1 + 1 and frame.y0 - 1 <= b.y0 and b.y1 <= frame.y1 + 1
                   for b in boxes), ax.get_title()
        ticks = [t.get_window_extent(renderer) for t in ax.get_xticklabels()]
        assert 0 < len(ticks) <= 25 and all(a.x1 <= b.x0 + 1 for a, b in zip(ticks, ticks[1:])), "labels overlap"
        assert len({line.get_marker() for line in ax.lines if line.get_marker() != "None"}) == len(
            [line for line in ax.lines if line.get_marker() != "None"])
    assert len({round(ax.get_position().x0, 3) for ax in figure.axes}) == 2


@pytest.mark.parametrize("make", [seq2seq, conv, recurrent, lambda: tanh(50)])
def test_the_figure(make, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("show was called"))
    model, inputs, targets = make()
    check_figure(diagnose(model, inputs, targets).plot(), 4)
    check_figure(diagnose(model, inputs).plot(), 2)


def test_the_figure_shows_the_numbers_and_marks_the_findings():
    model, x, y = tanh(3, gain=1)
    model[2].weight.data *= 20
    report = diagnose(model, x, y)
    activations, shares, gradients, weights = report.plot().axes
    assert activations.lines[0].get_ydata() == pytest.approx([l.std for l in report.layers])
    assert gradients.lines[0].get_ydata() == pytest.approx([l.grad for l in report.layers])
    assert shares.lines[0].get_ydata() == pytest.approx([100 * l.saturated for l in report.layers[1::2]])
    assert weights.lines[0].get_ydata() == pytest.approx([w.ratio for w in report.weights[::2]])
    marks = {line.get_xdata()[0] for line in activations.lines if line.get_linestyle() == ":"}
    assert marks == {report.layers.index(layer(report, f.layer)) for f in report.findings} >= {2, 3}
    assert [line.get_xdata()[0] for line in weights.lines if line.get_linestyle() == ":"][0] == 1
    for ax in (activations, shares, gradients, weights):
        assert [t.get_text() for t in ax.get_legend().get_texts()].count("see findings") == 1
    assert [t.get_text() for t in shares.get_xticklabels()] == ["1 Tanh", "3 Tanh", "5 Tanh"]


def test_the_figure_of_a_broken_net_and_of_one_without_weights():
    for report in (diagnose(nn.LSTM(4, 8), torch.randn(9, 32, 4)), diagnose(nn.Tanh(), torch.randn(32, 4))):
        report.plot()
    model, x, y = mlp()
    model[2].weight.data.fill_(math.nan)
    check_figure(diagnose(model, x, y).plot(), 4)
    model[2].weight.data.zero_()
    check_figure(diagnose(model, x, y).plot(), 4)


# -- Updates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, lr=0.1), lambda p: torch.optim.AdamW(p, lr=0.01)])
def test_updates_are_those_computed_by_hand(make):
    model, x, y = mlp()
    optimizer, updates = make(model.parameters()), Updates(model)
    expected = {name: [] for name in ("0.weight", "2.weight", "4.weight")}
    for step in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        if step % 2:
            with updates:
                optimizer.step()
        else:
            updates.before()
            optimizer.step()
            updates.after()
        for name in expected:
            change = dict(model.named_parameters())[name].detach() - before[name]
            expected[name].append(math.log10(change.std(correction=0) / before[name].std(correction=0)))
    assert updates.ratios.keys() == expected.keys()
    for name in expected:
        assert updates.ratios[name] == pytest.approx(expected[name], abs=1e-5)


def test_updates_every_few_steps_and_of_named_parameters():
    model = nn.Linear(3, 3)
    updates = Updates([("w", model.weight), ("b", model.bias)], every=3)
    for _ in range(7):
        with updates, torch.no_grad():
            model.weight *= 1.1
    assert updates.ratios == {"w": pytest.approx([-1, -1, -1], abs=1e-4)}
    assert list(updates.plot().lines[0].get_xdata()) == [0, 3, 6]


def test_updates_of_constant_or_resting_weights_and_errors():
    still, moved = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.randn(2, 2))
    updates = Updates([("still", still), ("moved", moved)])
    with updates:
        still.data += torch.randn(2, 2)
    assert math.isnan(updates.ratios["still"][0]) and updates.ratios["moved"] == [-math.inf]
    with pytest.raises(KeyError), updates:
        raise KeyError
    assert len(updates.ratios["moved"]) == 1


def test_the_figure_of_updates():
    model, x, _ = tanh(12)
    updates = Updates(model)
    for _ in range(3):
        with updates, torch.no_grad():
            for p in model.parameters():
                p *= 1.001
    ax = updates.plot(title="A title")
    assert ax.get_title() == "A title" and ax.get_xlabel() and ax.get_ylabel() and len(ax.lines) == 14
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts[-1] == "1e-3: a usual guide" and len(texts) == 11
    assert ax.lines[-1].get_linestyle() == "--" and set(ax.lines[-1].get_ydata()) == {-3}
    assert updates.plot(ax) is ax
