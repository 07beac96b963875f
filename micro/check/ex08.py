"""The exercises of notebook 08, byte pair encoding: references, inputs and known mistakes. 6 to 9 are in ex08_more."""
import math

import regex

from micro.check import Exercise, short
from micro.check.ex08_more import ex08_6, ex08_7, ex08_8, ex08_9, whole_numbers  # noqa: F401 (6 to 9)
from micro.check.parts import Places

# -- 1: UTF-8 by hand ----------------------------------------------------------------------------------

def _utf8(c, limits=(0x80, 0x800, 0x10000), lead=(0, 0xC0, 0xE0, 0xF0), mark=0x80, mask=0x3F, shift=6):
    later = sum(c >= limit for limit in limits)                 # how many bytes after the first
    return [lead[later] | c >> shift * later, *(mark | c >> shift * k & mask for k in reversed(range(later)))]


ex08_1 = Exercise(
    "08.1", answer=_utf8, probe=whole_numbers, show=lambda c: f"code_point={c:#x}",
    cases=[(c,) for c in (0x20AC, 0x41, 0xE9, 0x1F600, 0, 0x7F, 0x80, 0x7FF, 0x800, 0x4E16, 0xFFFF, 0x10000, 0x10FFFF)],
    mistakes={
        "the bytes stand in reverse: the first one holds the highest bits, and says how many there are":
            lambda c: _utf8(c)[::-1],
        "each byte after the first begins with the bits 10: add 0x80": lambda c: _utf8(c, mark=0),
        "the first byte says how many there are: it begins with 110, 1110 or 11110, so add 0xc0, 0xe0 or 0xf0":
            lambda c: _utf8(c, lead=(0, 0, 0, 0)),
        "a byte after the first holds six bits of the number: & 0x3f cuts off those above": lambda c: _utf8(c, mask=-1),
        "each byte after the first holds six bits, so shift by 6, 12 and 18": lambda c: _utf8(c, shift=8),
        "the limits are off by one: 0x80, 0x800 and 0x10000 are the first that need one byte more":
            lambda c: _utf8(c, (0x81, 0x801, 0x10001)),
        "the limits are off by one: 0x7f, 0x7ff and 0xffff are the last that need one byte less":
            lambda c: _utf8(c, (0x7F, 0x7FF, 0xFFFF)),
        "from 0x10000 on it takes four bytes": lambda c: _utf8(c, (0x80, 0x800, 1 << 30)),
        "below 0x800 two bytes are enough, below 0x80 one: not always three":
            lambda c: _utf8(c, (0, 0, 0x10000)),
        "that is UTF-16, two or four bytes each": lambda c: list(chr(c).encode("utf-16-be")),
        "those are the number's own bytes; UTF-8 needs some bits to say which byte is which":
            lambda c: list(c.to_bytes(max(1, (c.bit_length() + 7) // 8), "big")),
        "what does not fit into one byte must not be cut off: it takes more of them": lambda c: [c % 256],
    })


# -- 2: encode ------------------------------------------------------------------------------------------

def _merge(ids, pair, new, most=-1, step=2):
    """Each `pair` in ids made `new`, from the left, `most` times at most. step: 1 uses an id twice."""
    found, i = [], 0
    while i < len(ids):
        if tuple(ids[i:i + 2]) == pair and most != 0:
            found.append(new)
            i, most = i + step, most - 1
        else:
            found.append(ids[i])
            i += 1
    return found


def _encode(text, merges, pick=min, most=-1, step=2, rounds=-1, start=lambda text: list(text.encode())):
    """pick: which of the pairs to merge, from their places in the order of learning, from left to right."""
    ids, order = start(text), list(merges)
    while rounds != 0 and (places := [order.index(p) for p in zip(ids, ids[1:]) if p in merges]):
        pair = order[pick(places)]
        ids, rounds = _merge(ids, pair, merges[pair], most, step), rounds - 1
    return ids


def _from_the_right(text, merges):
    ids = list(text.encode())
    for (a, b), new in merges.items():
        ids = _merge(ids[::-1], (b, a), new)[::-1]
    return ids


def _one_pass(text, merges, most=-1, of=dict.items):
    ids = list(text.encode())
    for pair, new in of(merges):
        ids = _merge(ids, pair, new, most)
    return ids


def _one_look(text, merges):
    """Known pairs from the left, once: what is merged does not merge again."""
    ids, found = list(text.encode()), []
    while ids:
        new = merges.get(tuple(ids[:2]))
        found.append(ids[0] if new is None else new)
        ids = ids[1 if new is None else 2:]
    return found


def _longest(text, merges):
    """The longest token that fits, from the left."""
    vocab = {bytes([b]): b for b in range(256)}
    for (a, b), new in merges.items():
        part = {i: t for t, i in vocab.items()}
        vocab[part[a] + part[b]] = new
    data, found = text.encode(), []
    while data:
        token = max((t for t in vocab if data.startswith(t)), key=len)
        found.append(vocab[token])
        data = data[len(token):]
    return found


_AS = {(97, 97): 256, (256, 97): 257, (257, 98): 258}
_ABC = {(98, 99): 256, (97, 98): 257, (257, 99): 258, (99, 97): 259, (256, 97): 260, (260, 256): 261, (99, 257): 262}
_SIGNS = {(0xF0, 0x9F): 256, (0xC3, 0xA9): 257, (256, 0x98): 258, (258, 0x80): 259, (257, 257): 260}
ex08_2 = Exercise(
    "08.2", answer=_encode, probe=whole_numbers, show=lambda text, merges: f"text={text!r}, merges={short(merges)}",
    cases=[("aaabdaaabac", _AS), ("abc", _ABC), ("", _AS), ("b", _AS), ("aaaa", _AS), ("aaaaaaaaa", _AS),
           ("abcabcab", _ABC), ("bcabcbcabcaab", _ABC), ("été 😀😀🤠", _SIGNS), ("éééa", _SIGNS),
           ("cab", _ABC), ("aab", {})],
    mistakes={
        "the leftmost pair came first; first comes the pair that was learnt first, wherever it stands":
            lambda *a: _encode(*a, pick=lambda places: places[0], most=1),
        "the most frequent pair came first, that is training; here the pair that was learnt first does":
            lambda *a: _encode(*a, pick=lambda places: max(sorted(places), key=places.count)),
        "the pair learnt *last* came first": lambda *a: _encode(*a, pick=max),
        "only one pair was merged: go on until none of the merges is left": lambda *a: _encode(*a, rounds=1),
        "a pair is merged at every place where it stands, not at the first alone": lambda *a: _one_pass(*a, most=1),
        "a merge went through from the right: \"aaa\" is aa and a, not a and aa": _from_the_right,
        "an id was used twice: after a merge go on two places further": lambda *a: _encode(*a, step=1),
        "those are code points: start from the UTF-8 bytes of the text":
            lambda *a: _encode(*a, start=lambda text: [ord(c) for c in text]),
        "what was merged may merge again with its neighbours": _one_look,
        "the longest token that fits is not always what the merges lead to: \"abc\" may have to begin with a": _longest,
        "those are the bytes: nothing was merged": lambda *a: _encode(*a, rounds=0),
    })


# -- 3: merges from ranks -------------------------------------------------------------------------------

def _halves(token, ranks, pick=min):
    """The parts of a token by all merges of lower rank."""
    parts = [bytes([b]) for b in token]
    while True:
        joined = [ranks.get(p + q, math.inf) for p, q in zip(parts, parts[1:])]
        known = {i: rank for i, rank in enumerate(joined) if rank < ranks[token]}
        if not known:
            return tuple(parts)
        i = pick(known, key=known.get)
        parts[i:i + 2] = [parts[i] + parts[i + 1]]


def _recover(ranks, halves=_halves, order=None, shortest=2):
    tokens = sorted(ranks, key=ranks.get) if order is None else order(ranks)
    return [halves(t, ranks) for t in tokens if len(t) >= shortest]


def _cut(best, both=False, lower=False):
    """A way to cut a token once, where `best` says: the front (or both parts) is a token (of lower rank)."""
    def halves(token, ranks):
        known = {t for t in ranks if ranks[t] < ranks[token] or not lower}
        places = [i for i in range(1, len(token)) if token[:i] in known and (not both or token[i:] in known)]
        i = best(places, lambda i: max(ranks[token[:i]], ranks.get(token[i:], 0)))
        return token[:i], token[i:]
    return halves


def _suffix(token, ranks):
    i = next(i for i in range(1, len(token)) if token[i:] in ranks)
    return token[:i], token[i:]


def _pairs(fn, ranks):
    found = fn(ranks)
    if not isinstance(found, (list, tuple)) or not all(isinstance(pair, (list, tuple)) for pair in found):
        raise TypeError(f"a list of pairs is wanted, not {short(found)}")
    return Places("pair", [tuple(pair) for pair in found])


def _ranks(words, turn):
    """Tokens in order of learning -> ranks, in alphabetical order, the bytes counted from `turn` on."""
    ranks = {bytes([b]): (b - turn) % 256 for b in range(256)}
    ranks |= {w.encode(): 256 + k for k, w in enumerate(words.split())}
    return dict(sorted(ranks.items(), key=lambda item: (-len(item[0]), item[0])))


_LEARNT = ["an ana anana re", "an ss ana iss on st en anana na", "aa bb ba aabb aaa aabba", "st is ist er re ere"]
ex08_3 = Exercise(
    "08.3", answer=_recover, probe=_pairs,
    show=lambda ranks: "the bytes and then " + " ".join(t.decode() for t in sorted(ranks, key=ranks.get)[256:]),
    cases=[(_ranks(words, 33 * k),) for k, words in enumerate(_LEARNT)],
    mistakes={
        "the longest known prefix is not always what was merged: let the merges of lower rank act on the token's bytes":
            lambda r: _recover(r, _cut(lambda places, high: places[-1])),
        "the longest prefix that leaves a known rest is not always what was merged: let the merges of lower rank act "
        "on the token's bytes": lambda r: _recover(r, _cut(lambda places, high: places[-1], both=True)),
        "the longest known suffix is not always what was merged: let the merges of lower rank act on the token's bytes":
            lambda r: _recover(r, _suffix),
        "the first cut into two tokens is not always what was merged: let the merges of lower rank act on the bytes":
            lambda r: _recover(r, _cut(lambda places, high: places[0], both=True)),
        "of cuts into two tokens of lower rank, the longer front isn't always right: after st and is, ist is i and st":
            lambda r: _recover(r, _cut(lambda places, high: places[-1], both=True, lower=True)),
        "of cuts into two tokens of lower rank, the shorter front isn't always right: after er and re, ere is er and e":
            lambda r: _recover(r, _cut(lambda places, high: places[0], both=True, lower=True)),
        "the cut into the two tokens learnt first is not always what was merged: let the merges act on the bytes":
            lambda r: _recover(r, _cut(lambda places, high: min(places, key=high), both=True)),
        "only one part remains: the token itself was among the merges; take only those of lower rank":
            lambda r: _recover(r, lambda t, ranks: (t,)),
        "the leftmost known pair was merged first; first comes the pair of the lowest rank":
            lambda r: _recover(r, lambda t, ranks: _halves(t, ranks, lambda known, key: next(iter(known)))),
        "the pair of the highest rank was merged first; first comes the pair of the lowest rank":
            lambda r: _recover(r, lambda t, ranks: _halves(t, ranks, max)),
        "the pairs stand in the order of the dictionary, or by length; wanted is the order of their rank":
            lambda r: _recover(r, order=list),
        "those are ranks; wanted are the tokens, as bytes":
            lambda r: _recover(r, lambda t, ranks: tuple(ranks[p] for p in _halves(t, ranks))),
        "those are strings; wanted are bytes":
            lambda r: _recover(r, lambda t, ranks: tuple(p.decode() for p in _halves(t, ranks))),
        "the 256 single bytes were not merged from anything: leave them out":
            lambda r: _recover(r, shortest=1),
    })


# -- 4 and 5: patterns ----------------------------------------------------------------------------------

def _chunks(fn, text):
    """What the pattern makes of the text, in words; spaces are shown as ␣."""
    pattern = fn()
    if not isinstance(pattern, str):
        raise TypeError(f"return the pattern, a str, not {type(pattern).__name__}")
    compiled = regex.compile(pattern)
    if compiled.groups:
        return {"groups": True}
    return Places("chunk", [repr(chunk).replace(" ", "␣") for chunk in compiled.findall(text, timeout=5)])


_GROUPS = "there is a group (...) in the pattern, and findall returns only what it holds: write (?:...) instead"
_THREES = r"\d{1,3}(?=(?:\d{3})*(?!\d))|[^\d]+"
ex08_4 = Exercise(
    "08.4", answer=lambda: _THREES, probe=_chunks, show=repr,
    cases=[("1234567 12",), ("1000000",), ("12345kg, 1234.5678 km\n42",),
           ("no digits\nat all",), ("a1b22c333d4444",), ("",)],
    mistakes={
        _GROUPS: lambda: _THREES.replace("?:", ""),
        "groups are counted from the left: a look ahead must see that what follows are whole threes, and then no digit":
            lambda: r"\d{1,3}|[^\d]+",
        "digits are lost: the first group of a number may have one or two digits": lambda: _THREES.replace("1,", ""),
        "the last three digits of a number are lost: after them come *no* threes, so * and not +":
            lambda: _THREES.replace("*", "+"),
        "groups of two: three digits are wanted": lambda: r"\d{1,2}(?=(?:\d{2})*(?!\d))|[^\d]+",
        "each digit is a chunk: three together are wanted": lambda: r"\d|[^\d]+",
        "a number stays whole: the threes that follow must only be looked at, (?=...), not taken":
            lambda: r"\d+|[^\d]+",
        "what is not a digit gets lost: add |[^\\d]+": lambda: _THREES.replace(r"|[^\d]+", ""),
        "what stands between numbers is one chunk: [^\\d]+, with its +": lambda: _THREES[:-1],
        "spaces and newlines are lost: [^\\d]+ takes them too": lambda: _THREES.replace(r"[^\d]+", r"[^\d\s]+"),
        "only a number at the end of the text is cut: a number ends where no digit follows, (?!\\d), not at $":
            lambda: _THREES.replace(r"(?!\d)", "$"),
        "a number before a letter is lost: between 5 and k is no \\b; a number ends where no digit follows, (?!\\d)":
            lambda: _THREES.replace(r"(?!\d)", r"\b"),
    })

_START, _WORD, _SIGN = r"(?m:^[ \t]+)", r" ?\w+", r" ?[^\s\w]+"


def _either(*parts):
    return lambda: "|".join(parts)


ex08_5 = Exercise(
    "08.5", answer=_either(_START, r"\n+", _WORD, _SIGN, r"[ \t]+"), probe=_chunks, show=repr,
    cases=[("def f(x):\n    return x_1 + 2  # two\n",), ("if a:\n\tb()\n\n\n\t\tc = [1,2]",),
           (" one\n two\n  three\n\n",), ("if a:\n \tx\n\t y = 2",), ("a  b \t c\td \n \n  \ne",), ("",)],
    mistakes={
        _GROUPS: _either("(" + _START + ")", r"(\n+)", _WORD, _SIGN, r"[ \t]+"),
        "newline and indentation are one chunk: they are wanted apart":
            _either(r"\n+[ \t]*", _START, _WORD, _SIGN, r"[ \t]+"),
        "that is GPT-2's way: its \\s+(?!\\S) takes newlines and indentation together, and leaves the last space to "
        "the word": _either(_WORD, _SIGN, r"\s+(?!\S)", r"\s+"),
        "the last space of the indentation went to the word: take all of it first, at the start of a line":
            _either(r"\n+", r"[ \t]+(?!\S)", _WORD, _SIGN, r"[ \t]+"),
        "white space is lost where no alternative takes it: nothing may be lost": _either(_WORD, _SIGN),
        "each space is a chunk: a run of them is wanted in one":
            _either(r"\n+", r"(?m:^[ \t])", _WORD, _SIGN, r"[ \t]"),
        "newlines that follow each other are one chunk: \\n+": _either(_START, r"\n", _WORD, _SIGN, r"[ \t]+"),
        "a word or sign inside a line takes a single space in front along: a space and ? before it":
            _either(_START, r"\n+", r"\w+", r"[^\s\w]+", r"[ \t]+"),
        "an indentation of one space went to the word: look for the start of a line first, (?m:^[ \\t]+)":
            _either(r"\n+", _WORD, _SIGN, r"[ \t]+"),
        "^ is only the start of the text: with (?m:^...) it is the start of every line":
            _either(r"^[ \t]+", r"\n+", _WORD, _SIGN, r"[ \t]+"),
        "tabs are lost: indentation may be spaces or tabs, [ \\t]": _either("(?m:^ +)", r"\n+", _WORD, _SIGN, " +"),
        "an indentation may mix spaces and tabs: all of them are one chunk, (?m:^[ \\t]+)":
            _either("(?m:^ +)", r"\n+", _WORD, _SIGN, r"[ \t]+"),
        "only a *single* space goes with a word; two or more are a chunk of their own":
            _either(_START, r"\n+", r" *\w+", r" *[^\s\w]+", r"[ \t]+"),
    })
