"""diagnose(): run one batch through a copy of a model, and back, and report what it looks like inside.

It watches modules, not what forward() does between them: of F.relu it sees only what that does to gradients, and it
sees nothing inside an LSTM.
"""
import copy
import math
import random
import sys
from collections import Counter
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map_only  # see through tuples, lists and dicts

from .findings import judge
from .report import Report, Weight
from .watch import measure, tensor, watch


def diagnose(model, inputs, targets=None, *, loss=None, evaluating=False):
    """Run one batch through a copy of `model`, and back if there is a loss, and report what it looks like inside.

    inputs: a tensor, a tuple or list (positional arguments) or a dict (keyword arguments).
    targets: whole numbers (cross entropy; classes last, or in dimension 1 as for images) or floats of the output's
        shape (mean squared error).  loss: another function (output, targets) -> tensor with one number.
    evaluating: you are about to evaluate, so that train mode is a mistake.

    Returns a Report: `findings`, a list of Finding(level "serious" or "note", layer, text), worst first; `layers`,
    records of the modules without children, each of its last call and in the order of these: name, kind, shape,
    mean, std, rms, low and high (5% and 95% of |output|), saturated (share), dead, units, gain (rms out / rms in),
    grad (std of the gradient at the output); `weights`, each a Weight(name, shape, std, grad, ratio = grad / std);
    `loss` or None. nan: unknown, or not fitting. Each std divides by n. The model and PyTorch's random numbers stay as
    they were; PyTorch needs memory for a second model meanwhile.
    Raises TypeError if model is no Module, ValueError if it is lazy, nothing in it runs, or the loss does not fit.

    >>> net = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 3))
    >>> net[0].bias.data -= 100
    >>> print(diagnose(net, torch.randn(32, 2)).findings[0].text)
    `1` (ReLU): all 50 units are dead (0 for every example), so no gradient passes; raise the biases before it
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose needs a torch.nn.Module, not {type(model).__name__}: wrap it in one.")
    if any(map(nn.parameter.is_lazy, [*model.parameters(), *model.buffers()])):
        raise ValueError("the model has lazy layers, whose shapes are not known yet: call it on a batch first.")
    run = SimpleNamespace(records={}, kept=[], bad=[], late=[], grads={}, classes=0, change=math.nan, dim=-1)
    report = Report(findings=[], layers=[], weights=[], loss=None)
    with _aside(model) as twin:
        for name, module in twin.named_modules():
            whole = isinstance(module, nn.MultiheadAttention) or not {*module._modules.keys()} - {"parametrizations"}
            whole = whole and not isinstance(module, torch.jit.ScriptModule)  # these take no hooks
            if whole and ".parametrizations" not in f".{name}":  # these make a weight: their owner is the layer
                module.register_forward_hook(partial(watch, run, name))
        output = _call(twin, inputs)
        ends = [t for t in tree_leaves(output) if isinstance(t, torch.Tensor)]
        run.ends = {id(t) for t in ends} | {id(t._base) for t in ends}  # of these layers none is hidden
        report.layers = [layer for layer in run.records.values() if layer.kind != "Sequential"]  # an empty one
        if not report.layers:
            raise ValueError("diagnose saw no layer at work: the model is empty, or forward() calls none of its own.")
        if targets is not None or loss is not None:
            report.loss = _backward(run, twin, output, targets, loss)
        for name, p in twin.named_parameters():
            std, grad = measure(p).std, math.nan if run.grads.get(name) is None else measure(run.grads[name]).std
            report.weights.append(Weight(name, tuple(p.shape), std, grad, grad / std if std else math.nan))
    if evaluating and model.training:
        with _aside(model) as other, torch.no_grad():
            proper = tensor(_call(other.eval(), inputs))
            run.change = measure(tensor(output) - proper).rms / max(measure(proper).rms, 1e-30)
    report.findings = sorted(judge(run, report, twin), key=lambda f: f.level != "serious")
    return report


@contextmanager
def _aside(model):
    """A copy of the model to work on. PyTorch's random numbers and switches are put back afterwards."""
    tensors = [t for m in model.modules() for t in tree_leaves(vars(m)) if isinstance(t, torch.Tensor)]
    results = {id(t): t.detach().clone() for t in tensors if not t.is_leaf}  # as in self.out = ...: deepcopy refuses
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    fast = torch.backends.mha.get_fastpath_enabled()
    python, numpy = random.getstate(), sys.modules.get("numpy")
    drawn = numpy and numpy.random.get_state()
    torch.backends.mha.set_fastpath_enabled(False)  # in eval mode it goes past the layers of a Transformer
    try:
        with torch.random.fork_rng(gpus), torch.inference_mode(False), torch.enable_grad():
            try:
                twin = copy.deepcopy(model, results)
            except (TypeError, RuntimeError) as error:
                text = f"diagnose works on a copy, and the model holds something that cannot be copied ({error})"
                raise ValueError(f"{text}: take it off the model meanwhile.") from error
            yield twin
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        random.setstate(python)
        if numpy:
            numpy.random.set_state(drawn)


def _call(model, inputs):  # on copies, as in-place layers would change the inputs, and without the graph behind them
    inputs = tree_map_only(torch.Tensor, lambda t: t.detach().clone().requires_grad_(t.requires_grad), inputs)
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if type(inputs) in (tuple, list) else model(inputs)


def _backward(run, model, output, targets, loss):
    """Fill run.grads, {name of a trainable parameter: its gradient or None}, and return the loss."""
    if loss is None:
        tensors = isinstance(output, torch.Tensor) and isinstance(targets, torch.Tensor)
        if tensors and targets.is_floating_point() and targets.shape == output.shape:
            loss = F.mse_loss
        elif tensors and not targets.is_floating_point() and targets.dtype != torch.bool and output.ndim > 1:
            output = output.movedim(-1, 1) if targets.shape == output.shape[:-1] else output  # classes second
            if targets.shape == output.shape[:1] + output.shape[2:]:
                loss, targets, run.classes = F.cross_entropy, targets.long(), output.shape[1]
    if loss is None:
        what = [f"{x.dtype} {tuple(x.shape)}" if tensors else type(x).__name__ for x in (output, targets)]
        raise ValueError(f"no usual loss fits the output, {what[0]}, and targets, {what[1]}: pass loss=, a function "
                         "(output, targets) -> one number.")
    value = loss(output, targets)
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ValueError("loss(output, targets) must give a tensor with one number: take its mean().")
    nodes, ways = [value.grad_fn], Counter()  # how often each result is used
    for node in nodes:
        for other, _ in node.next_functions if node else ():
            ways[other] += 1
            nodes += [other] if other and ways[other] == 1 else []
    for layer in run.records.values():
        layer.forks = ways[layer.node] > 1
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    run.grads = dict.fromkeys(trainable)
    if trainable and value.requires_grad:
        grads = torch.autograd.grad(value, [*trainable.values()], allow_unused=True)
        run.grads = {name: None if g is None else g.to_dense() for name, g in zip(trainable, grads)}
    return value.item()
