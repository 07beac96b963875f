"""The GPT of notebook 07: a decoder-only transformer, its loss, and text made with it.

Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, in the form of GPT-2 (Radford et al. 2019): layer norm
before each part, learned positions, one matrix for reading and for writing tokens. Added: squared ReLU
(So et al. 2021, https://arxiv.org/abs/2109.08668) and token shift, where half of the channels that a part reads
come one position late (after RWKV: Peng et al. 2023, https://arxiv.org/abs/2305.13048, mix both positions by
learned weights). Both can be switched off.

Left out: biases, rotary positions, several queries for a key, anything longer than block_size.
`python -m micro.gpt` trains one on any text file.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class GPTConfig:
    """The size of a GPT. n_embd must be a multiple of n_head, and even (token shift takes half of it)."""

    vocab_size: int
    block_size: int = 64
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 96
    dropout: float = 0.0
    activation: str = "relu2"
    shift: bool = True

    def __post_init__(self):
        if self.n_embd % self.n_head or self.n_embd % 2:
            raise ValueError(f"n_embd = {self.n_embd} must be even, and a multiple of n_head = "
                             f"{self.n_head}.")


def token_shift(x, cache, name):
    """Half of the channels of x (B, T, C) one position late; cache[name] keeps the last one for the next call.

    >>> token_shift(torch.tensor([[[1, 2], [3, 4], [5, 6]]]), {}, "now").tolist()
    [[[0, 2], [1, 4], [3, 6]]]
    """
    half = x.shape[-1] // 2
    before = cache.get(name, torch.zeros_like(x[:, :1, :half]))         # (B, 1, C/2)
    cache[name] = x[:, -1:, :half]
    return torch.cat([torch.cat([before, x[:, :-1, :half]], 1), x[:, :, half:]], -1)


class Attention(nn.Module):
    """Causal self-attention, all heads at once: x (B, T, C) -> (B, T, C).

    cache: a dict that holds the keys and values (B, n_head, past, C / n_head) of the positions before x; they
    grow by T. Empty at the start of a text.
    """

    def __init__(self, config):
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, cache):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        if "k" in cache:                                # each of q, k, v: (B, n_head, T, hs)
            k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
        cache["k"], cache["v"] = k, v                   # (B, n_head, past + T, hs)
        past = k.shape[2] - T
        mask = None
        if past and T > 1:
            mask = torch.ones(T, past + T, dtype=torch.bool, device=x.device).tril(past)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=past == 0 and T > 1)
        return self.proj(y.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    """Each position by itself, four times wider in between: x (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
        self.activation = {"gelu": F.gelu, "relu2": lambda x: F.relu(x).square()}[config.activation]

    def forward(self, x):
        return self.proj(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention, then feed-forward, each on a residual path with its layer norm before it: (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(config.n_embd, bias=False) for _ in range(2))
        self.attention, self.feed = Attention(config), FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)
        self.early = token_shift if config.shift else lambda x, cache, name: x

    def forward(self, x, cache):
        x = x + self.dropout(self.attention(self.early(self.norm1(x), cache, "attention"), cache))
        return x + self.dropout(self.feed(self.early(self.norm2(x), cache, "feed")))


class GPT(nn.Module):
    """Logits for the next token at every position: ix (B, T), whole numbers -> (B, T, vocab_size).

    cache: None, or a list with a dict for each block, as `empty_cache` gives it: then ix continues what those
    hold. T, and what the cache holds, may not be more than block_size together.

    >>> model = GPT(GPTConfig(vocab_size=63))
    >>> model(torch.zeros(2, 5, dtype=torch.long)).shape, sum(p.numel() for p in model.parameters())
    (torch.Size([2, 5, 63]), 233856)
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = nn.Embedding(config.block_size, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:                                            # not the norms' gains: they stay 1
                depth = 2 * config.n_layer if name.endswith("proj.weight") else 1
                nn.init.normal_(p, std=1 / math.sqrt(3 * p.shape[1] * depth))

    def empty_cache(self):
        return [{} for _ in self.blocks]

    def forward(self, ix, cache=None):
        cache = self.empty_cache() if cache is None else cache
        past = cache[0]["k"].shape[2] if "k" in cache[0] else 0
        place = torch.arange(past, past + ix.shape[1], device=ix.device)
        x = self.dropout(self.tokens(ix) + self.positions(place))       # (B, T, C)
        for block, kept in zip(self.blocks, cache):
            x = block(x, kept)
        return F.linear(self.norm(x), self.tokens.weight)               # (B, T, vocab_size)
