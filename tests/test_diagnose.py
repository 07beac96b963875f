"""The dashboard: it leaves models alone, its numbers are right, it finds planted faults and no others."""

import copy
import math
import re
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
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
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("on purpose")

    def fails(output, targets):
        raise RuntimeError("on purpose")

    model, inputs, targets = conv()
    if where == "forward":
        model.append(Fails())
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        diagnose(model, inputs, targets, loss=fails if where == "loss" else None)
    assert same(before, snapshot(model))


def test_an_in_place_first_layer_does_not_change_the_inputs():
    x = torch.randn(32, 8, requires_grad=True)
    given = x.detach().clone()
    diagnose(nn.Sequential(nn.Identity(), nn.Linear(8, 4)), x, torch.randint(4, (32,)))
    assert torch.equal(x, given) and x.grad is None
    x = given.clone()
    diagnose(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 4)), x, torch.randint(4, (32,)))
    assert torch.equal(x, given)


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


def test_an_embedding_that_renormalises_its_rows_stays():
    table = nn.Embedding(5, 3, max_norm=0.1)
    before = table.weight.detach().clone()
    diagnose(nn.Sequential(table, nn.Linear(3, 2)), torch.randint(5, (16,)))
    assert torch.equal(table.weight, before)


def test_the_random_numbers_are_those_that_the_model_would_have_drawn():
    model, x, _ = conv()
    state = torch.get_rng_state()
    expected = copy.deepcopy(model)(x)
    torch.set_rng_state(state)
    assert layer(diagnose(model, x), "13").std == pytest.approx(expected.std(correction=0).item(), rel=1e-5)


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


def test_a_trained_net_is_healthy_too():
    model, x, _ = mlp()
    x = torch.randn(512, 8)
    y = x[:, :5].argmax(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert not serious(diagnose(model, x, y))


# -- planted faults --------------------------------------------------------------------------------------


def test_dead_units():
    model, x, y = mlp()
    model[2].bias.data -= 100
    finding = find(diagnose(model, x, y), "all 32 units are dead")
    assert finding[:2] == ("serious", "3") and finding.text.startswith("`3` (ReLU): ")
    zero = find(diagnose(model, x, y), "exactly 0")
    assert zero.level == "serious" and "`0.weight`" in zero.text and "`3` is dead" in zero.text
    model, x, y = tanh(2, gain=1)
    model[3] = nn.ReLU()
    for count, level in ((2, None), (12, "note"), (30, "serious")):
        model[2].bias.data[:count] = -10
        report = diagnose(model, x, y)
        assert layer(report, "3").dead == count and layer(report, "3").units == 100
        assert not level and not report.findings or find(report, f"{count} of 100 units are dead").level == level
    assert math.isnan(layer(diagnose(model, x[:15]), "3").dead)  # too few examples to judge


def test_dead_channels_of_a_convolution_and_dead_units_of_a_sequence():
    model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(inplace=True))
    model[0].bias.data[:4] = -100
    assert "4 of 10 units" in find(diagnose(model, torch.randn(2, 3, 9, 9)), "dead").text
    model = nn.Sequential(nn.Conv1d(3, 10, 3), nn.ReLU())
    model[0].bias.data[:4] = -100
    assert "4 of 10 units" in find(diagnose(model, torch.randn(2, 3, 20)), "dead").text
    model = nn.Sequential(nn.Conv1d(3, 10, 3), nn.Flatten(), nn.Linear(180, 10), nn.Unflatten(1, (1, 10)), nn.ReLU())
    model[2].bias.data[:4] = -100
    assert "4 of 10 units" in find(diagnose(model, torch.randn(20, 3, 20)), "dead").text


def test_where_examples_are_alike_no_unit_is_called_dead():
    model, x, y = mlp()
    report = diagnose(model, torch.randn(1, 8) + 0.001 * x, y)
    assert not [f for f in report.findings if "dead" in f.text] and math.isnan(layer(report, "1").dead)


@pytest.mark.parametrize("scale, level", [(1, "note"), (3, "serious")])
def test_saturated_layers_also_of_ones_own(scale, level):
    class Tanh(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    model = nn.Sequential(nn.Linear(30, 100), Tanh(), nn.Linear(100, 100), nn.Sigmoid(), nn.Linear(100, 3), nn.Tanh())
    model[0].weight.data.normal_(std=scale * 5 / 3 / 30**0.5)
    model[4].weight.data *= 100  # at the end, being sure is no fault
    report = diagnose(model, torch.randn(64, 30))
    finding = find(report, "saturated")
    assert finding[:2] == (level, "1")
    assert finding.text.startswith(f"`1` (Tanh): {layer(report, '1').saturated:.0%} of its outputs are saturated")
    assert layer(report, "5").saturated > 0.5 and layer(report, "3").saturated == 0
    model[2].weight.data.normal_()
    assert [f.layer for f in diagnose(model, torch.randn(64, 30)).findings if "saturated" in f.text][-1] in "13"
    assert layer(diagnose(model, torch.randn(64, 30)), "3").saturated > 0.3
    model[0].bias.data[:30] = 100
    dead = find(diagnose(model, torch.randn(64, 30)), "30 of 100 units are dead .saturated")
    assert dead[:2] == ("serious", "1")


def test_a_layer_that_multiplies_its_input():
    model, x, y = mlp()
    model[2].weight.data *= 20
    report = diagnose(model, x, y)
    gain = layer(report, "2").gain
    assert gain > 10 and "multiplies the size" in serious(report)[0].text
    assert f"by {gain:.3g}," in find(report, "multiplies the size").text and serious(report)[0].layer == "2"
    model[2].weight.data /= 400
    model[2].bias.data.zero_()
    finding = find(diagnose(model, x, y), "multiplies the size")
    assert finding[:2] == ("serious", "2") and re.search(r"by 0\.0\d+,", finding.text)
    normed = nn.Sequential(model[0], model[1], model[2], nn.LayerNorm(32), *model[3:])
    assert not [f for f in diagnose(normed, x, y).findings if "multiplies the size" in f.text]
    model[2].weight.data *= 5  # a quarter of the usual
    assert find(diagnose(model, x, y), "multiplies the size").level == "note"
    model[4].weight.data /= 1000  # an output layer may start small
    model[4].bias.data.zero_()
    report = diagnose(nn.Sequential(*model, nn.LogSoftmax(-1)), x, y)
    assert find(report, "multiplies the size").text.startswith("`2` (Linear): ")


def test_growth_over_many_layers():
    model, x, y = tanh(8, gain=3)
    linears = nn.Sequential(*(m for m in model if isinstance(m, nn.Linear)))
    for m in linears:
        m.bias.data.zero_()
    finding = find(diagnose(linears, x, y), "times that of")
    assert finding[:2] == ("serious", "7") and "`0`" in finding.text and "by 0.33" in finding.text
    for m in linears[:-1]:
        m.weight.data *= 0.4 / 3
    finding = find(diagnose(linears, x, y), "times that of")
    assert finding[:2] == ("serious", "7") and re.search(r"is 0\.00\d+ times", finding.text)


def test_gradients_that_vanish_or_explode():
    model, x, y = tanh(8, gain=0.35)
    finding = find(diagnose(model, x, y), "its gradient is")
    assert finding[:2] == ("serious", "0") and "`14`" in finding.text and re.search(r"is 0\.00\d+ times", finding.text)
    linears = nn.Sequential(*(m for m in tanh(8, gain=3)[0] if isinstance(m, nn.Linear)))
    finding = find(diagnose(linears, x, y), "its gradient is")
    assert finding[:2] == ("serious", "0") and "`7`" in finding.text and "largest step is from" in finding.text
    model, x, y = tanh(4, gain=1)
    model[4].weight.data *= 20
    model[4].bias.data.zero_()
    report = diagnose(nn.Sequential(*(m for m in model if isinstance(m, nn.Linear))), x, y)
    assert find(report, "multiplies the gradient")[:2] == ("note", "2")


def test_a_step_past_a_residual_is_no_fault_of_a_layer():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(64, 64), nn.Linear(64, 64)
            nn.init.normal_(self.down.weight, std=0.005)

        def forward(self, x):
            return x + self.down(self.up(x))

    model = nn.Sequential(Residual(), Residual(), Residual(), nn.Linear(64, 5))
    report = diagnose(model, torch.randn(64, 64), torch.randint(5, (64,)))
    assert layer(report, "0.down").grad / layer(report, "1.up").grad > 10
    # Within each block `down` does so indeed; from block to block, the sum in between does.
    assert {f.layer for f in report.findings if "multiplies the gradient" in f.text} == {"0.down", "1.down", "2.down"}


def test_the_gradient_behind_pooling_has_not_vanished():
    """Behind an average over 900 places, each gets a 900th of the gradient: nothing vanishes there."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 5))
    report = diagnose(model, torch.randn(16, 3, 30, 30), torch.randint(5, (16,)))
    assert layer(report, "6").grad / layer(report, "0").grad > 100
    assert not [f for f in report.findings if "gradient" in f.text]


def test_an_output_that_never_changes():
    class Forgets(nn.Module):
        def forward(self, x):
            return x.softmax(-1).sum(-1, keepdim=True)

    model = nn.Sequential(nn.Linear(8, 8), Forgets(), nn.Linear(1, 3))
    finding = find(diagnose(model, torch.randn(32, 8)), "the same for every example")
    assert finding[:2] == ("serious", "1")
    assert not diagnose(nn.Sequential(nn.Embedding(3, 2)), torch.zeros(32, dtype=torch.long)).findings
    model, x, y = mlp()
    model[4].weight.data.zero_()  # a usual start of an output layer
    report = diagnose(model, x, y)
    assert not serious(report) and find(report, "the same for every example")[:2] == ("note", "4")
    assert "`4.weight` is all 0" in find(report, "exactly 0").text


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.spare, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.use = lambda h: h

    def forward(self, x):
        return self.head(self.use(self.b(self.a(x).relu())))


def test_parameters_without_a_gradient():
    model, x, y = Parts(), torch.randn(32, 8), torch.randint(3, (32,))
    finding = find(diagnose(model, x, y), "no gradient comes here")
    assert finding[:2] == ("note", "spare") and "`spare.weight`, `spare.bias`: " in finding.text
    assert "never uses" in finding.text
    model.use = torch.Tensor.detach
    finding = find(diagnose(model, x, y), "no gradient comes here")
    assert finding[:2] == ("serious", "a") and "`a.weight`, `a.bias`, `b.weight`, 3 more: " in finding.text
    model.use = lambda h: 0 * h
    finding = find(diagnose(model, x, y), "exactly 0")
    assert finding.level == "serious" and "`a.weight`" in finding.text and "loss does not depend" in finding.text
    model, x, y = mlp()
    model[0].requires_grad_(False)
    report = diagnose(model, x, y)
    assert find(report, "frozen")[:2] == ("note", "0") and "2 of 6 parameters" in report.findings[0].text
    assert len(report.findings) == 1 and math.isnan(layer(report, "0").grad) and layer(report, "2").grad > 0
    report = diagnose(model.requires_grad_(False), x, y)
    assert report.loss > 0 and "6 of 6" in find(report, "frozen").text


def test_numbers_that_are_none():
    model, x, y = mlp()
    model[2].weight.data[3, 3] = math.nan
    report = diagnose(model, x, y)
    assert len(report.findings) == 1 and report.findings[0][:2] == ("serious", "2")
    assert "its input is finite" in report.findings[0].text
    report = diagnose(mlp()[0], x / 0)
    assert report.findings[0][:2] == ("serious", "0") and "its input is so too" in report.findings[0].text
    report = diagnose(mlp()[0], x, y, loss=lambda out, t: out.sum() * math.inf)
    assert report.findings[0][:2] == ("serious", "4") and "the loss is" in report.findings[0].text
    report = diagnose(mlp()[0], x, y, loss=lambda out, t: (out - out).sqrt().sum())
    assert report.loss == 0 and report.findings[0][:2] == ("serious", "4")
    assert "on the way back" in report.findings[0].text
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Identity()), nn.Linear(8, 3))
    model[1][0].forward = lambda h: (h - h).abs().sqrt() + h
    assert find(diagnose(model, x, torch.randint(3, (256,))), "on the way back").layer == "0"
    masks = nn.Sequential(nn.Identity(), nn.Softmax(-1))
    masks[0].forward = lambda h: h.masked_fill(h > 0.5, -math.inf)
    assert not serious(diagnose(masks, x))


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
    assert find(diagnose(rnn, torch.randn(5, 3, 8), evaluating=True), "though you evaluate").layer == "LSTM"


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


def test_a_bias_before_a_batch_norm():
    model, x, y = tanh(2, norm=True)
    model[0].bias = nn.Parameter(torch.randn(100))
    finding = find(diagnose(model, x, y), "useless")
    assert finding[:2] == ("note", "0") and finding.text.startswith("`0.bias`: ") and "bias=False" in finding.text
    model.train()(x)
    assert not [f for f in diagnose(model.eval(), x, y).findings if "useless" in f.text]


def test_a_first_loss_beyond_guessing():
    model, x, y = tanh(2, gain=1)
    model[4].weight.data *= 30
    report = diagnose(model, x, y)
    finding = find(report, "too confident")
    assert finding[:2] == ("serious", "4")
    assert f"the loss is {report.loss:.3g} where guessing costs 3.3 (log 27)" in finding.text
    model[4].weight.data /= 6
    assert find(diagnose(model, x, y), "too confident").level == "note"
    assert not diagnose(model, x, model(x).argmax(1)).findings  # far better than guessing is no fault
    assert not diagnose(model, x, y, loss=lambda out, y: 100 * out.abs().mean()).findings


def test_inputs_far_from_mean_0_and_deviation_1():
    model, x, y = mlp()
    for inputs, numbers in ((128 + 74 * x, "mean 12. and standard deviation 7"), (5 + x, r"mean (5|4\.9)"),
                            (x / 100, r"deviation 0\.0")):
        finding = find(diagnose(model, inputs, y), "the model's input has")
        assert finding[:2] == ("note", "0") and re.search(numbers, finding.text)
    assert not diagnose(model, torch.rand(256, 8), y).findings
    assert not diagnose(nn.Sequential(nn.BatchNorm1d(8), *model), 128 + 74 * x, y).findings


def test_learning_rates_that_cannot_fit():
    model, x, y = tanh(3, gain=1)
    model[6].weight.data *= 1e-3  # a small output layer is a usual start
    assert not [f for f in diagnose(model, x, y).findings if "gradient / weight" in f.text]
    model, x, y = tanh(3, gain=1)
    model[2].weight.data *= 1e-3
    model[2].bias.data *= 1e3
    finding = find(diagnose(model, x, y), "gradient / weight")
    assert finding.level == "note" and "`2.weight`" in finding.text


def test_the_worst_comes_first():
    model, x, y = mlp()
    model[2].bias.data -= 100
    levels = [f.level for f in diagnose(model, 50 * x, y).findings]
    assert levels == sorted(levels, reverse=True) and set(levels) == {"serious", "note"}


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error, words, call", [
    (TypeError, "needs a torch.nn.Module, not type", lambda: diagnose(nn.ReLU, torch.ones(2))),
    (ValueError, "lazy layers", lambda: diagnose(nn.LazyLinear(2), torch.ones(2, 3))),
    (ValueError, "no layer at work", lambda: diagnose(nn.Sequential(), torch.ones(2))),
    (ValueError, r"the output, tuple, and targets, Tensor: pass loss=",
     lambda: diagnose(nn.LSTM(3, 3), torch.ones(2, 3), torch.ones(2, 3))),
    (ValueError, "the output, Tensor, and targets, list", lambda: diagnose(nn.Linear(2, 2), torch.ones(2, 2), [0, 1])),
    (ValueError, r"torch.float32 \(4, 2\), and targets, torch.int64 \(3,\)",
     lambda: diagnose(nn.Linear(2, 2), torch.ones(4, 2), torch.zeros(3, dtype=torch.long))),
    (ValueError, r"torch.float32 \(4, 2\), and targets, torch.float32 \(4,\)",
     lambda: diagnose(nn.Linear(2, 2), torch.ones(4, 2), torch.zeros(4))),
    (ValueError, "targets, torch.bool", lambda: diagnose(nn.Linear(2, 2), torch.ones(4, 2), torch.zeros(4) > 0)),
    (ValueError, "a tensor with one number", lambda: diagnose(nn.Linear(2, 2), torch.ones(4, 2), loss=lambda o, t: o)),
    (ValueError, "a tensor with one number", lambda: diagnose(nn.Linear(2, 2), torch.ones(2), loss=lambda o, t: 1.0)),
    (ValueError, "no weight with two or more dimensions", lambda: Updates(nn.LayerNorm(3))),
    (RuntimeError, r"needs before\(\)", lambda: Updates(nn.Linear(2, 2)).after()),
])
def test_errors_are_one_clear_sentence(error, words, call):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_errors_of_the_model_pass():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        diagnose(nn.Linear(2, 2), torch.ones(4, 3))


# -- text and figures ------------------------------------------------------------------------------------


def test_the_printed_report():
    model, x, y = mlp()
    model[0].bias.data[:8] = -100
    report = diagnose(model, x, y)
    text = str(report)
    assert text == repr(report) == str(diagnose(model, x, y))
    lines = text.splitlines()
    assert lines[0].startswith("serious: `1` (ReLU): 8 of 32 units are dead") and max(map(len, lines)) <= 110
    table = lines[lines.index("") + 1:]
    assert table[0].split() == ["layer", "kind", "output", "mean", "std", "saturated", "dead", "gradient", "std"]
    assert table[2].split()[:3] == ["1", "ReLU", "256x32"] and table[2].split()[5:7] == ["-", "25%"]
    assert len(table) == 6 and len({len(line) for line in table}) == 1  # aligned
    assert "nan" not in text and "object at" not in text
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


def test_the_figure_of_a_broken_net():
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


def tanh_net(gain, depth=6, seed=0):
    torch.manual_seed(seed)
    layers = [m for _ in range(depth) for m in (nn.Linear(64, 64), nn.Tanh())]
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, std=gain / 8)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, nn.Linear(64, 10))


def test_a_signal_that_fades_from_layer_to_layer_is_said():
    """Gain 0.5 in six tanh layers: outputs shrink more than ten times, and so do gradients on the way back."""
    found = diagnose(tanh_net(0.5), torch.randn(64, 64), torch.arange(64) % 10).findings
    text = " ".join(f.text for f in found)
    assert "size (root mean square) of outputs is 0.0" in text and "its gradient is 0.0" in text
    assert not diagnose(tanh_net(5 / 3), torch.randn(64, 64), torch.arange(64) % 10).findings[3:]


def test_saturation_is_serious_at_the_start_and_a_note_once_the_loss_is_low():
    net, x = tanh_net(6.0), torch.randn(64, 64)
    assert "scale down" in diagnose(net, x, torch.arange(64) % 10).findings[0].text
    with torch.no_grad():
        net[-1].weight.mul_(30)
        learned = net(x).argmax(1)  # its own answers: a low loss
    found = [f for f in diagnose(net, x, learned).findings if "saturated" in f.text]
    assert found and all(f.level == "note" and "may just be sure" in f.text for f in found)


# -- found by an attack with a hundred nets --------------------------------------------------------------


class Residual(nn.Module):
    """A residual block as in ResNet: one ReLU, called twice; `scale` multiplies the branch."""

    def __init__(self, n=32, scale=None):
        super().__init__()
        self.a, self.b, self.relu = nn.Linear(n, n), nn.Linear(n, n), nn.ReLU()
        self.scale = None if scale is None else nn.Parameter(torch.full((n,), scale))

    def forward(self, x):
        y = self.b(self.relu(self.a(x)))
        return self.relu(x + (y if self.scale is None else self.scale * y))


def blocks(scale=None, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(16, 32), *[Residual(scale=scale) for _ in range(3)], nn.Linear(32, 10))


X16, Y10 = torch.randn(64, 16, generator=torch.Generator().manual_seed(5)), torch.arange(64) % 10


def grave(report):
    return [f for f in report.findings if f.level == "serious"]


def test_a_relu_that_is_called_twice_is_dead_in_either_call():
    net = blocks()
    net[2].a.bias.data -= 100
    first = diagnose(net, X16, Y10).findings[0]
    assert first.layer == "2.relu" and "all 32 units are dead" in first.text and "an earlier call" in first.text


@pytest.mark.parametrize("scale", [0.0, 1e-6])
def test_a_residual_branch_that_starts_at_nothing_is_no_fault(scale):
    assert not grave(diagnose(blocks(scale), X16, Y10))


def test_a_model_without_weights_to_draw_is_drawn():
    for report in (diagnose(nn.LSTM(4, 8), torch.randn(9, 32, 4)), diagnose(nn.Tanh(), torch.randn(32, 4))):
        report.plot()
        plt.close("all")


def test_several_outputs_are_not_judged_as_hidden_layers():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.policy, self.value = nn.Linear(16, 32), nn.Linear(32, 4), nn.Linear(32, 1)
            self.policy.weight.data *= 0.001
            self.policy.bias.data.zero_()

        def forward(self, x):
            h = torch.tanh(self.trunk(x))
            return self.policy(h), self.value(h)
    torch.manual_seed(0)
    report = diagnose(Heads(), X16, loss=lambda out, _: out[0].logsumexp(1).mean() + out[1].square().mean())
    assert not grave(report)


def test_one_example_says_nothing_about_running_statistics():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    for _ in range(60):
        net(torch.randn(256, 16))
    assert not grave(diagnose(net.eval(), X16[:1]))


def test_hardtanh_saturates_at_its_own_ends():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.Hardtanh(-3, 3), nn.Linear(32, 10))
    assert not diagnose(net, X16, Y10).findings
    net[0].weight.data *= 40
    assert "(-2.91, 2.91)" in " ".join(f.text for f in diagnose(net, X16, Y10).findings)


def test_python_and_numpy_draw_the_same_afterwards():
    import random

    import numpy

    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x) * random.random() * numpy.random.rand()
    random.seed(1), numpy.random.seed(1)
    wanted = random.random(), numpy.random.rand()
    random.seed(1), numpy.random.seed(1)
    diagnose(Noisy(16, 10), X16, Y10)
    assert (random.random(), numpy.random.rand()) == wanted


def test_what_cannot_be_copied_is_said_in_one_sentence():
    import threading
    net = nn.Linear(16, 10)
    net.lock = threading.Lock()
    with pytest.raises(ValueError, match="works on a copy, and the model holds something that cannot be copied"):
        diagnose(net, X16, Y10)


def test_many_layers_with_one_fault_give_one_finding():
    torch.manual_seed(0)
    layers = [m for _ in range(4) for m in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(16, 10))
    never = [f for f in diagnose(net.eval(), X16, Y10).findings if "never seen" in f.text]
    assert len(never) == 1 and "`1` (BatchNorm1d), `4` (BatchNorm1d), `7` (BatchNorm1d), 1 more" in never[0].text
    few = [f for f in diagnose(net.train(), X16[:4], Y10[:4]).findings if "noisy" in f.text]
    assert len(few) == 1 and few[0].level == "note"


def test_a_size_that_comes_from_the_bias_is_not_blamed_on_the_weights():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 10))
    net[1].bias.data += 40
    assert "its bias is to blame" in diagnose(net, X16, Y10).findings[0].text


def test_a_frozen_batch_norm_may_rest_in_eval_mode():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    for _ in range(60):
        net(torch.randn(256, 16))
    net[1].requires_grad_(False).eval()
    assert not grave(diagnose(net, X16, Y10))
    net[1].requires_grad_(True)
    assert grave(diagnose(net, X16, Y10))[0].layer == "1"
