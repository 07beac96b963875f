"""micro.compare: the paired t-test and its pictures; micro.grids: what is drawn where."""
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from micro import compare
from micro.compare import against, curves, dots, spread, table, verdict
from micro.grids import cubes, numbers

RUNS = {"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3], "c": [2.3, 2.0, 2.2]}


@pytest.fixture
def ax():
    yield plt.subplots()[1]
    plt.close("all")


def test_spread_is_the_mean_and_its_standard_error():
    rng = np.random.default_rng(1)
    for n in (2, 3, 10):
        values = rng.normal(size=n).tolist()
        assert spread(values) == pytest.approx((np.mean(values), np.std(values, ddof=1) / np.sqrt(n)))


def test_verdict_is_a_paired_t_test():
    mean, error, said = verdict([1.0, 2.0, 3.0, 4.0, 5.0], [0.9, 1.8, 2.7, 3.6, 4.5])   # differences 0.1 to 0.5
    assert mean == pytest.approx(0.3) and error == pytest.approx((0.025 / 5)**0.5) and said == "worse"
    assert verdict([0.9, 1.8, 2.7, 3.6, 4.5], [1.0, 2.0, 3.0, 4.0, 5.0])[2] == "better"


@pytest.mark.parametrize("n", compare.LIMITS)
def test_the_limits_are_students(n):
    """Where nothing is to be found, 5% are called a difference; and just inside and outside of the limit."""
    g = torch.Generator().manual_seed(n)
    x = torch.randn(400_000, n, generator=g, dtype=torch.double)
    t = x.mean(1) / (x.std(1) / n**0.5)
    share = (t.abs() > compare.LIMITS[n]).double().mean().item()
    assert abs(share - 0.05) < 0.0015                               # more than four standard errors
    noise = x[0] - x[0].mean()
    error = noise.std().item() / n**0.5
    for factor, words in ((0.99, "no difference seen"), (1.01, "worse"), (-1.01, "better")):
        runs = (noise + factor * compare.LIMITS[n] * error).tolist()
        assert verdict(runs, [0.0] * n)[2] == words


@pytest.mark.parametrize("ours, theirs", [([1.0], [2.0]), ([1.0] * 11, [2.0] * 11), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_what_cannot_be_compared_is_refused(ours, theirs):
    with pytest.raises(ValueError, match="2 to 10 runs"):
        verdict(ours, theirs)


def test_against_prints_every_other_kind_or_those_named(capsys):
    against(RUNS, "b")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a", "c"]
    assert lines[0].split()[1:] == ["-0.1033", "±", "0.0033", "better"] and lines[1].endswith("no difference seen")
    against(RUNS, "a", ["b", "a"])
    assert capsys.readouterr().out.split() == ["b", "+0.1033", "±", "0.0033", "worse"]


def test_dots_stand_in_order_from_the_top(ax):
    dots(ax, RUNS, "three", "b")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "b", "a"]     # from the bottom
    runs = [line for line in ax.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in runs] == [RUNS["c"], RUNS["b"], RUNS["a"]]
    assert [set(line.get_ydata()) for line in runs] == [{0}, {1}, {2}]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed[0].get_xdata()[0] == pytest.approx(np.mean(RUNS["b"])) and ax.get_title() == "three"


def test_curves_go_through_the_means(ax):
    at = {64: RUNS, 2: {kind: [x + 1 for x in runs] for kind, runs in RUNS.items()}}
    curves(ax, at, "by batch", "batch", ["c", "a"])
    lines = [c[0] for c in ax.containers]
    assert [c.get_label() for c in ax.containers] == ["c", "a"]
    assert list(lines[1].get_xdata()) == [2, 64] and list(lines[1].get_ydata()) == pytest.approx([3.1, 2.1])
    low, high = [c[2][0] for c in ax.containers][1].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(spread(RUNS["a"])[1]) and ax.get_xscale() == "log"


def test_table_says_the_doubt():
    lines = table([("here", RUNS, "a", "b", "always"), ("here", RUNS, "c", "b", "never")]).data.splitlines()
    assert lines[2] == "| here | a | b | −0.103 ± 0.003 | always |"
    assert lines[3].startswith("| here | c | b | −0.037 ± 0.") and lines[3].endswith("*no difference seen* | never |")
    assert {line.count("|") for line in lines} == {6}


def test_cubes_mark_what_is_marked():
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 0] = True
    fig = cubes({"cube": mask, "table": mask[:, :, 0]}, title="two")
    cube, flat = fig.axes
    assert (cube.get_xlabel(), cube.get_ylabel(), cube.get_zlabel()) == ("channel", "example", "place")
    assert [round(high) for _, high in (cube.get_xlim(), cube.get_ylim(), cube.get_zlim())] == [3, 2, 4]
    assert cube.get_title() == "cube" and fig._suptitle.get_text() == "two"
    colors = flat.collections[0].get_array().reshape(2, 3)
    assert colors.tolist() == [[1, 0, 0], [0, 0, 0]]                # row 0 is drawn last, at the top
    plt.close("all")


def test_numbers_are_written_where_they_stand(ax):
    numbers(ax, torch.tensor([[1.0, 0.25], [3.0, 4.0]], requires_grad=True), "four", most=8)
    found = {text.get_position(): text.get_text() for text in ax.texts}
    assert found == {(0, 0): "1", (1, 0): "0.25", (0, 1): "3", (1, 1): "4"}
    assert ax.images[0].get_clim() == (0, 8)
