"""The small net of the speedrun, and its whitening layer."""

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (64, 256, 256)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that follows fast (new = 0.6 old + 0.4 batch), with its scale frozen at 1 if `frozen`."""

    def __init__(self, channels, frozen=True):
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad = not frozen


class Conv(nn.Conv2d):
    """A 3×3 convolution, (B, C, H, W) → (B, D, H, W). If `dirac`, its first C filters copy a channel each.

    Source: Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1706.00388.
    """

    def __init__(self, C, D, dirac=True):
        self.dirac = dirac
        super().__init__(C, D, kernel_size=3, padding=1, bias=False)

    def reset_parameters(self):
        super().reset_parameters()
        if self.dirac:
            nn.init.dirac_(self.weight.data[:self.in_channels])


class Group(nn.Module):
    """Two convolutions and a halving between them: (B, C, S, S) → (B, D, S // 2, S // 2)."""

    def __init__(self, C, D, dirac=True, frozen=True):
        super().__init__()
        self.conv1, self.norm1 = Conv(C, D, dirac), BatchNorm(D, frozen)
        self.conv2, self.norm2 = Conv(D, D, dirac), BatchNorm(D, frozen)

    def forward(self, x):
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))  # pooled first: a quarter left to normalize
        return F.gelu(self.norm2(self.conv2(x)))


class SpeedNet(nn.Module):
    """The net of the ladder's upper rungs: images (B, 3, S, S), normalized, S ≥ 17 → logits (B, classes).

    widths: channels of the three groups. whiten: a first layer that `init_whiten` sets and nobody trains.
    dirac, frozen: see Conv and BatchNorm. After Jordan 2024 (airbench94), https://arxiv.org/abs/2404.00498.

    >>> net = SpeedNet()
    >>> tuple(net(torch.zeros(2, 3, 32, 32)).shape), sum(p.numel() for p in net.parameters())
    ((2, 10), 1972792)
    """

    def __init__(self, classes=10, widths=WIDTHS, whiten=True, dirac=True, frozen=True):
        super().__init__()
        self.first = nn.Conv2d(3, 24, kernel_size=2)
        self.first.weight.requires_grad = not whiten
        ends = [24, *widths]
        self.groups = nn.Sequential(*[Group(C, D, dirac, frozen) for C, D in zip(ends, ends[1:])])
        self.head = nn.Linear(widths[-1], classes, bias=False)
        self.reset_parameters()

    def reset_parameters(self):
        """New random weights, as at the start."""
        for m in self.modules():
            if m is not self and hasattr(m, "reset_parameters"):
                m.reset_parameters()
        self.head.weight.data /= self.head.weight.data.std()

    def forward(self, x, train_first=True):
        """train_first=False: no gradient for the first layer, so that backward can stop before it."""
        first = self.first.bias if train_first else self.first.bias.detach()
        x = F.gelu(F.conv2d(x, self.first.weight, first))     # (B, 24, S - 1, S - 1)
        x = self.groups(x)                                    # (B, widths[-1], s, s), 3 for S = 32
        x = F.max_pool2d(x, x.shape[-1]).flatten(1)           # (B, widths[-1])
        return self.head(x) / self.head.in_features           # (B, classes)


@torch.no_grad()
def init_whiten(conv, x, eps=5e-4):
    """Fill `conv` with filters whose answers on the images x (B, C, H, W) are uncorrelated and of equal size.

    Half of its filters are eigenvectors of the patches' second moments, divided by √(eigenvalue + eps); the
    other half are their negatives (GELU lets only the positive half of a filter's answers through).

    conv: C k² · 2 filters of k × k. Only its weight is changed. Source: D. Page 2018,
    https://myrtle.ai/learn/how-to-train-your-resnet-8-bag-of-tricks/.
    """
    C, k = conv.in_channels, conv.kernel_size[0]
    patches = x.float().unfold(2, k, 1).unfold(3, k, 1)           # (B, C, H', W', k, k)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, C * k * k)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + eps).sqrt()).T.reshape(-1, C, k, k)
    conv.weight.copy_(torch.cat([filters, -filters]))
