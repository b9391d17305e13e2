"""Three ways to make a picture square, the same for every source of pictures."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from surrogate_nas.datasets import pixels
from surrogate_nas.datasets.card import card
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.from_torch import from_torch
from surrogate_nas.datasets.resizing import RESIZES, ResizeName, square_side
from surrogate_nas.datasets.source import load
from surrogate_nas.datasets.stored import load as load_copy
from surrogate_nas.datasets.stored import save
from surrogate_nas.foundation.errors import InputError
from tests.conftest import Command

Bytes = npt.NDArray[np.uint8]
RNG = np.random.default_rng(0)
SIDE = 8
SIDES = st.integers(1, 40)
MODES = st.sampled_from(RESIZES)
CHANNELS = st.sampled_from([1, 3])


def noise(*shape: int) -> Bytes:
    return RNG.integers(0, 256, shape, np.uint8)


def squared(values: Bytes, side: int, resize: ResizeName) -> Bytes:
    return pixels.resized(values[None], side, resize)[0]


# ---------------------------------------------------------------------- laws of one picture


@given(st.integers(4, 20), st.integers(4, 20), CHANNELS)
def test_a_square_picture_is_the_same_in_every_way(edge: int, side: int, channels: int) -> None:
    values = noise(channels, edge, edge)
    crop, *others = (squared(values, side, resize) for resize in RESIZES)
    for other in others:
        np.testing.assert_array_equal(other, crop)


@given(SIDES, SIDES, st.integers(4, 20), CHANNELS, MODES)
def test_any_picture_becomes_a_square_of_its_channels(
    width: int, height: int, side: int, channels: int, resize: ResizeName
) -> None:
    result = squared(noise(channels, height, width), side, resize)
    assert result.shape == (channels, side, side)
    assert result.dtype == np.uint8


@given(SIDES, SIDES, st.integers(4, 20), st.integers(1, 255))
def test_a_plain_picture_stays_plain_but_for_the_border(width: int, height: int, side: int, value: int) -> None:
    plain = np.full((1, height, width), value, np.uint8)
    for resize in ("crop", "squash"):
        assert (squared(plain, side, resize) == value).all()
    padded = squared(plain, side, "pad")[0]
    rows, columns = ((padded == value).any(axis=axis).sum() for axis in (1, 0))
    assert (padded == value).sum() == rows * columns  # a rectangle
    assert set(np.unique(padded)) <= {0, value}
    assert max(rows, columns) == side
    assert abs(rows / columns - height / width) <= max(1, height / width) / min(rows, columns)


@given(SIDES, SIDES, CHANNELS)
def test_without_scaling_pad_keeps_every_pixel(width: int, height: int, channels: int) -> None:
    values, side = noise(channels, height, width), max(width, height)
    padded = squared(values, side, "pad")
    top, left = round((side - height) / 2), round((side - width) / 2)
    np.testing.assert_array_equal(padded[:, top : top + height, left : left + width], values)
    padded[:, top : top + height, left : left + width] = 0
    assert not padded.any()


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90)])
def test_a_mark_in_a_corner_survives_pad_and_squash_and_not_crop(width: int, height: int) -> None:
    values = np.zeros((1, height, width), np.uint8)
    values[:, :12, :12] = 255
    assert squared(values, 15, "crop").max() == 0
    for resize in ("pad", "squash"):
        assert squared(values, 15, resize).max() == 255


@pytest.mark.parametrize(("width", "height"), [(90, 60), (61, 90), (7, 40), (40, 39)])
@pytest.mark.parametrize("side", [8, 15, 64])
def test_pad_and_squash_are_those_of_pillow(width: int, height: int, side: int) -> None:
    image, bilinear = Image.fromarray(noise(height, width, 3)), Image.Resampling.BILINEAR
    for resize, expected in (
        ("pad", ImageOps.pad(image, (side, side), bilinear)),
        ("squash", image.resize((side, side), bilinear)),
    ):
        result = pixels.of_image(image, side, "image", resize).values
        np.testing.assert_array_equal(result, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("size", [(30, 40), (40, 30), (1, 40), (40, 1), (1, 1), (24, 24)])
def test_every_kind_of_file_is_read_in_every_way(
    tmp_path: Path, resize: ResizeName, mode: str, size: tuple[int, int]
) -> None:
    Image.fromarray(noise(size[1], size[0], 3)).convert(mode).save(tmp_path / "image.png")
    result = pixels.read(tmp_path / "image.png", SIDE, resize)
    assert result.values.shape == (1 if mode == "L" else 3, SIDE, SIDE)
    assert result.size == size


@pytest.mark.parametrize("resize", RESIZES)
def test_a_photograph_is_turned_upright_before(tmp_path: Path, resize: ResizeName) -> None:
    """A portrait that the camera stored lying on its side."""
    portrait = Image.fromarray(noise(4, 3, 3)).resize((300, 400), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    portrait.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    portrait.save(tmp_path / "upright.png")
    lying, upright = (pixels.read(tmp_path / f"{name}.png", 16, resize).values for name in ("lying", "upright"))
    np.testing.assert_array_equal(lying, upright)


# ---------------------------------------------------------------------- sources


def portraits(n: int = 24) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """(n, 15, 10, 3) pictures in two classes."""
    return noise(n, 15, 10, 3), np.arange(n) % 2


@pytest.mark.parametrize("resize", RESIZES)
def test_a_folder_an_npz_and_torch_make_the_same_squares(tmp_path: Path, resize: ResizeName) -> None:
    images, labels = portraits()
    for i in range(len(images)):
        path = tmp_path / "folder" / "ab"[labels[i]] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(path)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    from_folder, from_npz = (load(str(tmp_path / n), image_size=9, resize=resize) for n in ("folder", "data.npz"))
    in_memory = from_torch(list(zip(images, labels.tolist(), strict=True)), image_size=9, resize=resize)
    order = np.argsort(labels, kind="stable")
    for data in (from_npz, in_memory):
        np.testing.assert_array_equal(data.train.images[order], from_folder.train.images)
    for data in (from_folder, from_npz, in_memory):
        assert data.resize == resize
        assert data.oblong == pytest.approx(1 / 3)
        assert data.notes == from_folder.notes


@pytest.mark.parametrize(
    ("resize", "own", "other"),
    [
        ("crop", "cropped to their central square", "cropped to their central square and resized to 8×8"),
        ("pad", "padded with black to squares", "padded with black to squares and resized to 8×8"),
        ("squash", "squashed to squares", "squashed to squares and resized to 8×8"),
    ],
)
def test_it_is_noted_how_pictures_became_square(tmp_path: Path, resize: ResizeName, own: str, other: str) -> None:
    images, labels = portraits()
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    data = load(str(tmp_path / "data.npz"), resize=resize)
    assert data.notes == (f"24 images of 10×15 were {own}",)
    assert data.shape.size == square_side(10, 15, resize)
    assert load(str(tmp_path / "data.npz"), image_size=8, resize=resize).notes == (f"24 images of 10×15 were {other}",)


def test_a_named_set_remembers_the_way_for_the_pictures_to_come() -> None:
    data, padded = load("digits"), load("digits", resize="pad")
    assert padded == replace(data, train=padded.train, resize="pad")
    assert padded.fingerprint() == data.fingerprint()
    assert padded.notes == ()


def test_an_unknown_way_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    complaint = re.escape("resize 'stretch' is not one of crop, pad, squash")
    with pytest.raises(InputError, match=complaint):
        load(str(tmp_path / "nothing.npz"), resize="stretch")
    unknown: Any = "stretch"
    with pytest.raises(InputError, match=complaint):
        from_torch([(noise(8, 8), i) for i in range(2)], resize=unknown)


# ---------------------------------------------------------------------- what is kept and shown


def data_of(resize: ResizeName) -> Dataset:
    images, labels = portraits()
    return from_torch(list(zip(images, labels.tolist(), strict=True)), image_size=SIDE, resize=resize)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_copy_remembers_the_way(tmp_path: Path, resize: ResizeName) -> None:
    data = data_of(resize)
    save(data, tmp_path / "copy")
    copy = load_copy(tmp_path / "copy")
    assert (copy.resize, copy.oblong) == (resize, data.oblong)
    assert copy.fingerprint() == data.fingerprint()


@pytest.mark.parametrize("resize", RESIZES)
def test_the_card_has_the_way_and_its_price(resize: ResizeName) -> None:
    document = card(data_of(resize)).document()
    assert document["resize"] == resize
    assert document["oblong"] == pytest.approx(1 / 3)


def test_the_card_tells_what_each_way_does(tmp_path: Path, command: Command) -> None:
    images, labels = portraits()
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    code, out, _ = command("datasets", "show", tmp_path / "data.npz", "--image-size", 8)
    assert code == 0
    expected = (
        "resize       crop, which cuts off 33 % of the average picture; instead, --resize pad leaves 33 % of the "
        "square black, squash stretches one side about 1.50 times\n"
    )
    assert expected in out
    code, out, _ = command("datasets", "show", tmp_path / "data.npz", "--image-size", 8, "--resize", "pad")
    assert "resize       pad, which leaves 33 % of the square black; instead, --resize crop cuts off" in out
    code, out, _ = command("datasets", "show", "digits", "--resize", "squash")
    assert "resize       squash; all images are square, so crop, pad and squash are the same\n" in out
    code, _, err = command("datasets", "show", "digits", "--resize", "fill")
    assert (code, err) == (2, "error: --resize fill is not one of crop, pad, squash\n")
