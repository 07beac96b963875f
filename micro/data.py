"""The data sets of the course.

    names()        32,257 first names                          notebooks 02 to 06
    shakespeare()  nine plays as one string                    notebooks 07 and 08
    moons()        two interleaving half circles of points     notebook 01
    cifar10()      60,000 small photographs in 10 classes      downloaded at the first call
    cifar100()     ... and in 100 classes                      likewise
    load_images()  your own photographs, from an .npz file
    results(name)  what was measured once, at full length      where a notebook cites it

The two texts ship with the course, in `data/` (see the README there) or, in an installed package, inside
it. Each is checked against its sha256 on every read, so that a loss you measure is a loss on the same data.
"""

import hashlib
import json
import math
import numbers
from pathlib import Path

from micro.images import DataUnavailable, Images, cifar10, cifar100, load_images  # noqa: F401  part of this module
from micro.shapes import drawn  # noqa: F401

_HERE = Path(__file__).resolve().parent
# In the repository the files lie beside the package; a wheel carries them inside it.
_PLACES = (_HERE.parent / "data", _HERE / "_data")

_SHA256 = {
    "names.txt": "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
    "shakespeare.txt": "4890ba032b118983431e0f57fde9e75275a781f1e09caef75613528e56674eeb",
}


def _read(filename):
    """The text of one shipped file, with Unix line ends, after its hash was checked."""
    cure = f"restore it with `git checkout -- data/{filename}` (or, if micro came from pip, install it again)"
    for place in _PLACES:
        path = place / filename
        if path.is_file():
            break
    else:
        raise FileNotFoundError(f"the data file {_PLACES[0] / filename} is missing: {cure}.")
    # Git on Windows may check text out with \r\n. Undo that before hashing: it is the same text.
    raw = path.read_bytes().replace(b"\r\n", b"\n")
    if hashlib.sha256(raw).hexdigest() != _SHA256[filename]:
        raise ValueError(f"the data file {path} was altered (its sha256 is not the course's): {cure}.")
    return raw.decode("ascii")


def names():
    """The first names given in the USA in 2018, as a list of 32,257 lower-case strings over a to z.

    Girls' names come first, then boys', each by number of births; a name given to both stands twice
    (29,693 are distinct). The shortest has 2 letters, the longest 15. Shuffle before you split.

    Source: US Social Security Administration, national data (public domain); see data/README.md.

    Raises FileNotFoundError if the file is missing and ValueError if it was altered.

    >>> words = names()
    >>> len(words), words[:3], max(len(w) for w in words)
    (32257, ['emma', 'olivia', 'ava'], 15)
    """
    return _read("names.txt").splitlines()


def shakespeare():
    r"""Nine plays of Shakespeare as one string of 1,182,959 characters, 63 of them distinct.

    Each speech is `SPEAKER:` on a line of its own, the speech, and a blank line. Plain ASCII: line feed,
    space, ``!&',-.:;?``, A to Z and a to z.

    Source: Project Gutenberg (public domain); see data/README.md.

    Raises FileNotFoundError if the file is missing and ValueError if it was altered.

    >>> text = shakespeare()
    >>> len(text), len(set(text)), text[:14]
    (1182959, 63, 'FIRST CITIZEN:')
    """
    return _read("shakespeare.txt")


def results(name):
    """A measurement that ships with the course, as a dict: data/results/NAME.json.

    Each says what was measured, by which command, when, on what device and with which versions.

    Raises FileNotFoundError if there is none of that name.

    >>> results("engine")["made_by"]
    'python -m tests.bench.engine --record'
    """
    for place in _PLACES:
        path = place / "results" / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    there = sorted(path.stem for place in _PLACES for path in place.glob("results/*.json"))
    raise FileNotFoundError(f"there is no result {name!r}; choose one of {there}, or make it with `make bench`.")


def moons(n=100, noise=0.1, seed=0):
    """Two interleaving half circles: a small set of points that no straight line can separate.

    Class 0, the outer moon, is (cos t, sin t) and has n // 2 points; class 1, the inner moon, is
    (1 - cos t, 0.5 - sin t) and has the rest; t goes evenly from 0 to pi. Then every coordinate gets
    Gaussian noise of standard deviation `noise` (in the same unit: the moons have radius 1), and the
    points are shuffled. The same `seed` gives the same points, on every machine.

    Returns X, a float64 array of shape (n, 2), and y, an int64 array of shape (n,) of 0s and 1s.

    Raises ValueError for n < 2, a negative or infinite noise, or a seed outside 0 ... 2**32 - 1.

    Source: the shapes are those of scikit-learn's `make_moons`; the random numbers are not.

    >>> X, y = moons(n=4, noise=0)
    >>> X[y == 0].tolist(), X[y == 1].tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [[0.0, 0.5], [2.0, 0.5]])
    """
    if not _is_whole(n) or n < 2:
        raise ValueError(f"moons needs n, the number of points: a whole number, at least 2, not {n!r}.")
    if isinstance(noise, bool) or not isinstance(noise, numbers.Real) or not 0 <= noise < math.inf:
        raise ValueError(f"moons needs noise, a standard deviation: a number, at least 0, not {noise!r}.")
    if not _is_whole(seed) or not 0 <= seed < 2**32:
        raise ValueError(f"moons needs seed: a whole number from 0 to 2**32 - 1, not {seed!r}.")

    import numpy as np  # here, so that reading the texts needs the standard library only

    n_outer = n // 2
    t_outer = np.linspace(0, math.pi, n_outer)
    t_inner = np.linspace(0, math.pi, n - n_outer)
    X = np.concatenate([
        np.stack([np.cos(t_outer), np.sin(t_outer)], axis=1),
        np.stack([1 - np.cos(t_inner), 0.5 - np.sin(t_inner)], axis=1),
    ])
    y = np.repeat(np.array([0, 1], dtype=np.int64), [n_outer, n - n_outer])

    # RandomState and not default_rng: NumPy promises that its stream of numbers never changes.
    rng = np.random.RandomState(seed)
    X = X + noise * rng.standard_normal(X.shape)
    order = rng.permutation(n)
    # sin, cos and log may differ in the last bit from one CPU or C library to another (NumPy picks its code
    # by instruction set). A training run would blow that up, so cut it off here: 6 decimals are the same on
    # every CPU. Adding 0 turns the -0.0 that rounding leaves behind into 0.0.
    return np.round(X[order], 6) + 0.0, y[order]


def _is_whole(x):
    """Whether x is an integer (Python's or NumPy's), and not a truth value."""
    return isinstance(x, numbers.Integral) and not isinstance(x, bool)
