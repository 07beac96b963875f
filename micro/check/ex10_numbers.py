"""The exercises 21 and 22 of notebook 10: rounding to bfloat16 by its bits, and a dynamic loss scale."""
import torch

from micro.check.parts import Apart, Shown, draw, kind, shuffled

# -- 21: rounding to bfloat16 -------------------------------------------------------------------------------------

CUT = ~0xFFFF
NAN = ("right but for nan, whose bits are special: adding to them or cutting them off may leave inf or a number. "
       "Keep x where x.isnan()")


def _rounded(x, add=lambda last: 0x7FFF + last, cut=CUT):
    """add(last): what is added to the bits before the lower 16 are cut off; last: the last bit that is kept."""
    bits = x.view(torch.int32)
    return (bits + add(bits >> 16 & 1) & cut).view(torch.float32)


def _to_bf16(x, how=_rounded):
    return torch.where(x.isnan(), x, how(x))


def _said(x):
    """A number with its bits, so that nothing but the same number is the same, -0 or subnormal as it may be."""
    return Shown("nan" if x.isnan() else f"{x.item():.9g} with the bits {x.view(torch.int32).item() % 2**32:08X}")


def _probe_round(fn, bits):
    x = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    out = fn(x.clone())
    facts = {"type": kind(out), "shape": Shown(tuple(getattr(out, "shape", ())))}
    if facts == {"type": str(x.dtype), "shape": str(tuple(x.shape))}:
        facts |= {f"answer for {_said(number)}": _said(y) for number, y in zip(x.flatten(), out.flatten())}
    return facts


def _floats(g, low, high, lower):
    """Six bit patterns of floats, with both signs and exponent bits from low to high; lower(): their lower half."""
    found = [(draw(g, low, high) << 23 | draw(g, 0, 63) << 17 | (k % 2) << 16 | lower()) - (k % 3 == 0) * 2**31
             for k in range(6)]
    return shuffled(g, found)


def _patterns(g):
    def near():
        return draw(g, 1, 0x7FFF) + (0x8000 if draw(g, 0, 1) else 0)

    def tie():
        return 0x8000
    ordinary = _floats(g, 120, 134, near)
    ordinary[:2] = [0x3F800000 | draw(g, 1, 0x7FFF), 0x3F800000 | draw(g, 0x8001, 0xFFFF)]   # one down, one up
    large = [draw(g, 0x7F7F8001, 0x7F7FFFFF), draw(g, 0x7F7F0001, 0x7F7F7FFF), 0x7F7F8000, 0x7F800000]
    # the last case is nan: of both signs, and with bits in the lower half alone
    nans = [0x7FC00000, 0x7FFFFFFF, 0x7F800000 | draw(g, 1, 0xFFFF), -1, draw(g, 1, 0x7FFF) - 2**23]
    return [([ordinary[:3], ordinary[3:]],), (_floats(g, 120, 134, tie),), (_floats(g, 1, 254, near),),
            (_floats(g, 0, 0, near) + _floats(g, 0, 0, tie) + [0, -2**31],),
            (large + [v - 2**31 for v in large],), (nans,)]


def _flushed(x):
    return torch.where(x.abs() < torch.finfo(torch.float32).tiny, 0 * x, _to_bf16(x))


def _limited(x):
    largest = torch.finfo(torch.bfloat16).max
    return torch.where(x.isinf() | x.isnan(), x, _to_bf16(x).clamp(-largest, largest))


def _added(amount):
    return lambda x: _to_bf16(x, lambda v: _rounded(v, amount))


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


ex10_21 = _Rounding(
    "10.21", answer=_to_bf16, make=_patterns, probe=_probe_round, edges=1, hard=NAN,
    show=lambda bits: f"{torch.tensor(bits).numel()} numbers in float32",
    advice=". (&, + and >> on bits need x.view(torch.int32), and its result .view(torch.float32))", mistakes={
        "nothing is rounded: x comes back as it is": lambda x: x.clone(),
        "the lower 16 bits are cut off, which rounds towards 0; take the nearest": _added(lambda last: 0),
        "always away from 0; take the nearest": _added(lambda last: 0xFFFF),
        "exactly between two, it goes away from 0; there take the one whose last kept bit is 0":
            _added(lambda last: 0x8000),
        "exactly between two, it goes towards 0; there take the one whose last kept bit is 0":
            _added(lambda last: 0x7FFF),
        "exactly between two, it takes the odd one; take the one whose last kept bit is 0":
            _added(lambda last: 0x8000 - last),
        "rounded up where the last kept bit is 1, whatever comes after it": _added(lambda last: last << 16),
        "the lower 16 bits are not cut off after adding": lambda x: _to_bf16(x, lambda v: _rounded(v, cut=-1)),
        "that is float16, with 5 bits for the exponent and 10 for the fraction; bfloat16 has 8 and 7":
            lambda x: x.half().float(),
        "the sign is lost: its bit is the first of the upper 16, which stay": lambda x: _to_bf16(x).abs(),
        "the sign is wrong": lambda x: -_to_bf16(x),
        "numbers below 2^-126 are rounded like all others, not set to 0": _flushed,
        "the largest numbers are nearer to inf than to the largest bfloat16: the carry makes them inf": _limited,
        "±inf stays ±inf": lambda x: torch.where(x.isinf(), torch.nan, _to_bf16(x)),
        NAN: _rounded,
    })


# -- 22: a dynamic loss scale -------------------------------------------------------------------------------------

def _scales(finite, start, patience, down=0.5, up=2.0, again=True, after=True, reached=lambda n, p: n >= p):
    """again: does an overflow restart the count?  after: does doubling?  reached(count, patience): is it time?"""
    scale, used, good = start, [], 0
    for ok in finite:
        used.append(scale)
        if not ok:
            scale, good = scale * down, 0 if again else good
            continue
        good += 1
        if reached(good, patience):
            scale, good = scale * up, 0 if after else good
    return used


def _changed_first(finite, start, patience):
    return _scales([*finite, True], start, patience)[1:]


def _back(finite, start, patience):
    used, scale, good = [], start, 0
    for ok in finite:
        used.append(scale)
        good = good + 1 if ok else 0
        scale = start if not ok else scale * 2 if good >= patience else scale
        good %= patience
    return used


def _floor(finite, start, patience):
    used, scale, good = [], start, 0
    for ok in finite:
        used.append(scale)
        good = good + 1 if ok else 0
        scale = scale * 2 if good >= patience else scale if ok else max(1.0, scale / 2)
        good %= patience
    return used


def _drift(finite, start, patience):
    """Doubles at each step number that `patience` divides."""
    used, scale = [], start
    for step, ok in enumerate(finite, 1):
        used.append(scale)
        scale = scale / 2 if not ok else scale * 2 if step % patience == 0 else scale
    return used


def _histories(g):
    """Runs of finite steps, shorter than patience, as long, and twice as long, in another order each time."""
    found = []
    for start, patience in shuffled(g, [(2.0**16, 3), (2.0**draw(g, 20, 30), 4), (2.0, 3), (2.0**10, 5)]):
        runs = shuffled(g, [patience - 1, patience - 1, patience, patience + 1, 2 * patience, 1])
        steps = [True] * (2 * patience + 1) + [False, False, False]
        for run in runs:
            steps += [True] * run + [False] * draw(g, 1, 2)
        found.append((steps + [True] * patience + [True, True], start, patience))
    return [*found, ([True, False, True, True], 8.0, 1), ([], 4.0, 2)]


ex10_22 = Apart(
    "10.22", answer=_scales, make=_histories, edges=2, tol=1e-12,
    show=lambda finite, start, patience: f"{len(finite)} steps, start={start:g}, patience={patience}", mistakes={
        "the scale of a step is noted before what that step's gradient does to it": _changed_first,
        "one too many: the scale after the last step is not used": lambda *a: [*_scales(*a), _changed_first(*a)[-1]],
        "a skipped step has used its scale as well: one scale for every step":
            lambda finite, *a: [s for s, ok in zip(_scales(finite, *a), finite) if ok],
        "an overflow must restart the count: `patience` finite steps *in a row*":
            lambda *a: _scales(*a, again=False),
        "after doubling the count starts anew; it doubles after every further finite step":
            lambda *a: _scales(*a, after=False),
        "after doubling the count starts anew; it doubles only once in a row":
            lambda *a: _scales(*a, after=False, reached=lambda n, p: n == p),
        "neither an overflow nor doubling restarts the count":
            lambda *a: _scales(*a, again=False, after=False),
        "neither an overflow nor doubling restarts the count, and so it doubles only once":
            lambda *a: _scales(*a, again=False, after=False, reached=lambda n, p: n == p),
        "doubled after each finite step, not after `patience` of them":
            lambda *a: _scales(*a, reached=lambda n, p: True),
        "doubled where `patience` divides the number of the step; count finite steps in a row": _drift,
        "one finite step too many before it doubles": lambda *a: _scales(*a, reached=lambda n, p: n > p),
        "one finite step too few before it doubles": lambda *a: _scales(*a, reached=lambda n, p: n >= p - 1),
        "halve after an overflow; that is a quarter": lambda *a: _scales(*a, down=0.25),
        "halve after an overflow; that goes back to the start": _back,
        "after an overflow the scale stays as it is; halve it": lambda *a: _scales(*a, down=1.0),
        "it doubles after an overflow too; halve it there": lambda *a: _scales(*a, down=2.0),
        "the scale never doubles": lambda *a: _scales(*a, up=1.0),
        "halve and double are exchanged": lambda *a: _scales(*a, down=2.0, up=0.5),
        "the finite steps are taken for overflows": lambda finite, *a: _scales([not ok for ok in finite], *a),
        "the scale may go below 1: keep halving": _floor,
        "the scale stays at `start`": lambda finite, start, patience: [start] * len(finite),
    })
