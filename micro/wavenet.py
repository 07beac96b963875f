"""The WaveNet of notebook 06, for sequences of symbols: CausalConv, GatedBlock, WaveNet.

Van den Oord et al. 2016, https://arxiv.org/abs/1609.03499: causal convolutions whose dilation doubles from
layer to layer, gated units, residual and skip connections. Positions stand before features, (B, T, C), where
torch.nn.Conv1d has (B, C, T). Generation keeps what each layer needs of the past (Paine et al. 2016,
https://arxiv.org/abs/1611.09482) instead of computing it again for every new symbol.

Left out: the paper's conditioning, its mu-law audio, several stacks of dilations with other channel counts.
"""
import torch
import torch.nn.functional as F
from torch import nn

from micro.layers import Embedding, Linear


class CausalConv(nn.Module):
    """A convolution with two taps that sees no future: y[t] from x[t - dilation] and x[t].

    Shapes: x (B, T, fan_in) -> (B, T, fan_out). Before the start of the sequence stand zeros.
    linear: Linear(2 * fan_in, fan_out); the first half of its inputs is the past.
    Its twin is nn.Conv1d(fan_in, fan_out, 2, dilation=dilation), padded on the left.

    >>> conv = CausalConv(1, 1, dilation=2)
    >>> conv.linear.weight.data = torch.tensor([[10.0, 1.0]])
    >>> conv(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1)).flatten().tolist()
    [1.0, 2.0, 13.0, 24.0]
    """

    def __init__(self, fan_in, fan_out, dilation=1):
        super().__init__()
        self.dilation, self.linear = dilation, Linear(2 * fan_in, fan_out)

    def forward(self, x):
        past = F.pad(x, (0, 0, self.dilation, 0))[:, :x.shape[1]]   # (B, T, fan_in): x, moved later
        return self.linear(torch.cat([past, x], -1))                # (B, T, 2 * fan_in) -> fan_out

    def step(self, x, queue):
        """One new position, x (B, fan_in), with the last `dilation` inputs in `queue` (B, dilation, fan_in).

        Returns the output (B, fan_out) and the queue for the next position.
        """
        y = self.linear(torch.cat([queue[:, 0], x], -1))
        return y, torch.cat([queue[:, 1:], x[:, None]], 1)


class GatedBlock(nn.Module):
    """One layer of WaveNet: x -> (x + residual, skip), from a gated causal convolution.

    Shapes: x (B, T, C) -> (B, T, C) and (B, T, n_skip). dropout: the share of gated values that training loses
    (not in the paper; 0 leaves it out).
    """

    def __init__(self, C, n_skip, dilation, dropout=0.0):
        super().__init__()
        self.conv = CausalConv(C, 2 * C, dilation)
        self.dropout = nn.Dropout(dropout)
        self.out = Linear(C, C + n_skip, gain=0.5)
        self.split = [C, n_skip]

    def gate(self, x, y):
        """The new x and the skip, given the convolution's output y (..., 2 * C)."""
        value, gate = y.chunk(2, -1)                                # (..., C) each
        z = self.dropout(torch.tanh(value) * torch.sigmoid(gate))
        residual, skip = self.out(z).split(self.split, -1)
        return x + residual, skip

    def forward(self, x):
        return self.gate(x, self.conv(x))

    def step(self, x, queue):
        """One new position, x (B, C): (new x, skip, queue for the next)."""
        y, queue = self.conv.step(x, queue)
        return *self.gate(x, y), queue


class WaveNet(nn.Module):
    """Logits for the next symbol at every position, from that position and those before it.

    vocab: number of symbols.  C: channels.  n_skip: channels of the skip connections.
    dilations: one for each block; the receptive field is 1 + their sum.  dropout: see GatedBlock.
    Shapes: ix (B, T), whole numbers -> (B, T, vocab).

    >>> net = WaveNet(27, C=8, n_skip=16, dilations=(1, 2, 4))
    >>> net(torch.zeros(3, 10, dtype=torch.long)).shape, net.receptive_field
    (torch.Size([3, 10, 27]), 8)
    """

    def __init__(self, vocab, C=55, n_skip=96, dilations=(1, 2, 4), dropout=0.0):
        super().__init__()
        self.embedding = Embedding(vocab, C)
        self.blocks = nn.ModuleList(GatedBlock(C, n_skip, d, dropout) for d in dilations)
        self.hidden, self.output = Linear(n_skip, n_skip), Linear(n_skip, vocab, gain=0.1)
        self.receptive_field = 1 + sum(dilations)

    def head(self, skip):
        return self.output(F.relu(self.hidden(F.relu(skip))))

    def forward(self, ix):
        x, skips = self.embedding(ix), 0                            # (B, T, C)
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip                                    # (B, T, n_skip)
        return self.head(skips)

    def empty_queues(self, B):
        """The past before the start: zeros, one queue (B, dilation, C) for each block."""
        weight = self.embedding.weight
        return [weight.new_zeros(B, b.conv.dilation, weight.shape[1]) for b in self.blocks]

    def step(self, ix, queues):
        """Logits (B, vocab) after one more symbol, ix (B,), and the queues for the next one."""
        x, skips, later = self.embedding(ix), 0, []                 # (B, C)
        for block, queue in zip(self.blocks, queues):
            x, skip, queue = block.step(x, queue)
            skips = skips + skip
            later.append(queue)
        return self.head(skips), later
