"""Pictures of dataflow: draw_flow(steps, tensors) shows which tensor is computed from which, and back.

Where `micro.draw` draws single numbers, a box here is a whole tensor with its shape. Graphviz lays it out,
with the same program and the same bytes on every machine.
"""
from micro.draw import Picture, TextGraph, _dot_program, _html

BACK = "#D55E00"


def draw_flow(steps, tensors, *, title=None, rankdir="TB", backward=True):
    """A chain of computations as a picture: tensors as boxes, forward arrows solid, gradients dashed.

    steps: (result, operation, inputs) in the order of the forward pass; result and inputs are names, the
        inputs in one text with spaces between.
    tensors: name -> tensor (anything with a `.shape`), one for every name in `steps`.
    title: a line of text above.  rankdir: "TB", from top to bottom, or "LR", from left to right.
    backward: False leaves the dashed arrows out.

    Inputs that no step computes have round corners. A thick border marks what several steps use: that many
    gradients arrive there and add up. Returns a `graphviz.Digraph`, which Jupyter shows; without Graphviz the
    steps as text. KeyError for a name without a tensor.

    >>> import torch
    >>> x, w = torch.zeros(32, 3), torch.zeros(3, 5)
    >>> draw_flow([("y", "@", "x w")], {"x": x, "w": w, "y": x @ w})
    <flow of 3 tensors in 1 step>
    """
    steps = [(result, operation, inputs.split()) for result, operation, inputs in steps]
    made = {result: operation for result, operation, _ in steps}
    names = list(dict.fromkeys(name for result, _, inputs in steps for name in (*inputs, result)))
    lost = [name for name in names if name not in tensors]
    if lost:
        raise KeyError(f"draw_flow was given no tensor for {lost[0]!r}: add it to `tensors`.")
    shape = {name: " × ".join(map(str, tensors[name].shape)) or "one number" for name in names}
    if _dot_program() is None:
        print("No Graphviz works here, so this is the chain as text; `pip install graphviz-pure` brings one.")
        lines = [f"{r} ({shape[r]}) = {operation} of {', '.join(inputs)}" for r, operation, inputs in steps]
        return TextGraph("\n".join(lines))
    uses = [name for _, _, inputs in steps for name in inputs]
    size = f"flow of {len(names)} tensors in {len(steps)} step{'s' * (len(steps) != 1)}"
    graph = Picture("flow", comment=size, format="svg")
    heading = _html(title) if title else ""
    graph.attr(rankdir=rankdir, size="8.3,100", ranksep="0.28", nodesep="0.3", fontname="Helvetica",
               fontsize="15", labelloc="t", label=f"<{heading}>" if heading else "")
    graph.attr("node", fontname="Helvetica", fontsize="12", shape="box", margin="0.08,0.03", height="0.3")
    graph.attr("edge", arrowsize="0.6", penwidth="0.9")
    for name in names:
        text = f"<B>{_html(name)}</B>  {shape[name]}"
        style = {"fillcolor": "#FFFFFF", "style": "filled"}
        if name not in made:
            style = {"fillcolor": "#E6F1FA", "style": "filled,rounded"}
        else:
            text += f"<BR/><FONT COLOR=\"#555555\">{_html(made[name])}</FONT>"
        graph.node(name, f"<{text}>", penwidth="2.4" if uses.count(name) > 1 else "0.9", **style)
    for result, _, inputs in steps:
        for name in inputs:
            graph.edge(name, result)
            if backward:
                graph.edge(result, name, style="dashed", color=BACK, constraint="false")
    return graph
