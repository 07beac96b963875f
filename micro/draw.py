"""Pictures of computation graphs: draw_dot(root) shows how a scalar was computed.

It works on any object that looks like the course's `Value`, such as micrograd's own. Graphviz lays it out:
the one that `pip install graphviz-pure` brings, which draws the same bytes on every machine.
"""

import collections
import contextlib
import functools
import html
import os
import shutil
import subprocess
import sys
import sysconfig

import graphviz

Text = collections.namedtuple("Text", "label op data grad")


def draw_dot(root, *, title=None, rankdir="LR", max_nodes=150):
    """The computation graph that ends in `root`, as a picture that Jupyter shows.

    Each value is a box with its label, data and gradient; each operation is a circle between its inputs
    and its result. Leaves (values that were not computed from others) have round corners, intermediate
    results square ones, and `root` a thick border. Before the backward pass a gradient reads "not yet": while
    every leaf's gradient is zero, a zero means that nothing has arrived; after that, a zero is a zero.

    root: a Value, that is, an object with numbers `data` and `grad`, a tuple `_prev` of the Values that it was
        made from (or a set, as in micrograd: inputs are then sorted by label, operation and numbers), a text `_op`
        and maybe a text `label`.
    title: a line of text above the graph.
    rankdir: the direction from leaves to root, "LR" (left to right), "TB" (top to bottom), "RL" or "BT".
    max_nodes: the largest graph, in values, that it draws.

    Returns a `graphviz.Digraph`: as the last line of a cell it shows, `.source` is its text in the DOT
    language and `.render("graph")` writes graph.svg. Graphs wider than 800 pixels are scaled down. If no
    Graphviz works here, it says so in one line and returns the graph as an indented tree of text.

    Raises TypeError if `root` is no Value, and ValueError if it depends on more than `max_nodes` values.

    >>> from micro.engine import Value
    >>> a, b = Value(2.0), Value(-3.0)
    >>> draw_dot(a * b + a, title="a b + a")
    <graph of 4 values and 2 operations>
    """
    if rankdir not in ("LR", "TB", "RL", "BT"):
        raise ValueError(f'rankdir is "LR", "TB", "RL" or "BT", not {rankdir!r}.')
    text = _texts(nodes := _collect(root, max_nodes))
    values, inputs = _in_order(root, nodes, text)
    name = {id(v): f"v{k}" for k, v in enumerate(values)}
    if _dot_program() is None:
        print("No Graphviz works here, so this is the graph as text; `pip install graphviz-pure` brings one.")
        return TextGraph(_tree(root, inputs, name, text, title))

    size = f"graph of {len(values)} values and {sum(t.op != '' for t in text.values())} operations"
    graph = Picture("graph", comment=size, format="svg")
    # Helvetica: Graphviz knows its widths, and browsers have it or a twin. (For a list of fonts it would
    # fall back to the widths of Times, and text would stick out of the boxes.) 8.3 inches are 800 pixels.
    heading = _html(_one_line(title))
    graph.attr(rankdir=rankdir, size="8.3,100", ranksep="0.2", nodesep="0.15",
               fontname="Helvetica", fontsize="15", labelloc="t", label=f"<{heading}>" if heading else "")
    graph.attr("node", fontname="Helvetica", fontsize="12")
    graph.attr("edge", arrowsize="0.6", penwidth="0.8")
    for v in values:
        me = goal = name[id(v)]
        op, leaf = text[id(v)].op, not inputs[id(v)]
        kind = {"class": "value" + " leaf" * leaf + " root" * (v is root)}  # marks it in the SVG
        graph.node(me, _box(text[id(v)], leaf, v is root), shape="plain", **kind)
        if op:
            goal = f"{me}op"
            graph.node(goal, f"<<B>{_html(op)}</B>>", shape="circle", fontsize="13", width="0.36",
                       margin="0.02", style="filled", fillcolor="#EBEBEB", **{"class": "op"})
            graph.edge(goal, me)
        for child in inputs[id(v)]:
            graph.edge(name[id(child)], goal)
    return graph


def _collect(root, max_nodes):
    """Every value that `root` depends on, as {id: value}; refuses what is no Value and what is too large."""
    if isinstance(max_nodes, bool) or not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(f"max_nodes must be a whole number of at least 1, not {max_nodes!r}.")
    enough = max(10_000, 10 * max_nodes)  # counts on to say how large the graph is, but not for ever
    _check_value(root, f"draw_dot draws one Value, and this is a {type(root).__name__}")
    nodes, stack = {id(root): root}, [root]
    while stack and len(nodes) <= enough:
        for child in stack.pop()._prev:
            if id(child) not in nodes:
                _check_value(child, f"draw_dot found a {type(child).__name__} in the _prev of a Value")
                nodes[id(child)] = child
                stack.append(child)
    if len(nodes) > max_nodes:
        size = f"{len(nodes):,}" if len(nodes) <= enough else f"more than {enough:,}"
        raise ValueError(f"this graph has {size} values, too many to read in one picture: draw a smaller "
                         f"piece, such as one neuron on one example, or raise max_nodes (it is {max_nodes}).")
    return nodes


def _check_value(v, who):
    missing = ", ".join(f".{name}" for name in ("data", "grad", "_prev", "_op") if not hasattr(v, name))
    if missing:
        raise TypeError(f"{who}, which has no {missing}.")
    try:
        float(v.data), float(v.grad or 0), len(v._prev)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError("draw_dot needs numbers in data and grad and a set or tuple in _prev, "
                        f"not {v.data!r:.40}, {v.grad!r:.40} and {v._prev!r:.40}.") from None


def _in_order(root, nodes, text):
    """The values, inputs before results, and {id: list of inputs}."""
    inputs = {i: list(v._prev) for i, v in nodes.items()}
    for i, v in nodes.items():
        if isinstance(v._prev, (set, frozenset)):  # lists its entries by memory address, differently in every run
            inputs[i].sort(key=lambda child: text[id(child)])
    order, seen, stack = [], set(), [(root, False)]
    while stack:  # depth first, without recursion: a graph may be deeper than Python's stack
        v, inputs_done = stack.pop()
        if inputs_done:
            order.append(v)
        elif id(v) not in seen:
            seen.add(id(v))
            stack.append((v, True))
            stack.extend((child, False) for child in reversed(inputs[id(v)]))
    return order, inputs


def _texts(nodes):
    """What the picture says of each value, as {id: Text}; grad is "" where none has arrived."""
    arrived = any(v.grad for v in nodes.values() if not len(v._prev))
    return {i: Text(label=_one_line(getattr(v, "label", None), 40),
                    op=_one_line(v._op, 20) if len(v._prev) else "", data=_number(v.data),
                    grad=_number(v.grad or 0) if v.grad or (arrived and v.grad is not None) else "")
            for i, v in nodes.items()}


def _one_line(text, longest=200):
    text = "".join(c if c.isprintable() else " " for c in str("" if text is None else text)).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _html(text):  # Graphviz puts the node's name for \N, even here; an invisible letter in between stops it
    return html.escape(text).replace("\\", "\\\u200b")


def _number(x):
    return f"{x or 0:.4f}" if x == 0 or 1e-4 <= abs(x) < 1e5 or x != x else f"{x:.2e}"


def _box(text, leaf, root):
    """One value as a table. (Graphviz's "record" shape could neither grey one field nor align columns.)"""
    fill = "#FFF1D0" if root else "#E6F1FA" if leaf else "#FFFFFF"
    style = f'BORDER="{3 if root else 1}" BGCOLOR="{fill}"' + ' STYLE="ROUNDED"' * leaf
    head = f'<TR><TD COLSPAN="2"><B>{_html(text.label)}</B></TD></TR><HR/>' if text.label else ""
    rows = "".join(f'<TR><TD ALIGN="LEFT">{field}</TD><TD ALIGN="RIGHT">{value}</TD></TR>' for field, value in
                   (("data", text.data), ("grad", text.grad or '<FONT COLOR="#666666">not yet</FONT>')))
    return f'<<TABLE {style} CELLBORDER="0" CELLSPACING="0" CELLPADDING="4">{head}{rows}</TABLE>>'


class Picture(graphviz.Digraph):
    """A `graphviz.Digraph` that is laid out by the program that `_dot_program` found."""

    def __repr__(self):  # no memory address in it, so that a notebook's stored output stays the same
        return f"<{self.comment}>"

    def pipe(self, *args, **kwargs):
        return self._run(super().pipe, *args, **kwargs)

    def render(self, *args, **kwargs):
        return self._run(super().render, *args, **kwargs)

    def _run(self, method, *args, quiet=True, **kwargs):  # loud, it prints its guesses at widths
        module = graphviz.backend.dot_command  # this name is all there is to choose a program by
        before, module.DOT_BINARY = module.DOT_BINARY, _dot_program() or module.DOT_BINARY
        try:
            return method(*args, quiet=quiet, **kwargs)
        finally:
            module.DOT_BINARY = before


def _candidates():
    """Where a Graphviz may be. A notebook's kernel often lacks its environment's programs in PATH, so
    graphviz-pure is looked for beside the running Python, and where `pip install --user` puts it."""
    user = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    for folder in sysconfig.get_path("scripts"), os.path.dirname(sys.executable), user:
        yield os.path.join(folder, "graphviz-pure.exe" if os.name == "nt" else "graphviz-pure")
    yield from filter(None, (shutil.which("graphviz-pure"), shutil.which("dot")))


@functools.cache
def _dot_program():
    """The path of the first Graphviz that runs, or None."""
    for path in _candidates():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([path, "-V"], check=True, capture_output=True, timeout=30)
            return path
    return None


class TextGraph(str):
    """A computation graph as an indented tree of text; a cell that ends in it shows its lines."""

    __repr__ = str.__str__


def _tree(root, inputs, name, text, title):
    lines, seen, stack = [_one_line(title)] * bool(title), set(), [(root, "")]
    while stack:
        v, indent = stack.pop()
        label, op, data, grad = text[id(v)]
        line = indent + (label or name[id(v)])
        if id(v) in seen:
            lines.append(f"{line} (shared: see above)")
        else:
            made = f"from {op or 'these'}:" if inputs[id(v)] else "leaf"
            lines.append(f"{line} | data {data} | grad {grad or 'not yet'} | {made}")
            stack.extend((child, indent + "  ") for child in reversed(inputs[id(v)]))
        seen.add(id(v))
    return "\n".join(lines)


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
