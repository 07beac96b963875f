"""What diagnose() holds to be too much or too little, and how it says so."""
import math
from collections import Counter, namedtuple
from itertools import pairwise

import torch

LIMITS = {"tanh": (-0.97, 0.97), "hardtanh": (-0.97, 0.97), "softsign": (-0.97, 0.97), "sigmoid": (0.03, 0.97)}
POSITIONS, BATCH = 16, 8  # with fewer positions a unit may be silent by chance, with fewer examples a mean is noise
# From the first number on a note, from the second on serious. Healthy nets stay below the first at their start.
SATURATED, DEAD = (0.10, 0.30), (0.05, 0.20)     # shares of a layer's outputs and units
GAIN, GROWTH = (5, 10), (10, 100)                # size out / in: of one layer (usual: 0.4 to 2), of all hidden ones
GRADIENT, STEP = (10, 100), (10, math.inf)       # first hidden layer / last one; one hidden layer / the next
SPREAD, CONFIDENT = (1000, math.inf), (1.2, 2)   # gradient/weight, largest / smallest; loss / loss of guessing
SHIFT, STRETCH = (1, 2), (4, 16)                 # running means (in standard deviations), variances / the batch's

Finding = namedtuple("Finding", "level layer text")


def level_of(value, limits):  # limits above 1 are for ratios, which count both ways
    value = 1 / value if limits[0] > 1 and 0 < value < 1 else value
    return "serious" if value >= limits[1] else "note" if value >= limits[0] else None


def change(a, b):
    """Gradient at layer a / at layer b, per number or in all: whichever is nearer to 1, as pooling spreads it thin."""
    each = a.grad / b.grad
    whole = each * math.sqrt(math.prod(a.shape) / math.prod(b.shape))
    return min(each, whole, key=lambda r: abs(math.log(r))) if (each > 1) == (whole > 1) else 1.0


def judge(run, report, model):
    """The findings: on modes, on numbers that are none, on activations, on gradients."""
    found, layers, grads, loss = [], report.layers, run.grads, report.loss
    matrices = [l for l in layers if l.role == "matrix"]
    inside = [l for l in matrices[:-1] if l.links[1] not in run.ends]  # hidden ones: a model may have several outputs
    fed = {l.links[0] for l in layers}

    def say(level, culprits, text):  # culprits: records of layers, or names of parameters
        if level and culprits:
            names = [f"`{c}`" if isinstance(c, str) else f"`{c.name}` ({c.kind})" for c in culprits]
            names[3:] = [f"{len(names) - 3} more"] if names[3:] else []
            first = culprits[0] if isinstance(culprits[0], str) else culprits[0].name + "."
            layer = first.rpartition(".")[0] or type(model).__name__
            found.append(Finding(level, layer, f"{', '.join(names)}: {text}"))
    # Modes: batch norms and dropouts do one thing in training and another in use.
    norms = [l for l in layers if l.role == "batchnorm"]
    fickle = norms + [l for l in layers if l.role == "dropout" and getattr(l.module, "p", 1)
                      or isinstance(p := getattr(l.module, "dropout", 0), float) and p > 0]  # attention, LSTM
    mode, other = ("train", "eval") if model.training else ("eval", "train")
    acting = [l for l in fickle if l.module.training]
    effect = ("batch norms do not learn the data's statistics then, dropouts drop nothing" if model.training
              else "its output depends on the rest of the batch or chance")
    rests = [l for l in norms if model.training and {p.requires_grad for p in l.module.parameters()} == {False}]
    say("serious", [l for l in fickle if l.module.training != model.training and l not in rests],
        f"in {other} mode while the model is in {mode} mode: {effect}; call model.{mode}()")
    if run.change > 1e-3 or acting and run.change >= 0:
        say("serious", acting or [type(model).__name__], "the model is in train mode though you evaluate, which "
            f"changes its output by {run.change:.0%}; call model.eval() first")
    few = [l for l in norms if l.module.training and l.shape[0] < BATCH and "instance" not in l.kind.lower()]
    say("note", few, f"statistics of {few and few[0].shape[0]} examples are noisy; take larger batches")
    fresh = [l for l in norms if not l.module.training and l.fresh]
    say("serious", fresh, "in eval mode but has never seen training data (running mean 0, variance 1); run "
        "batches in train mode first")
    for l in norms:
        if not l.module.training and not l.fresh:
            say(level_of(l.shift, SHIFT) or level_of(l.stretch, STRETCH), [l], "its running statistics do not describe "
                f"this batch (means {l.shift:.3g} standard deviations off, variances {l.stretch:.3g}-fold); run more "
                "batches in train mode, or prepare these inputs as in training")
    # Numbers that are none.
    late = run.late + [name for name, g in grads.items() if g is not None and not g.isfinite().all()]
    if run.bad or late or loss is not None and not math.isfinite(loss):
        text = f"the first to put out nan or infinity; its input is {run.bad[0][1]}" if run.bad else (
            f"the loss is {loss:.3g}; the first on the way back to get a gradient of nan or infinity")
        say("serious", [l for l, _ in run.bad[:1]] or late[:1] or layers[-1:], text)
        return found  # all else follows from that
    # Activations. A trained network may well be sure of itself.
    guess = math.log(run.classes) if run.classes > 1 else math.nan
    sure = loss is not None and loss < 0.8 * guess
    for l in layers:
        how, cure = ("saturated", "scale down the weights") if l.role in LIMITS else ("0", "raise the biases")
        if l is not layers[-1] or l.role not in LIMITS:  # at its end, a model may well be sure
            level = level_of(l.saturated, SATURATED)
            say(level and sure and "note" or level, [l], f"{l.saturated:.0%} of its outputs are saturated (outside of "
                f"{l.limits}): hardly any gradient passes; "
                + ("it may just be sure, as the loss is low" if sure else f"{cure} before it"))
            w = l.worst  # of its calls
            count = f"all {w.units}" if w.dead == w.units else f"{w.dead} of {w.units}"
            say(level_of(w.dead / w.units, DEAD), [l], f"{count} units are dead ({how} for every example)"
                f"{'' if w is l else ', in an earlier call than its last'}, so no gradient passes; {cure} before it")
        if l.stuck and l.dead != l.units:
            weight = getattr(l.module, "weight", None)
            blank = isinstance(weight, torch.Tensor) and not weight.any()  # a usual start behind a residual
            aside = l is not layers[-1] and l.links[1] not in fed  # like positions, which are added to something
            say("note" if blank or aside else "serious", [l],
                "puts out the same for every example, though its input differs")
    # Hidden, and no norm behind repairs the size. To make small what is large, or large what is small, is no fault.
    free = [l for l, after in pairwise(layers) if l in inside and "norm" not in after.role and l.gain > 0]
    far = sorted((l for l in free if level_of(l.gain, GAIN) and (l.gain > 1) == (l.rms > 1)), key=lambda l: 1 / l.gain)
    for same in ([l for l in far if l.gain > 1], [l for l in far if l.gain < 1][::-1]):
        for l in same[:1]:
            cure = "its bias is to blame" if abs(l.mean) > 2 * l.std else "divide its weights by that"
            say(level_of(l.gain, GAIN), same, f"multiplies the size (root mean square) of its input by {l.gain:.3g}, "
                f"from {l.ins[2]:.3g} to {l.rms:.3g}; {cure}")
    if len(free) > 2:
        growth = free[-1].rms / free[0].rms
        say(level_of(growth, GROWTH), free[-1:], f"the size (root mean square) of outputs is {growth:.3g} times that "
            f"of `{free[0].name}`; multiply the weights of each layer by {growth ** (1 / (1 - len(free))):.3g}")
    first = [l for l in layers if [*l.module.parameters()]][:1]
    if first and first[0].role == "matrix" and first[0].ins:
        mean, std, _ = first[0].ins
        say("note" if not 0.05 < std < 5 or abs(mean) > 3 * std else None, first, f"the model's input has mean "
            f"{mean:.3g} and standard deviation {std:.3g}; shift and scale it to about 0 and 1")
    if run.classes > 1:
        say(level_of(max(1, loss / guess), CONFIDENT), layers[-1:], f"the loss is {loss:.3g} where guessing costs "
            f"{guess:.3g} (log {run.classes}): the output layer is too confident; at the start, scale its weights down")
    # Gradients: of the parameters, then from layer to layer.
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    say("note", frozen, f"frozen (requires_grad=False), {len(frozen)} of {len(report.weights)} parameters")
    unused = [name for name, g in grads.items() if g is None]
    cut = [l for l in layers if any(name.startswith(l.prefix) for name in unused)]
    trained = [l for l in layers if any(name.startswith(l.prefix) for name in grads)]
    called = bool(cut)
    lost = called and (cut[0] is trained[0] or any(l.links[1] in fed for l in cut))  # not just an unused output
    say("serious" if lost else "note", unused, "no gradient comes here: " + (
        "the loss does not use its output, or detach() or no_grad() cuts it off" if called
        else "forward() never uses it for this batch"))
    size = {w.name: w.grad for w in report.weights}
    useless = [l.prefix + "bias" for l, after in pairwise(layers) if after.role == "batchnorm"
               and size.get(l.prefix + "bias", math.inf) < 1e-5 * size.get(l.prefix + "weight", 0)]
    say("note", useless, "useless: the batch norm behind it subtracts every bias; leave it out with bias=False")
    zero = [name for name, g in grads.items() if name not in useless and g is not None and not g.any()]
    dead = [f"`{l.name}` is dead" for l in layers if l.worst.dead == l.worst.units]
    blank = [f"`{name}` is all 0" for name, p in model.named_parameters() if not name.endswith("bias") and not p.any()]
    mild = blank and not dead or loss == 0 or all(name.endswith("bias") for name in zero)
    say("note" if mild else "serious", zero, "a gradient of exactly 0: "
        + [*dead, *blank, "for this batch the loss does not depend on it"][0])
    shared = Counter(l.links[0] for l in matrices)  # queries, keys and values: their gradients differ by nature
    hidden = [l for l in inside if l.grad > 0 and shared[l.links[0]] == 1]
    hidden = [l for l in hidden if len(l.shape) == len(hidden[0].shape)]  # not across the pooling of a whole image
    steps = sorted(((change(a, b), a, b) for a, b in pairwise(hidden)), key=lambda step: -abs(math.log(step[0])))

    def linked(a, b):
        between = pairwise(layers[layers.index(a):layers.index(b) + 1])
        return all(p.links[1] == q.links[0] and not p.forks for p, q in between)  # one feeds the next

    if steps:
        ratio, (step, a, b) = change(hidden[0], hidden[-1]), steps[0]
        level = level_of(ratio, GRADIENT)
        if level and not linked(a, b) and level_of(ratio / step, GRADIENT) != "serious":
            level = "note"  # one step past a residual, as where its branch starts small
        say(level, hidden[:1], f"its gradient is {ratio:.3g} times that at `{hidden[-1].name}`; the "
            f"largest step is from `{b.name}` back to `{a.name}`")
    for ratio, a, b in steps:
        if linked(a, b):
            say(level_of(ratio, STEP), [b], f"multiplies the gradient by {ratio:.3g} on the way back to `{a.name}`")
    inner = {l.prefix + "weight" for l in inside if shared[l.links[0]] == 1}
    ratios = sorted((w.ratio, w.name) for w in report.weights if w.name in inner and w.ratio > 0)
    if ratios:
        (least, little), (most, much) = ratios[0], ratios[-1]
        say(level_of(most / least, SPREAD), [much], f"gradient / weight is {most:.3g} here but {least:.3g} for "
            f"`{little}`: no one learning rate of plain SGD suits both")
    return found
