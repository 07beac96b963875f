"""Tokenizers on disk: a .model file that can be loaded again, and a .vocab file for people to read."""
import ast
import os
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path

from micro.files import Problem, whole_file

BYTES = bytes(range(256))


def lines(tokenizer) -> str:
    """The text of a .model file, but for its last line."""
    found = ["micro.bpe 1", "pattern " + ascii(tokenizer.pattern)]
    if tokenizer.byte_order != BYTES:
        found.append("bytes " + " ".join(map(str, tokenizer.byte_order)))
    found += [f"special {i} {ascii(name)}" for name, i in tokenizer.special_tokens.items()]
    found += [f"merge {a} {b} {new}" for (a, b), new in tokenizer.merges.items()]
    return "\n".join(found) + "\n"


@contextmanager
def written(path: str, text: str):
    """A text file that is on the disk when the block begins, and takes its name when it ends."""
    try:
        with whole_file(path, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())         # a full disk shows here, before any file has its name
            yield
    except OSError as error:
        raise Problem(f"Cannot write {path!r}: {error.strerror or error}. Name a place that you may write "
                      "to.") from error


def write(texts: dict[str, str]) -> None:
    """Text files, path -> text. All are written next to their places first, then take their names in this order."""
    with ExitStack() as stack:
        for path, text in reversed(texts.items()):      # the last to be opened is the first to be closed
            stack.enter_context(written(path, text))


def save(prefix, tokenizer) -> None:
    """prefix.model, which ends with a checksum of all before it; prefix.vocab, a line for each token, to read.

    Raises Problem if they cannot be written: then prefix.model is what it was before.
    """
    text = lines(tokenizer)
    made = {new: f"  = {a} + {b}" for (a, b), new in tokenizer.merges.items()}
    vocab = [f"{i:7} {ascii(token)[1:]}{made.get(i, '')}\n" for i, token in sorted(tokenizer.vocab.items())]
    write({f"{prefix}.vocab": "".join(vocab), f"{prefix}.model": f"{text}end {zlib.crc32(text.encode()):08x}\n"})


def load(path, basic: bool | None = None) -> dict:
    """What `save` wrote: pattern, byte_order, special_tokens and merges of the tokenizer.

    basic: whether it must be one without a pattern; None for either. Raises Problem if the file cannot be read,
    and ValueError if it is damaged, or another's.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Problem(f"Cannot read {str(path)!r}: {error.strerror or error}. Name the .model file that save() "
                      "wrote.") from error
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
