"""Texts to token ids and back: without chunks, with chunks and special tokens, and as GPT-4 does it."""
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from operator import index, itemgetter

import regex  # the standard re has no \p{L}, "any letter"

from micro.bpe import cl100k, files, validate
from micro.bpe.merges import apply_merges, as_bytes, learn_merges

# How GPT-2 and GPT-4 cut a text into chunks that no token crosses (from tiktoken, MIT licence).
GPT2_SPLIT_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
GPT4_SPLIT_PATTERN = (r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
                      r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s""")
CL100K_SPECIAL_TOKENS = {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259,
                         "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276}


class Chunks(dict):
    """chunk -> its ids, worked out when it is first asked for."""

    def __init__(self, encode_chunk):
        self.encode_chunk = encode_chunk

    def __missing__(self, chunk):
        ids = self.encode_chunk(as_bytes(chunk))
        if len(chunk) < 100 and len(self) < 1_000_000:      # bounds the memory
            self[chunk] = ids
        return ids


class Tokenizer:
    """What all tokenizers share: merges, the bytes of each id, and the way back from ids to text."""

    pattern: str | None = None
    special_tokens: dict[str, int] = {}
    byte_order = files.BYTES                                # the id of each byte; GPT-4 has its own

    def __init__(self):
        self._use({})

    def _use(self, merges: dict[tuple[int, int], int]) -> None:
        self.merges = merges
        self.vocab = {i: bytes([byte]) for byte, i in enumerate(self.byte_order)}
        for (a, b), new in merges.items():
            self.vocab[new] = self.vocab[a] + self.vocab[b]
        self._ids = {token: i for i, token in self.vocab.items()}
        self.vocab |= {i: as_bytes(name) for name, i in self.special_tokens.items()}
        self._new = {chr(a) + chr(b): chr(new) for (a, b), new in merges.items()}
        self._pair = {new: pair for pair, new in self._new.items()}
        self._chunks = Chunks(self._encode_chunk)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the ids stand for. Raises ValueError for an id that there is not."""
        try:
            return b"".join([self.vocab[index(i)] for i in ids])
        except KeyError as error:
            known = "only bytes: train() or load() it"
            if self.merges:
                known = f"ids to {max(self.vocab)}"
            raise ValueError(f"This tokenizer has no id {error.args[0]}; it has {known}.") from None

    def decode(self, ids: Iterable[int], errors: str | None = None) -> str:
        """The text that the ids stand for.

        Every text that was encoded comes back; other bytes that are no UTF-8 become \\ufffd. That lets halves of
        a character through, which print() refuses: for what a model wrote take errors="replace", or another of
        bytes.decode's.
        """
        data = self.decode_bytes(ids)
        try:
            return data.decode("utf-8", errors or "surrogatepass")      # as as_bytes writes it
        except UnicodeDecodeError:
            if errors:
                raise
            return data.decode("utf-8", "replace")

    def save(self, prefix) -> None:
        """Write prefix.model, for load, and prefix.vocab, to read: text, whole or not at all."""
        files.save(prefix, self)

    def load(self, path) -> None:
        """Become the tokenizer that `save` wrote. Raises ValueError for a file that is damaged or another's."""
        vars(self).update(files.load(path, self.pattern is None))
        self._use(self.merges)


class BasicTokenizer(Tokenizer):
    """Byte pair encoding of a text as a whole, without cutting it into chunks first.

    >>> tokenizer = BasicTokenizer()
    >>> tokenizer.train("aaabdaaabac", 259)
    >>> tokenizer.encode("aaabdaaabac")
    [258, 100, 258, 97, 99]
    """

    def split(self, text: str) -> list[str]:
        """The chunks of a text: here just one."""
        validate.check_text(text)
        return [text] if text else []

    def train(self, text: str, vocab_size: int, verbose: bool = False) -> None:
        """Learn vocab_size - 256 merges from the text; what was learnt before is forgotten.

        Raises ValueError if vocab_size is under 256, or more than the text has pairs for.
        """
        validate.check_size(vocab_size)
        validate.check_special(self.special_tokens, vocab_size)
        merges = learn_merges(Counter(self.split(text)), vocab_size - 256)
        if len(merges) < vocab_size - 256:
            raise ValueError(f"The text has no pair left after {len(merges)} merges: "
                             f"give more text, or take vocab_size = {256 + len(merges)} or less.")
        self.byte_order = files.BYTES
        self._use(merges)
        for pair, new in merges.items() if verbose else ():
            print(f"{new}: {pair} {self.vocab[new]}")

    def _encode_chunk(self, chunk: bytes) -> list[int]:
        if chunk in self._ids:                              # merging would end there too (tested)
            return [self._ids[chunk]]
        word = chunk.translate(self.byte_order).decode("latin-1")
        return [ord(token) for token in apply_merges(word, self._new, self._pair)]

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of a text in which no string is special."""
        return list(chain.from_iterable(map(self._chunks.__getitem__, self.split(text))))

    def encode(self, text: str) -> list[int]:
        """The ids of a text: decode(encode(text)) == text, for every str."""
        return self.encode_ordinary(text)

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes, UTF-8 or not: decode_bytes(encode_bytes(data)) == data. Nothing is special."""
        validate.check_bytes(data)
        chunks = self.split(data.decode("utf-8", "surrogateescape"))
        parts = (self._encode_chunk(chunk.encode("utf-8", "surrogateescape")) for chunk in chunks)
        return list(chain.from_iterable(parts))


class RegexTokenizer(BasicTokenizer):
    """Byte pair encoding within the chunks that a pattern cuts, with special tokens beside them.

    >>> tokenizer = RegexTokenizer()
    >>> tokenizer.train("low lower lowest", 258)
    >>> tokenizer.register_special_tokens({"<|endoftext|>": 258})
    >>> tokenizer.encode("low<|endoftext|>", allowed_special="all")
    [257, 258]
    """

    def __init__(self, pattern: str | None = None):
        self.pattern = GPT4_SPLIT_PATTERN if pattern is None else pattern
        validate.compiled(self.pattern)                        # complain now
        self.special_tokens = {}
        super().__init__()

    def split(self, text: str) -> list[str]:
        """The chunks of a text. Raises ValueError where the pattern leaves something out."""
        validate.check_text(text)
        chunks = validate.compiled(self.pattern).findall(text)
        if "".join(chunks) != text:
            raise ValueError(f"The pattern {self.pattern!r} leaves out parts of the text: "
                             "end it with |[\\s\\S].")
        return chunks

    def register_special_tokens(self, special_tokens: dict[str, int]) -> None:
        """Give strings an id of their own, beyond the merges; those registered before are forgotten."""
        validate.check_special(special_tokens, max([255, *self.merges.values()]) + 1)
        self.special_tokens = dict(special_tokens)
        self._use(self.merges)

    def encode(self, text: str, allowed_special: str | Iterable[str] = "none_raise") -> list[int]:
        """The ids of a text: decode(encode(text)) == text.

        allowed_special: which special tokens the text may hold: "all", or a set of them. Any other in the text
        raises ValueError, as a user could have typed it; with "none" they are text like any other.
        """
        validate.check_text(text)
        special, allowed = self.special_tokens, allowed_special
        if isinstance(allowed, str) and allowed not in ("all", "none", "none_raise"):
            raise ValueError(f'allowed_special = {allowed!r} must be "all", "none", "none_raise" '
                             "or a set of strings.")
        some = () if isinstance(allowed, str) else allowed
        keep = special.keys() & set(special if allowed == "all" else some)
        for name in special:
            if name in text and name not in keep and allowed != "none":
                raise ValueError(f"The text holds the special token {name!r}: allow it "
                                 '(allowed_special), or take it for text (allowed_special="none").')
        if not keep:
            return self.encode_ordinary(text)
        longest_first = sorted(keep, key=len, reverse=True)
        either = "|".join(map(regex.escape, longest_first))
        ids = []
        parts = regex.split(f"({either})", text)                # text, special, text, ..., text
        for k, part in enumerate(parts):
            ids += [special[part]] if k % 2 else self.encode_ordinary(part)
        return ids


class GPT4Tokenizer(RegexTokenizer):
    """The tokenizer of GPT-4, cl100k_base, made from its published list of tokens.

    ranks: token -> id, for another list of this kind, with its special_tokens; without it, cl100k.cl100k_ranks().

    >>> GPT4Tokenizer().encode("hello world")
    [15339, 1917]
    """

    def __init__(self, ranks: dict[bytes, int] | None = None,
                 special_tokens: dict[str, int] | None = None):
        if ranks is None:
            ranks, special_tokens = cl100k.cl100k_ranks(), special_tokens or CL100K_SPECIAL_TOKENS
        validate.check_ranks(ranks)
        self.byte_order = bytes(ranks[bytes([byte])] for byte in range(256))
        super().__init__()
        for token, new in sorted(ranks.items(), key=itemgetter(1)):
            if len(token) > 1:
                pair = tuple(self._encode_chunk(token))     # by the merges so far, all but its own
                validate.check_pair(token, pair)
                self.merges[pair] = new
                self._pair[chr(new)] = chr(pair[0]) + chr(pair[1])
                self._new[self._pair[chr(new)]] = chr(new)
        self.register_special_tokens(special_tokens or {})

    def train(self, text: str, vocab_size: int, verbose: bool = False) -> None:
        """Always raises ValueError: this tokenizer is what it is."""
        raise ValueError("GPT-4's tokenizer is finished: train a RegexTokenizer.")
