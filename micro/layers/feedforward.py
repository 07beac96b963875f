"""The gated feed-forward of notebook 10: GLU and its relatives (torch.nn has F.glu and no layer)."""
import torch.nn.functional as F
from torch import nn


class GatedFeedForward(nn.Module):
    """Two looks at x, multiplied, and back: proj(activation(gate(x)) * up(x)), each token by itself.

    activation: torch.sigmoid makes GLU, lambda x: x bilinear, F.relu ReGLU, F.gelu GEGLU, F.silu SwiGLU.
    hidden: width in between. Three matrices in place of two: with 2/3 of the usual width (8/3 dim, not 4 dim)
    parameters and multiplications are as many as without a gate.
    Shapes: x (..., dim) -> (..., dim); gate.weight, up.weight (hidden, dim); proj.weight (dim, hidden).
    Source: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083, Shazeer 2020, https://arxiv.org/abs/2002.05202

    >>> layer = GatedFeedForward(48, 128)
    >>> sum(p.numel() for p in layer.parameters()) == 2 * 48 * (4 * 48)
    True
    """

    def __init__(self, dim, hidden, activation=F.silu):
        super().__init__()
        self.gate, self.up = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.proj, self.activation = nn.Linear(hidden, dim, bias=False), activation

    def forward(self, x):
        return self.proj(self.activation(self.gate(x)) * self.up(x))
