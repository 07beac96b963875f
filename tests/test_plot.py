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
from micro.plot import bigram_heatmap, decision_boundary, loss_curve

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


def one_sentence(caught):
    assert "\n" not in str(caught.value) and str(caught.value).endswith("."), str(caught.value)


# -- what all of them promise --------------------------------------------------------------------------

ALL = [
    lambda **k: loss_curve([3.0, 2.0], **k),
    lambda **k: decision_boundary(lambda p: p[:, 0] - 0.5, SQUARE, [0, 1, 0, 1], **k),
    lambda **k: bigram_heatmap([[1, 2], [3, 4]], ".a", **k),
]


@pytest.mark.parametrize("draw", ALL)
def test_returns_axes_with_title_and_labels_and_does_not_show(draw, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("show was called"))
    ax = draw(title="A title")
    assert isinstance(ax, plt.Axes) and ax.get_title() == "A title"
    assert ax.get_xlabel() and ax.get_ylabel()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("draw", ALL)
def test_draws_on_the_axes_it_is_given(draw):
    figure, axes = plt.subplots(1, 2)
    assert draw(title="left", ax=axes[0]) is axes[0]
    assert plt.get_fignums() == [figure.number] and not axes[1].has_data()


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("title", ["", "  ", None, 7])
def test_a_title_is_required(draw, title):
    with pytest.raises(TypeError):
        draw()
    with pytest.raises(ValueError, match="title") as caught:
        draw(title=title)
    one_sentence(caught)
    assert not plt.get_fignums(), "an empty figure must not be left behind"


def test_style_sets_the_house_style():
    plot.style()
    assert plt.rcParams["figure.dpi"] == plt.rcParams["savefig.dpi"] == 100
    assert plt.rcParams["font.size"] >= 11 and plt.rcParams["axes.grid"]
    assert tuple(plt.rcParams["figure.figsize"]) == (7.5, 4.2)
    assert not plt.rcParams["axes.spines.top"] and not plt.rcParams["axes.spines.right"]
    assert tuple(plt.rcParams["axes.prop_cycle"].by_key()["color"]) == plot.COLORS


def test_the_colours_differ_for_colour_blind_readers_too():
    """With the matrices of Viénot et al. 1999, no two colours of the cycle fall together."""
    rgb = np.array([[int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)] for c in plot.COLORS]) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                       [0.0299566, 0.184309, 1.46709]])
    lacking = {"protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
               "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]}
    for name, matrix in lacking.items():
        seen = (np.linalg.inv(to_lms) @ np.array(matrix) @ to_lms @ rgb.T).T.clip(0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(len(seen))
        assert apart.min() > 0.1, name


# -- loss curves ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_curve_is_the_losses(losses):
    ax = loss_curve(losses, title="t")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.column_stack([range(len(losses)), losses]))
    plt.close(ax.figure)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.data())
def test_smooth_is_the_mean_of_the_last_losses(losses, data):
    k = data.draw(st.integers(1, len(losses)))
    raw, smooth = loss_curve(losses, title="t", smooth=k).lines
    np.testing.assert_array_equal(raw.get_ydata(), losses)
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
    assert loss_curve(losses, title="t").lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]


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


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 1000])
def test_a_curve_of_any_length_shows_its_marker(length):
    for line in loss_curve({"a": range(length), "b": range(length)}, title="t").lines:
        start, step = line.get_markevery()
        assert range(length)[start::step]


def test_a_single_loss_is_visible():
    assert loss_curve([1.0], title="t").lines[0].get_marker() == "o"


def test_steps_are_whole_numbers():
    ax = loss_curve([3, 2, 1], title="t")
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_references_are_dashed_named_and_in_sight():
    ax = loss_curve([1.0, 2.0], title="t", label="ours", reference={"lecture": 2.45, "uniform": 3.2958})
    assert legend(ax) == ["ours", "lecture: 2.45", "uniform: 3.296"]
    curve, *references = ax.lines
    assert [line.get_ydata()[0] for line in references] == [2.45, 3.2958]
    dashes = [line._unscaled_dash_pattern for line in references]
    assert dashes[0] != dashes[1] and all(d[1] for d in dashes) and curve._unscaled_dash_pattern[1] is None
    low, high = ax.get_ylim()
    assert low < 1 and high > 3.2958


def test_labels_may_be_changed_and_no_legend_without_names():
    ax = loss_curve([1, 2], title="t", xlabel="epoch", ylabel="loss (nats)")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)") and legend(ax) is None


def test_a_diverged_tail_leaves_a_gap():
    y = loss_curve([1.0, 2.0, np.nan, np.inf], title="t").lines[0].get_ydata()
    assert y[:2].tolist() == [1, 2] and np.isnan(y[2:]).all()


@pytest.mark.parametrize("losses, said", [
    ([], "losses"), ({}, "no curves"), ({"a": [1], "b": []}, "curve 'b'"), ([np.nan, np.nan], "finite"),
    ([np.inf], "finite"), ([[1, 2], [3, 4]], r"\(2, 2\)"), (3.0, r"\(\)"), ([1, [2, 3]], "numbers"),
    ("abc", "numbers"), (None, r"\(\)"), (iter([1, 2]), "numbers"),
])
def test_bad_losses_are_named(losses, said):
    with pytest.raises(ValueError, match=said) as caught:
        loss_curve(losses, title="t")
    one_sentence(caught)
    assert not plt.get_fignums()


@pytest.mark.parametrize("smooth", [0, 4, -1, 2.0, "2"])
def test_bad_smooth_is_named(smooth):
    with pytest.raises(ValueError, match="smooth") as caught:
        loss_curve([1, 2, 3], title="t", smooth=smooth)
    one_sentence(caught)


# -- decision boundaries -------------------------------------------------------------------------------


def boundary_points(ax):
    (contours,) = [c for c in ax.collections if type(c).__name__ == "QuadContourSet"]
    return np.concatenate([path.vertices for path in contours.get_paths()])


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


def test_classes_differ_by_shape_and_are_named():
    ax = decision_boundary(lambda p: p[:, 0] - 0.5, SQUARE, [0, 1, 0, 1], title="t", labels=("left", "right"))
    assert legend(ax) == ["left", "right", "score = 0"]
    first, second = [c for c in ax.collections if type(c).__name__ == "PathCollection"]
    np.testing.assert_array_equal(first.get_offsets(), SQUARE[[0, 2]])
    np.testing.assert_array_equal(second.get_offsets(), SQUARE[[1, 3]])
    assert len(first.get_paths()[0].vertices) != len(second.get_paths()[0].vertices)
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("low, high", [(-1, 1), (2, 7), (-3.5, -1)])
def test_any_two_numbers_are_classes(low, high):
    ax = decision_boundary(lambda p: p[:, 0] - 0.5, SQUARE, [low, high, low, high], title="t")
    first, second = [c for c in ax.collections if type(c).__name__ == "PathCollection"]
    np.testing.assert_array_equal(second.get_offsets(), SQUARE[[1, 3]])


def test_a_model_without_a_boundary_says_so():
    for score in (1.0, -1.0, 0.0):
        ax = decision_boundary(lambda p, s=score: np.full(len(p), s), SQUARE, [0, 1, 0, 1], title="t")
        assert legend(ax)[-1] == "score never crosses 0"


def test_tensors_are_welcome():
    X, y = torch.tensor(SQUARE), torch.tensor([0, 1, 0, 1])
    w = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    ax = decision_boundary(lambda p: torch.from_numpy(p) @ w - 0.5, X, y, title="t")
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0.5, atol=1e-9)


def test_a_single_point_or_class_can_be_drawn():
    ax = decision_boundary(lambda p: p[:, 0], [[0.0, 0.0]], [1], title="t")
    first, second = [c for c in ax.collections if type(c).__name__ == "PathCollection"]
    assert len(first.get_offsets()) == 0 and len(second.get_offsets()) == 1


@pytest.mark.parametrize("X, y, predict, said", [
    (SQUARE, [0, 1], lambda p: p[:, 0], r"\(4, 2\) and \(2,\)"),
    (SQUARE[:, :1], [0, 1, 0, 1], lambda p: p[:, 0], r"\(4, 1\)"),
    (SQUARE[0], [0], lambda p: p[:, 0], r"\(2,\)"),
    (np.zeros((0, 2)), [], lambda p: p[:, 0], r"\(0, 2\)"),
    (SQUARE, [0, 1, 2, 3], lambda p: p[:, 0], "two classes.*with 4"),
    (SQUARE, [0, 1, 0, 1], lambda p: p, r"shape \(3600,\), not \(3600, 2\)"),
    (SQUARE, [0, 1, 0, 1], lambda p: p[:, :1], r"shape \(3600,\), not \(3600, 1\)"),
    (SQUARE, [0, 1, 0, 1], lambda p: 1.0, "one score a point"),
    (SQUARE, [0, 1, 0, 1], lambda p: p[:, 0] * np.nan, "nan"),
    (SQUARE, [0, 1, 0, 1], lambda p: None, "one score a point"),
    (SQUARE, [0, 1, 0, 1], lambda p: "abc", "numbers"),
])
def test_bad_shapes_and_scores_are_named(X, y, predict, said):
    with pytest.raises(ValueError, match=said) as caught:
        decision_boundary(predict, X, y, title="t")
    one_sentence(caught)
    assert not plt.get_fignums()


# -- bigram heat maps ----------------------------------------------------------------------------------

LETTERS = ".abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("itos", [LETTERS, list(LETTERS), dict(enumerate(LETTERS))])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list])
def test_every_cell_says_its_pair_and_count(itos, kind):
    counts = np.arange(27 * 27).reshape(27, 27)
    ax = bigram_heatmap(kind(counts), itos, title="t")
    assert len(ax.texts) == 27 * 27
    for text in ax.texts:
        column, row = text.get_position()
        number = f"\n{counts[row, column]}" if counts[row, column] else ""  # what never occurs has no number
        assert text.get_text() == f"{LETTERS[row]}{LETTERS[column]}{number}"
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [t.get_text() for t in labels] == list(LETTERS)
    np.testing.assert_array_equal(ax.images[0].get_array(), counts)


def test_text_stands_out_from_its_cell():
    """Contrast by WCAG: at least 3 everywhere, and 4.5 in nearly all cells."""
    counts = np.arange(27 * 27).reshape(27, 27)
    ax = bigram_heatmap(counts, LETTERS, title="t")

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
    figure = ax.figure
    figure.canvas.draw()
    width = figure.get_size_inches()[0] * figure.dpi
    pixels = ax.texts[0].get_fontsize() / 72 * figure.dpi * 900 / width
    assert pixels >= 9, "letters must be at least 9 pixels high where the figure is shown 900 wide"
    cell = ax.transData.transform([[0, 0], [1, 1]])
    box = ax.texts[0].get_window_extent()
    width, height = abs(cell[1] - cell[0])
    assert box.width < 0.85 * width and box.height < 0.85 * height, "and must not fill their cells"


def test_probabilities_have_two_decimals_and_no_numbers_means_a_colour_bar():
    assert bigram_heatmap([[0.25, 0.75], [1, 0]], "ab", title="t").texts[0].get_text() == "aa\n0.25"
    ax = bigram_heatmap([[1, 2], [3, 4]], "ab", title="t", annotate=False)
    assert not ax.texts and ax.child_axes[0].get_ylabel() == "count"


def test_white_space_and_dollars_can_be_read():
    ax = bigram_heatmap(np.ones((4, 4)), " \n\t$", title="t")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["␣", "\\n", "\\t", "$"]
    ax.figure.canvas.draw()


def test_all_zeros_can_be_drawn():
    bigram_heatmap(np.zeros((2, 2)), "ab", title="t").figure.canvas.draw()


@pytest.mark.parametrize("counts, itos, said", [
    (np.ones((2, 3)), "ab", r"\(2, 2\) here, not \(2, 3\)"), (np.ones((2, 2)), "abc", r"\(3, 3\)"),
    ([], "", "shape"), (5, "a", "shape"),
    ([[1, -1], [0, 0]], "ab", "negative"), ([[1, np.nan], [0, 0]], "ab", "finite"),
    ([["x", "y"], ["z", "w"]], "ab", "numbers"),
])
def test_bad_counts_are_named(counts, itos, said):
    with pytest.raises(ValueError, match=said) as caught:
        bigram_heatmap(counts, itos, title="t")
    one_sentence(caught)
    assert not plt.get_fignums()


# -- utf8_bits -----------------------------------------------------------------------------------------

def test_the_bits_are_those_of_the_text_and_the_bold_ones_say_the_kind_of_byte():
    ax = plot.utf8_bits("Aé中👋", title="bits")
    bits = "".join(text.get_text() for text in ax.texts)
    assert bits == "".join(f"{byte:08b}" for byte in "Aé中👋".encode())
    bold = "".join(text.get_text() if text.get_weight() == "bold" else "." for text in ax.texts)
    assert bold == ("0......." + "110.....10......" + "1110....10......10......"
                    + "11110...10......10......10......")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["U+0041", "U+00E9", "U+4E2D", "U+1F44B"]
    held = int("".join(bit for bit, mark in zip(bits[8:24], bold[8:24]) if mark == "."), 2)
    assert chr(held) == "é"


def test_no_text_is_named():
    with pytest.raises(ValueError, match="one character"):
        plot.utf8_bits("", title="nothing")
