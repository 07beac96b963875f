"""The exercises 6 and 7 of notebook 11: waits for the GPU, the seconds of a run."""
import math
from inspect import signature

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from micro.check import short
from micro.check.parts import Fresh, Places, Shown, draw, shuffled

# -- 6: waits for the GPU ---------------------------------------------------------------------------------

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::equal"}
_MASK, _NUMBER = "aten::index.Tensor", "aten::_local_scalar_dense"


def _is_mask(index):
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


class _Watch(TorchDispatchMode):
    """Collects the names of the operators that `counts`."""

    def __init__(self, counts, kwargs=True):
        super().__init__()
        self.counts, self.kwargs, self.found = counts, kwargs, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.counts(func.name(), args):
            self.found.append(func.name())
        return func(*args, **(kwargs or {} if self.kwargs else {}))


class _Calls(TorchFunctionMode):
    """The mistake: looks at what Python calls. `names`: method -> operator."""

    def __init__(self, **names):
        super().__init__()
        self.names, self.found = names, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "__getitem__" and any(map(_is_mask, args[1] if isinstance(args[1], tuple) else args[1:])):
            name = "mask"
        self.found += [self.names[name]] if name in self.names else []
        return func(*args, **(kwargs or {}))


_CALLS = dict.fromkeys(("item", "__bool__", "__int__", "__float__"), _NUMBER) | {
    "nonzero": "aten::nonzero", "masked_select": "aten::masked_select", "equal": "aten::equal",
    "unique": "aten::_unique2", "mask": _MASK}


def _found(step, mode):
    with mode:
        step()
    return mode.found


def _waits(step, counts=lambda name, args: name in WAITS or name == _MASK and any(map(_is_mask, args[1])), kwargs=True):
    return _found(step, _Watch(counts, kwargs))


DOES = {  # what a step does with x (6, 4): in words -> code
    "t.item()": lambda x: x.sum().item(),
    "if t > 0": lambda x: 1 if x.mean() > 0 else 0,
    "x[mask]": lambda x: x[x > 0],
    "x[:, mask]": lambda x: x[:, torch.tensor([True, False, True, True])],
    "x[i] with whole numbers": lambda x: x[x[:, 0].argsort()],
    "torch.where(mask)": lambda x: torch.where(x > 0)[0],
    "torch.unique": lambda x: torch.unique(x.round()),
    "torch.masked_select": lambda x: torch.masked_select(x, x < 0),
    "torch.equal": lambda x: torch.equal(x, x.flip(0)),
    "F.one_hot": lambda x: F.one_hot(x[:, 0].argsort()),
    "zeros in int64": lambda x: torch.zeros(3, dtype=torch.int64),
    "a gradient": lambda x: torch.autograd.grad((x @ x.T).square().mean(), x)[0],
}


def _step(does, seed):
    """(step, what it has computed so far)."""
    x, log = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).requires_grad_(), []

    def step():
        log.extend(DOES[words](x if words == "a gradient" else x.detach()) for words in does)
    return step, log


def _probe_waits(fn, does, seed):
    (step, log), (plain, wanted), calls = _step(does, seed), _step(does, seed), []
    found = fn(lambda: (calls.append(1), step())[1])
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"a list of names is wanted, not {short(found)}")
    plain()
    right = repr(log[:len(wanted)]) in (repr(wanted), "[]")        # repr tells the type, too
    facts = Places("wait", [_MASK if name == "aten::index" else name for name in found])
    facts |= {"number of calls of step": Shown(len(calls)), "results of step": Shown("as ever" if right else "others")}
    return facts


def _steps(g):
    fixed = [["t.item()", "x[i] with whole numbers", "zeros in int64"], ["a gradient"],
             ["x[:, mask]", "t.item()", "x[i] with whole numbers", "t.item()", "torch.where(mask)"]]
    rest = shuffled(g, [*DOES, "t.item()", "x[mask]"])
    return [(does, draw(g, 0, 10**6)) for does in [*fixed, rest[:7], rest[7:], shuffled(g, list(DOES))]]


ex11_6 = Fresh(
    "11.6", answer=_waits, make=_steps, probe=_probe_waits, show=lambda does, seed: f"a step with {', '.join(does)}",
    advice=". (__torch_dispatch__ must return what func returns; an index in args[1] may be None)",
    mistakes={
        "only .item() is found, but `if t > 0` and many functions wait like it: watch operators, not one method":
            lambda step: _found(step, _Calls(item=_NUMBER)),
        "only aten::_local_scalar_dense is found: there are more names in WAITS, and masks":
            lambda step: _waits(step, lambda name, args: name == _NUMBER),
        "that is what Python calls; what PyTorch calls in turn is missed, as inside torch.where and F.one_hot: use "
        "TorchDispatchMode": lambda step: _found(step, _Calls(**_CALLS)),
        "an index that is a mask is missing: aten::index.Tensor waits if one of args[1] is of type bool":
            lambda step: _waits(step, lambda name, args: name in WAITS),
        "aten::index.Tensor waits only if one of args[1] is a mask, of type bool; with whole numbers it does not":
            lambda step: _waits(step, lambda name, args: name in WAITS or name == _MASK),
        "a mask may be any of the indices, not only the first: in x[:, mask], args[1] is [None, mask]":
            lambda step: _waits(step, lambda name, args: name in WAITS or name == _MASK and _is_mask(args[1][0])),
        "nothing is found: func.name() is like \"aten::nonzero\", while str(func) is \"aten.nonzero.default\"":
            lambda step: (step(), [])[1],
        "those are all operators; wanted are those that wait": lambda step: _waits(step, lambda name, args: True),
        "each name stands there once; wanted is every wait": lambda step: list(dict.fromkeys(_waits(step))),
        "the names are sorted; wanted is the order of time": lambda step: sorted(_waits(step)),
        "step is called twice: its weights would be updated twice": lambda step: (step(), _waits(step))[1],
        "step is never called": lambda step: [],
        "kwargs are lost: func(*args, **kwargs), or torch.zeros(3, dtype=torch.int64) makes floats":
            lambda step: _waits(step, kwargs=False),
    })


# -- 7: the seconds of a run -------------------------------------------------------------------------------

def _seconds(n, epochs, batch, flops, rate, kernels, launch, longer=max, passes=3, whole=math.ceil, each=None):
    """each: batches of an epoch."""
    work, order = passes * flops * batch / rate, kernels * launch
    return whole(epochs * (n // batch if each is None else each)) * longer(work, order)


def _runs(g):
    """Launching takes this share of the work; no number of steps comes out whole."""
    found = []
    for k, share in enumerate([0.3, 3, 0.004, 500]):
        batch, each = 2 * draw(g, 5, 10), 4 * draw(g, 2, 4) + 1
        n, epochs = batch * each + batch // 2, draw(g, 3, 9) + (0.75 if k % 2 else 0.25)
        flops, rate, kernels = draw(g, 1, 300) * 1e9, draw(g, 5, 400) * 1e12, draw(g, 200, 400)
        found.append((n, epochs, batch, flops, rate, kernels, share * 3 * flops * batch / rate / kernels))
    return found


ex11_7 = Fresh(
    "11.7", answer=_seconds, make=_runs, tol=1e-9,
    show=lambda *a: ", ".join(f"{name}={v:g}" for name, v in zip(signature(_seconds).parameters, a)),
    mistakes={
        "both overlap: the longer of the two counts, not their sum":
            lambda *a: _seconds(*a, longer=lambda work, order: work + order),
        "the *longer* of the two counts: the other one is done meanwhile": lambda *a: _seconds(*a, longer=min),
        "launching plays no part: where it takes longer, it counts": lambda *a: _seconds(*a[:6], 0),
        "the GPU's work plays no part: where it takes longer, it counts": lambda *a: _seconds(*a, passes=0),
        "that is the way forward alone: with the way back it is 3 times as much": lambda *a: _seconds(*a, passes=1),
        "the way back costs twice the way forward, so together 3 times, not 2 times": lambda *a: _seconds(*a, passes=2),
        "flops are those of one image: a step works on `batch` images":
            lambda *a: _seconds(*a, longer=lambda work, order: max(work / a[2], order)),
        "what is left of an epoch is dropped: n // batch": lambda *a: _seconds(*a, each=a[0] / a[2]),
        "what is left of an epoch is dropped, not rounded up": lambda *a: _seconds(*a, each=math.ceil(a[0] / a[2])),
        "a run has a whole number of steps: round up": lambda *a: _seconds(*a, whole=float),
        "a part of a step is a step: round up, not down": lambda *a: _seconds(*a, whole=math.floor),
        "a part of a step is a step: round up, not to the nearest": lambda *a: _seconds(*a, whole=round),
        "the epochs were rounded up; only the steps are": lambda n, epochs, *a: _seconds(n, math.ceil(epochs), *a),
        "the epochs were rounded down: the last may be a part": lambda n, epochs, *a: _seconds(n, int(epochs), *a),
        "kernels are launched in *every* step": lambda *a: max(_seconds(*a[:5], 0, 0), a[5] * a[6]),
        "each of a step's `kernels` launches costs `launch`": lambda *a: _seconds(*a[:5], 1, a[6]),
    })
