"""The torch layers of notebook 04: Linear, BatchNorm1d, Tanh, Embedding, Flatten, Sequential.
Of notebook 06: FlattenConsecutive and FeaturesLast, for sequences (B, T, C) with the features last.
Of notebook 10: the norms (in norms.py) and GatedFeedForward (in feedforward.py).

Every formula is written out on tensors. `nn.Module` only keeps the books: it finds parameters and
buffers, switches train()/eval(), moves, copies and saves. Names and layouts are those of the twin
in torch.nn, so either side loads the other's `state_dict()`; the random start is our own.

Left out: other shapes than those named below, fused kernels, half precision. On a CPU, Linear's
last digits can change with the number of threads, as nn.Linear's do: see `micro.train.threads`.
"""
import torch
from torch import nn


class Linear(nn.Module):
    """y = x W^T + b: every output is a weighted sum of all inputs (twin: nn.Linear).

    fan_in, fan_out: how many numbers go in and come out.  bias: False leaves b out (None).
    Shapes: x (..., fan_in) -> (..., fan_out); weight (fan_out, fan_in), bias (fan_out,).
    Weights start with mean 0 and standard deviation gain / sqrt(fan_in), so that inputs of mean 0
    and variance 1 give outputs of variance gain^2, whatever fan_in is; the bias starts at 0.
    1 / sqrt(fan_in): LeCun et al. 1998, Efficient BackProp.
    gain, to make up for an activation that shrinks: He et al. 2015, https://arxiv.org/abs/1502.01852

    >>> layer = Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, 4.0]])
    >>> layer(torch.tensor([[1.0, 1.0], [0.0, 2.0]])).tolist()
    [[7.0], [8.0]]
    """

    def __init__(self, fan_in, fan_out, bias=True, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(gain * torch.randn(fan_out, fan_in) / fan_in**0.5)
        self.register_parameter("bias", nn.Parameter(torch.zeros(fan_out)) if bias else None)

    def forward(self, x):
        y = x @ self.weight.T                             # (..., fan_in) @ (fan_in, fan_out)
        return y if self.bias is None else y + self.bias  # (fan_out,) is added to every row


class BatchNorm1d(nn.Module):
    """Give every feature mean 0 and variance 1, then scale and shift it (twin: nn.BatchNorm1d).

    dim: number of features.  eps: added to the variance, against division by 0.
    momentum: the share of the newest batch in the running statistics, from 0 to 1.
    Shapes: x (B, dim) -> (B, dim); weight (the gain), bias and running statistics (dim,).
    In training the batch's own statistics are used, so examples depend on each other; after
    eval() the running ones, so they don't, and the running ones stay as they are.
    The batch is normalised with its biased variance, a sum over B, so that it comes out as 1. The
    running variance estimates that of all data, so it averages the unbiased one, a sum over B - 1.
    torch does both, and so does the source: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167
    (algorithms 1 and 2).

    ValueError: x of another shape; fewer than 2 examples in training, which have no variance.

    >>> bn = BatchNorm1d(1, eps=0)
    >>> bn(torch.tensor([[3.0], [5.0]])).tolist()  # mean 4, variance 1 (unbiased: 2)
    [[-1.0], [1.0]]
    >>> bn.running_mean, bn.running_var            # 0 + 0.1 * (4 - 0), 1 + 0.1 * (2 - 1)
    (tensor([0.4000]), tensor([1.1000]))
    """

    def __init__(self, dim, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        # Buffers are saved and moved along with the parameters, but no optimizer changes them.
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        if x.shape[1:] != self.weight.shape or self.training and len(x) < 2:
            raise ValueError(f"BatchNorm1d takes (B, {len(self.weight)}), B at least 2 to train on, "
                             f"not {tuple(x.shape)}. To use it on one example, call eval() first.")
        mean, var = self.running_mean, self.running_var    # (dim,)
        if self.training:
            B = len(x)
            mean, var = x.mean(0), x.var(0, correction=0)  # (dim,), and gradients flow through both
            with torch.no_grad():                          # but none through the running statistics
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * B / (B - 1) - self.running_var)
                self.num_batches_tracked += 1
        xhat = (x - mean) / torch.sqrt(var + self.eps)     # (B, dim)
        return self.weight * xhat + self.bias


class Tanh(nn.Module):
    """tanh of every number, which squashes it into -1 to 1; any shape (twin: nn.Tanh).

    >>> Tanh()(torch.tensor([-100.0, 0.0, 100.0])).tolist()
    [-1.0, 0.0, 1.0]
    """

    def forward(self, x):
        return torch.tanh(x)


class Embedding(nn.Module):
    """A learned table: number i stands for row i (twin: nn.Embedding).

    Shapes: ix (...), whole numbers (long) from 0 to num_embeddings - 1 -> (..., embedding_dim);
    weight (num_embeddings, embedding_dim), which starts with mean 0 and variance 1.
    Source: Bengio et al. 2003, A Neural Probabilistic Language Model, JMLR 3, the matrix C.

    IndexError: a number too large (-1 is the last row, as in any index; the twin refuses it).

    >>> table = Embedding(27, 2)
    >>> table(torch.tensor([[5, 13, 13]])).shape
    torch.Size([1, 3, 2])
    """

    def __init__(self, num_embeddings, embedding_dim):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))

    def forward(self, ix):
        return self.weight[ix]


class Flatten(nn.Module):
    """Lay every example out as one row: (B, a, b, ...) -> (B, a * b * ...) (twin: nn.Flatten()).

    >>> Flatten()(torch.zeros(32, 3, 10)).shape
    torch.Size([32, 30])
    """

    def forward(self, x):
        return x.flatten(1)


class Sequential(nn.Module):
    """Layers one after the other: each one's output is the next one's input (twin: nn.Sequential).

    layers: modules, ours or torch's, named "0", "1", ... in `state_dict()`. len(net), net[-1] and
    `for layer in net` work as on a list. One layer may stand in several places.

    >>> net = Sequential(Flatten(), Linear(30, 200, gain=5 / 3), Tanh(), Linear(200, 27))
    >>> len(net), sum(p.numel() for p in net[1].parameters())
    (4, 6200)
    """

    def __init__(self, *layers):
        super().__init__()
        for i, layer in enumerate(layers):
            self.add_module(str(i), layer)

    def __iter__(self):
        return iter(self._modules.values())  # children() would leave out a layer's second place

    def __len__(self):
        return len(self._modules)

    def __getitem__(self, i):
        return list(self)[i]

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x


class FlattenConsecutive(nn.Module):
    """Lay every n neighbours side by side as one longer row (twin: none).

    Shapes: (B, T, C) -> (B, T // n, C * n), and (B, C * n) where only one row is left.
    ValueError: T is not a multiple of n.
    Source: the tree of van den Oord et al. 2016, https://arxiv.org/abs/1609.03499

    >>> FlattenConsecutive(2)(torch.arange(8).view(1, 4, 2)).tolist()
    [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    """

    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        B, T, C = x.shape
        if T % self.n:
            raise ValueError(f"FlattenConsecutive({self.n}) takes (B, T, C), T a multiple of {self.n}, "
                             f"not {tuple(x.shape)}.")
        x = x.reshape(B, T // self.n, C * self.n)
        return x.squeeze(1) if T == self.n else x


class FeaturesLast(nn.Module):
    """Apply a layer for rows to (..., dim): every position of every example is a row (twin: none).

    layer: from (N, dim) to (N, dim), such as BatchNorm1d, ours or torch's; it then takes its statistics
    over examples *and* positions.

    >>> FeaturesLast(BatchNorm1d(5))(torch.randn(32, 4, 5)).shape
    torch.Size([32, 4, 5])
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.reshape(-1, x.shape[-1])).view(x.shape)
