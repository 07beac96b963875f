"""The parts of the bench of folk tips (tests.bench.tips) in notebook 10's nets: batch norm, starts, whitening."""
import functools
import statistics

import torch
import torch.nn.functional as F
from torch import nn

from micro.speedrun import init_whiten
from micro.train import fit, split_loss
from tests.bench.layers import image_figures, measured, say


class Wobble(nn.Module):
    """In training, each feature is scaled and shifted by a fresh random amount at every step."""

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.exp(0.25 * torch.randn(x.shape[1])) + 0.25 * torch.randn(x.shape[1])


def six_layers(kind, seed):
    torch.manual_seed(seed)
    layers = [nn.Embedding(27, 8), nn.Flatten()]
    for fan_in in (64, 100, 100, 100, 100, 100):
        layers += [nn.Linear(fan_in, 100), nn.BatchNorm1d(100) if "batch" in kind else nn.Identity(),
                   Wobble() if "wobble" in kind else nn.Identity(), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-4].weight, nonlinearity="relu")
    return nn.Sequential(*layers, nn.Linear(100, 27))


def steady(ten, nine):
    """Tip 20: how much the log variance of a feature moves from step to step, before the norm and where the next layer
    sees it, on the same 512 rows; and what a wobble that is put in behind batch norm does to the loss."""
    X, Y, probe = nine["Wtr"], nine["Vtr"], nine["Wte"][:512]

    def look(net):
        seen, x = {"before": [], "after": []}, probe
        with torch.no_grad():
            for layer in net:
                if isinstance(layer, nn.BatchNorm1d):
                    layer.momentum = 0.0
                if isinstance(layer, nn.ReLU):
                    seen["after"].append(x.var(0))
                x = layer(x)
                if isinstance(layer, nn.BatchNorm1d):
                    layer.momentum = 0.1
                if isinstance(layer, nn.Linear) and layer.out_features == 100:
                    seen["before"].append(x.var(0))
        return {k: (torch.stack(v) + 1e-6).log() for k, v in seen.items()}     # (layers, features)

    def run(kind, lr, seed):
        net, g, last, moved = six_layers(kind, seed), torch.Generator().manual_seed(seed), {}, []

        def batch_loss():
            ix = torch.randint(len(X), (64,), generator=g)
            return F.cross_entropy(net(X[ix]), Y[ix])

        def watch():
            now = look(net)
            if last:
                moved.append([(now[k] - last[k]).abs().mean().item() for k in ("before", "after")])
            last.update(now)
        fit(batch_loss, torch.optim.SGD(net.parameters(), lr), 200, watch={"moved": watch}, every=1)
        loss = split_loss(net, nine["Wte"], nine["Vte"])
        before, after = (statistics.mean(column) for column in zip(*moved or [(99, 99)]))
        return loss, {"loss": loss, "before": before, "after": after}

    return say("steady", {kind: measured(functools.partial(run, kind), (0.03, 0.1, 0.3, 1.0), 5)
                          for kind in ("none", "batch", "batch, wobble", "wobble")})


def starts(ten, nine):
    """Tip 22: 32 layers that start as the identity, with activations more and less linear, against residuals."""
    acts = {"ReLU": nn.ReLU, "leaky 0.3": lambda: nn.LeakyReLU(0.3), "leaky 0.8": lambda: nn.LeakyReLU(0.8),
            "slope learned, from 1": lambda: nn.PReLU(init=1.0), "tanh": nn.Tanh}

    def plain(act, seed):
        torch.manual_seed(seed)
        layers = [nn.Embedding(27, 8), nn.Flatten(), nn.Linear(64, 64)]
        for _ in range(32):
            layers += [nn.Linear(64, 64), act()]
            nn.init.eye_(layers[-2].weight)
            nn.init.zeros_(layers[-2].bias)
        return nn.Sequential(*layers, nn.Linear(64, 27))

    def run(make, lr, seed):
        loss = nine["learn_names"](make(seed=seed), lr=lr, seed=seed)
        return loss, {"loss": loss}
    kinds = {name: functools.partial(plain, act) for name, act in acts.items()}
    kinds |= {w: functools.partial(nine["deep"], 32, w) for w in ("zero", "pre")}
    return say("starts", {name: measured(functools.partial(run, make), (0.001, 0.003, 0.01), 5)
                          for name, make in kinds.items()})


def late(ten, nine):
    """Tip 19: the last part of the steps by running statistics; the gap is loss in use - loss in train mode."""
    def run(share, batch, lr, seed):
        net = nine["flat_net"](lambda d: nn.BatchNorm1d(d, momentum=batch / 640), seed=seed)
        steps, g, step = 16_000 // batch, torch.Generator().manual_seed(seed), iter(range(10**9))

        def batch_loss():
            if next(step) == int((1 - share) * steps):
                for layer in net:
                    layer.train(not isinstance(layer, nn.BatchNorm1d))
            ix = torch.randint(len(nine["Wtr"]), (batch,), generator=g)
            return F.cross_entropy(net(nine["Wtr"][ix]), nine["Vtr"][ix])
        fit(batch_loss, torch.optim.AdamW(net.parameters(), lr * (batch / 64)**0.5, fused=True), steps)
        use, train = nine["two_modes"](net, nine["Wte"], nine["Vte"], batch)
        return use, {"loss": use, "gap": use - train}
    return {str(batch): say(f"late, batch {batch}", {
        name: measured(functools.partial(run, share, batch), (0.012, 0.024, 0.048), 5)
        for name, share in (("never", 0.0), ("last fifth", 0.2), ("last half", 0.5))}) for batch in (64, 8)}


def order(ten, nine):
    """Tip 18: batch norm before or after the ReLU, names and pictures."""
    def swapped(net):
        layers = list(net)
        for k, layer in enumerate(layers[:-1]):
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layers[k], layers[k + 1] = layers[k + 1], layer
        return nn.Sequential(*layers)

    def names(change, lr, seed):
        loss = nine["learn_names"](change(nine["flat_net"](nn.BatchNorm1d, seed=seed)), lr=lr, seed=seed)
        return loss, {"loss": loss}

    def pictures(change, lr, seed):
        net = nine["learn"](change(nine["image_net"](nn.BatchNorm2d, seed=seed)), lr=lr, seed=seed)
        with torch.no_grad():
            return image_figures(nine, net)
    kinds = {"before": lambda net: net, "after": swapped}
    return {task: say(f"order, {task}", {name: measured(functools.partial(run, change), rates, 5)
                                         for name, change in kinds.items()})
            for task, run, rates in (("names", names, (0.012, 0.024)), ("pictures", pictures, (0.01, 0.02)))}


def whitening(ten, nine):
    """Tip 23: a first layer of 2×2 patches, random or whitening, frozen or not, before the net for pictures."""
    def run(white, frozen, lr, seed):
        torch.manual_seed(seed)
        front, body = nn.Conv2d(3, 24, 2, bias=False), nine["image_net"](nn.BatchNorm2d, nn.GELU, seed=seed)
        body[0] = nn.Conv2d(24, 16, 3, padding=1, bias=False)
        if white:
            with torch.no_grad():
                init_whiten(front, nine["Xtr"][:1000])
        front.requires_grad_(not frozen)
        net = nine["learn"](nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), front, nn.GELU(), *body), lr=lr, seed=seed,
                            pictures=8000)
        with torch.no_grad():
            return image_figures(nine, net)
    kinds = {"random": (False, False), "random, frozen": (False, True), "white": (True, False),
             "white, frozen": (True, True)}
    return say("whitening", {name: measured(functools.partial(run, *kind), (0.01, 0.02), 5, grow=False)
                             for name, kind in kinds.items()})
