"""The checks of notebook 08, byte pair encoding."""
import math
import re
from dataclasses import dataclass
from operator import index

import regex

from micro.check import Exercise, Returned, Verdict, short
from micro.check.kinds import Places, Shown

# -- 1: UTF-8 by hand ----------------------------------------------------------------------------------

def whole_numbers(fn, *case):
    """The list of whole numbers that an answer returns, in words."""
    found = fn(*case)
    if not isinstance(found, (list, tuple)) or not all(hasattr(v, "__index__") for v in found):
        raise TypeError(f"a list of whole numbers is wanted, not {short(found)}")
    return Shown([index(v) for v in found])

ex08_1 = Exercise(
    "08.1", answer=lambda c: list(chr(c).encode()), probe=whole_numbers, show=lambda c: f"code_point={c:#x}",
    cases=[(c,) for c in (0x20AC, 0x41, 0xE9, 0x1F600, 0, 0x7F, 0x80, 0x7FF, 0x800, 0x4E16, 0xFFFF, 0x10000, 0x10FFFF)],
    mistakes={
        "each byte after the first begins with the bits 10: add 0x80": """
            def utf8(code_point):
                if code_point < 0x80:
                    return [code_point]
                if code_point < 0x800:
                    return [0xC0 | code_point >> 6, code_point & 0x3F]
                if code_point < 0x10000:
                    return [0xE0 | code_point >> 12, code_point >> 6 & 0x3F, code_point & 0x3F]
                return [0xF0 | code_point >> 18, code_point >> 12 & 0x3F, code_point >> 6 & 0x3F, code_point & 0x3F]
            """,
        "the first byte says how many bytes there are, by 110, 1110 or 11110 at its start: add 0xc0, 0xe0 or 0xf0": """
            def utf8(code_point):
                def later(shift):
                    return 0x80 | code_point >> shift & 0x3F
                if code_point < 0x80:
                    return [code_point]
                if code_point < 0x800:
                    return [code_point >> 6, later(0)]
                if code_point < 0x10000:
                    return [code_point >> 12, later(6), later(0)]
                return [code_point >> 18, later(12), later(6), later(0)]
            """,
        "each byte after the first holds only six bits of the number: & 0x3f removes the bits above them": """
            def utf8(code_point):
                if code_point < 0x80:
                    return [code_point]
                if code_point < 0x800:
                    return [0xC0 | code_point >> 6, 0x80 | code_point]
                if code_point < 0x10000:
                    return [0xE0 | code_point >> 12, 0x80 | code_point >> 6, 0x80 | code_point]
                return [0xF0 | code_point >> 18, 0x80 | code_point >> 12, 0x80 | code_point >> 6, 0x80 | code_point]
            """,
        "the limits are off by one: 0x80, 0x800 and 0x10000 are the first code points that need one byte more": """
            def utf8(code_point):
                def later(n):
                    return [0x80 | code_point >> 6 * k & 0x3F for k in range(n - 1, -1, -1)]
                if code_point <= 0x80:
                    return [code_point]
                if code_point <= 0x800:
                    return [0xC0 | code_point >> 6] + later(1)
                if code_point <= 0x10000:
                    return [0xE0 | code_point >> 12] + later(2)
                return [0xF0 | code_point >> 18] + later(3)
            """,
        "from 0x10000 on, a character takes four bytes": """
            def utf8(code_point):
                if code_point < 0x80:
                    return [code_point]
                if code_point < 0x800:
                    return [0xC0 | code_point >> 6, 0x80 | code_point & 0x3F]
                return [0xE0 | code_point >> 12, 0x80 | code_point >> 6 & 0x3F, 0x80 | code_point & 0x3F]
            """,
        "what does not fit into one byte must not be cut off: it goes into further bytes": """
            def utf8(code_point):
                return [code_point % 256]
            """,
    })


# -- 2: encode ------------------------------------------------------------------------------------------

def encode(text, merges):
    ids = list(text.encode())
    for (a, b), new in merges.items():
        merged = []
        for i in ids:
            if merged and (merged[-1], i) == (a, b):
                merged[-1] = new
            else:
                merged.append(i)
        ids = merged
    return ids

AS = {(97, 97): 256, (256, 97): 257, (257, 98): 258}

ABC = {(98, 99): 256, (97, 98): 257, (257, 99): 258, (99, 97): 259, (256, 97): 260, (260, 256): 261, (99, 257): 262}

SIGNS = {(0xF0, 0x9F): 256, (0xC3, 0xA9): 257, (256, 0x98): 258, (258, 0x80): 259, (257, 257): 260}

ex08_2 = Exercise(
    "08.2", answer=encode, probe=whole_numbers, show=lambda text, merges: f"text={text!r}, merges={short(merges)}",
    cases=[("aaabdaaabac", AS), ("abc", ABC), ("", AS), ("b", AS), ("aaaa", AS), ("aaaaaaaaa", AS),
           ("abcabcab", ABC), ("bcabcbcabcaab", ABC), ("été 😀😀🤠", SIGNS), ("éééa", SIGNS),
           ("cab", ABC), ("aab", {})],
    mistakes={
        "the leftmost pair was merged first; the pair that was learnt first comes first, wherever it is": """
            def encode(text, merges):
                ids = list(text.encode())
                i = 0
                while i < len(ids) - 1:
                    if (ids[i], ids[i + 1]) in merges:
                        ids[i:i + 2] = [merges[ids[i], ids[i + 1]]]
                        i = 0
                    else:
                        i += 1
                return ids
            """,
        "the most frequent pair was merged first, as in training; here the pair that was learnt first comes first": """
            def encode(text, merges):
                ids = list(text.encode())
                while True:
                    pairs = [pair for pair in zip(ids, ids[1:]) if pair in merges]
                    if not pairs:
                        return ids
                    pair = max(pairs, key=pairs.count)
                    i = 0
                    while i < len(ids) - 1:
                        if (ids[i], ids[i + 1]) == pair:
                            ids[i:i + 2] = [merges[pair]]
                        i += 1
            """,
        "merge a pair at every position where it occurs, not only at the first": """
            def encode(text, merges):
                ids = list(text.encode())
                for pair, new in merges.items():
                    for i in range(len(ids) - 1):
                        if (ids[i], ids[i + 1]) == pair:
                            ids[i:i + 2] = [new]
                            break
                return ids
            """,
        "those are code points: start from the UTF-8 bytes of the text": """
            def encode(text, merges):
                ids = [ord(c) for c in text]
                for pair, new in merges.items():
                    i = 0
                    while i < len(ids) - 1:
                        if (ids[i], ids[i + 1]) == pair:
                            ids[i:i + 2] = [new]
                        i += 1
                return ids
            """,
        "the text was gone through only once: a merged pair may merge again with its neighbours": """
            def encode(text, merges):
                ids = list(text.encode())
                found = []
                i = 0
                while i < len(ids):
                    pair = tuple(ids[i:i + 2])
                    if pair in merges:
                        found.append(merges[pair])
                        i += 2
                    else:
                        found.append(ids[i])
                        i += 1
                return found
            """,
        "those are the bytes: nothing was merged": """
            def encode(text, merges):
                return list(text.encode())
            """,
    })


# -- 3: merges from ranks -------------------------------------------------------------------------------

def recover_merges(ranks):
    pairs = []
    for token in sorted(ranks, key=ranks.get):
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            joined = [p + q for p, q in zip(parts, parts[1:])]
            i = min(range(len(joined)), key=lambda i: ranks.get(joined[i], math.inf))
            parts[i:i + 2] = [joined[i]]
        if len(parts) == 2:
            pairs.append(tuple(parts))
    return pairs


def pairs_of(fn, ranks):
    """The list of pairs that an answer returns, pair by pair."""
    found = fn(ranks)
    if not isinstance(found, (list, tuple)) or not all(isinstance(pair, (list, tuple)) for pair in found):
        raise TypeError(f"a list of pairs is wanted, not {short(found)}")
    return Places("pair", [tuple(pair) for pair in found])


def ranked(words, turn):
    """Tokens in order of learning -> ranks, in alphabetical order, the bytes counted from `turn` on."""
    ranks = {bytes([b]): (b - turn) % 256 for b in range(256)}
    ranks |= {w.encode(): 256 + k for k, w in enumerate(words.split())}
    return dict(sorted(ranks.items(), key=lambda item: (-len(item[0]), item[0])))

LEARNT = ["an ana anana re", "an ss ana iss on st en anana na", "aa bb ba aabb aaa aabba", "st is ist er re ere"]

ex08_3 = Exercise(
    "08.3", answer=recover_merges, probe=pairs_of,
    show=lambda ranks: "the bytes and then " + " ".join(t.decode() for t in sorted(ranks, key=ranks.get)[256:]),
    cases=[(ranked(words, 33 * k),) for k, words in enumerate(LEARNT)],
    mistakes={
        "the longest known prefix is not always what was merged: let the merges of lower rank act on the token's "
        "bytes": """
            def recover_merges(ranks):
                found = []
                for token in sorted(ranks, key=ranks.get):
                    if len(token) > 1:
                        i = max(i for i in range(1, len(token)) if token[:i] in ranks)
                        found.append((token[:i], token[i:]))
                return found
            """,
        "of several cuts into two tokens of lower rank, the one with the longer front is not always right: after st "
        "and is, ist is i and st": """
            def recover_merges(ranks):
                found = []
                for token in sorted(ranks, key=ranks.get):
                    cuts = [(token[:i], token[i:]) for i in range(1, len(token))
                            if max(ranks.get(token[:i], 1e9), ranks.get(token[i:], 1e9)) < ranks[token]]
                    found += cuts[-1:]
                return found
            """,
        "of several cuts into two tokens of lower rank, the one with the shorter front is not always right: after er "
        "and re, ere is er and e": """
            def recover_merges(ranks):
                found = []
                for token in sorted(ranks, key=ranks.get):
                    cuts = [(token[:i], token[i:]) for i in range(1, len(token))
                            if max(ranks.get(token[:i], 1e9), ranks.get(token[i:], 1e9)) < ranks[token]]
                    found += cuts[:1]
                return found
            """,
        "only one part remains, because the token itself was among the merges: use only those of lower rank": """
            def recover_merges(ranks):
                found = []
                for token in sorted(ranks, key=ranks.get):
                    parts = [bytes([b]) for b in token]
                    while len(parts) > 1:
                        joined = [p + q for p, q in zip(parts, parts[1:])]
                        i = min(range(len(joined)), key=lambda i: ranks.get(joined[i], 1e9))
                        parts[i:i + 2] = [joined[i]]
                    if len(token) > 1:
                        found.append(tuple(parts))
                return found
            """,
        "the leftmost known pair was merged first; the pair of the lowest rank comes first": """
            def recover_merges(ranks):
                found = []
                for token in sorted(ranks, key=ranks.get):
                    parts = [bytes([b]) for b in token]
                    i = 0
                    while i < len(parts) - 1:
                        joined = parts[i] + parts[i + 1]
                        if ranks.get(joined, 1e9) < ranks[token]:
                            parts[i:i + 2] = [joined]
                            i = 0
                        else:
                            i += 1
                    if len(token) > 1:
                        found.append(tuple(parts))
                return found
            """,
        "the pairs are in the order of the dictionary, or sorted by length; sort them by their rank": """
            def recover_merges(ranks):
                found = []
                for token in ranks:
                    parts = [bytes([b]) for b in token]
                    while len(parts) > 2:
                        joined = [p + q for p, q in zip(parts, parts[1:])]
                        i = min(range(len(joined)), key=lambda i: ranks.get(joined[i], 1e9))
                        parts[i:i + 2] = [joined[i]]
                    if len(token) > 1:
                        found.append(tuple(parts))
                return found
            """,
    })


# -- 4 and 5: patterns ----------------------------------------------------------------------------------

def chunks(fn, text):
    """The chunks into which the pattern cuts the text, in words; spaces are shown as ␣."""
    pattern = fn()
    if not isinstance(pattern, str):
        raise TypeError(f"return the pattern, a str, not {type(pattern).__name__}")
    compiled = regex.compile(pattern)
    if compiled.groups:
        return {"groups": True}
    return Places("chunk", [repr(chunk).replace(" ", "␣") for chunk in compiled.findall(text, timeout=5)])

GROUPS = "there is a group (...) in the pattern, and findall returns only what is in the group: write (?:...) instead"

ex08_4 = Exercise(
    "08.4", answer=lambda: r"\d{1,3}(?=(?:\d{3})*(?!\d))|[^\d]+", probe=chunks, show=repr,
    cases=[("1234567 12",), ("1000000",), ("12345kg, 1234.5678 km\n42",),
           ("no digits\nat all",), ("a1b22c333d4444",), ("",)],
    mistakes={
        GROUPS: r"""
            def digits_in_threes():
                return r"\d{1,3}(?=(\d{3})*(?!\d))|[^\d]+"
            """,
        "digits are grouped from the left: look ahead to see that groups of three follow, and then no digit": r"""
            def digits_in_threes():
                return r"\d{1,3}|[^\d]+"
            """,
        "the last three digits of a number are lost: *no* group of three comes after them, so write * and not +": r"""
            def digits_in_threes():
                return r"\d{1,3}(?=(?:\d{3})+(?!\d))|[^\d]+"
            """,
        "a number stays whole: take at most three digits, \\d{1,3}, and only look at those that follow, (?=...)": r"""
            def digits_in_threes():
                return r"\d+|[^\d]+"
            """,
        "everything that is not a digit is lost: add |[^\\d]+": r"""
            def digits_in_threes():
                return r"\d{1,3}(?=(?:\d{3})*(?!\d))"
            """,
        "only a number at the end of the text is cut: a number ends where no digit follows, (?!\\d), not at $": r"""
            def digits_in_threes():
                return r"\d{1,3}(?=(?:\d{3})*$)|[^\d]+"
            """,
        "a number before a letter is lost: between 5 and k there is no \\b; a number ends where no digit follows, "
        "(?!\\d)": r"""
            def digits_in_threes():
                return r"\d{1,3}(?=(?:\d{3})*\b)|[^\d]+"
            """,
    })

ex08_5 = Exercise(
    "08.5", answer=lambda: r"(?m:^[ \t]+)|\n+| ?\w+| ?[^\s\w]+|[ \t]+", probe=chunks, show=repr,
    cases=[("def f(x):\n    return x_1 + 2  # two\n",), ("if a:\n\tb()\n\n\n\t\tc = [1,2]",),
           (" one\n two\n  three\n\n",), ("if a:\n \tx\n\t y = 2",), ("a  b \t c\td \n \n  \ne",), ("",)],
    mistakes={
        GROUPS: r"""
            def indented():
                return r"(?m:^[ \t]+)|(\n+)|( ?\w+)|( ?[^\s\w]+)|([ \t]+)"
            """,
        "newlines and the indentation after them are one chunk: they must be two": r"""
            def indented():
                return r"\n+[ \t]*|^[ \t]+| ?\w+| ?[^\s\w]+|[ \t]+"
            """,
        "that is how GPT-2 cuts: its \\s+(?!\\S) takes newlines and indentation together, and leaves the last space to "
        "the word": r"""
            def indented():
                return r" ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+"
            """,
        "newlines that follow each other are one chunk: \\n+": r"""
            def indented():
                return r"(?m:^[ \t]+)|\n| ?\w+| ?[^\s\w]+|[ \t]+"
            """,
        "an indentation of one space went to the word: try the start of a line first, (?m:^[ \\t]+)": r"""
            def indented():
                return r"\n+| ?\w+| ?[^\s\w]+|[ \t]+"
            """,
        "^ alone is only the start of the text: with (?m:^...) it is the start of every line": r"""
            def indented():
                return r"^[ \t]+|\n+| ?\w+| ?[^\s\w]+|[ \t]+"
            """,
        "an indentation may mix spaces and tabs: all of them are one chunk, (?m:^[ \\t]+)": r"""
            def indented():
                return r"(?m:^ +)|\n+| ?\w+| ?[^\s\w]+|[ \t]+"
            """,
        "only a *single* space goes with a word; two or more are a chunk of their own": r"""
            def indented():
                return r"(?m:^[ \t]+)|\n+| *\w+| *[^\s\w]+|[ \t]+"
            """,
    })


# -- 6: the worst text ---------------------------------------------------------------------------------

LETTERS = ["th", "the", " a", " the", "in", "er"]

PARTS = ["f0 9f", "f0 9f 98", "f0 9f 98 80", "f0 9f 8e", "f0 9d", "f0 90", "e4 b8", "e4 b8 96", "c3 a9", "83 f0"]

MORE = ["80 80", "f0 a0", "f0 90 80", "a0 80", "81 81", "bf bf"]

ALL = [*PARTS[:6], *(f"c2 {b:x}" for b in range(0x80, 0xC0)), *"f1 80,f2 80,f3 80,f4 80,80 f0,bf f4".split(",")]


def vocabulary(*tokens):
    """id -> bytes: the 256 bytes, then tokens, given as text or as bytes in hex, each made of two tokens before it."""
    longer = [bytes.fromhex(t) if re.fullmatch("[0-9a-f]{2}( [0-9a-f]{2})+", t) else t.encode() for t in tokens]
    return {b: bytes([b]) for b in range(256)} | {256 + k: t for k, t in enumerate(longer)}


def count_tokens(text, vocab):
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


def worst(vocab, n):
    tokens = set(vocab.values())
    for c in map(chr, range(0x10000, 0x110000)):
        twice = (2 * c).encode()
        if not any(twice[i:i + 2] in tokens for i in range(4)):
            return n * c


def tokens_of(fn, vocab, n):
    text = fn(vocab, n)
    if not isinstance(text, str):
        raise TypeError(f"return a text, a str, not {type(text).__name__}")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise TypeError("U+D800 to U+DFFF are halves of a pair in UTF-16, no characters: UTF-8 has no bytes for them")
    return {"characters": len(text), "tokens": count_tokens(text, vocab), "bytes": len(text.encode())}


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
    "08.6", answer=worst, probe=tokens_of, show=lambda vocab, n: f"{len(vocab)} tokens and n={n}",
    cases=[(vocabulary(*PARTS, *LETTERS), 10), (vocabulary(*LETTERS, *PARTS, *MORE), 7),
           (vocabulary(*PARTS, *MORE), 2),
           (vocabulary(*ALL), 3)],  # here each byte that UTF-8 uses for them is in some longer token
    mistakes={
        "a character of one byte takes one token; 4 are possible": """
            def worst(vocab, n):
                return "z" * n
            """,
        "a character of two bytes takes at most two tokens; 4 are possible": """
            def worst(vocab, n):
                return "è" * n
            """,
        "a character of three bytes takes at most three tokens; 4 are possible": """
            def worst(vocab, n):
                return "界" * n
            """,
        "the character has four bytes, but they are merged to one token; 4 are possible": """
            def worst(vocab, n):
                return "😀" * n
            """,
        "two of the four bytes are merged, F0 9F for example, so a character takes three tokens; 4 are possible": """
            def worst(vocab, n):
                return "🥑" * n
            """,
        "each character alone takes 4 tokens, but its last byte merges with the first one of the next character": """
            def worst(vocab, n):
                tokens = set(vocab.values())
                for c in map(chr, range(0x10FFFF, 0xFFFF, -1)):
                    b = c.encode()
                    if not any(b[i:i + 2] in tokens for i in range(3)):
                        return n * c
            """,
        "no character was found, but there is one: its bytes may be in longer tokens, as long as no two *neighbours* "
        "are a token": """
            def worst(vocab, n):
                merged = set(b"".join(token for token in vocab.values() if len(token) > 1))
                for c in map(chr, range(0x10000, 0x110000)):
                    if not merged & set(c.encode()):
                        return n * c
            """,
    })


# -- 8: unstable tokens --------------------------------------------------------------------------------

def unstable(ids, vocab):
    tails = [b"".join(vocab[i] for i in last) for last in (ids[-1:], ids[-2:])]
    return sorted(i for i, token in vocab.items() if any(token.startswith(t) and token != t for t in tails))


def numbered(*tokens):
    """id -> bytes, the last one first."""
    return {i: t if isinstance(t, bytes) else t.encode() for i, t in reversed(list(enumerate(tokens)))}

LINKS = numbered("www", "http", "s", ":", "://", "//", "p:", "https", "p://", ":/", "http:", "http://", "/", "http://www",
                 "s:", "https:")

AAA = numbered("a", "aaa", "aaaa", "aa", "b", "ab", "aab", "ba", "ä")

EURO = numbered("€", b"\xe2", b"\xe2\x82", b"\xac", " €", "€ ", "₂", b"\x82\xac", "1", "1€", b"1\xe2", b"1\xe2\x82")

ex08_8 = Exercise(
    "08.8", answer=unstable, probe=whole_numbers,
    show=lambda ids, vocab: f"ids={ids}, the tokens {short([vocab[i] for i in ids])}",
    cases=[([0, 1, 3], LINKS), ([1, 3, 5], LINKS), ([0, 0], AAA), ([0, 0, 0], AAA), ([4], AAA), ([8, 1], EURO),
           ([8, 2], EURO), ([7], LINKS), ([0], LINKS)],
    mistakes={
        "a token is wanted only if it is longer than a tail: a tail itself is not": """
            def unstable(ids, vocab):
                tails = vocab[ids[-1]], b"".join(vocab[i] for i in ids[-2:])
                return sorted(i for i, token in vocab.items() if token.startswith(tails))
            """,
        "only the last token was looked at: the last two joined are a tail, too": """
            def unstable(ids, vocab):
                tail = vocab[ids[-1]]
                return sorted(i for i, token in vocab.items() if token.startswith(tail) and token != tail)
            """,
        "only the last two joined were looked at: the last one alone is a tail, too": """
            def unstable(ids, vocab):
                tail = b"".join(vocab[i] for i in ids[-2:])
                return sorted(i for i, token in vocab.items() if token.startswith(tail) and token != tail)
            """,
        "compare bytes, not characters: a token may end within a character": """
            def unstable(ids, vocab):
                text = {i: token.decode(errors="replace") for i, token in vocab.items()}
                tails = [b"".join(vocab[i] for i in ids[-k:]).decode(errors="replace") for k in (1, 2)]
                return sorted(i for i in text if any(text[i].startswith(tail) and text[i] != tail for tail in tails))
            """,
        "a token must *begin* with a tail; to contain it is not enough": """
            def unstable(ids, vocab):
                tails = vocab[ids[-1]], b"".join(vocab[i] for i in ids[-2:])
                return sorted(i for i, token in vocab.items()
                              if any(tail in token and token != tail for tail in tails))
            """,
        "the ids are right, but they are not sorted": """
            def unstable(ids, vocab):
                tails = vocab[ids[-1]], b"".join(vocab[i] for i in ids[-2:])
                return [i for i, token in vocab.items()
                        if any(token.startswith(tail) and token != tail for tail in tails)]
            """,
        "an id appears twice, because its token begins with both tails: return it once": """
            def unstable(ids, vocab):
                found = []
                for last in (ids[-1:], ids[-2:])[:len(ids)]:
                    tail = b"".join(vocab[i] for i in last)
                    for i, token in vocab.items():
                        if token.startswith(tail) and token != tail:
                            found.append(i)
                return sorted(found)
            """,
    })


# -- 9: unigram ----------------------------------------------------------------------------------------

def best_score(word, logp):
    """The largest sum of logp among all ways to cut a word."""
    best = [0.0]
    for end in range(1, len(word) + 1):
        best.append(max(best[start] + logp.get(word[start:end], -math.inf) for start in range(end)))
    return best[-1]


def least_needed(words, logp):
    def lost(token):
        rest = {t: p for t, p in logp.items() if t != token}
        return round(-sum(n * best_score(word, rest) for word, n in words.items()), 9)
    return min(sorted(t for t in logp if len(t) > 1), key=lost)

TEXTS = [
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

BEST = """
            def best(word, logp):
                if not word:
                    return 0
                return max((logp[word[:k]] + best(word[k:], logp)
                            for k in range(1, len(word) + 1) if word[:k] in logp), default=-math.inf)

"""

ex08_9 = Exercise(
    "08.9", answer=least_needed, cases=TEXTS,
    mistakes={
        "the longest token from the left is not always the best cut: use the largest sum among all ways to cut": """
            def best(word, logp):
                total = 0
                while word:
                    n = max(k for k in range(1, len(word) + 1) if word[:k] in logp)
                    total, word = total + logp[word[:n]], word[n:]
                return total

            def least_needed(words, logp):
                def score(gone):
                    rest = {t: p for t, p in logp.items() if t != gone}
                    return round(sum(n * best(w, rest) for w, n in words.items()), 9)
                return min((t for t in logp if len(t) > 1), key=lambda t: (-score(t), t))
            """,
        "each word counts as often as it occurs: multiply its score by its times": BEST + """
            def least_needed(words, logp):
                def score(gone):
                    rest = {t: p for t, p in logp.items() if t != gone}
                    return round(sum(best(w, rest) for w in words), 9)
                return min((t for t in logp if len(t) > 1), key=lambda t: (-score(t), t))
            """,
        "among equals, the first in alphabetical order is wanted, not the first in the dictionary": BEST + """
            def least_needed(words, logp):
                def score(gone):
                    rest = {t: p for t, p in logp.items() if t != gone}
                    return round(sum(n * best(w, rest) for w, n in words.items()), 9)
                return max((t for t in logp if len(t) > 1), key=score)
            """,
        "tokens of two characters can be removed, too: only single characters must stay": BEST + """
            def least_needed(words, logp):
                def score(gone):
                    rest = {t: p for t, p in logp.items() if t != gone}
                    return round(sum(n * best(w, rest) for w, n in words.items()), 9)
                return min((t for t in logp if len(t) > 2), key=lambda t: (-score(t), t))
            """,
        "without a token, the whole word may be cut elsewhere: it is not enough to cut the token itself": """
            def cut(word, logp):
                if not word:
                    return 0, []
                ways = [(k, cut(word[k:], logp)) for k in range(1, len(word) + 1) if word[:k] in logp]
                return max((logp[word[:k]] + p, [word[:k], *rest]) for k, (p, rest) in ways)

            def least_needed(words, logp):
                def loss(gone):
                    rest = {t: p for t, p in logp.items() if t != gone}
                    used = sum(n * cut(w, logp)[1].count(gone) for w, n in words.items())
                    return round(used * (logp[gone] - cut(gone, rest)[0]), 9)
                return min((t for t in logp if len(t) > 1), key=lambda t: (loss(t), t))
            """,
        "the least probable token may be hard to replace: what counts is the score without it": """
            def least_needed(words, logp):
                return min((t for t in logp if len(t) > 1), key=lambda t: (logp[t], t))
            """,
    })


# -- 7: what a chat costs ------------------------------------------------------------------------------

def pieces(text):
    """A count of tokens that depends on where a text is cut: newlines go with what stands before them."""
    return len(re.findall(r"\s*\w{1,5}\n*|\s*[^\s\w]{1,2}\n*|\s+", text))


def cost(messages, count, price_in, price_out, answer):
    prompt = 1 + count("assistant\n")
    for role, content in messages:
        prompt += 1 + count(f"{role}\n{content}") + 1 + count("\n")
    return (prompt * price_in + answer * price_out) / 1e6

CHAT = [("system", "You are a helpful assistant."), ("user", "How many r's are in strawberry?"),
        ("assistant", "Two. "), ("user", "\n\nReally?? Count again:\n s-t-r-a-w...<|im_end|> Please!")]

ex08_7 = Exercise(
    "08.7", answer=cost, tol=1e-12, near=0,
    show=lambda m, count, *a: f"messages={short(m)}, price_in={a[0]}, price_out={a[1]}, answer={a[2]}",
    cases=[(CHAT, pieces, 2.5, 11.0, 120), (CHAT[:2], pieces, 0.15, 0.6, 7), (CHAT[1:], len, 30, 60, 500),
           ([], len, 3.0, 15.0, 40), (CHAT[3:], pieces, 5.0, 25.0, 0)],
    mistakes={
        "prices are for a million tokens, not for a thousand": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = 1 + count("assistant\n")
                n += sum(2 + count(r + "\n" + c) + count("\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1000
            """,
        "<|im_start|> and <|im_end|> are one token each, but they were counted as text": r"""
            def cost(messages, count, price_in, price_out, answer):
                text = "".join(f"<|im_start|>{r}\n{c}<|im_end|>\n" for r, c in messages)
                n = count(text + "<|im_start|>assistant\n")
                return n * price_in / 1e6 + answer * price_out / 1e6
            """,
        "<|im_start|> and <|im_end|> are one token each, but they were not counted": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = count("assistant\n") + sum(count(r + "\n" + c) + count("\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1e6
            """,
        "the prompt ends with <|im_start|>assistant and a newline: they cost something, too": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = sum(2 + count(r + "\n" + c) + count("\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1e6
            """,
        "the newline after <|im_end|> is counted by itself: a special token stands between it and the content": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = 1 + count("assistant\n")
                n += sum(2 + count(r + "\n" + c + "\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1e6
            """,
        "no special token separates the last assistant from its newline: count them together": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = 1 + count("assistant") + count("\n")
                n += sum(2 + count(r + "\n" + c) + count("\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1e6
            """,
        "no special token separates a role, its newline and the content: count them together": r"""
            def cost(messages, count, price_in, price_out, answer):
                n = 1 + count("assistant\n")
                n += sum(2 + count(r) + count(c) + 2 * count("\n") for r, c in messages)
                return (n * price_in + answer * price_out) / 1e6
            """,
    })
