"""Folk tips on training, and what came of each when it was tried: told one by one, shown as a table at the end."""
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
    20: "Batch norm is quick because layers' widths change less between steps",
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

WHERE = {6: "section 9", 7: "notebook 09, section 4", 8: "section 9", 9: "section 9; notebook 11, section 13",
         13: "", 14: "section 9", 15: "notebook 09, sections 1 and 4", 16: "notebook 09, section 1",
         17: "notebook 09, section 4", 19: "section 9; notebook 09, section 1", 21: "notebook 09, section 1",
         22: "section 9; notebook 09, section 4", 23: "section 9; notebook 11, sections 5 and 12",
         25: "section 9; notebook 11, section 12", 37: "section 9; notebook 09, section 2",
         38: "notebook 09, sections 2 and 3", 40: "notebook 11, section 3", 43: "section 9; notebook 11, section 9",
         50: "",
         **dict.fromkeys((3, 18, 20, 24, 47, 48, 49), "section 9"), **dict.fromkeys((1, 4), "section 1"),
         2: "the seventeen bugs", **dict.fromkeys((5, 10, 11, 12), "section 2"),
         **dict.fromkeys((29, 30, 31, 35), "section 4"), **dict.fromkeys((26, 27, 28, 32, 33, 34, 36), "section 5"),
         39: "section 6", **dict.fromkeys((41, 42, 44, 45, 46), "sections 7 and 8")}


def kind(said):
    """Which of VERDICTS `said` is; None if it is none of them.

    >>> kind("holds here only if batches are small"), kind("holds, mostly")
    ('holds here only if', None)
    """
    first = "holds here only if"
    if str(said).startswith(first + " ") and said[len(first):].strip():
        return first
    return said if said in VERDICTS and said != first else None


class Tips:
    """Collects verdicts: `tip(26, "holds", "figures")` prints it and keeps it.

    A verdict is one of VERDICTS, exactly, but after "holds here only if" comes the condition. Told twice, the later
    one counts. `tip.table("Building")` shows a part of
    the tips with what was told, in a notebook as a table.

    >>> tip = Tips()
    >>> tip(46, "not seen", "16 bytes, not 12")
    tip 46 · Adam needs 16 bytes a parameter; half precision needs fewer
      → not seen: 16 bytes, not 12
    >>> print(tip.table("Building").data.splitlines()[2])
    | 1. Begin with the simplest thing that works; add parts late | not told |  | section 1 |
    """

    def __init__(self):
        self.told = {}

    def __call__(self, number, said, figures):
        if number not in TIPS:
            raise ValueError(f"tips have numbers from 1 to {len(TIPS)}, not {number!r}.")
        if kind(said) is None:
            raise ValueError(f"a verdict is 'holds', 'not seen', \"can't be tested here\" or 'holds here only if ...' "
                             f"with a condition, not {said!r}.")
        self.told[number] = said, figures
        print(f"tip {number} · {TIPS[number]}\n  → {said}: {figures}")

    def table(self, *parts):
        """The tips of these parts (of all, if none is named): tip, verdict, figures, and where it was tried."""
        from IPython.display import Markdown  # here, so that the rest needs no Jupyter

        if unknown := [part for part in parts if part not in PARTS]:
            raise ValueError(f"the parts are {', '.join(map(repr, PARTS))}, not {unknown[0]!r}.")
        lines = ["| tip | verdict | figures | where |", "|---|---|---|---|"]
        for part in parts or PARTS:
            if len(parts) != 1:
                lines.append(f"| **{part}** | | | |")
            for number in PARTS[part]:
                said, figures = (text.replace("|", "\\|") for text in self.told.get(number, ("not told", "")))
                bold = f"**{said}**" if said.startswith("holds") else said
                lines.append(f"| {number}. {TIPS[number]} | {bold} | {figures} | {WHERE[number]} |")
        return Markdown("\n".join(lines))

    def counts(self):
        """How many of the tips told have each verdict: a dict, in the order of VERDICTS.

        >>> tip = Tips()
        >>> tip(8, "holds", "its gradient is 0")
        tip 8 · A bias right in front of batch norm does nothing
          → holds: its gradient is 0
        >>> tip.counts()
        {'holds': 1, 'holds here only if': 0, 'not seen': 0, "can't be tested here": 0}
        """
        kinds = [kind(said) for said, _ in self.told.values()]
        return {verdict: kinds.count(verdict) for verdict in VERDICTS}
