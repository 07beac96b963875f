"""One recipe made ready on one device, and run as often as you like: `Run`."""

import contextlib
import gc
import math

import torch
import torch.nn.functional as F

from micro.speedrun.augment import crop_flip, draw_plan, predict, resize
from micro.speedrun.baseline import ResNet, host_batches, host_loader
from micro.speedrun.ladder import optimizers_for, rate
from micro.speedrun.measure import Clock, Result
from micro.speedrun.model import WIDTHS, SpeedNet, init_whiten
from micro.speedrun.optim import Lookahead


class Run:
    """A recipe, ready to run: the net, the optimizers and all images on the device, everything compiled.

    images: a micro.data.Images. device: a torch.device. Making it takes its time (compiling, recording, trial
    steps on shuffled labels); that is outside the clock, as with everyone who plays this game.

    `once(seed)` resets the weights, trains, tests, and returns a Result.
    """

    def __init__(self, recipe, images, device):
        self.recipe, self.images, self.device = recipe, images, device
        cuda = device.type == "cuda"
        self.half = recipe.half if cuda else "no"
        self.dtype = torch.float16 if self.half == "weights" else torch.float32
        self.classes = len(images.classes)
        self.net = self.make_net()

        n = len(images.train_images)
        if n < recipe.batch_size:
            raise ValueError(f"{n} training images do not fill a batch of {recipe.batch_size}: take a smaller one.")
        self.each = n // recipe.batch_size                                        # steps of an epoch
        self.steps = math.ceil(recipe.epochs * self.each)
        self.first_steps = math.ceil(recipe.first_epochs * self.each)
        self.bytes, self.labels, self.test_bytes, self.test_labels = (
            torch.from_numpy(array).to(device) for array in images[:4])
        x = images.train_images.reshape(-1, 3) / 255.0
        self.scale = torch.tensor(1 / 255 / x.std(0), dtype=self.dtype, device=device)
        self.offset = torch.tensor(-x.mean(0) / x.std(0), dtype=self.dtype, device=device)

        self.muon, self.sgd = optimizers_for(self.net, recipe)
        self.average = Lookahead(self.net) if recipe.lookahead else None
        self.loader = None if recipe.on_device else host_loader(images, recipe.batch_size, recipe.shift)
        needed = {self.size(k) for k in range(self.steps)} if recipe.on_device else ()
        self.sets = {size: self.stored(size) for size in needed}
        self.plan = self.new_plan()
        self.loss_of, self.logits_of, self.batch = self.plain_loss, self.logits, self.plain_batch
        if recipe.compile and cuda:
            self.compile(recipe.compile)
        self.train_graph = self.test_graph = None
        self.warm_up()
        if recipe.graph and cuda:
            self.record()

    # -- what it is made of ----------------------------------------------------------------------------

    def make_net(self):
        r = self.recipe
        if r.net == "resnet":
            net = ResNet(self.classes, max(1, round(64 * r.width)))
        else:
            widths = [max(8, round(w * r.width)) for w in WIDTHS]
            net = SpeedNet(self.classes, widths, r.whiten, r.dirac, r.frozen)
        if self.half == "weights":
            net = net.half()
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    m.float()
        return net.to(self.device, memory_format=torch.preserve_format if self.half == "no" else torch.channels_last)

    def size(self, step):
        """The images' size at a step."""
        until = 0
        for size, epochs in self.recipe.sizes:
            until += epochs
            if step < round(until * self.each):
                return size
        return self.images.train_images.shape[1]

    def normalize(self, images):
        """uint8 → mean 0 and standard deviation 1 over all training images, each colour for itself."""
        return images.to(self.dtype) * self.scale + self.offset

    def stored(self, size):
        """All training images in that size, as the recipe keeps them: bytes or normalized."""
        return resize(self.bytes, size) if self.recipe.as_bytes else self.normalize(resize(self.bytes, size))

    def new_plan(self):
        r, epochs, n = self.recipe, math.ceil(self.recipe.epochs), len(self.bytes)
        return draw_plan(n, epochs, r.batch_size, self.steps, r.flip == "alternating", r.shift, self.device)

    def compile(self, mode):
        # Two modes, three sizes, several layouts of views: more kinds of input than PyTorch expects.
        torch._dynamo.config.recompile_limit = 64
        how = {"dynamic": False, "mode": mode}
        self.loss_of = torch.compile(self.plain_loss, **how)
        logits = torch.compile(self.logits, **how)
        # PyTorch's own graphs write every answer to the same place: take it away before the next call.
        self.logits_of = logits if "no-cudagraphs" in mode else lambda x: logits(x).clone()
        if self.recipe.as_bytes:
            self.batch = torch.compile(self.plain_batch, **how)
        if self.muon:
            self.muon.orthogonalize = torch.compile(self.muon.orthogonalize, dynamic=False)

    # -- one step ----------------------------------------------------------------------------------------

    def plain_batch(self, images, which, dy, dx, flip):
        x = crop_flip(images, which, dy, dx, flip)                                # (B, S, S, 3)
        x = self.normalize(x) if self.recipe.as_bytes else x
        return x.permute(0, 3, 1, 2), self.labels[which]

    def autocast(self):
        return torch.autocast("cuda", torch.bfloat16) if self.half == "autocast" else contextlib.nullcontext()

    def plain_loss(self, x, y, train_first):
        with self.autocast():
            logits = self.net(x, train_first)
        return F.cross_entropy(logits.float(), y, label_smoothing=self.recipe.smoothing, reduction="sum")

    def logits(self, x):
        with self.autocast():
            return self.net(x)

    def batch_of(self, k):
        return self.batch(self.sets[self.size(k)], *(part[k] for part in self.plan))

    def batches(self):
        """(x, y) for every step."""
        if not self.recipe.on_device:
            yield from host_batches(self.loader, self.steps, self.device)
            return
        for k in range(self.steps):
            yield self.batch_of(k)

    def step(self, k, x, y):
        """Forward, backward, update number k."""
        r, share = self.recipe, rate(self.recipe.schedule, k, self.steps)
        early = k < self.first_steps
        loss = self.loss_of(x, y, early or not r.whiten)
        loss.backward()
        if self.muon:
            self.muon.step(share)
            share_first = 1 - k / self.first_steps if early else 0.0
        else:
            share_first = share if early else 0.0
        self.sgd.step(share, share_first)
        self.net.zero_grad(set_to_none=True)
        if self.average and (k + 1) % 5 == 0:
            self.average.update(0.95**5 * ((k + 1) / self.steps)**3)
        return loss

    # -- a run -------------------------------------------------------------------------------------------

    def reset(self, seed):
        torch.manual_seed(seed)
        self.net.reset_parameters()
        for part in (self.sgd, self.muon, self.average):
            if part:
                part.reset()

    def prepare(self):
        """All that the clock counts before the first step: chance, images, whitening. In place, for the graph."""
        for old, new in zip(self.plan, self.new_plan()):
            old.copy_(new)
        for size, images in self.sets.items():
            images.copy_(self.stored(size))
        if self.recipe.whiten:
            some = self.normalize(self.bytes[:5000]).permute(0, 3, 1, 2)
            init_whiten(self.net.first, some)

    def train(self):
        self.net.train()
        for k, (x, y) in enumerate(self.batches()):
            self.step(k, x, y)
        if self.average:
            self.average.update(1.0)  # the last steps were not averaged yet: leave them out

    @torch.no_grad()
    def test(self):
        x = self.normalize(self.test_bytes).permute(0, 3, 1, 2)
        self.net.eval()
        return predict(self.logits_of, x, self.recipe.views, self.recipe.doubtful)

    def warm_up(self):
        """Steps of every kind, on shuffled labels, and the test: what is compiled or chosen once, is now."""
        torch.backends.cudnn.benchmark = True
        labels, self.labels = self.labels, self.labels[torch.randperm(len(self.labels), device=self.device)]
        self.reset(0)
        self.prepare()
        for _ in range(3 if self.device.type == "cuda" else 1):  # PyTorch compiles, then records, then replays
            self.net.train()
            if self.recipe.on_device:
                kinds = {(self.size(k), k < self.first_steps): k for k in reversed(range(self.steps))}
                for k in kinds.values():
                    self.step(k, *self.batch_of(k))
            else:
                for x, y in host_batches(self.loader, 3, self.device):
                    self.step(0, x, y[torch.randperm(len(y))])
            self.answers = self.test()
        self.labels = labels

    def record(self):
        """Record training and testing as a CUDA graph each: every later run is two launches."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # a graph must be warmed up on a stream that is not the default one
            self.warm_up()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        train, test = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        gc.collect()
        gc.disable()  # an older graph that is collected while this one is recorded spoils it
        try:
            with torch.cuda.graph(train, stream=side):
                self.train()
            with torch.cuda.graph(test, stream=side):
                self.answers = self.test()
        finally:
            gc.enable()
        train.replay()  # the first time, the graph is sent to the GPU
        test.replay()
        self.train_graph, self.test_graph = train, test

    def once(self, seed):
        """Reset, train, test: a Result. The same seed on the same device gives nearly the same weights."""
        clock = Clock(self.device)
        a = clock.now()
        self.reset(seed)
        clock.wait()
        b = clock.now()
        self.prepare()
        (self.train_graph.replay if self.train_graph else self.train)()
        c = clock.now()
        if self.test_graph:
            self.test_graph.replay()  # it writes to self.answers
        else:
            self.answers = self.test()
        d = clock.now()
        seconds = clock.between(b, d)
        accuracy = (self.answers.argmax(1) == self.test_labels).double().mean().item()
        return Result(accuracy, seconds, clock.between(c, d), clock.between(a, b))
