"""The GPT of notebook 07.

    model.py        GPT and its parts          batches.py      batches, the loss on a whole text, parameter groups
    generate.py     text from a model          train.py        a training run on any text file
    checkpoint.py   saving and loading         __main__.py     python -m micro.gpt
"""
from micro.gpt.batches import get_batch, parameter_groups, whole_loss
from micro.gpt.generate import choose, generate
from micro.gpt.model import GPT, Attention, Block, FeedForward, GPTConfig, token_shift

__all__ = ["GPT", "Attention", "Block", "FeedForward", "GPTConfig", "choose", "generate", "get_batch",
           "parameter_groups", "token_shift", "whole_loss"]
