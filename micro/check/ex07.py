"""The exercises of notebook 07, a GPT: references, inputs and known mistakes. 7 and 8 are in ex07_more."""
import math

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.ex07_more import ex07_7, ex07_8  # noqa: F401 (the checks of 7 and 8)
from micro.check.parts import bell, cases_of, shapes

# -- 1: a leak test ------------------------------------------------------------------------------------

KINDS = {  # what output t reads, as a weight for each token s of T
    "a causal model": lambda t, s, T: (s <= t) / (t + 1),
    "a model that reads only tokens before t": lambda t, s, T: s < t,
    "a mask that is off by one": lambda t, s, T: s <= t + 1,
    "a model where all see the last token": lambda t, s, T: s <= t or s == T - 1,
    "a model with an average over all of time": lambda t, s, T: (s == t) + 1 / T,
    "a model without a mask": lambda t, s, T: 1 / T,
    "a model where position 1 sees token 3": lambda t, s, T: s <= t or (t, s) == (1, 3),
    "a model where even positions see one token ahead": lambda t, s, T: s <= t + (t % 2 == 0),
}


def _reader(kind, vocab):
    table = bell(torch.Generator().manual_seed(vocab), vocab, vocab)

    def model(ix):
        T = ix.shape[1]
        reads = torch.tensor([[float(KINDS[kind](t, s, T)) for s in range(T)] for t in range(T)]).double()
        return torch.tanh(reads @ table[ix])                    # (T, T) @ (B, T, V)
    return model


def _leaks(model, ix, vocab, first=1, last=None, stop=1, look=None, clone=torch.clone):
    """Change the tokens t + first to t + last; look: where to compare, t if None."""
    before, found = model(ix), []
    for t in range(ix.shape[1] - stop):
        other = clone(ix)
        later = slice(t + first, last and t + last)
        other[:, later] = (other[:, later] + 1) % vocab
        moved = (model(other) - before).abs().amax((0, 2)) > 1e-9     # (T,)
        if moved[t] if look is None else look(moved):
            found.append(t)
    return found


def _last_token(model, ix, vocab):
    other = ix.clone()
    other[:, -1] = (ix[:, -1] + 1) % vocab
    moved = (model(other) - model(ix)).abs().amax((0, 2)) > 1e-9
    return [t for t in range(ix.shape[1] - 1) if moved[t]]


def _one_by_one(model, ix, vocab, pick):
    """pick(s, t) of each pair of a changed token s and an earlier output t that moves."""
    before, found = model(ix), []
    for s in range(ix.shape[1]):
        other = ix.clone()
        other[:, s] = (ix[:, s] + 1) % vocab
        moved = (model(other) - before).abs().amax((0, 2)) > 1e-9
        found += [pick(s, t) for t in range(s) if moved[t]]
    return found


def _probe_leaks(fn, kind, B, T, vocab):
    ix = torch.randint(0, vocab, (B, T), generator=torch.Generator().manual_seed(T))
    kept = ix.clone()
    found = fn(_reader(kind, vocab), ix, vocab)
    if not isinstance(found, (list, tuple, set)):
        raise TypeError(f"a list of positions is wanted, not {found!r}")
    found = sorted(v if isinstance(v, bool) else int(v) for v in found)
    return {"input afterwards": "the same" if torch.equal(ix, kept) else "changed", "positions": str(found)}


ex07_1 = Exercise(
    "07.1", answer=_leaks, probe=_probe_leaks, show=lambda kind, B, T, V: f"{kind}, {T} tokens",
    cases=[(kind, 1 + k % 2, 5 + k % 3, 4 + k) for k, kind in enumerate(KINDS)],
    mistakes={
        "those are the tokens that were changed; wanted are the outputs that move, the leaking positions":
            lambda *a: sorted(set(_one_by_one(*a, lambda s, t: s))),
        "each leaking position is wanted once, however many later tokens it sees":
            lambda *a: _one_by_one(*a, lambda s, t: t),
        "a causal model leaks nothing, not even its last position: change only tokens *after* t, not t itself":
            lambda *a: _leaks(*a, first=0, stop=0),
        "a causal model leaks nothing: change only tokens *after* t, not t itself": lambda *a: _leaks(*a, first=0),
        "only the last token was changed: a position may also see a later token before that": _last_token,
        "only the next token was changed: a position may see one that comes much later": lambda *a: _leaks(*a, last=2),
        "compare the outputs at t alone: those of later positions, the last one too, may well move":
            lambda *a: _leaks(*a, look=lambda moved: moved.any()),
        "no leak is found in any model: are the two outputs you compare those of two *different* inputs?":
            lambda *a: [],
        "ix was changed: work on ix.clone(), or earlier changes stay in": lambda *a: _leaks(*a, clone=lambda ix: ix),
        "that is True or False for each position; wanted is the list of the positions with True":
            lambda m, ix, V: [t in _leaks(m, ix, V) for t in range(ix.shape[1])],
    })


# -- 2: the loss at each position ------------------------------------------------------------------------

def _by_position(logits, targets, over=0):
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")     # (B, T)
    return each if over is None else each.mean(over)


def _mixed(logits, targets):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), targets, reduction="none").mean(0)


ex07_2 = Exercise(
    "07.2", answer=_by_position, tol=1e-5, show=shapes,
    cases=cases_of(lambda g, B, T, V: (bell(g, B, T, V), torch.randint(0, V, (B, T), generator=g)),
                   (4, 6, 5), (3, 3, 7), (1, 5, 3), (6, 2, 4)),
    mistakes={
        "one loss for each row of the batch: average over the rows, so that one stays for each position":
            lambda x, y: _by_position(x, y, 1),
        "that is the mean of everything: with reduction=\"none\" F.cross_entropy keeps each loss apart":
            lambda x, y: _by_position(x, y, (0, 1)),
        "one loss for each row and position: the mean over the rows is missing": lambda x, y: _by_position(x, y, None),
        "that is the sum over the rows, the mean is wanted": lambda x, y: _by_position(x, y) * len(x),
        "a reshape to (B, V, T) mixes the logits of different positions: transpose exchanges the two dimensions":
            _mixed,
        "after flatten, a view(T, B) mixes rows and positions: it is view(B, T)":
            lambda x, y: _by_position(x, y, None).view(x.shape[1], -1).mean(1),
        "softmax is applied twice: F.cross_entropy takes logits": lambda x, y: _by_position(x.softmax(-1), y),
        "take the log of each probability first, then the mean over the rows":
            lambda x, y: -torch.exp(-_by_position(x, y, None)).mean(0).log(),
    })


# -- 3 and 4: other attentions ---------------------------------------------------------------------------

def _attend(q, k, v, mask=None, scale=None, dim=-1):
    """scale: of the scores; one over the root of the head size if None."""
    scores = q @ k.transpose(-2, -1) * (q.shape[-1]**-0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim) @ v


def _lower(T, S=None):
    return torch.ones(T, S or T, dtype=torch.bool).tril()


def _cross(x, memory, wq, wk, wv, **how):
    return _attend(x @ wq, memory @ wk, memory @ wv, **how)


ex07_3 = Exercise(
    "07.3", answer=_cross, tol=1e-5, show=shapes,
    cases=cases_of(lambda g, B, T, S, C, hs: (bell(g, B, T, C), bell(g, B, S, C), *bell(g, 3, C, hs)),
                   (2, 3, 5, 4, 2), (1, 4, 4, 6, 3), (2, 5, 2, 3, 3)),
    mistakes={
        "the memory plays no part, that is self-attention: keys and values come from the memory":
            lambda x, m, q, k, v: _cross(x, x, q, k, v),
        "x plays no part, that is the memory asking itself: queries come from x":
            lambda x, m, q, k, v: _cross(m, m, q, k, v),
        "exchanged: x asks, so queries come from x, keys and values from the memory":
            lambda x, m, q, k, v: _cross(m, x, q, k, v),
        "the scores must be divided by the root of the head size": lambda *a: _cross(*a, scale=1),
        "divide the scores by the root of the head size, the number of columns of wq, not by the root of C":
            lambda *a: _cross(*a, scale=a[0].shape[-1]**-0.5),
        "divide the scores by the *root* of the head size": lambda *a: _cross(*a, scale=1 / a[2].shape[1]),
        "no mask here: all of the memory is known before the first answer is given":
            lambda *a: _cross(*a, mask=_lower(a[0].shape[1], a[1].shape[1])),
        "softmax over the memory's places, the last dimension: for each question the shares sum to 1":
            lambda *a: _cross(*a, dim=-2),
        "wk and wv are exchanged": lambda x, m, q, k, v: _cross(x, m, q, v, k),
        "wq and wk are exchanged: x @ wq asks, memory @ wk answers": lambda x, m, q, k, v: _cross(x, m, k, q, v),
    })


def _queries(x, wq, n_head, how="right"):
    """(B, n_head, T, hs)."""
    q, (B, T) = x @ wq, x.shape[:2]
    if how == "interleaved":
        return q.view(B, T, -1, n_head).permute(0, 3, 1, 2)
    return q.reshape(B, n_head, T, -1) if how == "mixed" else q.view(B, T, n_head, -1).transpose(1, 2)


def _multi(x, wq, wk, wv, n_head, how="right", mask="causal", scale=None, dim=-1, late=False, first=False, join=True):
    B, T, C = x.shape
    q, k, v = _queries(x, wq, n_head, how), (x @ wk)[:, None], (x @ wv)[:, None]
    seen = {"causal": _lower(T), "none": None, "future": _lower(T).T, "late": None}[mask]
    q = q[:, :1].expand_as(q) if first else q
    if late:
        y = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1).tril() @ v
    else:
        y = _attend(q, k, v, seen, scale, dim)                  # (B, n_head, T, hs)
    return (y.transpose(1, 2) if join else y).reshape(B, T, C)


def _no_heads(x, wq, wk, wv, n_head):
    B, T, C = x.shape
    q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
    scores = q @ (x @ wk).transpose(1, 2) / math.sqrt(q.shape[-1])
    y = scores.masked_fill(~torch.ones(T, T).tril().bool(), -math.inf).softmax(-1) @ (x @ wv)
    return y.transpose(1, 2).reshape(B, T, C)


ex07_4 = Exercise(
    "07.4", answer=_multi, tol=1e-5, show=lambda *a: f"{shapes(*a[:-1])}, n_head={a[-1]}",
    cases=cases_of(lambda g, B, T, H, hs: (bell(g, B, T, H * hs), bell(g, H * hs, H * hs),
                                           *bell(g, 2, H * hs, hs), H), (2, 5, 2, 3), (1, 4, 3, 4), (2, 6, 1, 2)),
    mistakes={
        "it sees the future: put -inf where the key is later than the query": lambda *a: _multi(*a, mask="none"),
        "the mask is the wrong way round: a query sees keys up to its own, not those from it on":
            lambda *a: _multi(*a, mask="future"),
        "the mask came after the softmax, so the shares no longer sum to 1: put -inf into the scores":
            lambda *a: _multi(*a, late=True),
        "the scores must be divided by the root of the head size": lambda *a: _multi(*a, scale=1),
        "divide the scores by the root of the head size, C / n_head, not by the root of C":
            lambda *a: _multi(*a, scale=a[0].shape[-1]**-0.5),
        "a view to (B, n_head, T, hs) mixes positions: first view(B, T, n_head, hs), then transpose(1, 2)":
            lambda *a: _multi(*a, how="mixed"),
        "each head's channels stand side by side: view(B, T, n_head, hs), not view(B, T, hs, n_head)":
            lambda *a: _multi(*a, how="interleaved"),
        "the heads' results were joined wrongly: transpose(1, 2) before the reshape to (B, T, C)":
            lambda *a: _multi(*a, join=False),
        "all heads ask the same: only keys and values are shared, each head has a query of its own":
            lambda *a: _multi(*a, first=True),
        "softmax over the keys, the last dimension": lambda *a: _multi(*a, dim=-2),
        "wk and wv are exchanged": lambda x, q, k, v, H: _multi(x, q, v, k, H),
        "keys and values need a dimension of 1 for the heads, (B, 1, T, hs): else text b meets head b": _no_heads,
    })


# -- 5: rotary positions ---------------------------------------------------------------------------------

def _rotary(q, base=10000.0, turn=1, start=0, power=-2, neighbours=False, along=2, part="both", minus=True):
    hs = q.shape[-1]
    t = torch.arange(start, start + q.shape[along]).double().view([-1 if d == along else 1 for d in range(4)])
    angle = t * base**(power * torch.arange(hs // 2).double() / hs)               # (1, 1, T, hs / 2)
    cos, sin = angle.cos(), turn * angle.sin()
    a, b = (q[..., 0::2], q[..., 1::2]) if neighbours else q.split(hs // 2, -1)
    a, b = a * cos - (b * sin if minus else -b * sin), a * sin + b * cos
    if part == "in place":
        b = a * sin + q[..., hs // 2:] * cos
    if part == "first":
        b = q[..., hs // 2:]
    return torch.stack([a, b], -1).flatten(-2) if neighbours else torch.cat([a, b], -1)


ex07_5 = Exercise(
    "07.5", answer=_rotary, tol=1e-5,
    show=lambda q, base=None: f"q {tuple(q.shape)}, base {'left out' if base is None else f'{base:g}'}",
    cases=cases_of(lambda g, B, H, T, hs, *base: (bell(g, B, H, T, hs), *base),
                   (2, 3, 5, 8, 100.0), (1, 2, 7, 6), (2, 1, 4, 4, 10.0), (1, 4, 3, 2, 10000.0)),
    mistakes={
        "the pairs are channels i and i + hs/2; here neighbours 2i and 2i + 1 are turned together":
            lambda *a: _rotary(*a, neighbours=True),
        "it turns the other way: the first of a pair becomes first · cos − second · sin":
            lambda *a: _rotary(*a, turn=-1),
        "count positions from 0: the first token is not turned at all": lambda *a: _rotary(*a, start=1),
        "base has no effect: 10000 is only what it is when left out": lambda q, *base: _rotary(q),
        "the exponent is −2i/hs, not −i/hs": lambda *a: _rotary(*a, power=-1),
        "the exponent is −2i/hs, with hs all channels of the head, not half of them":
            lambda *a: _rotary(*a, power=-4),
        "the exponent needs a minus: later pairs turn more slowly": lambda *a: _rotary(*a, power=2),
        "all pairs turn equally fast: the angle of pair i is t · base**(−2i/hs)": lambda *a: _rotary(*a, power=0),
        "the angle grows with the number of the head; position is dimension 2": lambda *a: _rotary(*a, along=1),
        "a turn needs one minus: first · cos − second · sin": lambda *a: _rotary(*a, minus=False),
        "the second was turned with the first already changed: keep the old first for it":
            lambda *a: _rotary(*a, part="in place"),
        "only the first half was turned; the second becomes first · sin + second · cos":
            lambda *a: _rotary(*a, part="first"),
    })


# -- 6: the size of the cache -----------------------------------------------------------------------------

def _bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
    return 2 * n_layer * n_head * head_size * length * batch * bytes_per_number


ex07_6 = Exercise(
    "07.6", answer=_bytes, tol=1e-12,
    cases=[(12, 12, 64, 1024, 1, 2), (2, 4, 24, 64, 3, 4), (3, 5, 16, 100, 7, 2)],
    mistakes={
        "keys *and* values are kept: twice as much": lambda *a: _bytes(*a) / 2,
        "keys and values are kept, but not queries: only the newest token asks": lambda *a: _bytes(*a) * 3 / 2,
        "each layer keeps keys and values of its own": lambda *a: _bytes(1, *a[1:]),
        "each head keeps keys and values of its own": lambda *a: _bytes(a[0], 1, *a[2:]),
        "a key is a vector of head_size numbers": lambda *a: _bytes(*a[:2], 1, *a[3:]),
        "the keys and values of all `length` positions are kept": lambda *a: _bytes(*a[:3], 1, *a[4:]),
        "each text of the batch has keys and values of its own": lambda *a: _bytes(*a[:4], 1, a[5]),
        "that is how many numbers; wanted is how many bytes": lambda *a: _bytes(*a[:5], 1),
        "those are bits; wanted are bytes": lambda *a: 8 * _bytes(*a),
        "the scores, length × length of them, are not kept": lambda *a: _bytes(*a) * a[3],
        "those are MiB; wanted are bytes": lambda *a: _bytes(*a) / 2**20,
    })
