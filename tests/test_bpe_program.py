"""micro.bpe's files, whole or not there and refused when damaged, and the program `python -m micro.bpe`."""
import io
import os
import random
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.bpe import GPT2_SPLIT_PATTERN, GPT4_SPLIT_PATTERN, BasicTokenizer, GPT4Tokenizer, RegexTokenizer, files
from micro.bpe import __main__ as program
from micro.data import shakespeare

ROOT = Path(__file__).resolve().parent.parent
TEXT = "low lower lowest new newer newest wide wider widest, aaaa aaaa\n"
BINARY = bytes(range(256)) + b"low lower\r\n\n\xff\xfe" + "é \U0001f642 <|a|>".encode() + b"\xed\xa0\x80\x00"
STRANGE = {"two\nlines": 270, 'a "quoted" \'one\'': 271, "é\u2028\x85\x0b\x1c": 272, "\U0001f642": 273,
           "end 00000000\n": 274,
           "merge 97 97 256": 275, " ": 276, "\\n": 277, "\r\n": 278, "\0": 279, "\ud83d": 280, "\x7f|": 500}


@pytest.fixture(autouse=True)
def own_place(monkeypatch, tmp_path):
    """A folder of its own, with a text and a binary file."""
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_bytes(TEXT.encode())
    Path("b.bin").write_bytes(BINARY)


@pytest.fixture(scope="module")
def gpt4():
    return GPT4Tokenizer()


def made(kind):
    tokenizer = kind()
    tokenizer.train(TEXT * 2, 270)
    if kind is RegexTokenizer:
        tokenizer.register_special_tokens(STRANGE)
    return tokenizer


def state(tokenizer):
    """All that there is to know of a tokenizer, and what it does."""
    text = TEXT + "é\n\U0001f642 two\nlines\u2028"
    did = tokenizer.encode_ordinary(text), tokenizer.encode_bytes(BINARY), tokenizer.split(text)
    if tokenizer.pattern is not None:
        did = *did, tokenizer.encode(text, "all")
    return [tokenizer.pattern, list(tokenizer.special_tokens.items()), list(tokenizer.merges.items()),
            tokenizer.byte_order, sorted(tokenizer.vocab.items()), *did]


def listing():
    """Every file here and what it holds."""
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def refused(kind, call, *pieces):
    """The call raises `kind`, in one line that names all the pieces, and leaves every file as it is."""
    before = listing()
    with pytest.raises(kind) as error:
        call()
    said = str(error.value)
    assert "\n" not in said and [piece for piece in pieces if piece not in said] == [], said
    assert listing() == before


# -- files ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_what_was_saved_is_loaded(kind):
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


def test_loading_replaces_all_that_was_there():
    made(RegexTokenizer).save("m")
    other = RegexTokenizer(r"\w+|[\s\S]")
    other.train("something else altogether, else", 261)
    other.register_special_tokens({"gone": 261})
    other.load("m.model")
    assert state(other) == state(made(RegexTokenizer))
    RegexTokenizer(r"[\s\S]+").save("n")                # untrained, without special tokens, another pattern
    other.load("n.model")
    assert state(other) == state(RegexTokenizer(r"[\s\S]+"))


def test_gpt_4_s_comes_back_whole_without_its_list(gpt4, monkeypatch):
    before = state(gpt4)
    gpt4.save("g")
    monkeypatch.setattr(files, "cl100k_ranks", lambda: pytest.fail("not needed"))
    other = RegexTokenizer()
    other.load("g.model")
    assert state(other) == before == state(gpt4) and len(Path("g.vocab").read_bytes().splitlines()) == 100_261
    text = "".join(map(chr, random.Random(1).sample(range(0xD800), 2000)))
    assert other.encode(text) == gpt4.encode(text) and other.decode(other.encode(text)) == text
    data = Path("g.model").read_bytes()
    draw = random.Random(3)
    for k in draw.sample(range(len(data)), 3):
        Path("g.model").write_bytes(data[:k] + bytes([data[k] ^ 1]) + data[k + 1:])
        refused(ValueError, lambda: other.load("g.model"), "g.model")
        Path("g.model").write_bytes(data[:k])
        refused(ValueError, lambda: other.load("g.model"), "g.model")
    assert state(other) == before
    made(RegexTokenizer).save("m")                      # and what came with it goes
    other.load("m.model")
    assert state(other) == state(made(RegexTokenizer))


def test_what_was_loaded_can_be_trained_anew(gpt4):
    gpt4.save("g")
    other, fresh = RegexTokenizer(), RegexTokenizer()
    other.load("g.model")
    other.register_special_tokens({})
    for tokenizer in (other, fresh):
        tokenizer.train("aaaa aaaa aaaa", 258)
    assert other.encode("aaaa") == fresh.encode("aaaa") == [257]


name = st.text(st.characters(), min_size=1, max_size=6)     # without surrogates


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(name, st.integers(260, 0x10FFFF), max_size=5).filter(lambda d: len({*d.values()}) == len(d)),
       st.text(max_size=9))
def test_special_tokens_of_every_name_come_back(tmp_path_factory, special, more):
    path = tmp_path_factory.getbasetemp() / "names"
    tokenizer, other = RegexTokenizer(regex_of(more)), RegexTokenizer()
    tokenizer.train("abab" + more, 256)
    tokenizer.register_special_tokens(special)
    tokenizer.save(path)
    other.load(f"{path}.model")
    assert state(other) == state(tokenizer)
    assert len(Path(f"{path}.vocab").read_text(encoding="utf-8").split("\n")) == 256 + len(special) + 1


def regex_of(text):
    """A pattern that holds the text, and fits every text."""
    return "".join(f"\\U{ord(c):08x}" if c in "\\^$.|?*+()[]{}" else c for c in text) + r"[\s\S]|[\s\S]"


def test_two_halves_of_a_character_come_back_as_two():
    tokenizer, other = RegexTokenizer(), RegexTokenizer()
    tokenizer.register_special_tokens({"\ud83d\ude42": 256})
    tokenizer.save("m")
    other.load("m.model")
    assert other.special_tokens == tokenizer.special_tokens


@pytest.mark.parametrize("kind", [BasicTokenizer, RegexTokenizer])
def test_the_model_file_in_full(kind):
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


def test_vocab_has_a_line_for_each_token():
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
def test_every_change_of_a_byte_and_every_cut_is_refused(kind):
    tokenizer, other = made(kind), made(kind)
    tokenizer.save("m")
    whole, path, before, draw = Path("m.model").read_bytes(), Path("m.model"), state(other), random.Random(1)
    damaged = [whole[:n] for n in range(len(whole))] + [whole + more for more in (b"\n", b" ", b"x", b"\0", whole)]
    for k, byte in enumerate(whole):
        for new in {draw.randrange(256), byte ^ 1, byte ^ 32, byte ^ 128, 10} - {byte}:
            if {byte, new} != set(b"\r\n"):             # one line end for another is no damage
                damaged.append(whole[:k] + bytes([new]) + whole[k + 1:])
        damaged.append(whole[:k] + whole[k + 1:])
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ValueError, match="'m.model' is (no tokenizer|damaged)") as error:
            other.load("m.model")
        assert "save" in str(error.value).lower() and "\n" not in str(error.value)
    assert state(other) == before and len(damaged) > 1900
    path.write_bytes(whole)
    other.load("m.model")


def test_two_lines_that_changed_places_are_refused():
    made(BasicTokenizer).save("m")
    lines = Path("m.model").read_bytes().split(b"\n")
    lines[3], lines[4] = lines[4], lines[3]
    Path("m.model").write_bytes(b"\n".join(lines))
    refused(ValueError, lambda: BasicTokenizer().load("m.model"), "'m.model'", "damaged", "checksum", "Save it again")


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
def test_other_line_ends_are_taken(ends):
    tokenizer, other = made(RegexTokenizer), RegexTokenizer()
    tokenizer.save("m")
    Path("m.model").write_bytes(Path("m.model").read_bytes().replace(b"\n", ends))
    other.load("m.model")
    assert state(other) == state(tokenizer)


@pytest.mark.parametrize("data", [b"", b"\n", b"micro.bpe 1", b"micro.bpe 2\n", b"hello\n", BINARY, b"minbpe v1\n\n0\n",
                                  b"\xef\xbb\xbfmicro.bpe 1\n", b"micro.bpe 1\n\xff"])
def test_a_file_that_is_no_tokenizer_is_refused(data):
    Path("x.model").write_bytes(data)
    tokenizer = made(RegexTokenizer)
    before = state(tokenizer)
    refused(ValueError, lambda: tokenizer.load("x.model"), "'x.model' is no tokenizer saved by micro.bpe",
            "name the .model file that save() wrote")
    made(RegexTokenizer).save("m")
    refused(ValueError, lambda: tokenizer.load("m.vocab"), "'m.vocab' is no tokenizer")
    assert state(tokenizer) == before


def test_a_file_that_is_not_there_is_named():
    tokenizer = made(RegexTokenizer)
    before = state(tokenizer)
    refused(FileNotFoundError, lambda: tokenizer.load("none.model"), "'none.model'", "name the .model file")
    refused(OSError, lambda: tokenizer.load("."), "'.'")
    refused(OSError, lambda: tokenizer.save("no/such/place"), "no/such/place")
    assert state(tokenizer) == before


def test_a_file_of_another_class_is_refused(gpt4):
    basic, tokenizer = made(BasicTokenizer), made(RegexTokenizer)
    basic.save("basic")
    tokenizer.save("cut")
    before = state(basic), state(tokenizer), state(gpt4)
    refused(ValueError, lambda: basic.load("cut.model"), "'cut.model'", "saved by a RegexTokenizer", "load it into one")
    for other in (tokenizer, gpt4):
        refused(ValueError, lambda: other.load("basic.model"), "'basic.model'", "saved by a BasicTokenizer")   # noqa: B023
    assert (state(basic), state(tokenizer), state(gpt4)) == before


# -- a save that fails ---------------------------------------------------------------------------------

@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_files(monkeypatch, error, where):
    def fails(*_):
        raise error
    tokenizer, other = made(RegexTokenizer), RegexTokenizer()
    tokenizer.save("m")
    for name in ("m", "new"):
        with monkeypatch.context() as patch:
            patch.setattr(os, where, fails)
            refused(type(error), lambda: other.save(name))     # noqa: B023 (called at once)
    other.load("m.model")
    assert state(other) == state(tokenizer)


def test_a_save_that_fails_at_the_model_leaves_the_old_model(monkeypatch):
    tokenizer, other = made(RegexTokenizer), RegexTokenizer()
    tokenizer.save("m")
    model = Path("m.model").read_bytes()

    def fails(part, path, real=os.replace):
        if str(path).endswith(".model"):
            raise OSError("full")
        real(part, path)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="full"):
        other.save("m")
    assert Path("m.model").read_bytes() == model and sorted(listing()) == ["b.bin", "m.model", "m.vocab", "t.txt"]


def test_a_file_takes_its_name_when_it_is_whole_and_on_the_disk(monkeypatch):
    seen, sizes, fsync, replace = [], [], os.fsync, os.replace

    def synced(number):
        seen.append("fsync")
        sizes.append(os.fstat(number).st_size)          # of what left Python's own buffer
        fsync(number)

    def named(part, path):
        data = Path(part).read_bytes()
        assert Path(part).parent == Path(path).parent and (data.count(b"\n") == 282 or data[-14:-9] == b"\nend ")
        assert len(data) in sizes
        seen.append(Path(path).name)
        replace(part, path)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    made(RegexTokenizer).save("m")
    assert seen == ["fsync", "fsync", "m.vocab", "m.model"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask to speak of")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_the_files_may_be_read_by_whom_open_would_let(mask):
    before = os.umask(mask)
    try:
        made(BasicTokenizer).save("m")
        Path("plain").write_text("")
    finally:
        os.umask(before)
    modes = {path: os.stat(path).st_mode & 0o777 for path in ("plain", "m.model", "m.vocab")}
    assert set(modes.values()) == {0o666 & ~mask}


# -- the program ---------------------------------------------------------------------------------------

@pytest.fixture
def do(capsysbinary, monkeypatch, gpt4):
    """Run the program, with GPT-4's tokenizer made just once: (exit code, stdout in bytes, stderr)."""
    monkeypatch.setattr(program, "GPT4Tokenizer", lambda: gpt4)

    def do(*words, piped=b""):
        capsysbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        code = program.main([str(word) for word in words])
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()
    return do


def trained(pattern=GPT4_SPLIT_PATTERN, size=264, special=()):
    tokenizer = BasicTokenizer() if pattern is None else RegexTokenizer(pattern)
    tokenizer.train(TEXT, size)
    if special:
        tokenizer.register_special_tokens({name: size + k for k, name in enumerate(special)})
    return tokenizer


def test_it_trains_saves_and_says_so(do):
    code, out, err = do("train", "t.txt", "--vocab-size", 264, "--out", "m")
    count, size = len(trained().encode(TEXT)), len(TEXT)
    assert code == 0 and err == "" and sorted(listing()) == ["b.bin", "m.model", "m.vocab", "t.txt"]
    assert re.fullmatch(rf"8 merges learnt in \d\.\d\d s: {size} bytes become {count} tokens, "
                        rf"{size / count:.2f} bytes each\. Written: m\.model, m\.vocab\n", out.decode())
    tokenizer = RegexTokenizer()
    tokenizer.load("m.model")
    assert state(tokenizer) == state(trained())


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
    tokenizer = trained(pattern)
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
        trained(special=["<|a|>", "é b"]))
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
    ("train none.txt", b"", ["'none.txt'", "No such file", "a file that exists"]),
    ("train .", b"", ["cannot read '.'", "s a directory"]),
    ("train b.bin", b"", ["'b.bin'", "(byte 128)", "save it as UTF-8"]),
    ("train -", b"ab\xff", ["'-'", "(byte 2)", "UTF-8"]),
    ("train t.txt --vocab-size 255", b"", ["vocab_size = 255", "256"]),
    ("train t.txt --vocab-size -5", b"", ["vocab_size = -5", "256"]),
    ("train t.txt --vocab-size 2000000", b"", ["vocab_size = 2000000", "1,114,112"]),
    ("train t.txt --vocab-size 9999", b"", ["no pair left after", "more text", "or less"]),
    ("train t.txt --pattern (a)", b"", ["'(a)'", "group", "(?:...)"]),
    ("train t.txt --pattern [", b"", ["'['", "can't be compiled"]),
    (r"train t.txt --pattern \w+", b"", [r"'\\w+'", "leaves out"]),
    ("train t.txt --pattern none --special x", b"", ["--special", "leave --pattern none out"]),
    ("train t.txt --vocab-size 260 --special=", b"", ["''", "not empty"]),
    ("train t.txt --vocab-size 260 --out no/such/m", b"", ["no/such/m"]),
    ("encode none.model t.txt", b"", ["'none.model'", "name the .model file"]),
    ("encode . t.txt", b"", ["'.'"]),
    ("encode m.model none.txt", b"", ["'none.txt'", "a file that exists"]),
    ("encode t.txt t.txt", b"", ["'t.txt' is no tokenizer", "name the .model file"]),
    ("encode m.vocab t.txt", b"", ["'m.vocab' is no tokenizer"]),
    ("encode cut.model t.txt", b"", ["'cut.model' is damaged", "Save it again"]),
    ("encode m.model b.bin --special", b"", ["'b.bin'", "(byte 128)", "UTF-8"]),
    ("encode basic.model t.txt --special", b"", ["'basic.model'", "no special tokens", "leave --special out"]),
    (r"encode words.model -", b"a, b", [r"leaves out parts", r"|[\s\S]"]),
    ("decode none.model -", b"1", ["'none.model'", "name the .model file"]),
    ("decode m.model none.txt", b"", ["'none.txt'", "a file that exists"]),
    ("decode m.model t.txt", b"", ["'t.txt'", "whole numbers", "b'low'"]),
    ("decode m.model -", b"97 -1", ["'-'", "b'-1'"]),
    ("decode m.model -", b"97 9.5", ["b'9.5'"]),
    ("decode m.model -", "97 ²".encode(), ["whole numbers"]),
    ("decode m.model -", b"97,98", ["b'97,98'"]),
    ("decode m.model -", b"97 264", ["no id 264", "ids to 263"]),
    ("decode gpt4 -", b"999999", ["no id 999999", "ids to 100276"]),
    ("decode m.model -", b"9" * 30, ["no id 9999", "ids to 263"]),
])
def test_bad_input_is_named_in_one_line_and_nothing_is_written(do, words, piped, pieces):
    trained().save("m")
    trained(None).save("basic")
    RegexTokenizer(r"\w+").save("words")
    Path("cut.model").write_bytes(Path("m.model").read_bytes()[:-20])
    before = listing()
    code, out, err = do(*words.split(" "), piped=piped)
    assert code == 2 and out == b"" and re.fullmatch(r"micro\.bpe: .*[^\n]\n", err)     # no other line end
    assert [piece for piece in pieces if piece not in err] == [], err
    assert listing() == before and all(path.is_file() for path in Path().iterdir())


def test_a_failed_training_leaves_the_tokenizer_of_before(do):
    assert do("train", "t.txt", "--vocab-size", 264, "--out", "m")[0] == 0
    before = listing()
    assert do("train", "t.txt", "--vocab-size", 9999, "--out", "m")[0] == 2
    assert do("train", "t.txt", "--vocab-size", 260, "--out", "m", "--special=")[0] == 2
    assert listing() == before


def test_a_very_long_number_is_named_too(do):
    trained().save("m")
    code, _, err = do("decode", "m.model", "-", piped=b"9" * 5000)
    assert code == 2 and ("'-'" in err or "no id" in err)


def test_gpt_4_s_tokens_missing_is_one_line(do, monkeypatch):
    monkeypatch.setattr(program, "GPT4Tokenizer", GPT4Tokenizer)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    code, out, err = do("encode", "gpt4", piped=b"a")
    assert code == 2 and out == b"" and err.startswith("micro.bpe: ") and "pip install tiktoken" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["", "train", "bake", "encode", "decode", "train t.txt --vocab-size x",
                                   "train t.txt --special", "decode m t.txt --special"])
def test_words_that_do_not_do_are_refused_with_the_usage(do, capsysbinary, words):
    before = listing()
    with pytest.raises(SystemExit) as end:
        do(*words.split())
    assert end.value.code == 2 and b"usage: python -m micro.bpe" in capsysbinary.readouterr().err
    assert listing() == before


@pytest.mark.parametrize("words, pieces", [
    (["--help"], ["train", "encode", "decode", "examples:", "encode gpt4", "UTF-8 or not"]),
    (["train", "--help"], ["--vocab-size N", "--out NAME", "--pattern", "--special TOKEN", "512", "gpt2"]),
    (["encode", "--help"], ["MODEL", "--special", "gpt4", "piped in"]), (["decode", "--help"], ["MODEL", "gpt4"])])
def test_help_says_what_there_is(do, capsysbinary, words, pieces):
    with pytest.raises(SystemExit) as end:
        do(*words)
    out = capsysbinary.readouterr().out.decode()
    assert end.value.code == 0 and [piece for piece in pieces if piece not in out] == []
    assert all(len(line) <= 120 for line in out.split("\n"))


def shell(*words, piped=b""):
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run([sys.executable, "-m", "micro.bpe", *words], input=piped, env=env, capture_output=True,
                          timeout=60)


def test_from_a_shell():
    done = shell("train", "t.txt", "--vocab-size", "264", "--out", "m")
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    ids = shell("encode", "m.model", piped=BINARY).stdout
    assert [int(i) for i in ids.split()] == trained().encode_bytes(BINARY)
    assert shell("decode", "m.model", piped=ids).stdout == BINARY
    wrong = shell("encode", "none.model", piped=BINARY)
    assert (wrong.returncode, wrong.stdout) == (2, b"") and wrong.stderr.startswith(b"micro.bpe: ")
    assert wrong.stderr.count(b"\n") == 1
    assert shell("encode", "gpt4", piped=b"hello world").stdout == b"15339 1917\n"
