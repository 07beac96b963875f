"""Batches of tokens for training, the loss on all of a text, and which parameters decay."""
import torch

from micro.train import split_loss


def get_batch(data, block_size, batch_size, generator):
    """Windows at random places of data (n,): x and y (batch_size, block_size); y[:, t] comes after x[:, t]."""
    at = torch.randint(len(data) - block_size, (batch_size, 1), generator=generator)
    window = data[(at + torch.arange(block_size + 1)).to(data.device)]  # (batch_size, block_size + 1)
    return window[:, :-1], window[:, 1:]


def whole_loss(model, data, block_size, batch_size=256):
    """The mean cross entropy, in nats a token, on all of data (n,), read in windows that do not overlap.

    The last (n - 1) % block_size tokens are left out, so that every window is whole.
    """
    n = (len(data) - 1) // block_size * block_size
    X, Y = data[:n].view(-1, block_size), data[1:n + 1].view(-1, block_size)
    return split_loss(model, X, Y, batch_size)


def parameter_groups(model, weight_decay=0.1):
    """For an optimizer: matrices decay, norms' gains do not (Radford et al. 2019's habit, as nanoGPT has it)."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
