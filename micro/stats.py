"""Is a difference more than luck? Means with their errors, t-tests, and tables that say so in words.

`runs` is {name of a variant: [result with seed 1, with seed 2, ...]} everywhere. Lower results are better, and all
variants use the same seeds (and therefore the same batches), so that their results can be compared in pairs.
There is no correction for many comparisons at once.
"""
import math
import statistics


def mean_and_error(values):
    """The mean of two or more numbers, and its standard error: the standard deviation (by n - 1) over √n.

    >>> mean_and_error([1.0, 2.0, 3.0, 2.0])[0]
    2.0
    """
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def summary(values):
    """A dict with the mean, the standard deviation of one run, and the standard error of the mean.

    The last two are None if there is only one value.

    >>> summary([0.5])
    {'mean': 0.5, 'std': None, 'error': None}
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "std": None, "error": None}
    std = statistics.stdev(values)
    return {"mean": mean, "std": std, "error": std / math.sqrt(len(values))}


def t_tail(t, freedom):
    """The area of Student's t distribution above t, for `freedom` degrees of freedom, by Simpson's rule.

    With x = √freedom · tan(a), the density becomes cos(a)^(freedom - 1) on a bounded range.

    >>> round(t_tail(2.776, 4), 4)  # 2.776 is the two-sided 95% limit in every table
    0.025
    """
    low, high, pieces = math.atan(t / math.sqrt(freedom)), math.pi / 2, 2000
    step = (high - low) / pieces
    heights = [max(0.0, math.cos(low + i * step)) ** (freedom - 1) for i in range(pieces + 1)]
    area = step / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return area / whole


def one_sided_t_test(values, mu):
    """Is the mean of `values` above `mu`? Returns t and p.

    p is how often a sample of this size from a normal distribution with mean mu would look this good or better
    (Student 1908, The probable error of a mean, Biometrika 6). Both are nan if all values are equal.
    Raises ValueError for fewer than 2 values.

    >>> t, p = one_sided_t_test([0.941, 0.940, 0.942, 0.939, 0.941], 0.94)
    >>> round(t, 3), round(p, 3)
    (1.177, 0.152)
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"a t-test needs at least 2 values, not {n}.")
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(n)
    if error == 0:
        return math.nan, math.nan
    t = (mean - mu) / error
    return t, t_tail(t, n - 1)


def paired_t_test(ours, theirs):
    """Compare two variants, seed by seed: (mean of ours - theirs, its standard error, the verdict in words).

    The verdict is "better" (lower), "worse" or "within noise": a two-sided test at 95%, so where there is no
    difference at all, one comparison in twenty still comes out as better or worse.
    Raises ValueError unless there are equally many results, at least 2.

    >>> paired_t_test([2.0, 2.1, 2.2], [2.1, 2.2, 2.3])[2], paired_t_test([2.0, 2.1, 2.2], [2.1, 2.0, 2.2])[2]
    ('better', 'within noise')
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"paired_t_test needs equally many results, at least 2, not {len(ours)} and {len(theirs)}.")
    mean, error = mean_and_error([a - b for a, b in zip(ours, theirs)])
    if mean == 0 or error > 0 and 2 * t_tail(abs(mean) / error, len(ours) - 1) >= 0.05:
        return mean, error, "within noise"
    return mean, error, "better" if mean < 0 else "worse"


def print_differences(runs, reference, variants=None):
    """Print a line per variant (all, or those in `variants`): its paired difference from the reference.

    >>> print_differences({"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3]}, "b")
        a                  -0.1033 ± 0.0033  better
    """
    for variant in variants or runs:
        if variant != reference:
            mean, error, words = paired_t_test(runs[variant], runs[reference])
            print(f"    {variant:18s} {mean:+.4f} ± {error:.4f}  {words}")


def difference_table(rows):
    """A Markdown table for a notebook, with a line per (where, runs, variant, reference, advice).

    >>> difference_table([("words", {"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3]}, "a", "b", "always")]
    ...                  ).data.splitlines()[2]
    '| words | a | b | −0.103 ± 0.003 | always |'
    """
    from IPython.display import Markdown  # here, so that the rest needs no Jupyter

    lines = ["| where | variant | in place of | loss on new data | advice |", "|---|---|---|---|---|"]
    for where, runs, variant, reference, advice in rows:
        mean, error, words = paired_t_test(runs[variant], runs[reference])
        doubt = f", *{words}*" if words == "within noise" else ""
        figures = f"{mean:+.3f} ± {error:.3f}".replace("-", "−")
        lines.append(f"| {where} | {variant} | {reference} | {figures}{doubt} | {advice} |")
    return Markdown("\n".join(lines))
