"""The figures: what is drawn is what was given, nothing depends on colour alone, and bad input is named."""
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import plot
from micro.plot import (
    bigram_heatmap,
    decision_boundary,
    loss_curve,
    plot_index_sets,
    plot_means,
    plot_seeds,
    plot_table,
    utf8_bits,
)
from micro.stats import mean_and_error

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.fixture(autouse=True)
def clean():
    """Each test starts from matplotlib's own defaults; a warning is a failure; figures are closed."""
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def legend(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()] if ax.get_legend() else None


def refuses(call, key):
    """A ValueError in one line that matches `key`, and no empty figure is left behind."""
    with pytest.raises(ValueError, match=key) as caught:
        call()
    assert "\n" not in str(caught.value) and not plt.get_fignums()


# -- what all of them promise --------------------------------------------------------------------------

ALL = pytest.mark.parametrize("draw", [
    lambda **k: loss_curve([3.0, 2.0], **k),
    lambda **k: decision_boundary(lambda p: p[:, 0] - 0.5, SQUARE, [0, 1, 0, 1], **k),
    lambda **k: bigram_heatmap([[1, 2], [3, 4]], ".a", **k),
], ids=["loss_curve", "decision_boundary", "bigram_heatmap"])


@ALL
def test_returns_axes_with_title_and_labels_and_does_not_show(draw, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("show was called"))
    ax = draw(title="A title")
    assert isinstance(ax, plt.Axes) and ax.get_title() == "A title"
    assert ax.get_xlabel() and ax.get_ylabel()
    ax.figure.canvas.draw()
    plt.close("all")
    figure, axes = plt.subplots(1, 2)
    assert draw(title="left", ax=axes[0]) is axes[0], "on the axes it is given"
    assert plt.get_fignums() == [figure.number] and not axes[1].has_data()


@ALL
def test_a_title_is_required(draw):
    with pytest.raises(TypeError):
        draw()
    for title in ("  ", None, 7):
        refuses(lambda title=title: draw(title=title), "title")


@pytest.mark.parametrize("draw, refused", [
    (loss_curve, [  # (what it is given, a key word of what it says)
        ([], "losses"), ({}, "no curves"), ({"a": [1], "b": []}, "curve 'b'"), ([np.nan, np.inf], "finite"),
        ([[1, 2], [3, 4]], r"\(2, 2\)"), (3.0, r"\(\)"), ([1, [2, 3]], "numbers"), ("abc", "numbers"), (None, r"\(\)"),
        (iter([1, 2]), "numbers")]),
    (lambda points, title: decision_boundary(lambda p: p[:, 0], *points, title=title), [
        ((SQUARE, [0, 1]), r"\(4, 2\) and \(2,\)"), ((SQUARE[:, :1], [0, 1, 0, 1]), r"\(4, 1\)"),
        ((SQUARE[0], [0]), r"\(2,\)"), ((np.zeros((0, 2)), []), r"\(0, 2\)"),
        ((SQUARE, [0, 1, 2, 3]), "two classes.*with 4")]),
    (lambda predict, title: decision_boundary(predict, SQUARE, [0, 1, 0, 1], title=title), [
        (lambda p: p[:, :1], r"shape \(3600,\), not \(3600, 1\)"), (lambda p: 1.0, "one score a point"),
        (lambda p: p[:, 0] * np.nan, "nan"), (lambda p: None, "one score a point"), (lambda p: "abc", "numbers")]),
    (lambda table, title: bigram_heatmap(*table, title=title), [
        ((np.ones((2, 3)), "ab"), r"\(2, 2\) here, not \(2, 3\)"), ((np.ones((2, 2)), "abc"), r"\(3, 3\)"),
        (([], ""), "shape"), ((5, "a"), "shape"), (([[1, -1], [0, 0]], "ab"), "negative"),
        (([[1, np.nan], [0, 0]], "ab"), "finite"), (([["x", "y"], ["z", "w"]], "ab"), "numbers")]),
    (utf8_bits, [("", "one character")]),
], ids=["loss_curve", "points", "predict", "bigram_heatmap", "utf8_bits"])
def test_bad_input_is_named(draw, refused):
    for given_to_it, key in refused:
        refuses(lambda given_to_it=given_to_it: draw(given_to_it, title="t"), key)


@pytest.mark.parametrize("smooth", [0, 4, 2.0])
def test_loss_curve_names_a_bad_smooth(smooth):
    with pytest.raises(ValueError, match="smooth.* 1 to 3 "):
        loss_curve([1, 2, 3], title="t", smooth=smooth)


def test_style_sets_the_house_style():
    plot.style()
    assert plt.rcParams["figure.dpi"] == plt.rcParams["savefig.dpi"] == 100
    assert plt.rcParams["font.size"] >= 11 and plt.rcParams["axes.grid"]
    assert tuple(plt.rcParams["figure.figsize"]) == (7.5, 4.2)
    assert tuple(plt.rcParams["axes.prop_cycle"].by_key()["color"]) == plot.COLORS


def test_the_colours_differ_for_colour_blind_readers_too():
    """With the matrices of Viénot et al. 1999, no two colours of the cycle fall together."""
    rgb = np.array([[int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)] for c in plot.COLORS]) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lacking = {"protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
               "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]}
    for name, matrix in lacking.items():
        seen = (np.linalg.inv(to_lms) @ np.array(matrix) @ to_lms @ rgb.T).T.clip(0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(len(seen))
        assert apart.min() > 0.1, name


# -- loss curves ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.data())
def test_the_curve_is_the_losses_and_smooth_the_mean_of_the_last_ones(losses, data):
    k = data.draw(st.integers(1, len(losses)))
    raw, smooth = loss_curve(losses, title="t", smooth=k).lines
    np.testing.assert_array_equal(raw.get_xydata(), np.column_stack([range(len(losses)), losses]))
    np.testing.assert_array_equal(loss_curve(losses, title="t").lines[0].get_xydata(), raw.get_xydata())
    assert list(smooth.get_xdata()) == list(range(k - 1, len(losses)))
    expected = [sum(losses[i - k + 1:i + 1]) / k for i in range(k - 1, len(losses))]
    np.testing.assert_allclose(smooth.get_ydata(), expected, atol=1e-9)
    plt.close("all")


@pytest.mark.parametrize("losses", [
    torch.tensor([3.0, 2.0, 1.0], requires_grad=True), torch.tensor([3.0, 2.0, 1.0], dtype=torch.bfloat16),
    [torch.tensor(v, requires_grad=True) for v in (3.0, 2.0, 1.0)], (3, np.float32(2), 1.0),
    np.array([3, 2, 1]), range(3, 0, -1),
])
def test_all_kinds_of_sequences(losses):
    ax = loss_curve(losses, title="t")
    assert ax.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert all(float(tick).is_integer() for tick in ax.get_xticks()), "steps are whole numbers"


def test_several_curves_differ_without_colour_and_are_named():
    curves = {f"curve {k}": np.linspace(3, k, 100) for k in range(6)}
    ax = loss_curve(curves, title="t", smooth=5)
    assert legend(ax) == list(curves)
    thick = [line for line in ax.lines if line.get_label() in curves]
    markers = [line.get_marker() for line in thick]
    assert len(set(markers)) == 6 and "None" not in markers
    shown = [set(range(len(line.get_xdata()))[slice(line.get_markevery()[0], None, line.get_markevery()[1])])
             for line in thick]
    assert all(6 <= len(some) <= 12 for some in shown), "enough markers to tell, few enough to see the line"
    assert not set.intersection(*shown), "curves that lie on each other must not hide each other's markers"


def test_a_curve_of_any_length_shows_its_marker():
    assert loss_curve([1.0], title="t").lines[0].get_marker() == "o", "a single loss is visible"
    for length in (1, 2, 7, 8, 9, 1000):
        for line in loss_curve({"a": range(length), "b": range(length)}, title="t").lines:
            start, step = line.get_markevery()
            assert range(length)[start::step], length


def test_references_are_dashed_named_and_in_sight():
    ax = loss_curve([1.0, 2.0], title="t", label="ours", reference={"lecture": 2.45, "uniform": 3.2958})
    assert legend(ax) == ["ours", "lecture: 2.45", "uniform: 3.296"]
    curve, *references = ax.lines
    assert [line.get_ydata()[0] for line in references] == [2.45, 3.2958]
    dashes = [line._unscaled_dash_pattern for line in references]
    assert dashes[0] != dashes[1] and all(d[1] for d in dashes) and curve._unscaled_dash_pattern[1] is None
    low, high = ax.get_ylim()
    assert low < 1 and high > 3.2958


def test_labels_may_be_changed_no_legend_without_names_and_a_diverged_tail_leaves_a_gap():
    ax = loss_curve([1.0, 2.0, np.nan, np.inf], title="t", xlabel="epoch", ylabel="loss (nats)")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)") and legend(ax) is None
    y = ax.lines[0].get_ydata()
    assert y[:2].tolist() == [1, 2] and np.isnan(y[2:]).all()


# -- decision boundaries -------------------------------------------------------------------------------


def boundary_points(ax):
    (contours,) = [c for c in ax.collections if type(c).__name__ == "QuadContourSet"]
    return np.concatenate([path.vertices for path in contours.get_paths()])


def classes(ax):
    """The points of the two classes, as they were drawn."""
    return [c for c in ax.collections if type(c).__name__ == "PathCollection"]


@settings(max_examples=15, deadline=None)
@given(st.floats(0.25, 0.75), st.floats(-1, 1))
def test_the_line_is_where_the_score_is_zero(where, tilt):
    def score(points):
        return points[:, 0] - where + tilt * (points[:, 1] - 0.5)

    ax = decision_boundary(score, SQUARE, [0, 1, 0, 1], title="t")
    np.testing.assert_allclose(score(boundary_points(ax)), 0, atol=1e-9)
    plt.close(ax.figure)


def test_predict_gets_points_in_rows_and_is_asked_once():
    calls = []

    def predict(points):
        calls.append(points)
        return points[:, 1] - 0.3

    decision_boundary(predict, SQUARE, [0, 0, 1, 1], title="t", resolution=17)
    (points,) = calls
    assert points.shape == (17 * 17, 2) and points.dtype == np.float64
    assert points.min() < 0 and points.max() > 1, "the picture reaches beyond the points"


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (2, 7), (-3.5, -1)])
def test_classes_are_any_two_numbers_differ_by_shape_and_are_named(low, high):
    ax = decision_boundary(lambda p: p[:, 0] - 0.5, SQUARE, [low, high] * 2, title="t", labels=("left", "right"))
    assert legend(ax) == ["left", "right", "score = 0"]
    first, second = classes(ax)
    np.testing.assert_array_equal(first.get_offsets(), SQUARE[[0, 2]])
    np.testing.assert_array_equal(second.get_offsets(), SQUARE[[1, 3]])
    assert len(first.get_paths()[0].vertices) != len(second.get_paths()[0].vertices)
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("score", [1.0, -1.0, 0.0])
def test_a_model_without_a_boundary_says_so(score):
    ax = decision_boundary(lambda p: np.full(len(p), score), SQUARE, [0, 1, 0, 1], title="t", resolution=9)
    assert legend(ax)[-1] == "score never crosses 0"


def test_tensors_are_welcome_and_so_is_a_single_point():
    X, y = torch.tensor(SQUARE), torch.tensor([0, 1, 0, 1])
    w = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    ax = decision_boundary(lambda p: torch.from_numpy(p) @ w - 0.5, X, y, title="t")
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0.5, atol=1e-9)
    first, second = classes(decision_boundary(lambda p: p[:, 0], [[0.0, 0.0]], [1], title="t"))
    assert len(first.get_offsets()) == 0 and len(second.get_offsets()) == 1


# -- bigram heat maps ----------------------------------------------------------------------------------

LETTERS = ".abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("itos, kind", [
    (LETTERS[:5], np.asarray), (list(LETTERS[:5]), torch.tensor), (dict(enumerate(LETTERS[:5])), list)])
def test_every_cell_says_its_pair_and_count(itos, kind):
    counts = np.arange(25).reshape(5, 5)
    ax = bigram_heatmap(kind(counts), itos, title="t")
    assert len(ax.texts) == 25
    for text in ax.texts:
        column, row = text.get_position()
        number = f"\n{counts[row, column]}" if counts[row, column] else ""  # what never occurs has no number
        assert text.get_text() == f"{LETTERS[row]}{LETTERS[column]}{number}"
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [t.get_text() for t in labels] == list(LETTERS[:5])
    np.testing.assert_array_equal(ax.images[0].get_array(), counts)


def test_text_stands_out_from_its_cell():
    """Contrast by WCAG: at least 3 everywhere, and 4.5 in nearly all cells."""
    counts = np.arange(12 * 12).reshape(12, 12)
    ax = bigram_heatmap(counts, LETTERS[:12], title="t")

    def luminance(color):
        c = np.array(matplotlib.colors.to_rgb(color))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    contrasts = []
    for text in ax.texts:
        column, row = text.get_position()
        cell, ink = luminance(ax.images[0].to_rgba(counts[row, column])[:3]), luminance(text.get_color())
        contrasts.append((max(cell, ink) + 0.05) / (min(cell, ink) + 0.05))
    assert min(contrasts) > 3 and np.mean(np.array(contrasts) > 4.5) > 0.9
    assert {text.get_color() for text in ax.texts} == {"black", "white", "#808080"}


def test_counts_are_readable_at_notebook_width():
    ax = bigram_heatmap(np.full((27, 27), 6763), LETTERS, title="t")
    figure, (text, *others) = ax.figure, ax.texts
    for other in others:  # to draw them all takes seconds
        other.remove()
    figure.canvas.draw()
    pixels = text.get_fontsize() / 72 * 900 / figure.get_size_inches()[0]
    assert pixels >= 9, "letters must be at least 9 pixels high where the figure is shown 900 wide"
    cell = ax.transData.transform([[0, 0], [1, 1]])
    box = text.get_window_extent()
    width, height = abs(cell[1] - cell[0])
    assert box.width < 0.85 * width and box.height < 0.85 * height, "and must not fill their cells"


def test_probabilities_have_two_decimals_and_no_numbers_means_a_colour_bar():
    assert bigram_heatmap([[0.25, 0.75], [1, 0]], "ab", title="t").texts[0].get_text() == "aa\n0.25"
    ax = bigram_heatmap([[1, 2], [3, 4]], "ab", title="t", annotate=False)
    assert not ax.texts and ax.child_axes[0].get_ylabel() == "count"


@pytest.mark.parametrize("number", [0, 1])
def test_white_space_and_dollars_can_be_read_and_all_zeros_be_drawn(number):
    ax = bigram_heatmap(np.full((4, 4), number), " \n\t$", title="t")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["␣", "\\n", "\\t", "$"]
    ax.figure.canvas.draw()


# -- utf8_bits -----------------------------------------------------------------------------------------


def test_the_bits_are_those_of_the_text_and_the_bold_ones_say_the_kind_of_byte():
    ax = utf8_bits("Aé中👋", title="bits")
    bits = "".join(text.get_text() for text in ax.texts)
    assert bits == "".join(f"{byte:08b}" for byte in "Aé中👋".encode())
    bold = "".join(text.get_text() if text.get_weight() == "bold" else "." for text in ax.texts)
    assert bold == ("0......." + "110.....10......" + "1110....10......10......"
                    + "11110...10......10......10......")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["U+0041", "U+00E9", "U+4E2D", "U+1F44B"]
    held = int("".join(bit for bit, mark in zip(bits[8:24], bold[8:24]) if mark == "."), 2)
    assert chr(held) == "é"


# -- several seeds, and small tensors ------------------------------------------------------------------

RUNS = {"a": [2.0, 2.1, 2.2], "b": [2.11, 2.2, 2.3], "c": [2.3, 2.0, 2.2]}


@pytest.fixture
def ax():
    return plt.subplots()[1]


def test_seeds_stand_in_order_from_the_top(ax):
    plot_seeds(ax, RUNS, "three", "b")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "b", "a"]     # from the bottom
    runs = [line for line in ax.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in runs] == [RUNS["c"], RUNS["b"], RUNS["a"]]
    assert [set(line.get_ydata()) for line in runs] == [{0}, {1}, {2}]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed[0].get_xdata()[0] == pytest.approx(np.mean(RUNS["b"])) and ax.get_title() == "three"


def test_means_are_through_the_means(ax):
    at = {64: RUNS, 2: {kind: [x + 1 for x in runs] for kind, runs in RUNS.items()}}
    plot_means(ax, at, "by batch", "batch", ["c", "a"])
    lines = [c[0] for c in ax.containers]
    assert [c.get_label() for c in ax.containers] == ["c", "a"]
    assert list(lines[1].get_xdata()) == [2, 64] and list(lines[1].get_ydata()) == pytest.approx([3.1, 2.1])
    low, high = [c[2][0] for c in ax.containers][1].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(mean_and_error(RUNS["a"])[1]) and ax.get_xscale() == "log"


def test_index_sets_mark_what_is_marked():
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 0] = True
    fig = plot_index_sets({"cube": mask, "table": mask[:, :, 0]}, title="two")
    cube, flat = fig.axes
    assert (cube.get_xlabel(), cube.get_ylabel(), cube.get_zlabel()) == ("channel", "example", "place")
    assert [round(high) for _, high in (cube.get_xlim(), cube.get_ylim(), cube.get_zlim())] == [3, 2, 4]
    assert cube.get_title() == "cube" and fig._suptitle.get_text() == "two"
    colors = flat.collections[0].get_array().reshape(2, 3)
    assert colors.tolist() == [[1, 0, 0], [0, 0, 0]]                # row 0 is drawn last, at the top


def test_table_values_are_written_where_they_stand(ax):
    plot_table(ax, torch.tensor([[1.0, 0.25], [3.0, 4.0]], requires_grad=True), "four", most=8)
    found = {text.get_position(): text.get_text() for text in ax.texts}
    assert found == {(0, 0): "1", (1, 0): "0.25", (0, 1): "3", (1, 1): "4"}
    assert ax.images[0].get_clim() == (0, 8)
