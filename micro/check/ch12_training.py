"""The checks of notebook 12, training."""
import datetime
import decimal
import fractions
import math
import pickle
import pickletools
from collections import Counter, OrderedDict
from statistics import fmean

import torch
from torch import bfloat16, float32, float64, nn

from micro.check import short, to_array
from micro.check.kinds import Apart, Places, Shown, arguments, randint, randn, shuffled, type_of

# -- 1: the noise scale from two batches --------------------------------------------------------------------------


def _noise_scale(small, large, b, B):
    S, L = fmean(small), fmean(large)
    variance = (S - L) / (1 / b - 1 / B)
    return variance / (L - variance / B)


def _measured(g):
    """Skewed lists, of equal length and not, whose first is far from the mean; the last: one of each, and b = 1."""
    found = []
    sizes = shuffled(g, [(randint(g, 3, 9), randint(g, 70, 200)) for _ in range(4)])
    for k, (b, B) in enumerate([*sizes, (1, randint(g, 20, 90))]):
        size, scale = 1 + 5 * torch.rand(2, generator=g, dtype=torch.double)
        noise = float(size * scale * B / 3)             # so that the noise scale is B / 3 to 2 B
        many = (1, 1) if k == 4 else ((8, 8), (7, 12), (12, 5), (9, 9))[k]
        lists = []
        for n, batch in zip(many, (b, B)):
            w = (0.4 * randn(g, n)).exp()
            w[0] = 0.7 * w.min() if n > 1 else w[0]
            lists.append([round(v, 5) for v in (w / w.mean() * (float(size) + noise / batch)).tolist()])
        found.append((*lists, b, B))
    return found


ex12_1 = Apart(
    "12.1", answer=_noise_scale, make=_measured, edges=1, tol=1e-5, show=arguments("small", "large", "b", "B"),
    mistakes={
        "you divide for each pair and then average: average each list first, divide last": """
            def noise_scale_from(small, large, b, B):
                ratios = []
                for S, L in zip(small, large):
                    variance = (S - L) / (1 / b - 1 / B)
                    ratios.append(variance / (L - variance / B))
                return sum(ratios) / len(ratios)
            """,
        "the lengths are squared already: do not square them again": """
            def noise_scale_from(small, large, b, B):
                S = sum(s**2 for s in small) / len(small)
                L = sum(s**2 for s in large) / len(large)
                variance = (S - L) / (1 / b - 1 / B)
                return variance / (L - variance / B)
            """,
        "the sign of tr Σ is wrong, and |G|² with it: small − large belongs to 1/b − 1/B": """
            def noise_scale_from(small, large, b, B):
                S, L = sum(small) / len(small), sum(large) / len(large)
                variance = (L - S) / (1 / b - 1 / B)
                return variance / (L - variance / B)
            """,
        "tr Σ is (small − large) / (1/b − 1/B), not / (B − b), and |G|² depends on it": """
            def noise_scale_from(small, large, b, B):
                S, L = sum(small) / len(small), sum(large) / len(large)
                variance = (S - L) / (B - b)
                return variance / (L - variance / B)
            """,
        "|G|² is less than `large`: the large batch has noise too, tr Σ / B": """
            def noise_scale_from(small, large, b, B):
                S, L = sum(small) / len(small), sum(large) / len(large)
                variance = (S - L) / (1 / b - 1 / B)
                return variance / L
            """,
        "you leave out the noise of the large batch: `large` is not |G|² alone, but |G|² + tr Σ / B": """
            def noise_scale_from(small, large, b, B):
                S, L = sum(small) / len(small), sum(large) / len(large)
                return b * (S - L) / L
            """,
        "the ratio is upside down: it is tr Σ / |G|²": """
            def noise_scale_from(small, large, b, B):
                S, L = sum(small) / len(small), sum(large) / len(large)
                variance = (S - L) / (1 / b - 1 / B)
                return (L - variance / B) / variance
            """,
    })


# -- 2: Adam by hand ----------------------------------------------------------------------------------------------


def _adam(gradients, lr, beta1, beta2, eps):
    m, v, changes = 0.0, 0.0, []
    for step, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        changes.append(-lr * m / (1 - beta1**step) / (math.sqrt(v / (1 - beta2**step)) + eps))
    return changes


def _gradients(g):
    """The first has signs of both kinds, the second has not; eps is as large as the gradients in two; then zeros."""
    def some(n, size=1.0):
        return [float(f"{v:.4g}") for v in (size * randn(g, n) * (1.2 * randn(g, n)).exp()).tolist()]

    def settings(eps):
        lr, one, two = torch.rand(3, generator=g).tolist()
        return round(0.2 + 0.6 * lr, 3), round(0.7 + 0.2 * one, 3), round(0.93 + 0.06 * two, 4), eps

    ups_and_downs = [abs(v) * (-1)**k for k, v in enumerate(some(7))]
    tiny = [v * s for v, s in zip(some(6), shuffled(g, [1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-12]))]
    return [(ups_and_downs, *settings(1e-8)), ([abs(v) for v in some(5)], *settings(1e-8)),
            (some(30), *settings(1e-2)), (tiny, *settings(1e-8)), (some(6, 1e-12), *settings(1e-12)),
            (some(3) + [0.0, 0.0, 1e-12, 0.0], *settings(1e-8)), ([0.0, 0.0, *some(3), 0.0], *settings(1e-8)),
            ([0.0, 1e-12, 0.0], 0.001, 0.9, 0.999, 1e-8)]


def _probe_adam(fn, *case):
    """The changes, or that they are not finite: after 1 / 0 or the root of −1, Python stops or goes on with complex
    numbers, and torch goes on with nan."""
    odd = {"arithmetic": Shown("nan: a division by 0, or the root of a negative number")}
    try:
        out = fn(*case)
    except ZeroDivisionError:
        return odd
    except ValueError as error:
        if "math domain" not in str(error) and "nonnegative" not in str(error):     # what math.sqrt says
            raise
        return odd
    try:
        if any(isinstance(v, complex) for v in out) or not all(math.isfinite(v) for v in to_array(out).ravel()):
            return odd
    except (TypeError, ValueError):                     # one number, or none at all: the comparison says so
        pass
    return {"arithmetic": Shown("numbers"), "changes": out}


ex12_2 = Apart(
    "12.2", answer=_adam, make=_gradients, probe=_probe_adam, edges=2, tol=1e-9,
    show=arguments("gradients", "lr", "beta1", "beta2", "eps"),
    nearly=". (float32 is too coarse: Python's own floats have the digits; or is it eps?)", mistakes={
        "the correction is missing: m and v begin at 0, so divide them by 1 − beta**step": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for g in gradients:
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    changes.append(-lr * m / (math.sqrt(v) + eps))
                return changes
            """,
        "count the steps from 1: in a step number 0, 1 − beta**step is 0": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients):
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    changes.append(-lr * mean / (math.sqrt(square) + eps))
                return changes
            """,
        "you keep the corrected m and v for the next step: keep them as they were before the correction": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    m = m / (1 - beta1**step)
                    v = v / (1 - beta2**step)
                    changes.append(-lr * m / (math.sqrt(v) + eps))
                return changes
            """,
        "eps is added to the root, not under it": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    changes.append(-lr * mean / math.sqrt(square + eps))
                return changes
            """,
        "the root is missing: divide by √v̂ + eps": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    changes.append(-lr * mean / (square + eps))
                return changes
            """,
        "a beta is the part of the *old* mean that stays: the new gradient gets 1 − beta": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = (1 - beta1) * m + beta1 * g
                    v = (1 - beta2) * v + beta2 * g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    changes.append(-lr * mean / (math.sqrt(square) + eps))
                return changes
            """,
        "you add the new gradient and its square whole: multiply them by 1 − beta": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                m, v, changes = 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = beta1 * m + g
                    v = beta2 * v + g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    changes.append(-lr * mean / (math.sqrt(square) + eps))
                return changes
            """,
        "those are the values of the parameter after each step: return the changes": """
            def adam_steps(gradients, lr, beta1, beta2, eps):
                p, m, v, found = 0.0, 0.0, 0.0, []
                for step, g in enumerate(gradients, 1):
                    m = beta1 * m + (1 - beta1) * g
                    v = beta2 * v + (1 - beta2) * g**2
                    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)
                    p -= lr * mean / (math.sqrt(square) + eps)
                    found.append(p)
                return found
            """,
    })


# -- 3: rounding to bfloat16 --------------------------------------------------------------------------------------


def _to_bf16(x):
    bits = x.view(torch.int32)
    rounded = bits + 0x7FFF + (bits >> 16 & 1) & ~0xFFFF
    return torch.where(x.isnan(), x, rounded.view(torch.float32))


def _said(x):
    """A number with its bits, so that nothing but the same number is the same, -0 or subnormal as it may be."""
    return Shown("nan" if x.isnan() else f"{x.item():.9g} with the bits {x.view(torch.int32).item() % 2**32:08X}")


def _probe_round(fn, bits):
    x = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    out = fn(x.clone())
    facts = {"type": type_of(out), "shape": Shown(tuple(getattr(out, "shape", ())))}
    if facts == {"type": str(x.dtype), "shape": str(tuple(x.shape))}:
        facts |= {f"answer for {_said(number)}": _said(y) for number, y in zip(x.flatten(), out.flatten())}
    return facts


def _floats(g, low, high, lower):
    """Six bit patterns of floats, with both signs and exponent bits from low to high; lower(): their lower half."""
    found = [(randint(g, low, high) << 23 | randint(g, 0, 63) << 17 | (k % 2) << 16 | lower()) - (k % 3 == 0) * 2**31
             for k in range(6)]
    return shuffled(g, found)


def _patterns(g):
    def near():
        return randint(g, 1, 0x7FFF) + (0x8000 if randint(g, 0, 1) else 0)

    def tie():
        return 0x8000

    ordinary = _floats(g, 120, 134, near)
    ordinary[:2] = [0x3F800000 | randint(g, 1, 0x7FFF), 0x3F800000 | randint(g, 0x8001, 0xFFFF)]   # one down, one up
    large = [randint(g, 0x7F7F8001, 0x7F7FFFFF), randint(g, 0x7F7F0001, 0x7F7F7FFF), 0x7F7F8000, 0x7F800000]
    # the last case is nan: of both signs, and with bits in the lower half alone
    nans = [0x7FC00000, 0x7FFFFFFF, 0x7F800000 | randint(g, 1, 0xFFFF), -1, randint(g, 1, 0x7FFF) - 2**23]
    return [([ordinary[:3], ordinary[3:]],), (_floats(g, 120, 134, tie),), (_floats(g, 1, 254, near),),
            (_floats(g, 0, 0, near) + _floats(g, 0, 0, tie) + [0, -2**31],),
            (large + [v - 2**31 for v in large],), (nans,)]


class _Rounding(Apart):
    """The probe makes x from bits: what an answer must leave as it is, is looked at here."""

    def run(self, fn, case, context):
        def watched(x):
            before = x.clone()
            out = fn(x)
            if not torch.equal(before.view(torch.int32), x.view(torch.int32)):
                self.changed.add("x")
            return out
        return super().run(watched, case, context)


NAN = ("right but for nan, whose bits are special: adding to them or cutting them off may leave inf or a number. "
       "Keep x where x.isnan()")

ex12_3 = _Rounding(
    "12.3", answer=_to_bf16, make=_patterns, probe=_probe_round, edges=1, hard=NAN,
    show=lambda bits: f"{torch.tensor(bits).numel()} numbers in float32",
    advice=". (&, + and >> on bits need x.view(torch.int32), and its result .view(torch.float32))", mistakes={
        "you cut off the lower 16 bits, which rounds towards 0: take the nearest": """
            def to_bf16(x):
                bits = x.view(torch.int32)
                return torch.where(x.isnan(), x, (bits & ~0xFFFF).view(torch.float32))
            """,
        "exactly between two, yours goes away from 0: take the one whose last kept bit is 0": """
            def to_bf16(x):
                bits = x.view(torch.int32)
                return torch.where(x.isnan(), x, (bits + 0x8000 & ~0xFFFF).view(torch.float32))
            """,
        "exactly between two, yours goes towards 0: take the one whose last kept bit is 0": """
            def to_bf16(x):
                bits = x.view(torch.int32)
                return torch.where(x.isnan(), x, (bits + 0x7FFF & ~0xFFFF).view(torch.float32))
            """,
        "cut off the lower 16 bits after adding": """
            def to_bf16(x):
                bits = x.view(torch.int32)
                last = bits >> 16 & 1
                return torch.where(x.isnan(), x, (bits + 0x7FFF + last).view(torch.float32))
            """,
        "that is float16, with 5 bits for the exponent and 10 for the fraction: bfloat16 has 8 and 7": """
            def to_bf16(x):
                return x.half().float()
            """,
        NAN: """
            def to_bf16(x):
                bits = x.view(torch.int32)
                last = bits >> 16 & 1
                return (bits + 0x7FFF + last & ~0xFFFF).view(torch.float32)
            """,
    })


# -- 4: a dynamic loss scale --------------------------------------------------------------------------------------


def _scales(finite, start, patience):
    scale, row, used = start, 0, []
    for ok in finite:
        used.append(scale)
        row = row + 1 if ok else 0
        if not ok:
            scale = scale / 2
        elif row == patience:
            scale, row = 2 * scale, 0
    return used


def _histories(g):
    """Runs of finite steps, shorter than patience, as long, and twice as long, in another order each time."""
    found = []
    for start, patience in shuffled(g, [(2.0**16, 3), (2.0**randint(g, 20, 30), 4), (2.0, 3), (2.0**10, 5)]):
        runs = shuffled(g, [patience - 1, patience - 1, patience, patience + 1, 2 * patience, 1])
        steps = [True] * (2 * patience + 1) + [False, False, False]
        for run in runs:
            steps += [True] * run + [False] * randint(g, 1, 2)
        found.append((steps + [True] * patience + [True, True], start, patience))
    return [*found, ([True, False, True, True], 8.0, 1), ([], 4.0, 2)]


ex12_4 = Apart(
    "12.4", answer=_scales, make=_histories, edges=2, tol=1e-12,
    show=lambda finite, start, patience: f"{len(finite)} steps, start={start:g}, patience={patience}", mistakes={
        "note the scale of a step first, before that step's gradient changes it": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    row = row + 1 if ok else 0
                    if not ok:
                        scale /= 2
                    elif row == patience:
                        scale, row = 2 * scale, 0
                    used.append(scale)
                return used
            """,
        "a skipped step has used its scale too: return one scale for every step": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    if not ok:
                        scale, row = scale / 2, 0
                        continue
                    used.append(scale)
                    row += 1
                    if row == patience:
                        scale, row = 2 * scale, 0
                return used
            """,
        "an overflow must restart the count: it takes `patience` finite steps *in a row*": """
            def scales(finite, start, patience):
                scale, good, used = float(start), 0, []
                for ok in finite:
                    used.append(scale)
                    if not ok:
                        scale /= 2
                        continue
                    good += 1
                    if good == patience:
                        scale, good = 2 * scale, 0
                return used
            """,
        "doubling must restart the count: yours doubles after every further finite step": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    used.append(scale)
                    row = row + 1 if ok else 0
                    if not ok:
                        scale /= 2
                    elif row >= patience:
                        scale *= 2
                return used
            """,
        "doubling must restart the count: yours doubles only once in a row": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    used.append(scale)
                    row = row + 1 if ok else 0
                    if not ok:
                        scale /= 2
                    elif row == patience:
                        scale *= 2
                return used
            """,
        "yours doubles where `patience` divides the number of the step: count finite steps in a row": """
            def scales(finite, start, patience):
                scale, used = float(start), []
                for step, ok in enumerate(finite, 1):
                    used.append(scale)
                    if not ok:
                        scale /= 2
                    elif step % patience == 0:
                        scale *= 2
                return used
            """,
        "yours waits for one finite step too many before it doubles": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    used.append(scale)
                    row = row + 1 if ok else 0
                    if not ok:
                        scale /= 2
                    elif row > patience:
                        scale, row = 2 * scale, 0
                return used
            """,
        "the scale may go below 1: keep halving": """
            def scales(finite, start, patience):
                scale, row, used = float(start), 0, []
                for ok in finite:
                    used.append(scale)
                    row = row + 1 if ok else 0
                    if not ok:
                        scale = max(1.0, scale / 2)
                    elif row == patience:
                        scale, row = 2 * scale, 0
                return used
            """,
    })


# -- 5: the largest batch that fits -------------------------------------------------------------------------------


def _fixed(net, states):
    """The bytes of a network in training, without activations."""
    buffers = sum(b.nbytes for b in net.buffers())
    return buffers + sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in net.parameters())


def _plan(net, states, each, room, wished):
    fixed = _fixed(net, states)
    for batch in range(wished, 0, -1):
        if wished % batch == 0 and fixed + batch * each <= room:
            return batch, wished // batch
    return 0, 0


def _nets(g):
    """Half of the layers are frozen; the room is full to the byte, or nearly; nothing fits, or all, in the last two."""
    found = []
    for k, wished in enumerate([720, 360, 840, 720, 97, 360, 240]):
        width = randint(g, 40, 90)
        net = nn.Sequential(nn.Linear(30, width), nn.BatchNorm1d(width), nn.Linear(width, 20), nn.BatchNorm1d(20))
        net.to((bfloat16, float32, float64)[k % 3])
        for layer in shuffled(g, [net[0], net[2]])[:1] if k else []:
            layer.requires_grad_(False)
        states, each = (2, 1, 3, 0, 2, 2, 1)[k], randint(g, 40, 90)
        batch = (6, 8, 40, 10, 60, 0, 1000)[k]          # 60 does not divide 97
        spare = 0 if k in (0, 2, 3) else each - 1
        found.append((net, states, each, _fixed(net, states) + batch * each + spare, wished))
    return found


def _probe_plan(fn, *case):
    out = fn(*case)
    if not isinstance(out, (tuple, list)) or len(out) != 2 or not all(isinstance(v, (int, float)) for v in out):
        return {"form": Shown(short(out)), "plan": Shown(out)}
    types = {type(v).__name__ for v in out}
    return {"form": Shown("two ints" if types == {"int"} else f"a pair of {' and '.join(sorted(types))}"),
            "plan": Shown(f"batch {float(out[0]):g}, steps {float(out[1]):g}")}


def _shown_net(net, states, each, room, wished):
    total, trained = (sum(p.numel() for p in net.parameters() if p.requires_grad >= least) for least in (0, 1))
    return (f"a net of {total} parameters in {str(net[0].weight.dtype)[6:]}, {trained} of them trained, "
            f"states={states}, each={each}, room={room}, wished={wished}")


ex12_5 = Apart(
    "12.5", answer=_plan, make=_nets, probe=_probe_plan, by=("plan",), edges=1, show=_shown_net,
    advice=". (There may be no batch that fits)", mistakes={
        "a frozen parameter (requires_grad=False) has no gradient and no state": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (2 + states) for p in net.parameters())
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each <= room:
                        return batch, wished // batch
                return 0, 0
            """,
        "a frozen parameter has neither gradient nor state, but it needs room itself": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (2 + states) for p in net.parameters() if p.requires_grad)
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each <= room:
                        return batch, wished // batch
                return 0, 0
            """,
        "you forgot the buffers, such as a batch norm's running statistics": """
            def plan(net, states, each, room, wished):
                fixed = sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in net.parameters())
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each <= room:
                        return batch, wished // batch
                return 0, 0
            """,
        "not every value has 4 bytes: use element_size()": """
            def plan(net, states, each, room, wished):
                fixed = sum(4 * b.numel() for b in net.buffers())
                fixed += sum(4 * p.numel() * (2 + states if p.requires_grad else 1) for p in net.parameters())
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each <= room:
                        return batch, wished // batch
                return 0, 0
            """,
        "you forgot the gradients: a trained parameter is there 2 + states times": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (1 + states if p.requires_grad else 1) for p in net.parameters())
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each <= room:
                        return batch, wished // batch
                return 0, 0
            """,
        "exactly full is still fine: <=, not <": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in net.parameters())
                for batch in range(wished, 0, -1):
                    if wished % batch == 0 and fixed + batch * each < room:
                        return batch, wished // batch
                return 0, 0
            """,
        "the batch need not be a power of two: any that divides `wished` will do": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in net.parameters())
                if fixed + each > room:
                    return 0, 0
                batch = 1
                while wished % (2 * batch) == 0 and fixed + 2 * batch * each <= room:
                    batch *= 2
                return batch, wished // batch
            """,
        "yours is the largest batch that fits, but batch * steps must be `wished`, so the batch has to divide it": """
            def plan(net, states, each, room, wished):
                fixed = sum(b.nbytes for b in net.buffers())
                fixed += sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in net.parameters())
                batch = min(wished, (room - fixed) // each)
                return (batch, wished // batch) if batch > 0 else (0, 0)
            """,
    })


# -- 6: what a pickle asks for ------------------------------------------------------------------------------------

_RUNG = []


def rung(*_):
    """Anyone who loads one of the pickles calls this. It does no harm, but it could have."""
    _RUNG.append(1)
    return 0


class _Bell:
    def __reduce__(self):
        return rung, ("loaded",)


def _names(data):
    texts, memo, found = [""], {}, set()
    for code, arg, _ in pickletools.genops(data):
        if code.name in ("GLOBAL", "INST"):
            found.add(arg.replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            found.add(".".join(texts[-2:]))
        elif "UNICODE" in code.name:
            texts.append(arg)
        elif code.name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif "PUT" in code.name:
            memo[arg] = texts[-1]
        elif "GET" in code.name:
            texts.append(memo[arg])
    return sorted(found)


def _pickles(g):
    """Every protocol; texts that look like names; two names of a module; names twice; a randn that rings if loaded."""
    found = []
    for protocol in (4, 2, 0, 5, 3, 1):
        day, long = randint(g, 1, 28), datetime.timedelta(randint(g, 1, 99))
        things = shuffled(g, [datetime.date(2024, 5, day), datetime.date(2025, 5, day), long, Counter("abca"),
                              fractions.Fraction(day, 7), decimal.Decimal(day), OrderedDict(a=day), _Bell()])
        extra = ["GLOBAL", "os system", ["datetime", "time"], {"date": day}]
        found.append((pickle.dumps([*things, *extra, *things[:4]][::randint(g, 0, 1) * 2 - 1], protocol),))
    twice = "(l" + "a".join(f"cdatetime\n{name}\n" for name in ("time", "date", "time", "date")) + "a."
    old = f"(i{rung.__module__}\n{rung.__name__}\n."    # as pickles of the early days make an object
    return [*found, (pickle.dumps([1.5, "plain"], 4),), (twice.encode(),), (old.encode(),)]


def _probe_names(fn, data):
    _RUNG.clear()
    out = fn(data)
    loaded = bool(_RUNG)
    _RUNG.clear()
    facts = {"pickle": Shown("loaded, and code in it ran" if loaded else "only read")}
    if not isinstance(out, (list, tuple, set)):
        return facts | {"type": Shown(type(out).__name__), "names": Shown(out)}
    listed = sorted(map(str, out)) if isinstance(out, set) else [*map(str, out)]
    return facts | {"type": Shown(type(out).__name__), "names": Shown(listed)} | Places("name", listed)


def _asking(data):
    return sorted({code.name for code, _, _ in pickletools.genops(data)} & {"GLOBAL", "STACK_GLOBAL", "INST"})


ex12_6 = Apart(
    "12.6", answer=_names, make=_pickles, probe=_probe_names, by=("pickle", "names"), edges=1,
    show=lambda data: f"{len(data)} bytes (with {' and '.join(_asking(data)) or 'no names'})",
    hard="right, but for INST, which very old pickles have: like GLOBAL it has both names in its argument",
    advice=". (A pickle need not ask for any name, and MEMOIZE numbers anything, not only texts)", mistakes={
        "your function loads the pickle, and code in it has run: only read it, with pickletools.genops": """
            import io

            def names_in(data):
                found = set()

                class Watched(pickle.Unpickler):
                    def find_class(self, module, name):
                        found.add(f"{module}.{name}")
                        return super().find_class(module, name)

                Watched(io.BytesIO(data)).load()
                return sorted(found)
            """,
        "from protocol 4 on, STACK_GLOBAL asks for names, not GLOBAL: handle both": """
            import pickletools

            def names_in(data):
                found = set()
                for code, arg, _ in pickletools.genops(data):
                    if code.name in ("GLOBAL", "INST"):
                        found.add(arg.replace(" ", "."))
                return sorted(found)
            """,
        "a text that was there before is not written again but fetched, by GET, BINGET or LONG_BINGET: keep a memo": """
            import pickletools

            def names_in(data):
                texts, found = [], set()
                for code, arg, _ in pickletools.genops(data):
                    if code.name in ("GLOBAL", "INST"):
                        found.add(arg.replace(" ", "."))
                    elif code.name == "STACK_GLOBAL":
                        found.add(".".join(texts[-2:]))
                    elif "UNICODE" in code.name:
                        texts.append(arg)
                return sorted(found)
            """,
        "the list is not sorted": """
            import pickletools

            def names_in(data):
                texts, memo, found = [""], {}, set()
                for code, arg, _ in pickletools.genops(data):
                    if code.name in ("GLOBAL", "INST"):
                        found.add(arg.replace(" ", "."))
                    elif code.name == "STACK_GLOBAL":
                        found.add(".".join(texts[-2:]))
                    elif "UNICODE" in code.name:
                        texts.append(arg)
                    elif code.name == "MEMOIZE":
                        memo[len(memo)] = texts[-1]
                    elif "PUT" in code.name:
                        memo[arg] = texts[-1]
                    elif "GET" in code.name:
                        texts.append(memo[arg])
                return list(found)
            """,
        "a name that is asked for twice should be in the list only once": """
            import pickletools

            def names_in(data):
                texts, memo, found = [""], {}, []
                for code, arg, _ in pickletools.genops(data):
                    if code.name in ("GLOBAL", "INST"):
                        found.append(arg.replace(" ", "."))
                    elif code.name == "STACK_GLOBAL":
                        found.append(".".join(texts[-2:]))
                    elif "UNICODE" in code.name:
                        texts.append(arg)
                    elif code.name == "MEMOIZE":
                        memo[len(memo)] = texts[-1]
                    elif "PUT" in code.name:
                        memo[arg] = texts[-1]
                    elif "GET" in code.name:
                        texts.append(memo[arg])
                return sorted(found)
            """,
    })
