"""How an answer differs from the right one, in words."""
import re

import numpy as np


def to_array(x):
    """Anything an exercise may return as one float64 array: a number, a Value, a torch tensor,
    an array, or lists of these. Raises TypeError or ValueError for anything else.

    >>> to_array([1, 2.5])
    array([1. , 2.5])
    """
    if hasattr(x, "_prev"):  # a Value
        return np.float64(x.data)
    if hasattr(x, "detach"):  # a torch tensor
        return x.detach().cpu().double().numpy()
    if isinstance(x, (list, tuple)):
        return np.array([to_array(v) for v in x], dtype=np.float64)
    return np.asarray(x, dtype=np.float64)


def same(a, b, tol):
    """Do two results agree? Numbers within tol (absolute and relative), all else exactly."""
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(same(a[k], b[k], tol) for k in b)
    try:
        a, b = to_array(a), to_array(b)
    except (TypeError, ValueError):
        return type(a) is type(b) and a == b
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tol, atol=tol, equal_nan=True))


def pattern(pairs):
    """What is wrong with numbers in the same way in *every* case, or None: (got, wanted) pairs."""
    try:
        a, b = (np.concatenate([to_array(x).ravel() for x in side]) for side in zip(*pairs))
    except (TypeError, ValueError):
        return None
    if a.shape != b.shape or len(a) < 2 or not np.isfinite(a).all():
        return None
    if np.allclose(a, -b, rtol=1e-6):
        return "the sign is wrong"
    there = b != 0
    if there.any() and not a[~there].any() and abs(a[there][0] / b[there][0] - 1) > 0.05:
        factor = a[there][0] / b[there][0]
        if factor and np.allclose(a, factor * b, rtol=1e-6):
            return f"it is {factor:.4g} times what it should be, in every case"
    if abs(a[0] - b[0]) > 0.01 and np.allclose(a - b, a[0] - b[0], rtol=1e-6):
        return f"every number is off by {a[0] - b[0]:.4g}"
    return None


def describe(got, want, tol, near=0.01):
    """(kind, what is wrong) for a result that is not the wanted one, or None if it is."""
    if same(got, want, tol):
        return None
    try:
        b = to_array(want)
    except (TypeError, ValueError):
        return "value", f"expected {short(want)}, got {short(got)}"
    try:
        a = to_array(got)
    except (TypeError, ValueError):
        return "value", f"expected numbers like {short(want)}, got {type(got).__name__}: {short(got)}"
    if a.shape != b.shape:
        known = ""
        if a.shape == b.shape[::-1] and np.allclose(a.T, b):
            known = ": the values are right but transposed"
        elif a.size == b.size and np.allclose(a.ravel(), b.ravel()):
            known = ": the values are right, but they are in another shape"
            if [n for n in a.shape if n != 1] == [n for n in b.shape if n != 1]:
                known = ": the values are right, but a dimension of size 1 is lost or extra (keepdim?)"
        elif a.ndim == 0 and b.ndim:
            known = ": a single value where several are expected"
        return "shape", f"the shape is {a.shape}, it should be {b.shape}{known}"
    if not np.isfinite(a).all():
        return "value", f"it contains {a[~np.isfinite(a)].ravel()[0]}: something divided by 0 or overflowed"
    if b.size > 2 and (np.allclose(a.ravel()[1:], b.ravel()[:-1]) or np.allclose(a.ravel()[:-1], b.ravel()[1:])):
        return "value", "the right values, moved by one position (off by one)"
    worst = float(np.max(np.abs(a - b)))
    if np.allclose(a, b, rtol=near, atol=near * float(np.max(np.abs(b)))):
        return "almost", f"almost: the largest difference is {worst:.2g}, {tol:.0e} is allowed"
    return "value", f"expected {short(want)}, got {short(got)}"


def short(x, width=70):
    """x on one line, numbers rounded, cut to `width` characters."""
    if isinstance(x, np.ndarray) or hasattr(x, "detach"):
        x = to_array(x).tolist()
    text = f"{x:.6g}" if isinstance(x, float) else " ".join(repr(x).split())
    text = re.sub(r"\d+\.\d{5,}(e-?\d+)?", lambda m: f"{float(m[0]):.5g}", text)
    return text if len(text) <= width else text[:width - 1] + "…"
