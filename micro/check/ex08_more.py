"""The exercises 6 to 9 of notebook 08: a text that costs most, the price of a chat, unstable tokens, unigram."""
import math
import re
from dataclasses import dataclass
from operator import index

from micro.check import Exercise, Returned, Verdict, short
from micro.check.ex08_chat import ex08_7  # noqa: F401 (the check of 7)
from micro.check.parts import Shown


def whole_numbers(fn, *case):
    """The list of whole numbers that an answer returns, in words; bytes in it stay what they are."""
    found = fn(*case)
    if not isinstance(found, (list, tuple)) or not all(isinstance(v, bytes) or hasattr(v, "__index__") for v in found):
        raise TypeError(f"a list of whole numbers is wanted, not {short(found)}")
    return Shown([v if isinstance(v, bytes) else index(v) for v in found])


# -- 6: the worst text ---------------------------------------------------------------------------------

LETTERS = ["th", "the", " a", " the", "in", "er"]
PARTS = ["f0 9f", "f0 9f 98", "f0 9f 98 80", "f0 9f 8e", "f0 9d", "f0 90", "e4 b8", "e4 b8 96", "c3 a9", "83 f0"]
MORE = ["80 80", "f0 a0", "f0 90 80", "a0 80", "81 81", "bf bf"]
ALL = [*PARTS[:6], *(f"c2 {b:x}" for b in range(0x80, 0xC0)), *"f1 80,f2 80,f3 80,f4 80,80 f0,bf f4".split(",")]


def _vocab(*tokens):
    """id -> bytes: the 256 bytes, then tokens, given as text or as bytes in hex, each made of two tokens before it."""
    longer = [bytes.fromhex(t) if re.fullmatch("[0-9a-f]{2}( [0-9a-f]{2})+", t) else t.encode() for t in tokens]
    return {b: bytes([b]) for b in range(256)} | {256 + k: t for k, t in enumerate(longer)}


def _count(text, vocab):
    """How many tokens a text takes, where those of lower id merge first."""
    rank = {token: i for i, token in vocab.items()}
    parts = [bytes([b]) for b in text.encode()]
    while True:
        known = [rank[p + q] for p, q in zip(parts, parts[1:]) if p + q in rank]
        if not known:
            return len(parts)
        token, i = vocab[min(known)], 0
        while i < len(parts) - 1:
            if parts[i] + parts[i + 1] == token:
                parts[i:i + 2] = [token]
            i += 1


def _worst(vocab, n, start=0x40000, pairs=4):
    """pairs: 3 leaves out that the last byte of a character may merge with the first one of the next."""
    tokens = set(vocab.values())
    return next(n * c for c in map(chr, range(start, 0x110000))
                if not any((2 * c).encode()[i:i + 2] in tokens for i in range(pairs)))


def _tokens_of(fn, vocab, n):
    text = fn(vocab, n)
    if not isinstance(text, str):
        raise TypeError(f"return a text, a str, not {type(text).__name__}")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise TypeError("U+D800 to U+DFFF are halves of a pair in UTF-16, no characters: UTF-8 has no bytes for them")
    return {"characters": len(text), "tokens": _count(text, vocab), "bytes": len(text.encode())}


@dataclass
class Costly(Exercise):
    """An exercise that is judged by the number of tokens of a text."""

    def run(self, fn, case, context):
        try:
            return super().run(fn, case, context)
        except Returned:
            if case is self.cases[0]:  # a stub, or a `return` is missing
                raise
            return {"characters": 0, "tokens": 0, "bytes": 0}

    def explain(self, results, wanted):
        for case, got, want in zip(self.cases, results, wanted):
            if got["characters"] != want["characters"]:
                return Verdict("shape", f"{self.name}: your text has {got['characters']} characters, it should have "
                                        f"n={want['characters']}")
            if got["tokens"] != want["tokens"]:
                return Verdict("value", f"{self.name}: for {self.shown(case)} your text takes {got['tokens']} tokens, "
                                        f"{want['tokens']} are possible")


ex08_6 = Costly(
    "08.6", answer=_worst, probe=_tokens_of, show=lambda vocab, n: f"{len(vocab)} tokens and n={n}",
    cases=[(_vocab(*PARTS, *LETTERS), 10), (_vocab(*LETTERS, *PARTS, *MORE), 7), (_vocab(*PARTS, *MORE), 2),
           (_vocab(*ALL), 3)],  # here each byte that UTF-8 uses for them is in some longer token
    mistakes={
        "one byte, so one token a character; 4 are possible": lambda vocab, n: n * "a",
        "two bytes, so at most two tokens a character; 4 are possible": lambda vocab, n: n * "è",
        "three bytes, so at most three tokens a character; 4 are possible": lambda vocab, n: n * "界",
        "a character of four bytes, but they are merged to one token; 4 are possible": lambda vocab, n: n * "😀",
        "of the four bytes three are merged, F0 9F 98 for example: two tokens a character; 4 are possible":
            lambda vocab, n: n * "😁",
        "of the four bytes two are merged, F0 9F for example: three tokens a character; 4 are possible":
            lambda vocab, n: n * "🤠",
        "each character alone takes 4 tokens, but its last byte merges with the first one of the next character":
            lambda vocab, n: _worst(vocab, n, start=0x10000, pairs=3),
        "no character was found, but one is there: its bytes may be in longer tokens, if no two *neighbours* are one":
            lambda vocab, n: None if b"\xf1\x80" in vocab.values() else _worst(vocab, n),
        "n counts characters, len(text), not bytes": lambda vocab, n: _worst(vocab, (n + 3) // 4),
        "n counts characters, not tokens: your text is four times as long": lambda vocab, n: _worst(vocab, 4 * n),
        "that is one character: the text has n of them": lambda vocab, n: _worst(vocab, 1),
    })


# -- 8: unstable tokens --------------------------------------------------------------------------------

def _joined(ids, vocab, most):
    """The bytes of the last one, two, ... up to `most` tokens."""
    return [b"".join(vocab[i] for i in ids[-k:]) for k in range(1, min(most, len(ids)) + 1)]


def _longer(token, tail):
    return token.startswith(tail) and token != tail


def _unstable(ids, vocab, most=2, least=1, tails=_joined, fits=_longer, order=sorted, twice=False):
    found = [i for tail in tails(ids, vocab, most)[least - 1:] for i, token in vocab.items() if fits(token, tail)]
    return order(found if twice else dict.fromkeys(found))


def _numbered(*tokens):
    """id -> bytes, the last one first."""
    return {i: t if isinstance(t, bytes) else t.encode() for i, t in reversed(list(enumerate(tokens)))}


_LINKS = _numbered("www", "http", "s", ":", "://", "//", "p:", "https", "p://", ":/", "http:", "http://", "/", "http://www",
                   "s:", "https:")
_AAA = _numbered("a", "aaa", "aaaa", "aa", "b", "ab", "aab", "ba", "ä")
_EURO = _numbered("€", b"\xe2", b"\xe2\x82", b"\xac", " €", "€ ", "₂", b"\x82\xac", "1", "1€", b"1\xe2", b"1\xe2\x82")
ex08_8 = Exercise(
    "08.8", answer=_unstable, probe=whole_numbers,
    show=lambda ids, vocab: f"ids={ids}, the tokens {short([vocab[i] for i in ids])}",
    cases=[([0, 1, 3], _LINKS), ([1, 3, 5], _LINKS), ([0, 0], _AAA), ([0, 0, 0], _AAA), ([4], _AAA), ([8, 1], _EURO),
           ([8, 2], _EURO), ([7], _LINKS), ([0], _LINKS)],
    mistakes={
        "a token is wanted only if it is longer than what is there: not the last token itself":
            lambda *a: _unstable(*a, fits=bytes.startswith),
        "only the last token was looked at: the last two joined are a tail, too": lambda *a: _unstable(*a, most=1),
        "only the last two joined were looked at: the last one alone can be the start of another, too":
            lambda *a: _unstable(*a, least=min(2, len(a[0]))),
        "the last one or two tokens, not more of them": lambda *a: _unstable(*a, most=99),
        "the two last tokens were looked at one by one: join their bytes":
            lambda *a: _unstable(*a, tails=lambda ids, vocab, most: [vocab[i] for i in ids[-2:]]),
        "compare bytes, not characters: a token may end within a character":
            lambda *a: _unstable(*a, fits=lambda *both: _longer(*(part.decode(errors="replace") for part in both))),
        "a token must *begin* with these bytes; to contain them is not enough":
            lambda *a: _unstable(*a, fits=lambda token, tail: tail in token and token != tail),
        "a token must begin with these bytes, not end with them":
            lambda *a: _unstable(*a, fits=lambda token, tail: token.endswith(tail) and token != tail),
        "the other way round: the token begins with the last bytes, and is longer":
            lambda *a: _unstable(*a, fits=lambda token, tail: tail.startswith(token) and token != tail),
        "the right ids, but not sorted": lambda *a: _unstable(*a, order=list),
        "an id stands there twice: its token begins with both of the tails": lambda *a: _unstable(*a, twice=True),
        "those are the tokens' bytes; wanted are their ids": lambda ids, v: [v[i] for i in _unstable(ids, v)],
    })


# -- 9: unigram ----------------------------------------------------------------------------------------

def _ways(word, logp, better=max):
    """The best (score, tokens) of all ways to cut a word; (-inf, []) where there is none."""
    best = [(0.0, [])]
    for end in range(1, len(word) + 1):
        ways = [(best[i][0] + logp[word[i:end]], [*best[i][1], word[i:end]])
                for i in range(end) if word[i:end] in logp and best[i]]
        best.append(better(ways, key=lambda way: way[0]) if ways else None)
    return best[-1] or (-math.inf, [])


def _greedy(word, logp):
    total = 0.0
    while word:
        token = max((t for t in logp if word.startswith(t)), key=len)
        total, word = total + logp[token], word[len(token):]
    return total


def _of_all_ways(word, logp):
    """log of the sum over all ways of their probability."""
    ways = [1.0] + [0.0] * len(word)
    for end in range(1, len(word) + 1):
        ways[end] = sum(ways[i] * math.exp(logp[word[i:end]]) for i in range(end) if word[i:end] in logp)
    return math.log(ways[-1]) if ways[-1] else -math.inf


def _least(words, logp, score=lambda *a: _ways(*a)[0], times=True, shortest=2, tie=str, most=1):
    """most: -1 for the token whose removal costs most. tie: what decides among equals."""
    def left(token):
        rest = {t: p for t, p in logp.items() if t != token}
        return round(sum((n if times else 1) * score(word, rest) for word, n in words.items()), 9)
    return min((t for t in logp if len(t) >= shortest), key=lambda t: (-most * left(t), tie(t)))


def _use(words, logp, value):
    """The token for which the sum of value(token) over its uses in the best cuts is the least."""
    uses = [(t, n) for word, n in words.items() for t in _ways(word, logp)[1]]
    sums = {t: round(sum(n * value(t) for used, n in uses if used == t), 9) for t in logp if len(t) > 1}
    return min(sums, key=lambda t: (sums[t], t))


_TEXTS = [
    ({"low": 5, "lower": 2, "slow": 3, "newer": 4},
     {"e": -3.0, "l": -3.5, "n": -4.0, "o": -3.0, "r": -3.5, "s": -4.0, "w": -3.0, "z": -9.0,
      "low": -2.0, "lo": -3.0, "er": -2.5, "ow": -3.5, "ewer": -5.0, "new": -4.0}),
    ({"abba": 6, "abab": 2}, {"a": -5.5, "b": -2.1, "abab": -5.3, "ba": -1.8, "abba": -2.2, "aba": -6.2, "abb": -6.9,
                              "ab": -1.9}),
    ({"abc": 9, "cab": 3, "ab": 6}, {"a": -3.5, "b": -5.7, "c": -2.6, "bc": -4.6, "cab": -6.9, "abc": -5.2, "ab": -2.6,
                                     "ca": -2.7}),
    ({"an": 8, "anna": 3, "nab": 2, "bana": 4}, {"a": -2.5, "b": -4.1, "n": -5.8, "bana": -4.1, "nna": -2.2, "an": -5.4,
                                                 "nab": -4.4}),
    ({"ab": 1, "abc": 1}, {"a": -2.0, "b": -2.0, "c": -2.0, "ab": -9.0, "abc": -3.0}),
    ({"abc": 5, "de": 5, "bcz": 9},
     {"a": -3.0, "b": -3.0, "c": -3.0, "d": -2.0, "e": -2.0, "z": -1.0, "ab": -4.0, "bc": -4.2, "de": -3.0}),
]
ex08_9 = Exercise(
    "08.9", answer=_least, cases=_TEXTS,
    mistakes={
        "the longest token from the left is not always the best cut: the largest sum of all ways counts":
            lambda *a: _least(*a, score=_greedy),
        "each word counts as often as it occurs": lambda *a: _least(*a, times=False),
        "the *largest* sum of all ways to cut counts, not the smallest":
            lambda *a: _least(*a, score=lambda w, logp: _ways(w, logp, min)[0]),
        "only the best way counts, not the sum over all of them": lambda *a: _least(*a, score=_of_all_ways),
        "single characters stay, or some words could not be cut": lambda *a: _least(*a, shortest=1),
        "tokens of two characters can be removed, too: only single ones stay": lambda *a: _least(*a, shortest=3),
        "without a token the whole word may be cut anew, at other places: it isn't enough to cut the token itself":
            lambda words, logp: _use(words, logp, lambda t: logp[t] - _ways(t, {**logp, t: -math.inf})[0]),
        "among equals the first in alphabetical order is wanted, not the first in the dictionary":
            lambda words, logp: _least(words, logp, tie=list(logp).index),
        "among equals the first in alphabetical order is wanted, not the last":
            lambda *a: _least(*a, tie=lambda token: [-ord(c) for c in token] + [0]),
        "that is the token whose removal lowers the score *most*": lambda *a: _least(*a, most=-1),
        "the least probable token may be hard to replace: what counts is the score without it":
            lambda words, logp: min((t for t in logp if len(t) > 1), key=lambda t: (logp[t], t)),
        "the rarest token may be hard to replace: what counts is the score without it":
            lambda words, logp: _use(words, logp, lambda t: 1),
        "without a token others take its place: what its own log probabilities sum to is not what is lost":
            lambda words, logp: _use(words, logp, lambda t: -logp[t]),
    })
