"""The exercises 23 and 24 of notebook 10: the largest batch that fits, and what a pickle asks for."""
import datetime
import decimal
import fractions
import pickle
import pickletools
from collections import Counter, OrderedDict
from functools import partial

from torch import bfloat16, float32, float64, nn

from micro.check import short
from micro.check.parts import Apart, Places, Shown, draw, shuffled

# -- 23: the largest batch that fits ------------------------------------------------------------------------------


def _bytes(t):
    return t.numel() * t.element_size()


def _fixed(net, states, size=_bytes, trained=lambda s: 2 + s, frozen=lambda s: 1, buffers=1):
    """trained, frozen: how often a parameter is there."""
    return (sum(size(p) * (trained if p.requires_grad else frozen)(states) for p in net.parameters())
            + buffers * sum(size(b) for b in net.buffers()))


def _plan(net, states, each, room, wished, fits=lambda need, room: need <= room, also=bool, none=(0, 0), **of):
    fixed = _fixed(net, states, **of)
    for batch in range(wished, 0, -1):
        if wished % batch == 0 and also(batch) and fits(fixed + batch * each, room):
            return batch, wished // batch
    return none


def _loose(net, states, each, room, wished, steps=lambda wished, batch: wished // batch, most=True):
    """The batch need not divide `wished`."""
    batch = max(0, (room - _fixed(net, states)) // each)
    batch = min(batch, wished) if most else batch
    return (batch, steps(wished, batch)) if batch else (0, 0)


def _nets(g):
    """Half of the layers are frozen; the room is full to the byte, or nearly; nothing fits, or all, in the last two."""
    found = []
    for k, wished in enumerate([720, 360, 840, 720, 97, 360, 240]):
        width = draw(g, 40, 90)
        net = nn.Sequential(nn.Linear(30, width), nn.BatchNorm1d(width), nn.Linear(width, 20), nn.BatchNorm1d(20))
        net.to((bfloat16, float32, float64)[k % 3])
        for layer in shuffled(g, [net[0], net[2]])[:1] if k else []:
            layer.requires_grad_(False)
        states, each = (2, 1, 3, 0, 2, 2, 1)[k], draw(g, 40, 90)
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


ex10_23 = Apart(
    "10.23", answer=_plan, make=_nets, probe=_probe_plan, by=("plan",), edges=1, show=_shown_net,
    advice=". (There may be no batch that fits)", mistakes={
        "a frozen parameter (requires_grad=False) has no gradient and no state": partial(_plan, frozen=lambda s: 2 + s),
        "a frozen parameter has neither gradient nor state, but it is there itself": partial(_plan, frozen=lambda s: 0),
        "the buffers are forgotten: a batch norm's running statistics": partial(_plan, buffers=0),
        "not every number has 4 bytes: element_size()": partial(_plan, size=lambda t: 4 * t.numel()),
        "the gradients are forgotten": partial(_plan, trained=lambda s: 1 + s),
        "the optimizer's state is forgotten": partial(_plan, trained=lambda s: 2),
        "gradients and states are forgotten": partial(_plan, trained=lambda s: 1),
        "the parameters themselves are forgotten: they, their gradients, their states":
            partial(_plan, trained=lambda s: 1 + s, frozen=lambda s: 0),
        "exactly full is still fine: <=, not <": partial(_plan, fits=lambda need, room: need < room),
        "the batch need not be a power of two: any that divides `wished` will do":
            partial(_plan, also=lambda batch: batch & (batch - 1) == 0),
        "batch * steps must be `wished`, so the batch has to divide it; yours is the largest that fits": _loose,
        "batch * steps must be `wished`, so the batch has to divide it; yours is the largest that fits, steps rounded "
        "up": partial(_loose, steps=lambda wished, batch: -(-wished // batch)),
        "the batch is larger than `wished` where there is room": partial(_loose, most=False),
        "the two results are exchanged: batch first": lambda *a: _plan(*a)[::-1],
        "where not even one example fits, return (0, 0)": partial(_plan, none=(1, 0)),
        "where not even one example fits, return (0, 0): a batch of one does not fit either":
            lambda *a: (lambda b, s: (b, s) if b else (1, a[4]))(*_plan(*a)),
        "where not even one example fits, return (0, 0), 0 steps, too": lambda *a: (_plan(*a)[0], _plan(*a)[1] or a[4]),
        "the numbers are right, but not ints: // instead of /": lambda *a: tuple(map(float, _plan(*a))),
        "the numbers are right, but steps is a float: // instead of /": lambda *a: (_plan(*a)[0], float(_plan(*a)[1])),
    })


# -- 24: what a pickle asks for -----------------------------------------------------------------------------------

_RUNG = []


def rung(*_):
    """Who loads one of the pickles calls this. It does no harm, but it could have."""
    _RUNG.append(1)
    return 0


class _Bell:
    def __reduce__(self):
        return rung, ("loaded",)


def _names(data, old=True, new=True, inst=True, get=True, count=True, form=sorted, dot="."):
    """old, new, inst: which codes are looked at; get: the memo, too; count: all that is memoized, not texts alone."""
    strings, memo, found, text = [], {}, [], False
    for code, arg, _ in pickletools.genops(data):
        if code.name == "GLOBAL" and old or code.name == "INST" and inst:
            found.append(arg.replace(" ", dot, 1))
        elif code.name == "STACK_GLOBAL" and new:
            found.append(".".join(strings[-2:]))
        elif "UNICODE" in code.name:
            strings.append(arg)
        elif "GET" in code.name and get:
            strings.append(memo.get(arg, "?"))
        elif "PUT" in code.name or code.name == "MEMOIZE" and (count or text):
            memo[len(memo) if arg is None else arg] = strings[-1] if strings else "?"
        text = "UNICODE" in code.name
    return form(found)


def _distinct(found):
    return sorted(set(found))


_right = partial(_names, form=_distinct)


def _loads(data):
    pickle.loads(data)
    return _right(data)


def _pickles(g):
    """Every protocol; texts that look like names; two names of a module; names twice; a bell that rings if loaded."""
    found = []
    for protocol in (4, 2, 0, 5, 3, 1):
        day, long = draw(g, 1, 28), datetime.timedelta(draw(g, 1, 99))
        things = shuffled(g, [datetime.date(2024, 5, day), datetime.date(2025, 5, day), long, Counter("abca"),
                              fractions.Fraction(day, 7), decimal.Decimal(day), OrderedDict(a=day), _Bell()])
        extra = ["GLOBAL", "os system", ["datetime", "time"], {"date": day}]
        found.append((pickle.dumps([*things, *extra, *things[:4]][::draw(g, 0, 1) * 2 - 1], protocol),))
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


ex10_24 = Apart(
    "10.24", answer=_right, make=_pickles, probe=_probe_names, by=("pickle", "names"), edges=1,
    show=lambda data: f"{len(data)} bytes (with {' and '.join(_asking(data)) or 'no names'})",
    hard="right, but for INST, which very old pickles have: like GLOBAL it has both names in its argument",
    advice=". (A pickle need not ask for any name)", mistakes={
        "your function loads the pickle, and code in it has run: read it, with pickletools.genops": _loads,
        "from protocol 4 on, STACK_GLOBAL asks for names, not GLOBAL: see both": partial(_right, new=False),
        "up to protocol 3, GLOBAL asks for names, not STACK_GLOBAL: see both": partial(_right, old=False),
        "a text that was there before is not written again but fetched, by GET, BINGET or LONG_BINGET: keep a memo":
            partial(_right, get=False),
        "MEMOIZE gives the next number to *anything*, not to texts alone: count them all": partial(_right, count=False),
        "the argument of GLOBAL has a space between module and name: make it a dot": partial(_right, dot=" "),
        "the list is not sorted": partial(_names, form=lambda found: list(dict.fromkeys(found))),
        "a name that is asked for twice should be in the list once": _names,
        "the names are neither sorted nor each there once": partial(_names, form=list),
        "the names alone, without their modules": partial(
            _names, form=lambda found: sorted({name.rsplit(".", 1)[1] for name in found})),
        "the modules alone, without the names": partial(
            _names, form=lambda found: sorted({name.rsplit(".", 1)[0] for name in found})),
        "the names are right, but return a sorted list, not a set": partial(_names, form=set),
    })
