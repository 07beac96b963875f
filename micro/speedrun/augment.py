"""Images for the speedrun: augmented by one indexing, resized, and looked at from several sides at test time.

Sets of images are (N, S, S, 3), as they are stored; nets want (B, 3, S, S). `x.permute(0, 3, 1, 2)` turns one
into the other without moving a number: that is PyTorch's channels_last format, which tensor cores like best.
"""

import torch
import torch.nn.functional as F


def reflect(i, size):
    """Places that may run over the edge, mirrored back: ..., -1 → 1, ..., size → size - 2, ... (a tensor).

    >>> reflect(torch.arange(-2, 6), 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    return (size - 1) - ((size - 1) - i.abs()).abs()


def crop_flip(images, which, dy, dx, flip):
    """Some images, each shifted by (dy, dx) pixels with reflected edges and mirrored where `flip`, in one indexing.

    images (N, S, S, C) of any type; which, dy, dx (B,) whole numbers, shifts less than S; flip (B,) bool
    → (B, S, S, C). Equal to F.pad(mode="reflect"), a crop at (dy, dx), then a flip.
    """
    S = images.shape[1]
    at = torch.arange(S, device=images.device)
    rows = reflect(at + dy[:, None], S)                                         # (B, S)
    columns = reflect(torch.where(flip[:, None], S - 1 - at, at) + dx[:, None], S)
    return images[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def resize(images, size):
    """uint8 images (N, S, S, C) → (N, size, size, C), by bilinear interpolation with antialiasing."""
    def small(part):
        x = part.permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
        return x.round().to(torch.uint8).permute(0, 2, 3, 1)

    if images.shape[1] == size:
        return images
    return torch.cat([small(part) for part in images.split(5000)])


def draw_plan(n, epochs, batch_size, steps, alternate, shift, device, generator=None):
    """All chance of a training run at once: which image comes when, shifted how far, mirrored or not.

    n: images. epochs: a whole number, enough for all steps. Each epoch visits the images in a new order and
    leaves out the rest that fills no batch. alternate: an image's first side is drawn, and then it turns every
    epoch (Jordan 2024); else each time is drawn.

    Returns which, dy, dx (steps, batch_size) int64 and flip (steps, batch_size) bool. Nothing in here waits for
    the GPU.
    """
    def random(*shape):
        return torch.rand(*shape, device=device, generator=generator)

    each = n // batch_size                                                      # steps of an epoch
    order = random(epochs, n).argsort(1)[:, :each * batch_size]                 # (epochs, each * batch_size)
    if alternate:
        turned = torch.arange(epochs, device=device)[:, None] % 2 == 1
        flip = (random(n) < 0.5)[order] ^ turned
    else:
        flip = random(*order.shape) < 0.5
    dy, dx = ((random(*order.shape) * (2 * shift + 1)).floor().long() - shift for _ in range(2))
    return [part.reshape(-1, batch_size)[:steps] for part in (order, dy, dx, flip)]


def views(net, x, count):
    """Mean logits (B, classes) over 1, 2 (the mirror image) or 6 views (also shifted by a pixel, both ways).

    x (B, 3, S, S). Of the six, the two that are not shifted count twice as much as the others.
    """
    def both(x):
        return (net(x) + net(x.flip(-1))) / 2

    if count == 1:
        return net(x)
    return both(x) if count == 2 else both(x) / 2 + shifted(both, x) / 2


def shifted(look, x):
    S, wide = x.shape[-1], F.pad(x, (1, 1, 1, 1), "reflect")
    wide = wide.contiguous(memory_format=torch.channels_last)      # on a GPU, F.pad returns the usual order
    return (look(wide[:, :, :S, :S]) + look(wide[:, :, 2:, 2:])) / 2


@torch.no_grad()
def predict(net, x, count=6, doubtful=1.0, batch_size=2000):
    """Logits (N, classes) of the images x (N, 3, S, S), from `count` views (see `views`). net: in eval mode.

    doubtful: with six views, only this share of the images gets the four shifted ones: those whose two best
    classes are closest after the first two views. How many is fixed beforehand, so nothing waits for the GPU.
    """
    if count < 6 or doubtful >= 1:
        return torch.cat([views(net, part, count) for part in x.split(batch_size)])

    def two(x):
        return views(net, x, 2)

    logits = torch.cat([two(part) for part in x.split(batch_size)])
    best = logits.float().topk(2, dim=1).values
    unsure = (best[:, 0] - best[:, 1]).topk(max(1, round(doubtful * len(x))), largest=False).indices
    more = torch.cat([shifted(two, part) for part in x[unsure].split(batch_size)])
    logits[unsure] = (logits[unsure] + more) / 2
    return logits
