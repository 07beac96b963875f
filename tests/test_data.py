"""The data sets: facts about the texts, the geometry of the moons, and what is said of a wrong file."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import data

ROOT = Path(__file__).resolve().parent.parent


# -- the texts -----------------------------------------------------------------------------------------


def test_names_are_the_names_of_2018():
    words = data.names()
    assert len(words) == 32_257 and len(set(words)) == 29_693
    assert set("".join(words)) == set("abcdefghijklmnopqrstuvwxyz")
    assert {len(w) for w in words} == set(range(2, 16))
    assert words[:3] == ["emma", "olivia", "ava"] and words[-1] == "zzyzx"
    assert words.index("liam") > words.index("aaliyah"), "girls come first"


def test_shakespeare_is_nine_plays_in_63_characters():
    text = data.shakespeare()
    assert len(text) == 1_182_959 and len(set(text)) == 63
    assert "".join(sorted(set(text))) == "\n !&',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert text.startswith("FIRST CITIZEN:\nBefore we proceed any further, hear me speak.\n\n")
    for speaker in ("CORIOLANUS", "RICHARD", "ROMEO", "LEONTES", "ANGELO", "PETRUCHIO", "PROSPERO"):
        assert f"\n\n{speaker}:\n" in text or f"\n\n{speaker} " in text, speaker


@pytest.mark.parametrize("filename", ["names.txt", "shakespeare.txt"])
def test_the_readme_states_each_files_true_hash_and_size(filename):
    raw = (ROOT / "data" / filename).read_bytes().replace(b"\r\n", b"\n")
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{filename}`"))
    assert hashlib.sha256(raw).hexdigest() in row
    assert f"{len(raw):,} bytes" in row


def test_files_are_looked_for_in_the_repository_then_in_the_wheel():
    assert data._PLACES == (ROOT / "data", ROOT / "micro" / "_data")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Two empty places to look in, like a repository's data/ and a wheel's micro/_data/."""
    places = tmp_path / "data", tmp_path / "micro" / "_data"
    for place in places:
        place.mkdir(parents=True)
    monkeypatch.setattr(data, "_PLACES", places)
    return places


READERS = [("names.txt", data.names), ("shakespeare.txt", data.shakespeare)]


@pytest.mark.parametrize("filename, read", READERS)
@pytest.mark.parametrize("place", [0, 1])
def test_windows_line_ends_make_no_difference_in_either_place(filename, read, place, elsewhere):
    raw = (ROOT / "data" / filename).read_bytes().replace(b"\r\n", b"\n")
    (elsewhere[place] / filename).write_bytes(raw.replace(b"\n", b"\r\n"))
    expected = raw.decode()
    assert read() == (expected.split("\n")[:-1] if filename == "names.txt" else expected)


@pytest.mark.parametrize("filename, read", READERS)
def test_a_missing_file_is_named_with_the_way_out(filename, read, elsewhere):
    with pytest.raises(FileNotFoundError) as caught:
        read()
    says_one_sentence(caught.value, filename, "missing", f"git checkout -- data/{filename}")


@pytest.mark.parametrize("filename, read", READERS)
def test_an_altered_file_is_named_with_the_way_out(filename, read, elsewhere):
    raw = (ROOT / "data" / filename).read_bytes()
    (elsewhere[0] / filename).write_bytes(raw[:-2] + b"!\n")
    with pytest.raises(ValueError) as caught:
        read()
    says_one_sentence(caught.value, filename, "altered", f"git checkout -- data/{filename}")


def says_one_sentence(error, *parts):
    text = str(error)
    assert "\n" not in text and text.endswith("."), text
    for part in parts:
        assert part in text, text


def test_reading_the_texts_needs_nothing_but_python():
    code = "import sys, micro.data as d; d.names(); d.shakespeare(); print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# -- the moons -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 300), seed=st.integers(0, 2**32 - 1))
def test_moons_without_noise_lie_on_their_half_circles(n, seed):
    X, y = data.moons(n, noise=0, seed=seed)
    assert X.shape == (n, 2) and X.dtype == np.float64 and y.shape == (n,) and y.dtype == np.int64
    assert (y == 0).sum() == n // 2 and (y == 1).sum() == n - n // 2
    # Undo the formulas: the outer moon is the upper half of a unit circle round (0, 0), the inner one the
    # lower half of one round (1, 0.5). The angles must be evenly spaced from 0 to pi.
    outer, inner = X[y == 0], X[y == 1]
    for points, centre, up in ((outer, (0, 0), 1), (inner, (1, 0.5), -1)):
        offset = points - centre
        np.testing.assert_allclose(np.hypot(*offset.T), 1, atol=1e-5)
        assert (up * offset[:, 1] >= -1e-6).all()
        angle = np.sort(np.arctan2(np.abs(offset[:, 1]), up * offset[:, 0]))
        even = [math.pi * k / (len(points) - 1) for k in range(len(points))] if len(points) > 1 else [0]
        np.testing.assert_allclose(angle, even, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 200), noise=st.floats(0, 10), seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_points_with_six_decimals(n, noise, seed):
    X, y = data.moons(n, noise, seed)
    again, y_again = data.moons(n, noise, seed)
    assert X.tobytes() == again.tobytes() and y.tobytes() == y_again.tobytes()
    assert (X == np.round(X, 6)).all() and not np.signbit(X[X == 0]).any()


def test_moons_are_these_points_on_every_machine():
    """A digest of the points: if it changes, so do the stored outputs of every notebook that uses them."""
    X, y = data.moons(100, 0.1, 0)
    text = ";".join(f"{a:.6f},{b:.6f},{c}" for (a, b), c in zip(X, y))
    digest = "6c7d71f535a026f7cf4fd76f7c3828d6387c3b065af52ed889ac6d0d9f72530d"
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_noise_is_gaussian_with_the_stated_deviation():
    spread = []
    X, y = data.moons(20_000, noise=0.1, seed=3)
    for points, centre in ((X[y == 0], (0, 0)), (X[y == 1], (1, 0.5))):
        radius = np.hypot(*(points - centre).T)
        spread.append(radius.std())
    # Across the circle the noise moves the radius: the spread of the radius is the noise, to second order.
    np.testing.assert_allclose(spread, 0.1, rtol=0.03)


def test_points_are_shuffled_and_seeds_differ():
    _, y = data.moons(100, 0.1, 0)
    assert 25 < np.abs(np.diff(y)).sum() < 75, "classes must alternate like coin flips"
    assert (data.moons(seed=0)[0] != data.moons(seed=1)[0]).any()


@pytest.mark.parametrize("arguments, named", [
    ({"n": 1}, "n"), ({"n": -5}, "n"), ({"n": 2.5}, "n"), ({"n": "10"}, "n"), ({"n": True}, "n"),
    ({"n": None}, "n"),
    ({"noise": -0.1}, "noise"), ({"noise": math.nan}, "noise"), ({"noise": math.inf}, "noise"),
    ({"noise": "a bit"}, "noise"), ({"noise": None}, "noise"), ({"noise": False}, "noise"),
    ({"seed": -1}, "seed"), ({"seed": 2**32}, "seed"), ({"seed": 0.5}, "seed"), ({"seed": True}, "seed"),
    ({"seed": None}, "seed"),
])
def test_bad_arguments_are_named_in_one_sentence(arguments, named):
    with pytest.raises(ValueError) as caught:
        data.moons(**arguments)
    says_one_sentence(caught.value, f"moons needs {named}", repr(arguments[named]))


def test_numpy_numbers_are_welcome():
    X, _ = data.moons(np.int64(4), np.float32(0.5), np.uint8(7))
    assert X.shape == (4, 2)


# -- results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_result_says_what_it_is_and_how_it_was_made(path):
    found = data.results(path.stem)
    assert {"what", "made_by", "date", "device"} <= found.keys()
    assert str(ROOT) not in path.read_text(encoding="utf-8")


def test_an_unknown_result_names_those_that_there_are():
    with pytest.raises(FileNotFoundError, match="no result 'emgine'.*'engine'"):
        data.results("emgine")
