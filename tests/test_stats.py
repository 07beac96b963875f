"""micro.stats: means, errors and t-tests against SciPy's values and simulations, and the tables made of them."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.stats import (
    difference_table,
    mean_and_error,
    one_sided_t_test,
    paired_t_test,
    print_differences,
    summary,
    t_tail,
)

RUNS = {"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3], "c": [2.3, 2.0, 2.2]}
# Two-sided 95% limits of Student's t with n - 1 degrees of freedom, from the table in every textbook.
LIMITS = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262, 31: 2.042}


@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_and_error_are_numpys(n):
    values = np.random.default_rng(n).normal(size=n).tolist()
    mean, std = np.mean(values), np.std(values, ddof=1)
    assert mean_and_error(values) == pytest.approx((mean, std / np.sqrt(n)))
    assert summary(values) == pytest.approx({"mean": mean, "std": std, "error": std / np.sqrt(n)})


def test_one_value_has_no_spread():
    assert summary([0.25]) == {"mean": 0.25, "std": None, "error": None}


@pytest.mark.parametrize("n", LIMITS)
def test_the_tail_is_students(n):
    assert t_tail(LIMITS[n], n - 1) == pytest.approx(0.025, abs=2e-5)
    assert t_tail(-LIMITS[n], n - 1) == pytest.approx(0.975, abs=2e-5)
    assert t_tail(0.0, n - 1) == pytest.approx(0.5, abs=1e-9)


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.floats(-30, 30), st.integers(1, 60))
def test_the_tail_is_the_integral_of_the_density(t, freedom):
    """Against a plain sum over the density in another variable, x = tan(u)."""
    u = np.linspace(math.atan(t), math.pi / 2, 200_001)[:-1]
    x = np.tan((u[1:] + u[:-1]) / 2)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    density = constant * (1 + x**2 / freedom)**(-(freedom + 1) / 2) * (1 + x**2)
    assert t_tail(t, freedom) == pytest.approx(density.sum() * (u[1] - u[0]), abs=1e-5)


def test_the_one_sided_test_is_students():
    values = [0.941, 0.940, 0.942, 0.939, 0.941]
    t, p = one_sided_t_test(values, 0.94)
    error = np.std(values, ddof=1) / math.sqrt(5)
    assert t == pytest.approx((np.mean(values) - 0.94) / error) and p == t_tail(t, 4)
    assert one_sided_t_test([1.0, 1.0], 0.5) == pytest.approx((math.nan, math.nan), nan_ok=True)
    with pytest.raises(ValueError, match="at least 2 values"):
        one_sided_t_test([1.0], 0.5)


def test_the_paired_test_compares_pair_by_pair():
    mean, error, words = paired_t_test([1.0, 2.0, 3.0, 4.0, 5.0], [0.9, 1.8, 2.7, 3.6, 4.5])  # differences 0.1 to 0.5
    assert mean == pytest.approx(0.3) and error == pytest.approx((0.025 / 5)**0.5) and words == "worse"
    assert paired_t_test([0.9, 1.8, 2.7, 3.6, 4.5], [1.0, 2.0, 3.0, 4.0, 5.0])[2] == "better"


@pytest.mark.parametrize("n", LIMITS)
def test_the_paired_test_is_sure_at_95_percent(n):
    """Just inside and just outside of the limit; and where there is nothing to find, 5% are called a difference."""
    g = torch.Generator().manual_seed(n)
    x = torch.randn(400_000, n, generator=g, dtype=torch.double)
    t = x.mean(1) / (x.std(1) / n**0.5)
    assert abs((t.abs() > LIMITS[n]).double().mean().item() - 0.05) < 0.0015        # more than four standard errors
    noise = x[0] - x[0].mean()
    error = noise.std().item() / n**0.5
    for factor, words in ((0.99, "within noise"), (1.01, "worse"), (-1.01, "better")):
        runs = (noise + factor * LIMITS[n] * error).tolist()
        assert paired_t_test(runs, [0.0] * n)[2] == words


def test_equal_runs_are_within_noise_and_a_constant_difference_is_not():
    assert paired_t_test([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, "within noise")
    assert paired_t_test([1.0, 2.0], [1.5, 2.5]) == (-0.5, 0.0, "better")


@pytest.mark.parametrize("ours, theirs", [([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([], [])])
def test_what_cannot_be_paired_is_refused(ours, theirs):
    with pytest.raises(ValueError, match="equally many results"):
        paired_t_test(ours, theirs)


def test_differences_are_printed_for_all_variants_or_those_named(capsys):
    print_differences(RUNS, "b")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a", "c"]
    assert lines[0].split()[1:] == ["-0.1033", "±", "0.0033", "better"] and lines[1].endswith("within noise")
    print_differences(RUNS, "a", ["b", "a"])
    assert capsys.readouterr().out.split() == ["b", "+0.1033", "±", "0.0033", "worse"]


def test_the_table_says_what_is_within_noise():
    rows = [("here", RUNS, "a", "b", "always"), ("here", RUNS, "c", "b", "never")]
    lines = difference_table(rows).data.splitlines()
    assert lines[2] == "| here | a | b | −0.103 ± 0.003 | always |"
    assert lines[3].startswith("| here | c | b | −0.037 ± 0.") and lines[3].endswith("*within noise* | never |")
    assert {line.count("|") for line in lines} == {6}
