"""micro.shapes: the drawn stand-in is what its docstring says, and the same on every machine."""
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from micro.data import Images, drawn
from micro.shapes import SHAPES, _insides
from tests import course


def digest(images):
    return hashlib.sha256(b"".join(a.tobytes() for a in images[:4])).hexdigest()[:16]


DIGEST = "0f4b5166d8ea3d07"


def test_shapes_and_types():
    images = drawn(30, 20, seed=1)
    assert isinstance(images, Images) and images.source == "drawn shapes" and images.classes == SHAPES
    assert images.train_images.shape == (30, 32, 32, 3) and images.test_images.shape == (20, 32, 32, 3)
    assert images.train_images.dtype == images.test_images.dtype == np.uint8
    assert images.train_labels.shape == (30,) and images.train_labels.dtype == np.int64
    # Five of each of the ten classes, over both parts.
    assert np.bincount(np.concatenate([images.train_labels, images.test_labels])).tolist() == [5] * 10


def test_the_same_seed_draws_the_same_pictures():
    assert digest(drawn(60, 20)) == DIGEST and digest(drawn(60, 20, seed=1)) != DIGEST


def test_also_on_a_processor_without_vector_instructions():
    code = "from tests.test_shapes import *; assert digest(drawn(60, 20)) == DIGEST, digest(drawn(60, 20))"
    off = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
    env = os.environ | {"NPY_DISABLE_CPU_FEATURES": off}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, cwd=course.ROOT, check=True)


def test_pictures_use_the_whole_range_and_every_picture_is_another():
    pictures = drawn(100, 1).train_images
    assert pictures.min() < 20 and pictures.max() > 235 and 100 < pictures.mean() < 155
    assert len({p.tobytes() for p in pictures}) == 100


@pytest.mark.parametrize("k, shape", list(enumerate(SHAPES)))
def test_each_shape_covers_the_part_of_the_plane_that_it_should(k, shape):
    """Areas by counting points, against areas by hand (None: no simple formula, but neither empty nor everything)."""
    at = np.linspace(-1.2, 1.2, 1201)
    inside = _insides(np, *np.meshgrid(at, at))[k] > 0
    area = inside.mean() * 2.4**2
    by_hand = {"disc": np.pi, "ring": np.pi * (0.97**2 - 0.53**2), "square": 1.6**2, "frame": 1.8**2 - 1.0**2,
               "plus": 4 * 0.3 * (2 * 0.95 - 0.3)}.get(shape)
    assert 0.3 < area < 3.3 if by_hand is None else abs(area - by_hand) < 0.03, area


def test_no_picture_is_empty():
    images = drawn(400, 1, seed=3)
    assert (images.train_images.astype(float).std(axis=(1, 2)).mean(1) > 10).all()


def test_neighbouring_pixels_are_alike_as_in_photographs():
    x = drawn(50, 1).train_images.astype(float)
    x -= x.mean(axis=(1, 2), keepdims=True)
    near = (x[:, :, 1:] * x[:, :, :-1]).mean() / (x**2).mean()
    far = (x[:, :, 16:] * x[:, :, :-16]).mean() / (x**2).mean()
    assert near > 0.75 and far < 0.3


@pytest.mark.parametrize("wrong", [{"n_train": 0}, {"n_test": 1.5}, {"seed": -1}, {"seed": True}, {"n_train": "many"}])
def test_a_wrong_number_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        drawn(**wrong)
