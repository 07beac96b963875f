"""What a run is made of, as data: a `Recipe`, and the `LADDER` that leads from a plain loop to the record.

Every rung is the one below with a few fields changed, so each can be switched off, and compared.
"""

import dataclasses

from micro.speedrun.optim import SGD, Muon


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All choices of a training run. The defaults are those of a plain first program.

    Rates belong to the *sum* of the losses of a batch (in half precision, a mean's gradients would round to 0):
    divide the rate of a mean by the batch size.
    """

    net: str = "resnet"             # "resnet": ResNet-18; "small": SpeedNet
    width: float = 1.0              # all channels times this
    epochs: float = 24
    batch_size: int = 128
    lr: float = 0.1 / 128           # of the matrices and convolutions (Muon: of a mean update, no matter the batch)
    bias_lr: float | None = None    # of batch norm's and the first layer's biases; None: as lr
    head_lr: float | None = None    # of the last layer; None: as lr
    momentum: float = 0.9
    muon_momentum: float = 0.6
    decay: float = 5e-5             # pull to 0 at the full rate: this part of a weight joins its step, before momentum
    schedule: str = "stairs"        # "stairs": a tenth at 1/2 and at 3/4; "triangle"; "line": down to 0
    smoothing: float = 0.0          # label smoothing
    on_device: bool = False         # images lie on the device as tensors, and are augmented there
    half: str = "no"                # on a GPU: "autocast" (bfloat16) or "weights" (float16), both channels_last
    whiten: bool = False            # a first layer that is computed, not trained
    first_epochs: float = 3         # so long its bias is trained
    dirac: bool = False             # convolutions begin as identities
    frozen: bool = False            # batch norm's scales stay at 1
    lookahead: bool = False         # average the weights, every fifth step
    flip: str = "random"            # or "alternating"
    shift: int = 2                  # pixels, at most
    views: int = 1                  # of a test image: 1, 2 or 6
    doubtful: float = 1.0           # share of the test images that get more than two of them
    muon: bool = False              # for the convolutions
    coefficients: tuple = (3.4445, -4.7750, 2.0315)
    compile: str = ""               # a mode of torch.compile, used on a GPU
    graph: bool = False             # a whole run recorded as one CUDA graph
    sizes: tuple = ()               # ((24, 3), (28, 3)): 24 pixels for 3 epochs, then 28 for 3, then all
    as_bytes: bool = False          # images stay uint8 until they are in their batch, and there it is one kernel

    def __post_init__(self):
        """Raises ValueError for a field that no run could mean."""
        choices = {"net": ("resnet", "small"), "schedule": ("stairs", "triangle", "line"), "views": (1, 2, 6),
                   "half": ("no", "autocast", "weights"), "flip": ("random", "alternating"),
                   "compile": ("", "default", "max-autotune", "max-autotune-no-cudagraphs")}
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), field.default
            if field.name in choices:
                right, wanted = value in choices[field.name], f"one of {choices[field.name]}"
            elif isinstance(default, bool):
                right, wanted = isinstance(value, bool), "True or False"
            elif isinstance(default, tuple):
                right, wanted = isinstance(value, tuple), "a tuple"
            elif field.name in ("batch_size", "shift"):
                least = int(field.name == "batch_size")
                right, wanted = type(value) is int and value >= least, f"a whole number, at least {least}"
            else:
                positive = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e6
                right = positive and (value or field.name != "epochs") or value is default is None
                wanted = "a number above 0" if field.name == "epochs" else "a number, 0 or more"
            if not right:
                raise ValueError(f"a recipe's {field.name} must be {wanted}, not {value!r}.")
        if self.graph and self.compile == "max-autotune":
            raise ValueError("graph=True needs compile='max-autotune-no-cudagraphs', or one recording lies in another.")


@dataclasses.dataclass(frozen=True)
class Rung:
    """One idea: what it is called, which fields of the recipe it changes, and why it should help."""

    name: str
    why: str
    changes: dict


def rung(name, why, **changes):
    return Rung(name, why, changes)


LADDER = (
    rung("a plain loop", "DataLoader, float32, SGD, ResNet-18: what one writes first"),
    rung("images on the GPU", "no processor prepares images one at a time any more", on_device=True),
    rung("half precision", "tensor cores, half the bytes, the memory order they like", half="autocast"),
    rung("a small net", "a fifth of the work; rates to match; two views at test time",
         net="small", half="weights", epochs=45, batch_size=1024, schedule="triangle", smoothing=0.2, views=2,
         lr=0.001465, head_lr=1.12, momentum=0.85, decay=0.002),
    rung("whitening", "the first layer is computed, not trained", whiten=True, epochs=21),
    rung("identity start", "a layer copies its input before it learns to change it", dirac=True, epochs=18),
    rung("frozen scales, fast biases", "biases set how sparse the net is: 64 times the rate",
         frozen=True, bias_lr=64 * 0.001465, epochs=13.5),
    rung("lookahead", "an average of the weights jitters less", lookahead=True, epochs=12),
    rung("six views", "a test image is looked at from six sides", views=6, epochs=10.8),
    rung("alternating flip", "two epochs show both sides of every image",
         flip="alternating", epochs=9.9),
    rung("torch.compile", "neighbouring small operations become one kernel", compile="max-autotune"),
    rung("Muon", "every direction of a matrix moves about equally far", muon=True, lookahead=False, epochs=8,
         batch_size=2000, schedule="line", lr=0.24, bias_lr=0.053, head_lr=0.67, decay=0.004),
    rung("one CUDA graph", "training is one launch, the test another: no gaps between kernels",
         graph=True, compile="max-autotune-no-cudagraphs"),
    rung("small images first", "coarse things are learnt from coarse images, for less work",
         sizes=((24, 3), (28, 3)), epochs=8.9),
    rung("bytes", "fetch, crop, flip and normalization are one kernel", as_bytes=True),
    rung("doubtful images only", "more than two views only where the net is unsure", doubtful=0.25),
    rung("Hiverge's rates", "rates, batch and smoothing of that record; backward stops early",
         first_epochs=0.2, batch_size=1536, lr=0.2255, muon_momentum=0.655, momentum=0.825, smoothing=0.09,
         decay=0.0031, coefficients=(3.4576, -4.7391, 2.0843)),
)
BASELINE = "Muon"  # the recipe of airbench94 with Muon, https://github.com/KellerJordan/cifar10-airbench


def rung_names():
    return [rung.name for rung in LADDER]


def recipe(name, without=(), **changes):
    """The recipe of a rung: its changes and those of all rungs below, but for the rungs in `without`.

    changes: fields set at the end. Raises ValueError for a name that no rung has.

    >>> recipe("Muon").epochs, recipe("Muon", without=["identity start"]).dirac
    (8, False)
    """
    for wanted in [name, *without]:
        if wanted not in rung_names():
            raise ValueError(f"no rung is called {wanted!r}: choose one of {', '.join(rung_names())}.")
    fields = {}
    for rung in LADDER[:rung_names().index(name) + 1]:
        if rung.name not in without:
            fields |= rung.changes
    return Recipe(**fields | changes)


def shrink(recipe, width, batch_size, epochs):
    """The same recipe in small, for a CPU: channels times `width`, and all that counts epochs or images in proportion.

    >>> small = shrink(recipe("small images first"), width=1 / 4, batch_size=250, epochs=4)
    >>> small.width, [(size, round(epochs, 2)) for size, epochs in small.sizes]
    (0.25, [(24, 1.35), (28, 1.35)])
    """
    part = epochs / recipe.epochs
    return dataclasses.replace(
        recipe, width=recipe.width * width, batch_size=batch_size, epochs=epochs,
        decay=recipe.decay * batch_size / recipe.batch_size, first_epochs=recipe.first_epochs * part,
        sizes=tuple((size, long * part) for size, long in recipe.sizes))


def rate(schedule, step, steps):
    """The share of the full rate at `step` (from 0) of `steps`.

    >>> [round(rate("triangle", step, 100), 2) for step in (0, 23, 99)], rate("line", 0, 100)
    ([0.2, 1.0, 0.08], 1.0)
    """
    done = step / steps
    if schedule == "line":
        return 1 - done
    if schedule == "stairs":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    peak = int(0.23 * steps)
    if step < peak:
        return 0.2 + 0.8 * step / peak
    return 1 - 0.93 * (step - peak) / (steps - peak)


def optimizers_for(net, recipe):
    """(Muon or None, SGD) for the net's weights, with a micro.speedrun.Recipe's rates.

    Muon takes the convolutions; the first layer's bias, the other biases and the head have rates of their own.
    """
    r, trained = recipe, {name: p for name, p in net.named_parameters() if p.requires_grad}
    filters = [name for name, p in trained.items() if r.muon and p.dim() == 4]
    first = ["first.bias"] if r.whiten else []
    biases = [name for name in trained if "norm" in name and name.endswith("bias")]
    head = [name for name in trained if name == "head.weight"]
    rest = [name for name in trained if name not in [*filters, *first, *biases, *head]]
    bias_lr = r.lr if r.bias_lr is None else r.bias_lr
    head_lr = r.lr if r.head_lr is None else r.head_lr
    # Before Muon the first layer's bias goes with the weights, after it with the biases: so in airbench.
    groups = [(first, bias_lr if r.muon else r.lr, "first"), (biases, bias_lr, "all"), (head, head_lr, "all"),
              (rest, bias_lr if r.muon else r.lr, "all")]
    sgd = SGD([([trained[name] for name in names], lr, when) for names, lr, when in groups], r.momentum, r.decay)
    muon = Muon([trained[name] for name in filters], r.lr, r.muon_momentum, r.coefficients) if filters else None
    return muon, sgd
