"""Corruptions of images."""

import numpy as np
import pytest

from surrogate_nas.datasets.corruptions import CHUNK, CORRUPTIONS, LEVELS, corrupt
from surrogate_nas.datasets.dataset import Images, Splits


def draw_images(channels: int, side: int, n: int = 40) -> Images:
    """Smooth colours with an edge, black pixels among them."""
    rng = np.random.default_rng(channels * side)
    ramp = np.linspace(0, 200, side)[:, None] * np.ones(side) * rng.uniform(0.3, 1, size=(n, channels, 1, 1))
    ramp[..., side // 2 :] *= 0.4
    ramp[..., :2, :2] = 0
    return ramp.round().astype(np.uint8)


def distance(a: Images, b: Images) -> float:
    """Root mean square over pixels."""
    return float(np.sqrt(((a.astype(float) - b.astype(float)) ** 2).mean()))


IMAGES = pytest.mark.parametrize(
    "images",
    [draw_images(1, 8), draw_images(1, 28), draw_images(3, 32), draw_images(3, 64)],
    ids=["grey8", "grey28", "rgb32", "rgb64"],
)


KINDS = pytest.mark.parametrize("name", CORRUPTIONS)


@KINDS
@IMAGES
def test_corrupted_images_are_images_and_those_given_stay(name: str, images: Images) -> None:
    before = images.copy()
    for level in LEVELS:
        after = corrupt(images, name, level, seed=1)
        assert (after.dtype, after.shape) == (images.dtype, images.shape)
        assert (after != images).any()
        np.testing.assert_array_equal(after, corrupt(images, name, level, seed=1))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(corrupt(images, name, 0, seed=1), images)


@KINDS
@IMAGES
def test_each_level_is_farther_from_the_clean_images(name: str, images: Images) -> None:
    distances = [distance(corrupt(images, name, level, seed=0), images) for level in (0, *LEVELS)]
    assert distances == sorted(distances)
    assert len(set(distances)) == len(distances)


@KINDS
def test_digits_too_are_farther_with_each_level(name: str, digits: Splits) -> None:
    test = digits.test.images
    distances = [distance(corrupt(test, name, level, seed=0), test) for level in (0, *LEVELS)]
    assert distances == sorted(set(distances))


def test_only_noise_depends_on_the_seed() -> None:
    images = draw_images(3, 32)
    for name in CORRUPTIONS:
        same = np.array_equal(corrupt(images, name, 3, seed=0), corrupt(images, name, 3, seed=1))
        assert same == (name != "noise")


@KINDS
def test_an_image_is_corrupted_the_same_whatever_comes_after_it(name: str) -> None:
    many = np.tile(draw_images(1, 8), (CHUNK // 40 + 2, 1, 1, 1))
    assert len(many) > CHUNK
    np.testing.assert_array_equal(corrupt(many, name, 2, 0)[: CHUNK + 1], corrupt(many[: CHUNK + 1], name, 2, 0))


def test_parameters_are_what_they_are_called() -> None:
    grey = np.full((500, 1, 8, 8), 128, dtype=np.uint8)
    noise = corrupt(grey, "noise", 5, seed=0).astype(float) - 128
    assert abs(noise.std() / 255 - 0.10) < 0.002
    assert abs(noise.mean()) < 0.6
    assert (corrupt(grey, "brightness", 4, 0) == 128 + 51).all()
    for name in ("blur", "contrast"):
        np.testing.assert_array_equal(corrupt(grey, name, 5, 0), grey)
    images = draw_images(3, 32)
    mean = images.mean(axis=(2, 3), keepdims=True)
    low = corrupt(images, "contrast", 4, 0)
    assert np.abs(low - (mean + 0.3 * (images - mean))).max() <= 0.51
    point = np.zeros((1, 1, 33, 33), dtype=np.uint8)
    point[0, 0, 16, 16] = 255
    spread = corrupt(np.repeat(point[..., :32], 1, axis=0)[:, :, :32], "blur", 5, 0)[0, 0] / 255
    at = np.arange(32) - 16
    kernel = np.exp(-(at**2) / 2) / np.exp(-(at**2) / 2).sum()
    assert np.abs(spread - np.outer(kernel, kernel)).max() < 1 / 255


def test_brightness_keeps_hue_and_saturation() -> None:
    colour = np.array([200, 100, 50], dtype=np.uint8).reshape(1, 3, 1, 1) * np.ones((1, 3, 8, 8), dtype=np.uint8)
    bright = corrupt(colour, "brightness", 3, 0)[0, :, 0, 0].astype(float)
    assert bright[0] == round(200 + 0.15 * 255)
    np.testing.assert_allclose(bright / bright[0], [1, 0.5, 0.25], atol=0.005)
