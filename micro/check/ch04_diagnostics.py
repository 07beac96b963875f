"""The checks of notebook 04, diagnostics."""
import torch
import torch.nn.functional as F
from torch import nn

from micro.check import Exercise
from micro.check.kinds import randn

# -- 1: dead units -------------------------------------------------------------------------------------

def outputs(n, units, seed, dead):
    """Outputs of tanh, the first `dead` columns saturated throughout; and of ReLU, those columns 0."""
    x = torch.randn(n, units, generator=torch.Generator().manual_seed(seed))
    h = torch.tanh(x)
    h[:, :dead] = torch.where(x[:, :dead] < 0, -0.99, 0.99)
    h[:, 0] = 0.99
    r = torch.relu(x)
    r[:, :dead] = 0
    return h, r


def dead_units(h, kind):
    silent = h.abs() > 0.97 if kind == "tanh" else h == 0
    return silent.all(0).sum().item()


tanh8, relu8 = outputs(40, 8, 0, 3)
tanh5, relu5 = outputs(6, 5, 1, 1)

ex04_1 = Exercise(
    "04.1", answer=dead_units,
    cases=[(tanh8, "tanh"), (relu8, "relu"), (tanh5, "tanh"), (relu5, "relu"), (tanh8[:, 3:], "tanh")],
    show=lambda h, kind: f"{kind} outputs of shape {tuple(h.shape)}",
    mistakes={
        "that counts saturated *outputs*: a unit is dead if it is saturated for every example": """
            def dead_units(h, kind):
                silent = h.abs() > 0.97 if kind == "tanh" else h == 0
                return silent.sum().item()
            """,
        "that counts units that are silent for *some* example: use all, not any": """
            def dead_units(h, kind):
                silent = h.abs() > 0.97 if kind == "tanh" else h == 0
                return silent.any(0).sum().item()
            """,
        "that asks each example, not each unit: .all(0) goes down the columns": """
            def dead_units(h, kind):
                silent = h.abs() > 0.97 if kind == "tanh" else h == 0
                return silent.all(1).sum().item()
            """,
        "tanh saturates at both ends: take abs() first": """
            def dead_units(h, kind):
                silent = h > 0.97 if kind == "tanh" else h == 0
                return silent.all(0).sum().item()
            """,
        "`kind` plays no part: a dead ReLU gives exactly 0": """
            def dead_units(h, kind):
                return (h.abs() > 0.97).all(0).sum().item()
            """,
    })


# -- 2: a gain -----------------------------------------------------------------------------------------

def gain_for(f):
    """1 over the root of the mean of f(x)², an integral over the bell curve."""
    x = torch.linspace(-12, 12, 200_001, dtype=torch.double)
    p = torch.exp(-x**2 / 2)
    return ((f(x) ** 2 * p).sum() / p.sum()).sqrt().item() ** -1


ex04_2 = Exercise(
    "04.2", answer=gain_for, tol=0.01, near=0.03, show=lambda f: f"f = {f.__name__}",
    cases=[(torch.relu,), (torch.tanh,), (F.silu,), (torch.sin,), (torch.sigmoid,)],
    mistakes={
        "that is how much f shrinks its input; the gain makes up for it, so it is 1 divided by that": """
            def gain_for(f):
                x = torch.randn(1_000_000)
                return f(x).square().mean().sqrt().item()
            """,
        "the sum over W sees the mean square of f(x), not its variance: a mean other than 0 counts too": """
            def gain_for(f):
                x = torch.randn(1_000_000)
                return x.std().item() / f(x).std().item()
            """,
        "take the root: the mean square is the square of what you want": """
            def gain_for(f):
                x = torch.randn(1_000_000)
                return 1 / f(x).square().mean().item()
            """,
    })


# -- 3: running statistics -----------------------------------------------------------------------------

def running(values, momentum):
    r, out = 0.0, []
    for n, value in enumerate(values, start=1):
        r += (1 / n if momentum is None else momentum) * (value - r)
        out.append(r)
    return out


ex04_3 = Exercise(
    "04.3", answer=running, tol=1e-9, near=1e-4,
    cases=[([1.0, 3.0, 2.0, 5.0], 0.1), ([4.0, -2.0, 7.0], None), ([2.0, 2.0, 2.0, 2.0], 0.5), ([3.0, 1.0], 1.0)],
    mistakes={
        "momentum is the weight of the *new* value here (in other libraries it is the weight of the old one)": """
            def running(values, momentum):
                r, out = 0.0, []
                for n, value in enumerate(values, start=1):
                    keep = 1 - 1 / n if momentum is None else momentum
                    r = keep * r + (1 - keep) * value
                    out.append(r)
                return out
            """,
        "start from 0.0, not from the first value": """
            def running(values, momentum):
                r, out = values[0], []
                for n, value in enumerate(values, start=1):
                    share = 1 / n if momentum is None else momentum
                    r += share * (value - r)
                    out.append(r)
                return out
            """,
        "return what stands after *each* value, as a list": """
            def running(values, momentum):
                r = 0.0
                for n, value in enumerate(values, start=1):
                    share = 1 / n if momentum is None else momentum
                    r += share * (value - r)
                return r
            """,
        "that is the plain mean in every case: use the momentum": """
            def running(values, momentum):
                return [sum(values[:n]) / n for n in range(1, len(values) + 1)]
            """,
    })


# -- 4: group norm -------------------------------------------------------------------------------------

def uneven(N, C, L, seed):
    """Each channel with a standard deviation of its own, each example with a mean of its own."""
    x = randn(torch.Generator().manual_seed(seed), N, C, L)
    return 0.2 * x * torch.arange(1, C + 1)[:, None] + torch.arange(N)[:, None, None]


ex04_4 = Exercise(
    "04.4", answer=F.group_norm, tol=1e-6, near=1e-6,
    cases=[(uneven(4, 6, 5, 0), 2), (uneven(2, 8, 3, 1), 4), (uneven(3, 4, 7, 2), 1), (0.01 * uneven(3, 6, 4, 3), 3)],
    show=lambda x, groups: f"x of shape {tuple(x.shape)} in {groups} groups",
    mistakes={
        "the variance divides by n here, not by n - 1: correction=0": """
            def group_norm(x, groups):
                g = x.view(len(x), groups, -1)
                return ((g - g.mean(2, keepdim=True)) / torch.sqrt(g.var(2, keepdim=True) + 1e-5)).view(x.shape)
            """,
        "a group consists of neighbours, such as channels 0, 1, 2 and 3, 4, 5, not of every second channel": """
            def group_norm(x, groups):
                N, C, L = x.shape
                g = x.view(N, C // groups, groups, L)
                mean, var = g.mean((1, 3), keepdim=True), g.var((1, 3), keepdim=True, correction=0)
                return ((g - mean) / torch.sqrt(var + 1e-5)).view(x.shape)
            """,
        "`groups` says how many groups there are, not how many channels are in one": """
            def group_norm(x, groups):
                N, C, L = x.shape
                g = x.view(N, -1, groups * L)
                mean, var = g.mean(2, keepdim=True), g.var(2, keepdim=True, correction=0)
                return ((g - mean) / torch.sqrt(var + 1e-5)).view(x.shape)
            """,
        "the positions share the mean too: average over the channels *and* positions of a group": """
            def group_norm(x, groups):
                N, C, L = x.shape
                g = x.view(N, groups, C // groups, L)
                mean, var = g.mean(2, keepdim=True), g.var(2, keepdim=True, correction=0)
                return ((g - mean) / torch.sqrt(var + 1e-5)).view(x.shape)
            """,
        "that is instance norm: all channels of a group share one mean": """
            def group_norm(x, groups):
                return F.instance_norm(x)
            """,
        "that is layer norm: each group has a mean of its own": """
            def group_norm(x, groups):
                return F.group_norm(x, 1)
            """,
        "examples must not be mixed: do not average over dimension 0": """
            def group_norm(x, groups):
                g = x.view(len(x), groups, -1)
                mean, var = g.mean((0, 2), keepdim=True), g.var((0, 2), keepdim=True, correction=0)
                return ((g - mean) / torch.sqrt(var + 1e-5)).view(x.shape)
            """,
        "eps is missing: 1e-5 is added to the variance": """
            def group_norm(x, groups):
                g = x.view(len(x), groups, -1)
                return ((g - g.mean(2, keepdim=True)) / g.std(2, keepdim=True, correction=0)).view(x.shape)
            """,
    })


# -- 5: folding batch norm into a linear layer ---------------------------------------------------------

def folded(fn, fan_in, fan_out, bias, seed):
    torch.manual_seed(seed)
    linear, bn = nn.Linear(fan_in, fan_out, bias=bias).double(), nn.BatchNorm1d(fan_out).double().eval()
    for t in (bn.weight.data, bn.bias.data, bn.running_mean):
        t.copy_(torch.randn(fan_out) + 0.5)
    bn.running_var.copy_(torch.rand(fan_out) * 0.01)  # small, so that eps matters
    weight, b = (t.detach() for t in fn(linear, bn))
    x = torch.randn(7, fan_in, dtype=torch.double)
    shapes = f"weight {tuple(weight.shape)}, bias {tuple(b.shape)}"
    if shapes != f"weight {(fan_out, fan_in)}, bias {(fan_out,)}":
        return {"shapes": shapes}
    return {"shapes": shapes, "output": x @ weight.T + b}


def fold(linear, bn):
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    bias = 0 if linear.bias is None else linear.bias
    return linear.weight * scale[:, None], (bias - bn.running_mean) * scale + bn.bias


ex04_5 = Exercise(
    "04.5", answer=fold, probe=folded, tol=1e-5, near=1e-4,
    cases=[(4, 4, True, 0), (3, 5, False, 1), (6, 2, True, 2)],
    show=lambda fan_in, fan_out, bias, seed: f"Linear({fan_in}, {fan_out}, bias={bias})",
    mistakes={
        "eps is missing: it is added to the running variance": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale[:, None], (bias - bn.running_mean) * scale + bn.bias
            """,
        "the root is missing: divide by √(running_var + eps)": """
            def fold(linear, bn):
                scale = bn.weight / (bn.running_var + bn.eps)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale[:, None], (bias - bn.running_mean) * scale + bn.bias
            """,
        "each *row* of the weight gets its own scale: scale[:, None]": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale, (bias - bn.running_mean) * scale + bn.bias
            """,
        "the linear layer's own bias is lost: it is added before the running mean is subtracted": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                return linear.weight * scale[:, None], bn.bias - bn.running_mean * scale
            """,
        "the linear layer's bias is scaled too: batch norm acts on Wx + b": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale[:, None], bias - bn.running_mean * scale + bn.bias
            """,
        "the running mean is missing: subtract it from the linear layer's bias": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale[:, None], bias * scale + bn.bias
            """,
        "batch norm's own bias, bn.bias, is missing": """
            def fold(linear, bn):
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                bias = 0 if linear.bias is None else linear.bias
                return linear.weight * scale[:, None], (bias - bn.running_mean) * scale
            """,
    })


# -- 6: retune -----------------------------------------------------------------------------------------

def retune(weights, grads):
    at_one = torch.stack([g.std() / w.std() for w, g in zip(weights, grads)])
    return 1e-3 / at_one.median().item()


def tensors(*stds, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [std * randn(g, 4, 3 + k) + std for k, std in enumerate(stds)]


ex04_6 = Exercise(
    "04.6", answer=retune, tol=1e-6, near=1e-3,
    cases=[(tensors(1, 0.5, 2), tensors(0.01, 0.3, 0.002, seed=1)), (tensors(0.1), tensors(0.5, seed=2)),
           (tensors(1, 1, 1, 1, 3), tensors(0.1, 0.2, 0.01, 5, 0.4, seed=3))],
    show=lambda weights, grads: f"{len(weights)} tensors",
    mistakes={
        "that takes the mean over the tensors; take the median": """
            def retune(weights, grads):
                at_one = torch.stack([g.std() / w.std() for w, g in zip(weights, grads)])
                return 1e-3 / at_one.mean().item()
            """,
        "upside down: the larger the gradients are, the smaller the learning rate must be": """
            def retune(weights, grads):
                at_one = torch.stack([g.std() / w.std() for w, g in zip(weights, grads)])
                return 1e-3 * at_one.median().item()
            """,
        "compare standard deviations, not norms": """
            def retune(weights, grads):
                at_one = torch.stack([g.norm() / w.norm() for w, g in zip(weights, grads)])
                return 1e-3 / at_one.median().item()
            """,
    })


# -- 7: three networks ---------------------------------------------------------------------------------

def mystery_network(name):
    """A network with one fault, and a batch for it: (net, inputs, targets). name: "A", "B" or "C"."""
    if name not in ("A", "B", "C"):
        raise ValueError(f"there is no network {name!r}: choose 'A', 'B' or 'C'.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ord(name))
        targets = torch.arange(64) % 10
        if name == "B":
            block = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                     nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
            net, x = nn.Sequential(*block, nn.Flatten(), nn.Linear(256, 10)), torch.randn(64, 3, 8, 8)
            net(torch.randn(512, 3, 8, 8))
            for _ in range(60):  # its running statistics are good
                net(torch.randn(64, 3, 8, 8))
            net.eval()[4].train()
            return net, x, targets
        sizes = [20, 64, 64, 64, 64]
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        net = nn.Sequential(*layers, nn.Linear(64, 10))
        for layer in net[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        net[8].weight.data *= 0.1
        if name == "A":
            net[4].weight.data *= 25
        else:
            net[2].bias.data -= 40
        return net, torch.randn(64, 20), targets


patients = {"A": ("4", "exploding"), "B": ("4", "wrong mode"), "C": ("3", "dead")}


def compared(fn):
    """How each network's diagnosis compares; it must not give the answer away."""
    told = {name: tuple(str(part) for part in pair) for name, pair in fn().items()}
    if told.get("C") == ("2", "dead"):
        told["C"] = ("3", "dead")  # the linear layer whose biases are to blame
    right = {name: [a == b for a, b in zip(told.get(name, ()), pair)] for name, pair in patients.items()}
    verdict = {(True, True): "right", (True, False): "the right layer, another illness",
               (False, True): "the right illness, another layer: look at its *input*", (False, False): "neither"}
    return {f"diagnosis of {name}": verdict.get(tuple(r), "two words are wanted: layer and illness")
            for name, r in right.items()}


ex04_7 = Exercise(
    "04.7", answer=lambda: patients, probe=compared, cases=[()], show=lambda: "the three networks",
    mistakes={
        "B is about to be used, after eval(): one of its layers is in another mode than the rest": """
            def diagnoses():
                return {"A": ("4", "exploding"), "B": ("4", "uncalibrated"), "C": ("3", "dead")}
            """,
        "A's activations are large from one layer on: name the first, where the size jumps": """
            def diagnoses():
                return {"A": ("6", "exploding"), "B": ("4", "wrong mode"), "C": ("3", "dead")}
            """,
        "A has no tanh that could saturate: what does its layer do to the size of its input?": """
            def diagnoses():
                return {"A": ("4", "saturated"), "B": ("4", "wrong mode"), "C": ("3", "dead")}
            """,
        "C's units are not just often at zero, they are at zero for *every* example": """
            def diagnoses():
                return {"A": ("4", "exploding"), "B": ("4", "wrong mode"), "C": ("3", "zero")}
            """,
    })


# -- 8: born with zeros --------------------------------------------------------------------------------

def moves(zero):
    names, g = ("C", "W1", "b1", "W2", "b2"), torch.Generator().manual_seed(0)
    shapes = [(27, 4), (12, 6), (6,), (6, 27), (27,)]
    parameters = [(0.3 * torch.randn(s, generator=g) * (n not in zero)).requires_grad_()
                  for n, s in zip(names, shapes)]
    C, W1, b1, W2, b2 = parameters
    X, Y = torch.randint(0, 27, (20, 3), generator=g), torch.randint(0, 27, (20,), generator=g)
    loss = F.cross_entropy(torch.tanh(C[X].view(20, -1) @ W1 + b1) @ W2 + b2, Y)
    return {n for n, s in zip(names, torch.autograd.grad(loss, parameters)) if s.abs().max() > 0}


ex04_8 = Exercise(
    "04.8", answer=moves,
    cases=[(set(),), ({"W2"},), ({"W1", "b1"},), ({"W1", "b1", "W2", "b2"},), ({"C"},), ({"C", "b1"},), ({"b2"},)],
    show=lambda zero: f"{' and '.join(sorted(zero)) or 'nothing'} at zero",
    mistakes={
        "a tensor at zero can have a gradient: b2 always has one": """
            def moves(zero):
                return {"C", "W1", "b1", "W2", "b2"} - zero
            """,
        "a tensor's *own* zeros do not stop it: look at what its gradient is made of": """
            def moves(zero):
                found = {"b2"}
                if not ("b1" in zero and zero & {"C", "W1"}):    # else h is zero
                    found.add("W2")
                if "W2" not in zero:
                    found.add("b1")
                    if "C" not in zero:
                        found.add("W1")
                    if "W1" not in zero:
                        found.add("C")
                return found - zero
            """,
        "not everything moves: with W2 at zero no gradient passes to the layers below": """
            def moves(zero):
                return {"C", "W1", "b1", "W2", "b2"}
            """,
    })
