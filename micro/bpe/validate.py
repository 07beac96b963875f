"""Checks of what comes into a tokenizer: each raises an error that names the problem."""
from numbers import Integral

import regex

MOST = 0x110000             # ids are kept as characters, and Unicode has so many


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
