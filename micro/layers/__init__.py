"""The torch layers that the notebooks build, each equal to its counterpart in torch.nn.

    basic.py         04  Linear, BatchNorm1d, Tanh, Embedding, Flatten, Sequential; 06  FlattenConsecutive, FeaturesLast
    norms.py         10  LayerNorm, RMSNorm, GroupNorm, BatchRenorm
    feedforward.py   10  GatedFeedForward
"""
from micro.layers.basic import (
    BatchNorm1d,
    Embedding,
    FeaturesLast,
    Flatten,
    FlattenConsecutive,
    Linear,
    Sequential,
    Tanh,
)
from micro.layers.feedforward import GatedFeedForward
from micro.layers.norms import BatchRenorm, GroupNorm, LayerNorm, RMSNorm, normalize

__all__ = ["BatchNorm1d", "BatchRenorm", "Embedding", "FeaturesLast", "Flatten", "FlattenConsecutive",
           "GatedFeedForward", "GroupNorm", "LayerNorm", "Linear", "RMSNorm", "Sequential", "Tanh", "normalize"]
