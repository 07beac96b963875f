"""Tells drawn shapes apart. Three of its lines are wrong, and it runs without an error."""
import torch
import torch.nn.functional as F
from torch import nn

from micro.data import drawn


def load(n=2000):
    """Pictures as numbers from -1 to 1 (n, 3, 16, 16), and what they show (n,)."""
    images = drawn(n, 1)                                # bytes, (n, 32, 32, 3)
    pictures = torch.from_numpy(images.train_images[:, ::2, ::2]) / 127.5 - 1
    return pictures.reshape(-1, 3, 16, 16), torch.from_numpy(images.train_labels)


def with_mirrored(x, y):
    """Each picture, and its mirror image."""
    return torch.cat([x, x.flip(3)]), torch.cat([y, y])


def split(x, y, share=0.8):
    """Eight in ten to learn from, two to judge by, chosen at random."""
    order = torch.randperm(len(x))
    cut = int(share * len(x))
    learn, judge = order[:cut], order[cut:]
    return (x[learn], y[learn]), (x[judge], y[judge])


def block(n, m):
    """Half as high and wide, m channels."""
    convolve = nn.Conv2d(n, m, 3, padding=1, bias=False)
    return convolve, nn.BatchNorm2d(m), nn.GELU(), nn.MaxPool2d(2)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(*block(3, 16), *block(16, 32), *block(32, 32),
                         nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10))


def judged(net, x, y):
    """The share of right answers."""
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def main(seed=0, epochs=8, batch=64, lr=0.02):
    """Train, and return the share of right answers after each epoch."""
    torch.manual_seed(seed)
    x, y = with_mirrored(*load())
    (x, y), val = split(x, y)
    net, history = Net(), []
    optimizer = torch.optim.Adam(net.parameters(), lr)
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for k in range(steps):
            chosen = order[k * batch:(k + 1) * batch]
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        history.append(judged(net, *val))
    return history
