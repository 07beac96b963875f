"""Points in the plane: moons(), two half circles that no straight line separates."""
import math
import numbers


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
