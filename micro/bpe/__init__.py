"""The tokenizers of notebook 08: byte pair encoding, trained in a blink, up to GPT-4's own.

Gage 1994 ("A New Algorithm for Data Compression"), for language models Sennrich et al. 2016,
https://arxiv.org/abs/1508.07909, on bytes Radford et al. 2019 (GPT-2). A tokenizer holds `merges`, (id, id) -> id
in the order in which they were learnt, and `vocab`, id -> bytes. Ids 0 to 255 are the bytes themselves.

Left out: training on files that don't fit in memory, several processes, normalization, and other algorithms
(unigram, WordPiece). `python -m micro.bpe` trains, encodes and decodes files.
"""
from micro.bpe.merges import learn_merges
from micro.bpe.tokenizers import (
    GPT2_SPLIT_PATTERN,
    GPT4_SPLIT_PATTERN,
    BasicTokenizer,
    GPT4Tokenizer,
    RegexTokenizer,
)

__all__ = ["GPT2_SPLIT_PATTERN", "GPT4_SPLIT_PATTERN", "BasicTokenizer", "GPT4Tokenizer", "RegexTokenizer",
           "learn_merges"]
