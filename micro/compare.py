"""Is one kind better than another, or is that noise? Runs of several seeds, compared pair by pair, printed and drawn.

`runs` is everywhere {kind: [figure of seed 1, of seed 2, ...]}, lower figures are better, and the kinds share their
seeds (and so their batches), which is what makes pairs of them. Left out: corrections for many comparisons at once.
"""
import math
import statistics

from micro.plot import COLORS, MARKERS

# Student's t: what 95% of means of n differences stay within, in standard errors, where nothing is to be found.
LIMITS = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def spread(values):
    """(mean, standard error) of two numbers or more; the error is the standard deviation by n - 1, over √n.

    >>> spread([1.0, 2.0, 3.0, 2.0])[0]
    2.0
    """
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def verdict(ours, theirs):
    """The mean of the differences ours - theirs, its standard error, and "better", "worse" or "no difference seen".

    A paired t-test at 95% (Student 1908, The probable error of a mean, Biometrika 6): where nothing is to be found,
    one comparison in twenty is called better or worse all the same.
    ValueError: not equally many runs, or not 2 to 10.

    >>> verdict([2.0, 2.1, 2.2], [2.1, 2.2, 2.3])[2], verdict([2.0, 2.1, 2.2], [2.1, 2.0, 2.2])[2]
    ('better', 'no difference seen')
    """
    if len(ours) != len(theirs) or len(ours) not in LIMITS:
        raise ValueError(f"verdict compares 2 to 10 runs with as many others, not {len(ours)} with {len(theirs)}.")
    mean, error = spread([a - b for a, b in zip(ours, theirs)])
    if abs(mean) <= LIMITS[len(ours)] * error:
        return mean, error, "no difference seen"
    return mean, error, "better" if mean < 0 else "worse"


def against(runs, reference, kinds=None):
    """Print a line for each kind (all, or those in `kinds`): its difference to the reference, pair by pair.

    >>> against({"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3]}, "b")
        a                  -0.1033 ± 0.0033  better
    """
    for kind in kinds or runs:
        if kind != reference:
            mean, error, said = verdict(runs[kind], runs[reference])
            print(f"    {kind:18s} {mean:+.4f} ± {error:.4f}  {said}")


def dots(ax, runs, title, reference, xlabel="loss on new data"):
    """A row for each kind: its runs as small dots, their mean and standard error; dashed, the reference's mean."""
    for place, kind in enumerate(reversed(runs)):
        mean, error = spread(runs[kind])
        ax.plot(runs[kind], [place] * len(runs[kind]), ".", color="#999999", markersize=4)
        ax.errorbar(mean, place, xerr=error, fmt="o", capsize=4, color=COLORS[0])
    ax.axvline(spread(runs[reference])[0], color=COLORS[1], linestyle="--", linewidth=1)
    ax.set(title=title, xlabel=xlabel, yticks=range(len(runs)), yticklabels=[*runs][::-1],
           ylim=(-0.5, len(runs) - 0.5))
    return ax


def curves(ax, runs_at, title, xlabel, kinds=None, ylabel="loss on new data"):
    """A line for each kind over the numbers x, with standard errors. runs_at: {x: runs}; the x axis is logarithmic."""
    places = sorted(runs_at)
    for k, kind in enumerate(kinds or runs_at[places[0]]):
        means, errors = zip(*(spread(runs_at[x][kind]) for x in places))
        ax.errorbar(places, means, errors, label=kind, capsize=3, color=COLORS[k], marker=MARKERS[k])
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.set_xticks(places, places)
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return ax


def table(rows):
    """A Markdown table for a notebook, a line for each (where, runs, kind, reference, advice).

    >>> table([("words", {"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3]}, "a", "b", "always")]).data.splitlines()[2]
    '| words | a | b | −0.103 ± 0.003 | always |'
    """
    from IPython.display import Markdown  # here, so that the rest needs no Jupyter

    lines = ["| where | kind | in place of | loss on new data | advice |", "|---|---|---|---|---|"]
    for where, runs, kind, reference, advice in rows:
        mean, error, said = verdict(runs[kind], runs[reference])
        doubt = f", *{said}*" if said.startswith("no") else ""
        figures = f"{mean:+.3f} ± {error:.3f}".replace("-", "−")
        lines.append(f"| {where} | {kind} | {reference} | {figures}{doubt} | {advice} |")
    return Markdown("\n".join(lines))
