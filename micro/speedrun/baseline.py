"""What the ladder begins with: images prepared one at a time by processor cores, and a ResNet-18."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Prepared(Dataset):
    """Training images, one at a time: shifted, perhaps mirrored, normalized. An item is (3, S, S) float32, label."""

    def __init__(self, images, shift):
        self.images, self.labels, self.shift = images.train_images, images.train_labels, shift
        x = images.train_images.reshape(-1, 3) / 255.0
        self.mean, self.std = x.mean(0).astype(np.float32), x.std(0).astype(np.float32)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        # PyTorch's random numbers and not NumPy's: each worker gets its own seed for them.
        dy, dx = torch.randint(-self.shift, self.shift + 1, (2,)).tolist()
        edge = (self.shift, self.shift)
        wide = np.pad(self.images[i], (edge, edge, (0, 0)), mode="reflect")
        S = self.images.shape[1]
        x = wide[self.shift + dy:, self.shift + dx:][:S, :S]
        if torch.rand(()) < 0.5:
            x = x[:, ::-1]
        x = (x.astype(np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(x.transpose(2, 0, 1).copy()), int(self.labels[i])


def host_loader(images, batch_size, shift=2, workers=None):
    """A DataLoader over the training images, shuffled anew each epoch. workers: processes; None: up to 8."""
    if workers is None:
        workers = min(8, torch.get_num_threads() - 1)  # as many cores as this process may use, less its own
    return DataLoader(Prepared(images, shift), batch_size, shuffle=True, drop_last=True, num_workers=workers,
                      pin_memory=torch.cuda.is_available(), persistent_workers=workers > 0)


def host_batches(loader, steps, device):
    """`steps` batches (x, y) from a DataLoader, gone through again and again, on the device."""
    done = 0
    while done < steps:
        for x, y in loader:
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            done += 1
            if done == steps:
                return


class ResNet(nn.Module):
    """ResNet-18 for small images, (B, 3, S, S) → (B, classes): what most people would begin with.

    Source: He et al. 2015, https://arxiv.org/abs/1512.03385, with the first layer 3×3 and no pooling.
    """

    def __init__(self, classes=10, width=64):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.first, self.norm = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        pairs = [[Residual(C, D, 1 + (C != D)), Residual(D, D, 1)] for C, D in zip(widths, widths[1:])]
        self.blocks = nn.Sequential(*sum(pairs, []))
        self.head = nn.Linear(widths[-1], classes)

    def reset_parameters(self):
        for m in self.modules():
            if m is not self and hasattr(m, "reset_parameters"):
                m.reset_parameters()

    def forward(self, x, train_first=True):
        x = self.blocks(F.relu(self.norm(self.first(x))))
        return self.head(x.mean((2, 3)))


class Residual(nn.Module):
    """relu(x + f(x)), f two convolutions; where the shape changes, x goes through a 1×1 convolution."""

    def __init__(self, C, D, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(C, D, 3, stride, padding=1, bias=False), nn.BatchNorm2d(D)
        self.conv2, self.norm2 = nn.Conv2d(D, D, 3, padding=1, bias=False), nn.BatchNorm2d(D)
        same = C == D and stride == 1
        self.short = nn.Identity() if same else nn.Sequential(nn.Conv2d(C, D, 1, stride, bias=False), nn.BatchNorm2d(D))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.short(x))
