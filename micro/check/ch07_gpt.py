"""The checks of notebook 07, the GPT."""
import math
import random
from functools import cache
from string import ascii_lowercase as LETTERS

import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.kinds import Parts, by_autograd, cases_of, randn, shapes_of
from micro.check.timed import goal, reached, trained
from micro.data import shakespeare
from micro.train import evaluating

# -- 1: a leak test ------------------------------------------------------------------------------------

READERS = {  # what output t reads, as a weight for each token s of T
    "a causal model": lambda t, s, T: (s <= t) / (t + 1),
    "a model that reads only tokens before t": lambda t, s, T: s < t,
    "a mask that is off by one": lambda t, s, T: s <= t + 1,
    "a model where all see the last token": lambda t, s, T: s <= t or s == T - 1,
    "a model with an average over all of time": lambda t, s, T: (s == t) + 1 / T,
    "a model without a mask": lambda t, s, T: 1 / T,
    "a model where position 1 sees token 3": lambda t, s, T: s <= t or (t, s) == (1, 3),
    "a model where even positions see one token ahead": lambda t, s, T: s <= t + (t % 2 == 0),
}


def reader(kind, vocab):
    table = randn(torch.Generator().manual_seed(vocab), vocab, vocab)

    def model(ix):
        T = ix.shape[1]
        reads = torch.tensor([[float(READERS[kind](t, s, T)) for s in range(T)] for t in range(T)]).double()
        return torch.tanh(reads @ table[ix])                    # (T, T) @ (B, T, V)
    return model


def leaking(model, ix, vocab_size):
    before, found = model(ix), []
    for t in range(ix.shape[1] - 1):
        other = ix.clone()
        other[:, t + 1:] = (ix[:, t + 1:] + 1) % vocab_size
        if (model(other) - before)[:, t].abs().max() > 1e-9:
            found.append(t)
    return found


def found_leaks(fn, kind, B, T, vocab):
    ix = torch.randint(0, vocab, (B, T), generator=torch.Generator().manual_seed(T))
    kept = ix.clone()
    found = fn(reader(kind, vocab), ix, vocab)
    if not isinstance(found, (list, tuple, set)):
        raise TypeError(f"a list of positions is wanted, not {found!r}")
    found = sorted(v if isinstance(v, bool) else int(v) for v in found)
    return {"input afterwards": "the same" if torch.equal(ix, kept) else "changed", "positions": str(found)}


ex07_1 = Exercise(
    "07.1", answer=leaking, probe=found_leaks, show=lambda kind, B, T, V: f"{kind}, {T} tokens",
    cases=[(kind, 1 + k % 2, 5 + k % 3, 4 + k) for k, kind in enumerate(READERS)],
    mistakes={
        "those are the tokens that were changed; return the leaking positions, whose outputs move": """
            def leaks(model, ix, vocab_size):
                found = []
                for s in range(1, ix.shape[1]):
                    other = ix.clone()
                    other[:, s] = (ix[:, s] + 1) % vocab_size
                    if not torch.allclose(model(other)[:, :s], model(ix)[:, :s]):
                        found.append(s)
                return found
            """,
        "a causal model leaks nothing, not even at its last position: change only tokens *after* t, not t itself": """
            def leaks(model, ix, vocab_size):
                found = []
                for t in range(ix.shape[1]):
                    other = ix.clone()
                    other[:, t:] = (ix[:, t:] + 1) % vocab_size
                    if not torch.allclose(model(other)[:, t], model(ix)[:, t]):
                        found.append(t)
                return found
            """,
        "only the last token was changed: a position may also see a later token before that": """
            def leaks(model, ix, vocab_size):
                other = ix.clone()
                other[:, -1] = (ix[:, -1] + 1) % vocab_size
                moved = (model(other) - model(ix)).abs().sum((0, 2)) > 1e-6
                return [t for t in range(ix.shape[1] - 1) if moved[t]]
            """,
        "compare the outputs at t alone: those at later positions may well move": """
            def leaks(model, ix, vocab_size):
                found = []
                for t in range(ix.shape[1] - 1):
                    other = ix.clone()
                    other[:, t + 1:] = (ix[:, t + 1:] + 1) % vocab_size
                    if not torch.allclose(model(other), model(ix)):
                        found.append(t)
                return found
            """,
        "ix was changed: work on ix.clone(), or earlier changes stay in": """
            def leaks(model, ix, vocab_size):
                before, found = model(ix), []
                for t in range(ix.shape[1] - 1):
                    other = ix
                    other[:, t + 1:] = (ix[:, t + 1:] + 1) % vocab_size
                    if not torch.allclose(model(other)[:, t], before[:, t]):
                        found.append(t)
                return found
            """,
    })


# -- 2: the loss at each position ----------------------------------------------------------------------

ex07_2 = Exercise(
    "07.2", tol=1e-5, show=shapes_of,
    answer=lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(0),
    cases=cases_of(lambda g, B, T, V: (randn(g, B, T, V), torch.randint(0, V, (B, T), generator=g)),
                   (4, 6, 5), (3, 3, 7), (1, 5, 3), (6, 2, 4)),
    mistakes={
        "that is the mean of everything: with reduction=\"none\" F.cross_entropy keeps each loss apart": """
            def loss_by_position(logits, targets):
                return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
            """,
        "a reshape to (B, V, T) mixes the logits of different positions: transpose exchanges the two dimensions": """
            def loss_by_position(logits, targets):
                B, T, V = logits.shape
                return F.cross_entropy(logits.view(B, V, T), targets, reduction="none").mean(0)
            """,
        "after flatten, a view(T, B) mixes rows and positions: use view(B, T)": """
            def loss_by_position(logits, targets):
                B, T, V = logits.shape
                each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
                return each.view(T, B).mean(1)
            """,
        "softmax is applied twice: F.cross_entropy takes logits": """
            def loss_by_position(logits, targets):
                return F.cross_entropy(logits.softmax(-1).transpose(1, 2), targets, reduction="none").mean(0)
            """,
    })


# -- 3: cross-attention --------------------------------------------------------------------------------

ex07_3 = Exercise(
    "07.3", tol=1e-5, show=shapes_of,
    answer=lambda x, memory, wq, wk, wv: F.scaled_dot_product_attention(x @ wq, memory @ wk, memory @ wv),
    cases=cases_of(lambda g, B, T, S, C, hs: (randn(g, B, T, C), randn(g, B, S, C), *randn(g, 3, C, hs)),
                   (2, 3, 5, 4, 2), (1, 4, 4, 6, 3), (2, 5, 2, 3, 3)),
    mistakes={
        "the memory plays no part, that is self-attention: keys and values come from the memory": """
            def cross_attention(x, memory, wq, wk, wv):
                scores = (x @ wq) @ (x @ wk).transpose(1, 2) / math.sqrt(wq.shape[1])
                return scores.softmax(-1) @ (x @ wv)
            """,
        "x and the memory are exchanged: queries come from x, keys and values from the memory": """
            def cross_attention(x, memory, wq, wk, wv):
                q, k, v = memory @ wq, x @ wk, x @ wv
                scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
                return scores.softmax(-1) @ v
            """,
        "the scores must be divided by the root of the head size": """
            def cross_attention(x, memory, wq, wk, wv):
                q, k, v = x @ wq, memory @ wk, memory @ wv
                return (q @ k.transpose(1, 2)).softmax(-1) @ v
            """,
        "divide the scores by the root of the head size, the number of columns of wq, not by the root of C": """
            def cross_attention(x, memory, wq, wk, wv):
                q, k, v = x @ wq, memory @ wk, memory @ wv
                scores = q @ k.transpose(1, 2) / math.sqrt(x.shape[-1])
                return scores.softmax(-1) @ v
            """,
        "no mask here: all of the memory is known before the first output is computed": """
            def cross_attention(x, memory, wq, wk, wv):
                return F.scaled_dot_product_attention(x @ wq, memory @ wk, memory @ wv, is_causal=True)
            """,
        "softmax goes over the positions of the memory, the last dimension: the weights of each query sum to 1": """
            def cross_attention(x, memory, wq, wk, wv):
                q, k, v = x @ wq, memory @ wk, memory @ wv
                scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
                return scores.softmax(1) @ v
            """,
    })


# -- 4: multi-query attention --------------------------------------------------------------------------


def multi_query(x, wq, wk, wv, n_head):
    q = (x @ wq).unflatten(2, (n_head, -1)).transpose(1, 2)      # (B, n_head, T, hs)
    k, v = ((x @ w)[:, None].expand_as(q) for w in (wk, wv))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


ex07_4 = Exercise(
    "07.4", answer=multi_query, tol=1e-5, show=lambda *a: f"{shapes_of(*a[:-1])}, n_head={a[-1]}",
    cases=cases_of(lambda g, B, T, H, hs: (randn(g, B, T, H * hs), randn(g, H * hs, H * hs),
                                           *randn(g, 2, H * hs, hs), H), (2, 5, 2, 3), (1, 4, 3, 4), (2, 6, 1, 2)),
    mistakes={
        "it sees the future: put -inf where the key is later than the query": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                y = F.scaled_dot_product_attention(q, k, v)
                return y.transpose(1, 2).reshape(B, T, C)
            """,
        "the mask came after the softmax, so the weights no longer sum to 1: put -inf into the scores": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1).tril()
                return (weights @ v).transpose(1, 2).reshape(B, T, C)
            """,
        "the scores must be divided by the root of the head size": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                scores = (q @ k.transpose(2, 3)).masked_fill(torch.ones(T, T).tril() == 0, -math.inf)
                return (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)
            """,
        "divide the scores by the root of the head size, C / n_head, not by the root of C": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                scores = q @ k.transpose(2, 3) / math.sqrt(C)
                scores = scores.masked_fill(torch.ones(T, T).tril() == 0, -math.inf)
                return (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)
            """,
        "a view to (B, n_head, T, hs) mixes positions: first view(B, T, n_head, hs), then transpose(1, 2)": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, n_head, T, C // n_head)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                return y.transpose(1, 2).reshape(B, T, C)
            """,
        "the heads' results were joined wrongly: transpose(1, 2) before the reshape to (B, T, C)": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                k, v = (x @ wk)[:, None], (x @ wv)[:, None]
                return F.scaled_dot_product_attention(q, k, v, is_causal=True).reshape(B, T, C)
            """,
        "keys and values need a dimension of 1 for the heads, (B, 1, T, hs): else text b meets head b": """
            def multi_query(x, wq, wk, wv, n_head):
                B, T, C = x.shape
                q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)
                y = F.scaled_dot_product_attention(q, x @ wk, x @ wv, is_causal=True)
                return y.transpose(1, 2).reshape(B, T, C)
            """,
    })


# -- 5: rotary positions -------------------------------------------------------------------------------


def rotary(q, base=10000.0):
    """Each pair is a complex number, and to turn it is to multiply it by another of length 1."""
    T, hs = q.shape[2:]
    angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2).double() / hs)
    turned = torch.complex(*q.chunk(2, -1)) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


ex07_5 = Exercise(
    "07.5", answer=rotary, tol=1e-5,
    show=lambda q, base=None: f"q {tuple(q.shape)}, base {'left out' if base is None else f'{base:g}'}",
    cases=cases_of(lambda g, B, H, T, hs, *base: (randn(g, B, H, T, hs), *base),
                   (2, 3, 5, 8, 100.0), (1, 2, 7, 6), (2, 1, 4, 4, 11.0), (1, 4, 3, 2, 10000.0)),
    mistakes={
        "the pairs are channels i and i + hs/2; here neighbours 2i and 2i + 1 are turned together": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)
                a, b = q[..., 0::2], q[..., 1::2]
                turned = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
                return torch.stack(turned, -1).flatten(-2)
            """,
        "it turns the other way: the first of a pair becomes first · cos − second · sin": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                return torch.cat([a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()], -1)
            """,
        "count positions from 0: the first token is not turned at all": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(1, T + 1)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
            """,
        "base has no effect: 10000 is only what it is when left out": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * 10000 ** (-2 * torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
            """,
        "the exponent is −2i/hs, not −i/hs": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * base ** (-torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
            """,
        "the exponent needs a minus: later pairs turn more slowly": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * base ** (2 * torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
            """,
        "the second was turned with the first already changed: keep the old first for it": """
            def rotary(q, base=10000.0):
                T, hs = q.shape[2:]
                angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)
                a, b = q.chunk(2, -1)
                a = a * angle.cos() - b * angle.sin()
                b = a * angle.sin() + b * angle.cos()
                return torch.cat([a, b], -1)
            """,
    })


# -- 6: the size of the cache --------------------------------------------------------------------------


def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
    return 2 * n_layer * n_head * head_size * length * batch * bytes_per_number


ex07_6 = Exercise(
    "07.6", answer=cache_bytes, tol=1e-12,
    cases=[(12, 12, 64, 1024, 1, 2), (2, 4, 24, 64, 3, 4), (3, 5, 16, 100, 7, 2)],
    mistakes={
        "keys *and* values are kept: twice as much": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return n_layer * n_head * head_size * length * batch * bytes_per_number
            """,
        "keys and values are kept, but not queries: only the newest token asks": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return 3 * n_layer * n_head * head_size * length * batch * bytes_per_number
            """,
        "each layer keeps keys and values of its own": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return 2 * n_head * head_size * length * batch * bytes_per_number
            """,
        "each head keeps keys and values of its own": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return 2 * n_layer * head_size * length * batch * bytes_per_number
            """,
        "each text of the batch has keys and values of its own": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return 2 * n_layer * n_head * head_size * length * bytes_per_number
            """,
        "that is how many values are kept; multiply by the bytes that each of them takes": """
            def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):
                return 2 * n_layer * n_head * head_size * length * batch
            """,
    })


# -- 7: addition ---------------------------------------------------------------------------------------


def addition(a, b, n):
    text = f"{a:0{n}d}+{b:0{n}d}=" + f"{a + b:0{n + 1}d}"[::-1]
    s = ["0123456789+=".index(c) for c in text]
    return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]


def x_and_y(fn, a, b, n):
    found = fn(a, b, n)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError("return two lists, x and y")
    return {"x": found[0], "y": found[1]}


ex07_7 = Exercise(
    "07.7", answer=addition, probe=x_and_y, show=lambda a, b, n: f"a={a}, b={b}, n={n}",
    cases=[(7, 5, 2), (123, 989, 3), (12, 7, 3), (1, 8, 1), (1000, 234, 4)],
    mistakes={
        "the sum stands forwards: write its digits backwards, the ones first": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}={a + b:0{n + 1}d}"
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]
            """,
        "fill the sum with zeros in front first, then turn it round: the zeros come last": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + str(a + b)[::-1].zfill(n + 1)
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]
            """,
        "the sum is filled with zeros to n + 1 digits": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + str(a + b)[::-1]
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]
            """,
        "the loss counts everywhere: y must be -100 where the next symbol does not belong to the answer": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + f"{a + b:0{n + 1}d}"[::-1]
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], s[1:]
            """,
        "the answer's first digit is masked too: it is predicted where x is =": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + f"{a + b:0{n + 1}d}"[::-1]
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], [-100] * (2 * n + 2) + s[2 * n + 3:]
            """,
        "= is not part of the answer: one -100 more": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + f"{a + b:0{n + 1}d}"[::-1]
                s = ["0123456789+=".index(c) for c in text]
                return s[:-1], [-100] * (2 * n) + s[2 * n + 1:]
            """,
        "y is the *next* symbol: one position ahead of x": """
            def addition(a, b, n):
                text = f"{a:0{n}d}+{b:0{n}d}=" + f"{a + b:0{n + 1}d}"[::-1]
                x = ["0123456789+=".index(c) for c in text][:-1]
                return x, [-100] * (2 * n + 2) + x[2 * n + 2:]
            """,
    })


# -- 8: a text of your own -----------------------------------------------------------------------------

SECONDS, MOST, LONG = 20, 2.2, 32
STAGES = {"worse than a guess": (4.4, math.inf), "as if nothing was learned": (4.08, 4.18),  # log 62 = 4.127
          "as counting letters": (3.3, 3.4), "as counting pairs": (2.48, 2.58)}  # 3.35, 2.52; a GPT soon has 1.97


@cache
def plays():
    """The plays with their letters exchanged: what to train on, and what comes after it."""
    deal = list(LETTERS)
    random.Random(7).shuffle(deal)
    deal = "".join(deal)
    text = shakespeare().translate(str.maketrans(LETTERS + LETTERS.upper(), deal + deal.upper()))
    return text[:300_000], text[300_000:300_001 + 500 * LONG]


def worthless(logits, again):
    """What is wrong with logits (N, T, V) and those after the second half of the tokens changed, or None."""
    half = LONG // 2
    if logits.isnan().any():
        return "nan"
    if not torch.allclose(logits[:, :half], again[:, :half], atol=1e-3):
        return "of no worth: it sees the future"
    if logits.min() >= 0 and torch.allclose(logits.sum(-1), torch.ones(()), atol=1e-3):
        return "of no worth: those are probabilities"


def race_text(recipe):
    """recipe(text) -> (model, chars): `goal` if it is reached, else what it got."""
    text, tail = plays()
    found, took = trained(recipe, text)
    if found == goal(SECONDS, MOST):  # the reference answer
        return found
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError("return two things, the model and its characters")
    model, chars = found
    place = {c: i for i, c in enumerate(chars)}
    lacking = sorted(set(text) - set(place))
    if lacking:
        raise TypeError(f"the characters you return lack {lacking[0]!r}, which stands in the text")
    weights = model.parameters() if isinstance(model, torch.nn.Module) else ()
    device = next((p.device for p in weights), torch.device("cpu"))
    ix = torch.tensor([place[c] for c in tail])
    X, Y = ix[:-1].view(-1, LONG), ix[1:].view(-1, LONG)
    other = X.clone()
    other[:, LONG // 2:] = (X[:, LONG // 2:] + 1) % len(chars)
    with evaluating(model):
        logits, again = (torch.cat([model(x.to(device)).float().cpu() for x in rows.split(250)]) for rows in (X, other))
    if tuple(logits.shape) != (*X.shape, len(chars)):
        raise TypeError(f"for {len(X)} rows of {LONG} characters your model gave shape {tuple(logits.shape)} where "
                        f"{(*X.shape, len(chars))} is wanted")
    loss = F.cross_entropy(logits.flatten(0, 1), Y.flatten()).item()
    stage = next((name for name, (low, high) in STAGES.items() if low <= loss <= high), None)
    told = worthless(logits, again) or stage
    return reached(loss, took, SECONDS, MOST) | ({"dev loss": told} if told else {})


ex07_8 = Exercise(
    "07.8", answer=lambda text: goal(SECONDS, MOST), probe=race_text, cases=[()], show=lambda: "the check's text",
    advice=f" (return the model, from (B, T) to logits (B, T, len(chars)) for T up to {LONG}, and the characters)",
    mistakes={
        "all logits are equal, or nearly so: was anything trained?": """
            def own(text):
                chars = sorted(set(text))
                return lambda ix: torch.zeros(*ix.shape, len(chars)), chars
            """,
        "it sees the future, so its loss says nothing: later tokens change an output (exercise 1)": """
            def own(text):
                chars = sorted(set(text))
                return lambda ix: 9.0 * F.one_hot(ix.roll(-1, 1), len(chars)), chars
            """,
        "worse than a guess on text it has not seen: was it trained, are the targets the *next* characters, and does "
        "each token number belong to the same character in the list you return?": """
            def own(text):
                chars = sorted(set(text))
                return lambda ix: 9.0 * F.one_hot(ix, len(chars)), chars
            """,
        "those look like probabilities: logits are wanted": """
            def own(text):
                from micro.gpt import GPT, GPTConfig
                chars = sorted(set(text))
                model = GPT(GPTConfig(len(chars), block_size=32))
                return lambda ix: model(ix).softmax(-1), chars
            """,
        "no better than the frequencies of the letters: do the tokens reach the output?": """
            def own(text):
                chars = sorted(set(text))
                N = torch.bincount(torch.tensor([chars.index(c) for c in text]))
                return lambda ix: N.log().expand(*ix.shape, -1), chars
            """,
        "no better than counting pairs of letters: train longer, and let each position see more than itself": """
            def own(text):
                chars = sorted(set(text))
                V, data = len(chars), torch.tensor([chars.index(c) for c in text])
                N = torch.bincount(V * data[:-1] + data[1:], minlength=V * V).view(V, V) + 0.1
                return lambda ix: N.log()[ix], chars
            """,
    })


# -- 9: queries and keys, backward ---------------------------------------------------------------------


def to_scores(g, n, T, d):
    q, k = randn(g, n, T, d), randn(g, n, T, d)
    return q, k, (q @ k.transpose(1, 2) / d**0.5).softmax(-1), randn(g, n, T, T)


def back_scores(q, k, p, dp):
    def forward(q, k):
        s = q @ k.transpose(1, 2) / q.shape[-1]**0.5
        return s.softmax(-1), s
    return by_autograd(forward, [q, k], dp)


ex07_9 = Parts(
    "07.9", answer=back_scores, show=shapes_of, tol=1e-9, parts=("ds", "dq", "dk"),
    cases=cases_of(to_scores, (2, 4, 3), (1, 5, 5), (3, 1, 2)),
    part_mistakes={
        "ds": {
            "the weights of a row add up to 1, so raising one lowers the others: that term is missing": """
                def back_scores(q, k, p, dp):
                    return p * dp, None, None
                """,
            "the factor p in front is missing": """
                def back_scores(q, k, p, dp):
                    return dp - (dp * p).sum(-1, keepdim=True), None, None
                """,
            "ds is the gradient of the scores themselves: the root of d belongs to dq and dk": """
                def back_scores(q, k, p, dp):
                    ds = p * (dp - (dp * p).sum(-1, keepdim=True)) / q.shape[-1]**0.5
                    return ds, ds @ k, ds.transpose(1, 2) @ q
                """,
        },
        "dq": {
            "divide by the root of d": """
                def back_scores(q, k, p, dp):
                    ds = p * (dp - (dp * p).sum(-1, keepdim=True))
                    return ds, ds @ k, None
                """,
            "s[i, j] = q[i] · k[j]: for dq sum over j, so ds is not transposed": """
                def back_scores(q, k, p, dp):
                    ds = p * (dp - (dp * p).sum(-1, keepdim=True))
                    return ds, ds.transpose(1, 2) @ k / q.shape[-1]**0.5, None
                """,
        },
        "dk": {
            "divide by the root of d": """
                def back_scores(q, k, p, dp):
                    ds = p * (dp - (dp * p).sum(-1, keepdim=True))
                    return ds, None, ds.transpose(1, 2) @ q
                """,
            "s[i, j] = q[i] · k[j]: for dk sum over i, so ds is transposed": """
                def back_scores(q, k, p, dp):
                    ds = p * (dp - (dp * p).sum(-1, keepdim=True))
                    return ds, None, ds @ q / q.shape[-1]**0.5
                """,
        },
    })
