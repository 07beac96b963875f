"""What diagnose() holds to be too much or too little, and how it says so."""
import math
from collections import Counter, namedtuple
from functools import cached_property
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


class Look:
    """What the findings look at: the records of the layers in the order of their calls, weights, gradients, loss."""

    def __init__(self, run, report, model):
        self.run, self.model = run, model
        self.layers, self.weights, self.grads, self.loss = report.layers, report.weights, run.grads, report.loss
        self.matrices = [l for l in self.layers if l.role == "matrix"]
        self.norms = [l for l in self.layers if l.role == "batchnorm"]
        self.fickle = self.norms + [l for l in self.layers if drops(l)]
        # Hidden ones: a model may have several outputs.
        self.inside = [l for l in self.matrices[:-1] if l.links[1] not in run.ends]
        self.fed = {l.links[0] for l in self.layers}  # whose output another layer takes
        self.guess = math.log(run.classes) if run.classes > 1 else math.nan

    def linked(self, a, b):
        """Does each layer from a to b feed the next, and nothing else?"""
        between = pairwise(self.layers[self.layers.index(a):self.layers.index(b) + 1])
        return all(p.links[1] == q.links[0] and not p.forks for p, q in between)

    @cached_property
    def alone(self):
        """Hidden layers that share their input with no other: queries, keys and values have unlike gradients anyway."""
        shared = Counter(l.links[0] for l in self.matrices)
        return [l for l in self.inside if shared[l.links[0]] == 1]

    @cached_property
    def free(self):
        """Hidden layers with no norm behind, which would repair the size."""
        return [l for l, after in pairwise(self.layers) if l in self.inside and "norm" not in after.role and l.gain > 0]

    @cached_property
    def hidden(self):
        """Hidden layers whose gradients can be compared: not across the pooling of a whole image."""
        found = [l for l in self.alone if l.grad > 0]
        return [l for l in found if len(l.shape) == len(found[0].shape)]

    @cached_property
    def steps(self):
        """(change of the gradient from b back to a, a, b), the largest first."""
        found = ((change(a, b), a, b) for a, b in pairwise(self.hidden))
        return sorted(found, key=lambda step: -abs(math.log(step[0])))

    @cached_property
    def useless(self):
        """Names of the biases that a batch norm subtracts."""
        size = {w.name: w.grad for w in self.weights}
        return [l.prefix + "bias" for l, after in pairwise(self.layers) if after.role == "batchnorm"
                and size.get(l.prefix + "bias", math.inf) < 1e-5 * size.get(l.prefix + "weight", 0)]


def of_layers(level, layers, text):
    """The finding on these records of layers, in a list: an empty one without a level or a layer."""
    names = [f"`{l.name}` ({l.kind})" for l in layers]
    return [Finding(level, layers[0].name, sentence(names, text))] if level and layers else []


def of_names(level, names, text):
    """The same on names: of parameters, or that of the model."""
    quoted = [f"`{name}`" for name in names]
    return [Finding(level, names[0].rpartition(".")[0], sentence(quoted, text))] if level and names else []


def sentence(names, text):
    more = [f"{len(names) - 3} more"] if len(names) > 3 else []
    return f"{', '.join(names[:3] + more)}: {text}"


# Modes: batch norms and dropouts do one thing in training and another in use.


def drops(layer):
    if layer.role == "dropout" and getattr(layer.module, "p", 1):
        return True
    p = getattr(layer.module, "dropout", 0)  # attention, LSTM
    return isinstance(p, float) and p > 0


def rests(layer):
    """A batch norm that is frozen may well stay in eval mode."""
    return layer.role == "batchnorm" and {p.requires_grad for p in layer.module.parameters()} == {False}


def another_mode(look):
    training = look.model.training
    mode, other = ("train", "eval") if training else ("eval", "train")
    effect = ("batch norms do not learn the data's statistics then, dropouts drop nothing" if training
              else "its output depends on the rest of the batch or chance")
    odd = [l for l in look.fickle if l.module.training != training and not (training and rests(l))]
    yield from of_layers("serious", odd, f"in {other} mode while the model is in {mode} mode: {effect}; "
                         f"call model.{mode}()")


def evaluated_in_train_mode(look):
    acting = [l for l in look.fickle if l.module.training]
    effect = look.run.change
    if effect > 1e-3 or acting and effect >= 0:
        text = (f"the model is in train mode though you evaluate, which changes its output by {effect:.0%}; "
                "call model.eval() first")
        yield from (of_layers("serious", acting, text) if acting
                    else of_names("serious", [type(look.model).__name__], text))


def noisy_statistics(look):
    few = [l for l in look.norms if l.module.training and l.shape[0] < BATCH and "instance" not in l.kind.lower()]
    if few:
        yield from of_layers("note", few, f"statistics of {few[0].shape[0]} examples are noisy; take larger batches")


def no_statistics(look):
    fresh = [l for l in look.norms if not l.module.training and l.fresh]
    yield from of_layers("serious", fresh, "in eval mode but has never seen training data (running mean 0, variance "
                         "1); run batches in train mode first")


def other_statistics(look):
    for l in look.norms:
        if not l.module.training and not l.fresh:
            level = level_of(l.shift, SHIFT) or level_of(l.stretch, STRETCH)
            yield from of_layers(level, [l], "its running statistics do not describe this batch (means "
                                 f"{l.shift:.3g} standard deviations off, variances {l.stretch:.3g}-fold); run more "
                                 "batches in train mode, or prepare these inputs as in training")


# Numbers that are none.


def not_finite(look):
    run, loss = look.run, look.loss
    late = [name for name, g in look.grads.items() if g is not None and not g.isfinite().all()]
    if run.bad:
        layer, before = run.bad[0]
        yield from of_layers("serious", [layer], f"the first to put out nan or infinity; its input is {before}")
    elif run.late or late or loss is not None and not math.isfinite(loss):
        text = f"the loss is {loss:.3g}; the first on the way back to get a gradient of nan or infinity"
        if late and not run.late:
            yield from of_names("serious", late[:1], text)
        else:
            yield from of_layers("serious", (run.late or look.layers[-1:])[:1], text)


# Activations: of each layer, then from layer to layer.


def activations(look):
    for layer in look.layers:
        if layer is not look.layers[-1] or layer.role not in LIMITS:  # at its end, a model may well be sure
            yield from saturated(look, layer)
            yield from dead(layer)
        yield from stuck(look, layer)


def cure(layer):
    return "scale down the weights before it" if layer.role in LIMITS else "raise the biases before it"


def saturated(look, layer):
    level = level_of(layer.saturated, SATURATED)
    sure = look.loss is not None and look.loss < 0.8 * look.guess  # a trained network may well be sure of itself
    advice = "it may just be sure, as the loss is low" if sure else cure(layer)
    yield from of_layers("note" if level and sure else level, [layer], f"{layer.saturated:.0%} of its outputs are "
                         f"saturated (outside of {layer.limits}): hardly any gradient passes; {advice}")


def dead(layer):
    worst = layer.worst  # of its calls
    count = f"all {worst.units}" if worst.dead == worst.units else f"{worst.dead} of {worst.units}"
    how = "saturated" if layer.role in LIMITS else "0"
    call = "" if worst is layer else ", in an earlier call than its last"
    yield from of_layers(level_of(worst.dead / worst.units, DEAD), [layer], f"{count} units are dead ({how} for every "
                         f"example){call}, so no gradient passes; {cure(layer)}")


def stuck(look, layer):
    if layer.stuck and layer.dead != layer.units:
        weight = getattr(layer.module, "weight", None)
        blank = isinstance(weight, torch.Tensor) and not weight.any()  # a usual start behind a residual
        # Aside, like positions, which are added to something.
        aside = layer is not look.layers[-1] and layer.links[1] not in look.fed
        yield from of_layers("note" if blank or aside else "serious", [layer],
                             "puts out the same for every example, though its input differs")


def size_of_a_layer(look):
    # To make small what is large, or large what is small, is no fault.
    far = [l for l in look.free if level_of(l.gain, GAIN) and (l.gain > 1) == (l.rms > 1)]
    far.sort(key=lambda l: 1 / l.gain)
    for same in ([l for l in far if l.gain > 1], [l for l in far if l.gain < 1][::-1]):
        for l in same[:1]:
            advice = "its bias is to blame" if abs(l.mean) > 2 * l.std else "divide its weights by that"
            yield from of_layers(level_of(l.gain, GAIN), same, "multiplies the size (root mean square) of its input "
                                 f"by {l.gain:.3g}, from {l.ins[2]:.3g} to {l.rms:.3g}; {advice}")


def size_over_all_layers(look):
    first, last = look.free[:1], look.free[-1:]
    if len(look.free) > 2:
        growth = last[0].rms / first[0].rms
        yield from of_layers(level_of(growth, GROWTH), last, "the size (root mean square) of outputs is "
                             f"{growth:.3g} times that of `{first[0].name}`; multiply the weights of each layer by "
                             f"{growth ** (1 / (1 - len(look.free))):.3g}")


def inputs(look):
    first = [l for l in look.layers if [*l.module.parameters()]][:1]
    if first and first[0].role == "matrix" and first[0].ins:
        mean, std, _ = first[0].ins
        level = "note" if not 0.05 < std < 5 or abs(mean) > 3 * std else None
        yield from of_layers(level, first, f"the model's input has mean {mean:.3g} and standard deviation {std:.3g}; "
                             "shift and scale it to about 0 and 1")


def too_confident(look):
    if look.run.classes > 1:
        level = level_of(max(1, look.loss / look.guess), CONFIDENT)
        yield from of_layers(level, look.layers[-1:], f"the loss is {look.loss:.3g} where guessing costs "
                             f"{look.guess:.3g} (log {look.run.classes}): the output layer is too confident; at the "
                             "start, scale its weights down")


# Gradients: of the parameters, then from layer to layer.


def frozen(look):
    names = [name for name, p in look.model.named_parameters() if not p.requires_grad]
    yield from of_names("note", names, f"frozen (requires_grad=False), {len(names)} of {len(look.weights)} parameters")


def without_gradient(look):
    names = [name for name, g in look.grads.items() if g is None]
    cut = [l for l in look.layers if any(name.startswith(l.prefix) for name in names)]
    trained = [l for l in look.layers if any(name.startswith(l.prefix) for name in look.grads)]
    if not cut:
        yield from of_names("note", names, "no gradient comes here: forward() never uses it for this batch")
    else:
        lost = cut[0] is trained[0] or any(l.links[1] in look.fed for l in cut)  # not just an unused output
        yield from of_names("serious" if lost else "note", names, "no gradient comes here: the loss does not use its "
                            "output, or detach() or no_grad() cuts it off")


def useless_biases(look):
    yield from of_names("note", look.useless, "useless: the batch norm behind it subtracts every bias; leave it out "
                        "with bias=False")


def gradient_of_zero(look):
    names = [name for name, g in look.grads.items() if name not in look.useless and g is not None and not g.any()]
    silent = [f"`{l.name}` is dead" for l in look.layers if l.worst.dead == l.worst.units]
    blank = [f"`{name}` is all 0" for name, p in look.model.named_parameters()
             if not name.endswith("bias") and not p.any()]
    mild = blank and not silent or look.loss == 0 or all(name.endswith("bias") for name in names)
    reason = [*silent, *blank, "for this batch the loss does not depend on it"][0]
    yield from of_names("note" if mild else "serious", names, f"a gradient of exactly 0: {reason}")


def gradient_over_all_layers(look):
    if look.steps:
        hidden, (step, a, b) = look.hidden, look.steps[0]
        ratio = change(hidden[0], hidden[-1])
        level = level_of(ratio, GRADIENT)
        if level and not look.linked(a, b) and level_of(ratio / step, GRADIENT) != "serious":
            level = "note"  # one step past a residual, as where its branch starts small
        yield from of_layers(level, hidden[:1], f"its gradient is {ratio:.3g} times that at `{hidden[-1].name}`; the "
                             f"largest step is from `{b.name}` back to `{a.name}`")


def gradient_of_a_layer(look):
    for ratio, a, b in look.steps:
        if look.linked(a, b):
            yield from of_layers(level_of(ratio, STEP), [b], f"multiplies the gradient by {ratio:.3g} on the way back "
                                 f"to `{a.name}`")


def no_one_learning_rate(look):
    inner = {l.prefix + "weight" for l in look.alone}
    ratios = sorted((w.ratio, w.name) for w in look.weights if w.name in inner and w.ratio > 0)
    if ratios:
        (least, little), (most, much) = ratios[0], ratios[-1]
        yield from of_names(level_of(most / least, SPREAD), [much], f"gradient / weight is {most:.3g} here but "
                            f"{least:.3g} for `{little}`: no one learning rate of plain SGD suits both")


MODES = [another_mode, evaluated_in_train_mode, noisy_statistics, no_statistics, other_statistics]
VALUES = [activations, size_of_a_layer, size_over_all_layers, inputs, too_confident,
          frozen, without_gradient, useless_biases, gradient_of_zero,
          gradient_over_all_layers, gradient_of_a_layer, no_one_learning_rate]


def judge(run, report, model):
    """The findings: on modes, on numbers that are none, on activations, on gradients."""
    look = Look(run, report, model)
    found = [f for finding in MODES for f in finding(look)]
    none = [*not_finite(look)]
    found += none or [f for finding in VALUES for f in finding(look)]  # all else follows from nan
    return [f._replace(layer=f.layer or type(model).__name__) for f in found]
