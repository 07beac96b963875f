"""Fifty folk tips on training, and what came of each when notebooks 11 and 12 tried it.

`tip(26, "holds", "figures")` prints a verdict where the evidence is. `tip_table()` shows all of them; it reads
data/results/verdicts.json, which `python -m tests.bench.verdicts --record` makes from the stored outputs of the two
notebooks, so it needs no cell to have run before it.
"""
from micro.data import results

PARTS = {"Building": range(1, 10), "Debugging": range(10, 16), "Normalization and regularization": range(16, 26),
         "Learning rate, batch, optimizer": range(26, 37), "Speed and numbers": range(37, 51)}
VERDICTS = ("holds", "holds here only if", "not seen", "can't be tested here")

TIPS = {
    1: "Begin with the simplest thing that works; add parts late",
    2: "Code taken over from others hides many bugs, a few of them grave",
    3: "Try ideas on a small, quick task before the real one",
    4: "Have a baseline; a method may hang on one single part",
    5: "A sound model can learn one little batch by heart",
    6: "Without activations a deep net is one linear layer",
    7: "No dropout on the last layer's output",
    8: "A bias right in front of batch norm does nothing",
    9: "Hold data out to choose by; each choice wears test data out",
    10: "Watch the length of the gradient; a sudden change is a bad sign",
    11: "A spike of the loss does lasting harm",
    12: "Follow one step by hand, with all sizes",
    13: "If a bug stays a riddle, make the case simpler",
    14: "Look at the numbers, not at their statistics alone",
    15: "A short way from every layer to the loss helps: residuals",
    16: "Batch norm is shaky when batches are small",
    17: "Take dropout or batch norm, never the two together",
    18: "Batch norm may stand before the activation or behind it",
    19: "Batch norm differs in use; ending on running statistics narrows the gap",
    20: "Batch norm is quick because the std of each layer's input changes less between steps",
    21: "RMS norm is as good as layer norm, for less work",
    22: "Layers that begin as identities, almost linear, need no residuals",
    23: "Whiten inputs in the net; that layer needs no training",
    24: "The smaller the net, the more wrong labels hurt it",
    25: "Smooth labels, average weights, look at test pictures several times",
    26: "0.001 is a sensible learning rate to begin with",
    27: "Let the learning rate fall during training",
    28: "Begin with small steps where large ones would wreck fresh weights",
    29: "Larger batches calm training, until they are far too large",
    30: "At equal steps a larger batch always ends lower",
    31: "Scale the learning rate by a root of the batch's growth",
    32: "Adam to try things out, SGD at the end",
    33: "A straight warm-up clashes with Adam's start; RAdam mends that",
    34: "Step a setting, step back if worse, fit a curve between",
    35: "Rate, batch, decay and momentum belong together: one valley",
    36: "Change several things together; go back if nothing improves",
    37: "GELU at x minus GELU at −x gives x",
    38: "Of one-input activations take GELU, of gates SwiGLU",
    39: "Matrix products lose little by lower precision",
    40: "On tensor cores store images with channels last",
    41: "Unless it is text, loading data holds training up",
    42: "Feed a loader constants to find its faults",
    43: "Let one operation do several things: fewer launches",
    44: "Loading a model is quick from memory, slow from disk",
    45: "Keep the dictionary of weights, not the pickled object",
    46: "Adam needs 16 bytes a parameter; half precision needs fewer",
    47: "Prefer nets whose loss follows a law in their size",
    48: "Learning first by heart and late by rule is a fault to cure",
    49: "Comparing likelihoods of answers can stand in for a reward model",
    50: "Try some silly ideas too",
}

WHERE = {6: "notebook 12, section 7", 7: "notebook 10, section 4", 8: "notebook 12, section 7",
         9: "notebook 12, section 7; notebook 13, section 13", 13: "", 14: "notebook 12, section 7",
         15: "notebook 10, sections 1 and 4", 16: "notebook 10, section 1", 17: "notebook 10, section 4",
         19: "notebook 12, section 7; notebook 10, section 1", 21: "notebook 10, section 1",
         22: "notebook 12, section 7; notebook 10, section 4",
         23: "notebook 12, section 7; notebook 13, sections 5 and 12",
         25: "notebook 12, section 7; notebook 13, section 12", 37: "notebook 12, section 7; notebook 10, section 2",
         38: "notebook 10, sections 2 and 3", 40: "notebook 13, section 3",
         43: "notebook 12, section 7; notebook 13, section 9", 50: "",
         **dict.fromkeys((3, 18, 20, 24, 47, 48, 49), "notebook 12, section 7"),
         **dict.fromkeys((1, 4), "notebook 11, section 1"), 2: "notebook 11, section 3",
         **dict.fromkeys((5, 10, 11, 12), "notebook 11, section 2"),
         **dict.fromkeys((29, 30, 31, 35), "notebook 12, section 1"),
         **dict.fromkeys((26, 27, 28, 32, 33, 34, 36), "notebook 12, section 2"),
         39: "notebook 12, sections 3 and 4", **dict.fromkeys((41, 42, 44, 45, 46), "notebook 12, sections 5 and 6")}


def verdict_kind(verdict):
    """Which of VERDICTS `verdict` is; None if it is none of them.

    >>> verdict_kind("holds here only if batches are small"), verdict_kind("holds, mostly")
    ('holds here only if', None)
    """
    first = "holds here only if"
    if str(verdict).startswith(first + " ") and verdict[len(first):].strip():
        return first
    return verdict if verdict in VERDICTS and verdict != first else None


def tip(number, verdict, figures):
    """Print the verdict on a tip, and the figures that led to it.

    A verdict is one of VERDICTS, exactly; after "holds here only if" comes the condition.

    >>> tip(46, "not seen", "16 bytes, not 12")
    tip 46 · Adam needs 16 bytes a parameter; half precision needs fewer
      → not seen: 16 bytes, not 12
    """
    if number not in TIPS:
        raise ValueError(f"tips have numbers from 1 to {len(TIPS)}, not {number!r}.")
    if verdict_kind(verdict) is None:
        raise ValueError(f"a verdict is 'holds', 'not seen', \"can't be tested here\" or 'holds here only if ...' "
                         f"with a condition, not {verdict!r}.")
    print(f"tip {number} · {TIPS[number]}\n  → {verdict}: {figures}")


def tip_table(*parts):
    """The recorded verdicts on the tips of these parts (or of all), as a Markdown table: tip, verdict, figures, place.

    >>> print(tip_table("Building").data.splitlines()[2])
    | 1. Begin with the simplest thing that works; add parts late | can't be tested here | it is about people's \
hours, not about losses | notebook 11, section 1 |
    """
    from IPython.display import Markdown  # here, so that the rest needs no Jupyter

    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"the parts are {', '.join(map(repr, PARTS))}, not {unknown[0]!r}.")
    recorded = results("verdicts")["tips"]
    lines = ["| tip | verdict | figures | where |", "|---|---|---|---|"]
    for part in parts or PARTS:
        if len(parts) != 1:
            lines.append(f"| **{part}** | | | |")
        for number in PARTS[part]:
            row = recorded[str(number)]
            verdict, figures = row["verdict"].replace("|", "\\|"), row["figures"].replace("|", "\\|")
            bold = f"**{verdict}**" if verdict.startswith("holds") else verdict
            lines.append(f"| {number}. {TIPS[number]} | {bold} | {figures} | {WHERE[number]} |")
    return Markdown("\n".join(lines))


def tip_counts():
    """How many of the recorded tips have each verdict: a dict, in the order of VERDICTS.

    >>> sum(tip_counts().values())
    50
    """
    kinds = [verdict_kind(row["verdict"]) for row in results("verdicts")["tips"].values()]
    return {verdict: kinds.count(verdict) for verdict in VERDICTS}
