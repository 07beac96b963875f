"""Small pictures with a drawn shape each: a stand-in for CIFAR-10 where that is not to be had. Part of micro.data."""

from micro.data.cifar import Images

SHAPES = ("disc", "ring", "square", "frame", "triangle", "plus", "star", "crescent", "bars", "heart")


def drawn(n_train=4000, n_test=1000, seed=0):
    """Pictures of ten shapes, drawn on clouds: a data set that needs no download, as `Images`.

    Each picture is 32×32 pixels, three colours. One shape, of random place, size, tilt, tint and contrast, lies
    on clouds whose power falls with the frequency as in photographs. These are no photographs, and figures
    measured on them are not figures on CIFAR-10: `source` says "drawn shapes".

    n_train, n_test: numbers of pictures, 1 or more. seed: 0 to 2**32 - 1; the same one draws the same pictures
    on every machine. Takes about a millisecond a picture.

    Raises ValueError for numbers that are not whole or out of range.

    >>> images = drawn(20, 10)
    >>> images.train_images.shape, images.classes[images.train_labels[0]]
    ((20, 32, 32, 3), 'square')
    """
    import numpy as np

    for name, value, least, most in [("n_train", n_train, 1, 10**6), ("n_test", n_test, 1, 10**6),
                                     ("seed", seed, 0, 2**32 - 1)]:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"drawn needs {name}, a whole number from {least} to {most:,}, not {value!r}.")

    rng = np.random.RandomState(seed)  # NumPy promises that its stream of numbers never changes
    n, S = n_train + n_test, 32
    labels = rng.permutation(np.arange(n) % 10)

    # Where each pixel lies in the coordinates of its picture's shape, which is about 1 in radius.
    at = (np.arange(S) + 0.5) / S * 2 - 1
    x, y = rng.uniform(-0.35, 0.35, (2, n, 1, 1))
    size, tilt = rng.uniform(0.35, 0.65, (n, 1, 1)), rng.uniform(-0.6, 0.6, (n, 1, 1))
    right, down = (at - x) / size, (at[:, None] - y) / size                     # (n, 1, S), (n, S, 1)
    u, v = np.cos(tilt) * right - np.sin(tilt) * down, np.sin(tilt) * right + np.cos(tilt) * down
    inside = np.choose(labels[:, None, None], _insides(np, u, -v))
    mask = np.clip(inside * size * S / 2 + 0.5, 0, 1)[..., None]                # edges one pixel soft

    f = np.hypot(np.fft.fftfreq(S)[:, None], np.fft.rfftfreq(S))
    f[0, 0] = 1 / S

    def clouds(*more):
        z = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, *more, S, S))) / f**1.3, s=(S, S))
        return z / z.std(axis=(-2, -1), keepdims=True)

    picture = 28 * clouds()[..., None] + 11 * np.moveaxis(clouds(3), 1, -1)     # (n, S, S, 3)
    ground = rng.uniform(60, 195, (n, 1, 1, 1)) + rng.uniform(-30, 30, (n, 1, 1, 3))
    darker = np.where(ground[..., :1] > 127, -1, 1)
    ink = darker * 70 * rng.uniform(0.6, 1.4, (n, 1, 1, 1)) + rng.uniform(-40, 40, (n, 1, 1, 3))
    picture += ground + mask * ink + 5 * rng.standard_normal(picture.shape)
    # Six decimals are the same on every processor (see micro.data.moons); bytes of them then are, too.
    picture = np.clip(np.round(picture, 6), 0, 255).astype(np.uint8)
    labels = labels.astype(np.int64)
    return Images(picture[:n_train], labels[:n_train], picture[n_train:], labels[n_train:], SHAPES, "drawn shapes")


def _insides(np, u, v):
    """For each of SHAPES a function of the plane that is positive inside the shape."""
    r, angle, far = np.hypot(u, v), np.arctan2(v, u), np.maximum(abs(u), abs(v))
    return (
        1 - r,
        0.22 - abs(r - 0.75),
        0.8 - far,
        0.2 - abs(far - 0.7),
        np.minimum(0.6 + v, 0.45 - 0.5 * v - 0.87 * abs(u)),
        np.minimum(0.3 - np.minimum(abs(u), abs(v)), 0.95 - far),
        0.55 + 0.35 * np.cos(5 * angle) - r,
        np.minimum(1 - r, np.hypot(u - 0.5, v) - 0.75),
        np.minimum(0.9 - far, 0.16 - abs((u + 0.9) % 0.6 - 0.3)),
        0.9 - np.hypot(1.1 * u, 1.1 * v + 0.25 - 0.75 * np.sqrt(abs(u) + 0.01)),
    )
