"""A healthy program that learns to write names, letter by letter: notebook 11 plants bugs in it.

edits.py changes this text to make seventeen broken programs, so a line that an edit names cannot change alone; a test
holds the two together.
"""
import torch
import torch.nn.functional as F
from torch import nn

from micro.data import names

LETTERS = ".abcdefghijklmnopqrstuvwxyz"


class Net(nn.Module):
    """From three letters and a place in the name to 27 logits, one for each letter to come."""

    def __init__(self, hidden=64):
        super().__init__()
        self.embedding = nn.Embedding(27, 12)
        self.inner = nn.Linear(3 * 12 + 1, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.outer = nn.Linear(hidden, 27)
        nn.init.zeros_(self.outer.weight)               # so that the first answers are
        nn.init.zeros_(self.outer.bias)                 # 27 equal probabilities

    def forward(self, context, place):                  # (B, 3), (B,)
        x = torch.cat([self.embedding(context).flatten(1), place[:, None]], 1)  # (B, 37)
        h = torch.tanh(self.norm(self.inner(x)))        # (B, hidden)
        h = F.dropout(h, 0.1, self.training)
        return self.outer(h)                            # (B, 27)


class Program:
    """One run of the program: its data, its net, its optimizer. Nothing is learnt before `learn` or `step`."""

    def __init__(self, seed=0, steps=600, lr=0.02, batch_size=64, workers=4):
        torch.manual_seed(seed)
        self.steps, self.lr, self.batch_size, self.done = steps, lr, batch_size, 0
        words = sorted(set(names()))
        words = [words[k] for k in torch.randperm(len(words))[:3000].tolist()]
        self.train_words, self.val_words = self.split(words)
        place = self.rows(self.train_words)[1]
        self.mean, self.std = place.mean(), place.std()
        self.train, self.val = self.prepare(self.train_words), self.prepare(self.val_words)
        self.epoch = len(self.train[0]) // batch_size                           # steps in an epoch
        self.workers = [torch.Generator().manual_seed(1000 * seed + k) for k in range(workers)]
        self.drawn = 0
        self.model = Net()
        self.optimizer = torch.optim.AdamW(self.groups(), lr)

    # -- data ------------------------------------------------------------------------------------------------

    def split(self, words):
        """Nine names in ten to learn from, the others to judge by."""
        cut = len(words) * 9 // 10
        return words[:cut], words[cut:]

    def rows(self, words):
        """For each letter the three before it (n, 3), its place (n,), and itself (n,)."""
        context, place, target = [], [], []
        for word in words:
            ids = [0, 0, 0] + [LETTERS.index(c) for c in word] + [0]
            for i in range(3, len(ids)):
                context.append(ids[i - 3:i])
                place.append(i - 3)
                target.append(ids[i])
        return torch.tensor(context), torch.tensor(place).float(), torch.tensor(target)

    def prepare(self, words):
        """The rows, with places of mean 0 and standard deviation 1, as in the training data."""
        context, place, target = self.rows(words)
        return context, (place - self.mean) / self.std, target

    def batch(self):
        """Random examples; the workers take turns, each with random numbers of its own."""
        worker = self.workers[self.drawn % len(self.workers)]
        self.drawn += 1
        chosen = torch.randint(len(self.train[0]), (self.batch_size,), generator=worker)
        context, place, target = self.train
        return context[chosen], place[chosen], target[chosen]

    # -- learning --------------------------------------------------------------------------------------------

    def loss_of(self, logits, target):
        """The mean cross entropy of logits (B, 27) and letters (B,)."""
        logp = F.log_softmax(logits, dim=1)
        return -logp[torch.arange(len(target)), target].mean()

    def groups(self):
        """Weight decay pulls at the matrices; gains, shifts and biases are left alone."""
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]

    def rate(self):
        """The learning rate of the next step: down to 0 in a line."""
        return self.lr * (1 - self.done / self.steps)

    def step(self):
        """One step of training; the batch's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        context, place, target = self.batch()
        loss = self.loss_of(self.model(context, place), target)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        self.done += 1
        return loss.item()

    def learn(self):
        """All steps; the batches' losses."""
        return [self.step() for _ in range(self.done, self.steps)]

    # -- judging ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, data=None, size=1024):
        """(mean loss, share of right letters) on `data` or val; `size` rows at a time."""
        context, place, target = data or self.val
        self.model.eval()
        loss, right = 0.0, 0.0
        for part in torch.arange(len(target)).split(size):
            logits, wanted = self.model(context[part], place[part]), target[part]
            loss += self.loss_of(logits, wanted).item() * len(part) / len(target)
            guess = logits.argmax(dim=1)
            right += (guess == wanted).float().mean().item() * len(part) / len(target)
        self.model.train()
        return loss, right
