"""The norms of notebook 10: one function, `normalize`, and four layers made of it.

Each gives some set of numbers mean 0 and variance 1 (RMS norm: mean square 1), then scales and shifts. They differ
only in which numbers share a mean. Names and layouts are those of the twins in torch.nn, so either side loads the
other's `state_dict()`; BatchRenorm has torch's batch norm for a twin where r_max = 1 and d_max = 0.

Left out: instance norm (GroupNorm with a group for each channel), gains that differ from place to place (torch's
LayerNorm of several dimensions), a cumulative average (torch's momentum=None), statistics gathered from several
processes, fused kernels, half precision.
"""
import torch
from torch import nn


def normalize(x, dims, eps=1e-5, center=True):
    """x, less its mean over dims and divided by its standard deviation there; a tensor of the same shape.

    dims: a number or a tuple, the dimensions whose places share a mean and a variance (biased: divided by n).
    center: False takes no mean away and divides by the root of the mean square.  eps: added under the root.

    >>> normalize(torch.tensor([[1.0, 3.0], [0.0, 8.0]]), dims=1, eps=0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    if center:
        x = x - x.mean(dims, keepdim=True)
    return x / torch.sqrt(x.square().mean(dims, keepdim=True) + eps)


def expect_width(x, at, weight):
    """Refuse x (...) unless its dimension `at` is as wide as weight (dim,): broadcasting would hide it."""
    if x.shape[at:][:1] != weight.shape:
        raise ValueError(f"this norm has {len(weight)} features, in dimension {at}, and x is "
                         f"{tuple(x.shape)}: give it as many, or make another norm.")


class LayerNorm(nn.Module):
    """Normalize the features of each token by themselves, the last dimension (twin: nn.LayerNorm(dim)).

    Shapes: x (..., dim) -> (..., dim); weight (the gain) and bias (dim,), the same for every token.
    ValueError: x has another number of features.
    Source: Ba, Kiros & Hinton 2016, https://arxiv.org/abs/1607.06450

    >>> LayerNorm(2, eps=0)(torch.tensor([[3.0, 5.0], [0.0, 80.0]])).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        expect_width(x, -1, self.weight)
        return self.weight * normalize(x, -1, self.eps) + self.bias


class RMSNorm(nn.Module):
    """Divide the features of each token by their root mean square (twin: nn.RMSNorm(dim, eps)).

    Shapes: x (..., dim) -> (..., dim); weight (the gain) (dim,). No mean is taken away, and there is no bias.
    (nn.RMSNorm's eps is another unless you give it.)
    ValueError: x has another number of features.
    Source: Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467

    >>> RMSNorm(2, eps=0)(torch.tensor([[3.0, 3.0], [0.0, -8.0]])).tolist()  # 8 / √32 = √2
    [[1.0, 1.0], [0.0, -1.4142135381698608]]
    """

    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def forward(self, x):
        expect_width(x, -1, self.weight)
        return self.weight * normalize(x, -1, self.eps, center=False)


class GroupNorm(nn.Module):
    """Normalize each group of channels of each example over all its places (twin: nn.GroupNorm).

    groups: 1 is layer norm for images, dim is instance norm.  dim: number of channels, a multiple of groups.
    Shapes: x (B, dim, ...) -> the same; weight (the gain) and bias (dim,), one for each channel.
    Source: Wu & He 2018, https://arxiv.org/abs/1803.08494
    ValueError: dim is not a multiple of groups, or x has another number of channels.

    >>> GroupNorm(1, 2, eps=0)(torch.tensor([[[1.0, 3.0], [1.0, 3.0]]])).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    def __init__(self, groups, dim, eps=1e-5):
        super().__init__()
        if groups < 1 or dim % groups:
            raise ValueError(f"GroupNorm needs dim, a multiple of groups: {dim} channels make no "
                             f"{groups} groups.")
        self.groups, self.eps = groups, eps
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        expect_width(x, 1, self.weight)
        grouped = x.unflatten(1, (self.groups, -1)).flatten(2)  # (B, groups, dim / groups * places)
        y = normalize(grouped, 2, self.eps).reshape(x.shape)
        shape = (-1,) + (1,) * (x.dim() - 2)                    # (dim, 1, ...): for dimension 1
        return self.weight.view(shape) * y + self.bias.view(shape)


class BatchRenorm(nn.Module):
    """Batch norm that trains on what it will use: the running statistics, as far as r_max and d_max allow.

    With r_max = 1 and d_max = 0 it is batch norm (twin: nn.BatchNorm1d, 2d, 3d). With more, the batch's own
    x̂ = (x - mean) / σ becomes r x̂ + d, with r = σ / running σ between 1 / r_max and r_max, and
    d = (mean - running mean) / running σ between -d_max and d_max: where neither is cut off, that is exactly what
    eval() computes. No gradient flows through r and d. Start with 1 and 0, until the running ones mean something.
    momentum: the share of the newest batch in the running statistics; the smaller the batch, the less.
    Shapes: x (B, dim, ...) -> the same; weight (the gain), bias and running statistics (dim,).
    Source: Ioffe 2017, https://arxiv.org/abs/1702.03275. It averages σ, we and torch σ² (unbiased).
    ValueError: one number a channel in training, which has no variance; another number of channels.

    >>> norm = BatchRenorm(1, eps=0, r_max=9, d_max=9)        # running mean 0, running variance 1
    >>> norm(torch.tensor([[3.0], [5.0]])).tolist()           # as in eval mode
    [[3.0], [5.0]]
    """

    def __init__(self, dim, eps=1e-5, momentum=0.1, r_max=1.0, d_max=0.0):
        super().__init__()
        if r_max < 1 or d_max < 0:
            raise ValueError("BatchRenorm needs r_max >= 1 and d_max >= 0, "
                             f"not {r_max} and {d_max}.")
        self.eps, self.momentum, self.r_max, self.d_max = eps, momentum, r_max, d_max
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        expect_width(x, 1, self.weight)
        shape = (-1,) + (1,) * (x.dim() - 2)                        # (dim, 1, ...): for dimension 1
        mean, var = self.running_mean, self.running_var             # (dim,)
        known = mean.view(shape), (var + self.eps).sqrt().view(shape)
        if not self.training:
            y = (x - known[0]) / known[1]
        else:
            n = x.numel() // x.shape[1]
            if n < 2:
                raise ValueError("BatchRenorm needs two numbers a channel to train on, not "
                                 f"{tuple(x.shape)}. To use it on one, call eval() first.")
            dims = (0, *range(2, x.dim()))
            y = normalize(x, dims, self.eps)
            with torch.no_grad():
                now = x.mean(dims), x.var(dims, correction=0)       # (dim,) each
                r = (now[1] + self.eps).sqrt().view(shape) / known[1]
                d = (now[0].view(shape) - known[0]) / known[1]
                r, d = r.clamp(1 / self.r_max, self.r_max), d.clamp(-self.d_max, self.d_max)
                mean += self.momentum * (now[0] - mean)
                var += self.momentum * (now[1] * n / (n - 1) - var)
                self.num_batches_tracked += 1
            y = r * y + d
        return self.weight.view(shape) * y + self.bias.view(shape)
