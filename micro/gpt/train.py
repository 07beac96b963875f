"""Training a GPT on a text file: what `python -m micro.gpt train` does, in one process or under torchrun.

Every step's random numbers (which windows, which channels dropout drops) follow from the seed and the number of
the step alone. So a run that was stopped and resumed takes the same steps as one that never stopped, and two
processes, each with its share of the rows of the same batch, take the same steps as one.
"""
import dataclasses
import hashlib
import os
import random
import time
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from micro import train
from micro.data import shakespeare
from micro.files import Problem, read_text
from micro.gpt import GPT, GPTConfig, checkpoint, get_batch, parameter_groups, whole_loss

KEPT = {"config", "recipe", "chars", "text", "step", "losses", "seconds", "model", "optimizer"}  # in a checkpoint


@dataclasses.dataclass
class TrainConfig:
    """How to train. lr: the peak of the learning rate; warmup: the share of the steps in which it rises."""

    steps: int = 1000
    batch_size: int = 12
    lr: float = 6e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    clip: float = 1.0
    seed: int = 0


def training_text(path):
    """The text at `path`; the course's nine plays for None."""
    return shakespeare() if path is None else read_text(path)


def find_device(name):
    """The device for this process. Under torchrun, process k of a machine gets its GPU k."""
    try:
        found = train.device(name)
        if found.type == "cuda" and "LOCAL_RANK" in os.environ:
            found = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        return found
    except (RuntimeError, ValueError) as error:
        raise Problem(str(error)) from None


def load(path, device="cpu"):
    """The model in a checkpoint of `Trainer`, and the checkpoint itself."""
    try:
        with warnings.catch_warnings(action="ignore"):      # torch's about old pickles; we say what matters
            state = checkpoint.load(path, device)
        if not isinstance(state, dict) or not KEPT <= set(state):
            raise KeyError
        model = GPT(GPTConfig(**state["config"])).to(device)
        model.load_state_dict(state["model"])
    except (FileNotFoundError, ValueError) as error:
        raise Problem(str(error)) from None
    except (KeyError, TypeError, RuntimeError) as error:
        raise Problem(f"{str(path)!r} holds no run of micro.gpt (its parts have other names or sizes): name another "
                      "file.") from error
    return model, state


def chance(*what):
    """A number from 0 to 2**32 - 1 to start random numbers from. (A generator on the CPU reads no more bits.)"""
    return random.Random(str(what)).getrandbits(32)


def encode(text, chars):
    """The places (n,) of the letters of `text` in `chars`."""
    place = {c: i for i, c in enumerate(chars)}
    unknown = sorted(set(text) - set(chars))
    if unknown:
        raise Problem(f"the model was not trained on the character {unknown[0]!r}: it knows only {chars!r}.")
    return torch.tensor([place[c] for c in text], dtype=torch.long)


def in_bfloat16(model):
    """Let every nn.Linear of the model read bfloat16 and all else stay float32: autocast for a CPU.

    torch.autocast would also do the softmax and the activations in bfloat16, which is slower there.
    """
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.forward = lambda x, w=layer.weight: F.linear(x.bfloat16(), w.bfloat16()).float()


class Trainer:
    """One training run: its model, its text and where it is.

    text: a file, or None for the course's plays.  out: the checkpoint.  asked: fields of GPTConfig and TrainConfig,
    None for the usual.  resume: go on from `out`.  dtype: "float32" or "bfloat16" for the matrix products.
    Raises Problem for what the user can mend.
    """

    def __init__(self, text=None, out="gpt.pt", asked=None, resume=False, device=None, dtype="float32",
                 compiled=False):
        self.many, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.out, self.device, self.dtype = out, find_device(device), dtype
        if Path(out).is_dir():
            raise Problem(f"{str(out)!r} is a folder: give --out the name of a file.")
        if not Path(out).parent.is_dir():
            raise Problem(f"there is no folder {str(Path(out).parent)!r} to save {Path(out).name!r} in: make it first.")
        given = {name: value for name, value in (asked or {}).items() if value is not None}
        letters = training_text(text)
        self.text = hashlib.sha256(letters.encode()).hexdigest()
        if resume:
            self.model, state = load(out, self.device)
            if state["text"] != self.text:
                raise Problem(f"{str(out)!r} was trained on another text: give --text the same file as before, or "
                              "leave --resume out and give another --out to start anew.")
            self.refuse_change(state["config"] | state["recipe"], given)
            self.chars, self.config, self.recipe = state["chars"], self.model.config, TrainConfig(**state["recipe"])
        else:
            state, self.chars = {"step": 0, "losses": [], "seconds": 0.0}, "".join(sorted(set(letters)))
            names = {f.name for f in dataclasses.fields(TrainConfig)}
            self.recipe = TrainConfig(**{name: given.pop(name) for name in names & set(given)})
            try:
                self.config = GPTConfig(vocab_size=len(self.chars), **given)
            except ValueError as error:
                raise Problem(str(error)) from None
            train.seed(self.recipe.seed)
            self.model = GPT(self.config).to(self.device)
        if self.recipe.batch_size % self.many:
            raise Problem(f"--batch-size {self.recipe.batch_size} can't be shared evenly by {self.many} processes.")
        self.saved = self.step = state["step"]
        self.losses, self.seconds = state["losses"], state["seconds"]
        self.tokens, self.validation = self.split(letters, text)
        self.net = self.prepared(compiled)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.model, self.recipe.weight_decay),
                                           lr=self.recipe.lr, betas=(0.9, 0.99), fused=self.device.type != "mps")
        if resume:
            self.optimizer.load_state_dict(state["optimizer"])
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.lr                # saved in mid-schedule: fit wants the peak

    def refuse_change(self, before, given):
        for name, value in given.items():
            if value != before[name]:
                flag = "--" + name.replace("_", "-")
                raise Problem(f"{str(self.out)!r} was made with {flag} {before[name]}, not {value}: leave {flag} out "
                              "to go on with it, or leave --resume out and give another --out to start anew.")

    def split(self, letters, text):
        """The first nine tenths of the text and the last, as whole numbers on the device."""
        data = encode(letters, self.chars)
        n = int(0.9 * len(data))
        if len(data) - n <= self.config.block_size:
            raise Problem(f"{text or 'the text'!r} has {len(data)} characters, too few: its last tenth, kept for "
                          f"validation, must be longer than --block-size {self.config.block_size}.")
        return data[:n].to(self.device), data[n:].to(self.device)

    def prepared(self, compiled):
        """The model as training calls it."""
        if self.dtype == "bfloat16" and self.device.type == "cpu":
            in_bfloat16(self.model)
        net = torch.compile(self.model) if compiled else self.model
        if self.many > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            net = DistributedDataParallel(net)  # averages the gradients of all processes in backward()
        return net

    def batch_loss(self):
        """The loss on this process's rows of the batch of this step."""
        torch.manual_seed(chance("dropout", self.recipe.seed, self.step, self.rank))
        g = self.draw.manual_seed(chance("batch", self.recipe.seed, self.step))
        x, y = get_batch(self.tokens, self.config.block_size, self.recipe.batch_size, g)
        x, y = x[self.rank::self.many], y[self.rank::self.many]
        half = self.dtype == "bfloat16" and self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            logits = self.net(x)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        self.fresh.append(loss.detach())
        self.step += 1
        return loss

    def look(self):
        """The loss on the validation part, after saving the run."""
        now = time.perf_counter()
        fresh = torch.stack(self.fresh)
        if self.many > 1:
            dist.all_reduce(fresh)
        self.losses, self.fresh = self.losses + (fresh / self.many).tolist(), []
        self.seconds += now - self.since
        if self.rank == 0:
            checkpoint.save(self.out, {
                "config": dataclasses.asdict(self.config), "recipe": dataclasses.asdict(self.recipe),
                "chars": self.chars, "text": self.text, "step": self.step, "losses": self.losses,
                "seconds": self.seconds,
                "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})
            self.saved = self.step
            loss = whole_loss(self.model, self.validation, self.config.block_size)
            self.say(f"step {self.step}: training loss {self.losses[-1]:.3f}, validation loss {loss:.4f}, "
                     f"{self.seconds:.1f} s")
        self.since = time.perf_counter()

    def go(self, every=250, until=None, say=print):
        """Train up to the last step (or the step `until`), saving every `every` steps. True if it got there."""
        last = min(self.recipe.steps, until or self.recipe.steps)
        if last <= self.step:
            raise Problem(f"{str(self.out)!r} has taken {self.step} of {self.recipe.steps} steps already: there is "
                          f"nothing to go on with{f' up to --until {until}' if until else ''}.")
        self.say, self.draw, self.fresh, self.since = say, torch.Generator(), [], time.perf_counter()
        train.fit(self.batch_loss, self.optimizer, last, watch={"loss": self.look}, every=every, start=self.step,
                  schedule=lambda k, _: train.linear_schedule(k, self.recipe.steps, self.recipe.warmup),
                  clip=self.recipe.clip)
        if self.many > 1:
            dist.barrier()                      # rank 0 may still be saving ...
            dist.destroy_process_group()        # ... and threads that outlive Python abort the process
        return self.saved == last or self.rank > 0
