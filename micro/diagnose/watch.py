"""The forward hook of diagnose(): what it notes about one call of a layer."""
import math
from types import SimpleNamespace

import torch
from torch.utils._pytree import tree_leaves

from .findings import BATCH, DEAD, LIMITS, POSITIONS


def tensor(x):
    return next((t for t in tree_leaves(x) if torch.is_tensor(t) and t.numel() and not t.is_complex()), None)


def measure(x):
    x = x.detach().to_dense().to(torch.promote_types(x.dtype, torch.float32))  # half precision would overflow
    alike = x.ndim > 0 and len(x) > 1 and bool((x - x[:1]).abs().max() <= 1e-6 * x.abs().max() < math.inf)
    return SimpleNamespace(x=x, mean=x.mean().item(), std=x.std(correction=0).item(), alike=alike,
                           rms=x.square().mean().sqrt().item())


def role_of(module):
    """What a module does, by its class's name and its weights: many write their own BatchNorm1d or Tanh."""
    name, weight = type(module).__name__.lower(), getattr(module, "weight", None)
    if isinstance(getattr(module, "running_var", None), torch.Tensor):
        return "batchnorm"
    known = [role for role in ("batchnorm", "norm", "dropout", "embedding", "relu") if role in name]
    return known[0] if known else "matrix" if isinstance(weight, torch.Tensor) and weight.ndim > 1 else name


def watch(run, name, module, args, output):
    """A forward hook, which makes the record of the call."""
    kind, role, x, y, nan = type(module).__name__, role_of(module), tensor(args), tensor(output), math.nan
    if y is None:
        return
    role = "relu" if role == "hardtanh" and getattr(module, "min_val", -1) >= 0 else role  # ReLU6 by another name
    ins = None if x is None else measure(x)
    out = measure(y)
    some = out.x.abs().flatten()[:: 1 + y.numel() // 10_000]  # enough for quantiles
    run.kept += [x, y]  # else their ids may come again
    before = run.records.pop(name, None)  # so that the order is that of the last calls
    layer = run.records[name] = SimpleNamespace(
        name=name or kind, kind=kind, shape=tuple(y.shape), mean=out.mean, std=out.std, rms=out.rms, saturated=nan,
        low=some.quantile(0.05).item(), high=some.quantile(0.95).item(), dead=nan, units=nan, gain=nan, grad=nan,
        shift=nan, stretch=nan, limits=None, fresh=False, role=role, module=module, prefix=name and f"{name}.",
        ins=(ins.mean, ins.std, ins.rms) if ins else None, links=(id(x), id(y)), node=y.grad_fn, forks=False,
        stuck=bool(ins and out.alike and not ins.alike and len(x) == len(y)))
    if y.isnan().any() or y.isposinf().any():  # -inf alone is what masks are made of
        run.bad.append((layer, "so too" if ins and not x.isfinite().all() else "finite"))
    if role == "matrix":
        run.dim = 1 if "conv" in kind.lower() else -1  # where the units are, until the next weights
        layer.gain = out.rms / ins.rms if ins and ins.rms and out.rms else nan
    if role in LIMITS or role == "relu":
        low, high = layer.limits = LIMITS.get(role, (0, 0))
        if role == "hardtanh" and hasattr(module, "max_val"):  # it may have other ends than -1 and 1
            middle, half = (module.min_val + module.max_val) / 2, (module.max_val - module.min_val) / 2
            low, high = layer.limits = round(middle + low * half, 4), round(middle + high * half, 4)
        off = (out.x < low) | (out.x > high) if role in LIMITS else out.x == 0
        layer.saturated = off.float().mean().item() if role in LIMITS else nan
        rows = off.movedim(run.dim if y.ndim > 2 else -1, -1).flatten(0, -2) if y.ndim > 1 else off[:0]
        dead, always = (int(r.all(0).sum()) for r in (rows, ~rows))
        # Where examples are alike, about as many ReLUs are never 0 as always 0: that says nothing about the units.
        alike = role == "relu" and (always > dead / 4 or dead - always < 2 * math.sqrt(dead + always))
        if len(rows) >= POSITIONS and (dead < DEAD[0] * rows.shape[1] or not alike):
            layer.dead, layer.units = dead, rows.shape[1]
    calls = [before.worst, layer] if before else [layer]
    layer.worst = max(calls, key=lambda l: l.dead / l.units if l.units > 0 else -1)
    if role == "batchnorm" and ins and not module.training and getattr(module, "running_mean", None) is not None:
        mean, var = module.running_mean.flatten(), module.running_var.flatten()
        layer.fresh = bool((mean == 0).all() and (var == 1).all())
        dims = [d for d in (1, -1) if x.ndim > 1 and x.shape[d] == len(mean)]
        rows = ins.x.movedim(dims[0], -1).flatten(0, -2) if dims else ()
        if len(rows) >= BATCH:  # one example has no variance
            layer.shift = ((rows.mean(0) - mean).abs() / (var + 1e-5).sqrt()).median().item()
            layer.stretch = ((rows.var(0, correction=0) + 1e-5) / (var + 1e-5)).log().abs().median().exp().item()

    def backward(g):
        layer.grad = measure(g).std
        run.late += [] if g.isfinite().all() else [layer]

    if y.requires_grad and not y.is_leaf:
        y.register_hook(backward)  # unlike a module's backward hook, this one allows in-place layers
