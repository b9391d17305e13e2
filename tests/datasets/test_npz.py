"""Images and labels in .npz files: every layout and type, and what can be wrong with them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets import arrays
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.source import load, source_stamp
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import InputError

N, SIDE = 12, 6
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 1, SIDE, SIDE), np.uint8)
GREY[0, 0, 0, :2] = 0, 255  # so that every scale is used to its ends
COLOUR = RNG.integers(0, 256, (N, 3, SIDE, SIDE), np.uint8)
LABELS = np.arange(N) % 3


def saved(folder: Path, **stored: Any) -> Path:
    np.savez(folder / "data.npz", **stored)
    return folder / "data.npz"


def read(folder: Path, image_size: int | None = None, **stored: Any) -> Dataset:
    return load(str(saved(folder, **stored)), image_size=image_size)


def refusal(path: Path) -> str:
    """The message about a file that cannot be used: one line."""
    with pytest.raises(InputError) as refused:
        load(str(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---------------------------------------------------------------------- what is read


def test_images_and_labels_come_back_as_they_were_saved(tmp_path: Path) -> None:
    data = read(tmp_path, images=COLOUR, labels=LABELS)
    assert (data.name, data.classes, data.test, data.flips, data.notes) == ("npz:data", tuple("012"), None, True, ())
    assert data.shape == ImageShape(channels=3, size=SIDE, classes=3)
    np.testing.assert_array_equal(data.train.images, COLOUR)
    np.testing.assert_array_equal(data.train.labels, LABELS)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY),
        (GREY[:, 0], GREY),
        (GREY.transpose(0, 2, 3, 1), GREY),
        (COLOUR.transpose(0, 2, 3, 1), COLOUR),
    ],
    ids=["N1HW", "NHW", "NHW1", "NHW3"],
)
def test_channels_may_be_anywhere(tmp_path: Path, images: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    data = read(tmp_path, images=images, labels=LABELS)
    assert data.train.images.flags.c_contiguous
    np.testing.assert_array_equal(data.train.images, expected)


@pytest.mark.parametrize(
    ("images", "notes"),
    [
        (GREY.astype(np.int64), ()),
        (GREY.astype(np.uint16), ()),
        (GREY.astype(np.uint16) * 257, ("12 images of 16 bits were reduced to 8 bits",)),
        ((GREY.astype(np.uint16) * 257).astype(">u2"), ("12 images of 16 bits were reduced to 8 bits",)),
        (GREY / 255, ("12 images of values from 0 to 1 were scaled by 255",)),
        (GREY.astype(np.float32) / 255, ("12 images of values from 0 to 1 were scaled by 255",)),
        ((GREY / 255).astype(np.float16), ("12 images of values from 0 to 1 were scaled by 255",)),
        ((GREY + RNG.uniform(-0.4, 0.4, GREY.shape)).clip(0, 255), ("12 images of fractional values were rounded",)),
    ],
)
def test_any_scale_gives_the_same_bytes(tmp_path: Path, images: npt.NDArray[Any], notes: tuple[str, ...]) -> None:
    data = read(tmp_path, images=images, labels=LABELS)
    np.testing.assert_array_equal(data.train.images, GREY)
    assert data.notes == notes


def test_booleans_are_black_and_white(tmp_path: Path) -> None:
    data = read(tmp_path, images=GREY > 99, labels=LABELS)
    np.testing.assert_array_equal(data.train.images, np.where(GREY > 99, 255, 0))


def test_training_and_test_images_have_one_scale(tmp_path: Path) -> None:
    dark = np.full((3, SIDE, SIDE), 1.0)
    data = read(tmp_path, images=GREY.astype(np.float32), labels=LABELS, test_images=dark, test_labels=np.arange(3))
    assert data.test is not None
    assert np.unique(data.test.images).tolist() == [1]


@given(st.integers(1, 9), st.sampled_from([np.float32, np.float64]))
def test_conversion_in_blocks_is_conversion_at_once(block: int, kind: type) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK", block)
        images, _ = arrays.to_bytes({"images": (GREY / 255).astype(kind)})
    np.testing.assert_array_equal(images["images"], GREY)


@pytest.mark.parametrize(
    "names",
    [
        ("images", "labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X", "y", "X_test", "y_test"),
        ("IMAGES", "Labels", "Test_Images", "TEST_LABELS"),
    ],
)
def test_arrays_may_have_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    data = read(tmp_path, **dict(zip(names, (GREY, LABELS, GREY[:3], LABELS[:3]), strict=True)))
    assert data.test is not None
    assert (len(data.train), len(data.test), data.notes) == (N, 3, ())


def test_arrays_of_no_use_are_noted(tmp_path: Path) -> None:
    data = read(tmp_path, images=GREY, labels=LABELS, weights=LABELS, extra_images=GREY)
    assert data.notes == ("unused arrays: extra_images, weights",)


@pytest.mark.parametrize("names", ["val_images val_labels", "X_val y_val", "x_valid y_valid", "x_tune y_tune"])
def test_validation_arrays_are_the_tune_split(tmp_path: Path, names: str) -> None:
    arrays = dict(zip(names.split(), (GREY[:5], LABELS[:5]), strict=True))
    data = read(tmp_path, images=GREY, labels=LABELS, test_images=GREY[:4], test_labels=LABELS[:4], **arrays)
    splits = split(data, seed=0)
    for part, count in ((splits.train, N), (splits.tune, 5), (splits.test, 4)):
        np.testing.assert_array_equal(part.images, data.train.images[:count])
        np.testing.assert_array_equal(part.labels, LABELS[:count])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32, np.uint64])
def test_labels_may_be_of_any_type_of_number_and_in_a_column(tmp_path: Path, kind: type) -> None:
    np.testing.assert_array_equal(read(tmp_path, images=GREY, labels=LABELS.astype(kind)).train.labels, LABELS)
    np.testing.assert_array_equal(read(tmp_path, images=GREY, labels=LABELS[:, None]).train.labels, LABELS)


@pytest.mark.parametrize("kind", ["U", "S"])
def test_labels_may_be_names(tmp_path: Path, kind: str) -> None:
    names = np.array(["cat", "ant", "bee"])[LABELS].astype(kind)
    data = read(tmp_path, images=GREY, labels=names, test_images=GREY[:1], test_labels=names[:1])
    assert data.classes == ("ant", "bee", "cat")
    assert data.train.labels[:3].tolist() == [2, 0, 1]
    assert data.notes == ("2 classes have no test images ('ant', 'bee')",)


def test_classes_may_be_named(tmp_path: Path) -> None:
    assert read(tmp_path, images=GREY, labels=LABELS, classes=np.array(["c", "a", "b"])).classes == ("c", "a", "b")
    names = np.array(["c", "a", "b"])
    data = read(tmp_path, images=GREY, labels=names[LABELS], classes=names)
    np.testing.assert_array_equal(data.train.labels, LABELS)


def test_images_that_are_not_square_are_cropped(tmp_path: Path) -> None:
    wide = RNG.integers(0, 256, (N, 5, 9), np.uint8)
    data = read(tmp_path, images=wide, labels=LABELS)
    np.testing.assert_array_equal(data.train.images[:, 0], wide[:, :, 2:7])
    assert data.notes == ("12 images of 9×5 were cropped to their central square",)
    data = read(tmp_path, images=wide, labels=LABELS, image_size=4)
    assert data.notes == ("12 images of 9×5 were cropped to their central square and resized to 4×4",)
    assert data.shape.size == 4


def test_training_and_test_images_of_two_sizes_can_be_resized_to_one(tmp_path: Path) -> None:
    more = RNG.integers(0, 256, (3, 1, 9, 9), np.uint8)
    data = read(tmp_path, images=GREY, labels=LABELS, test_images=more, test_labels=[0, 1, 2], image_size=6)
    assert data.test is not None
    assert data.test.images.shape == (3, 1, 6, 6)
    assert data.notes == ("3 images of 9×9 were resized to 6×6",)


def test_a_compressed_file_is_read_alike(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.NPZ.npz", images=GREY, labels=LABELS)
    assert (
        load(str(tmp_path / "packed.NPZ.npz")).fingerprint() == read(tmp_path, images=GREY, labels=LABELS).fingerprint()
    )


def test_a_stamp_changes_when_the_file_does(tmp_path: Path) -> None:
    stamp = source_stamp(str(saved(tmp_path, images=GREY, labels=LABELS)))
    assert source_stamp(str(tmp_path / "data.npz")) == stamp
    assert stamp is not None
    assert source_stamp(str(saved(tmp_path, images=COLOUR, labels=LABELS))) != stamp


# ---------------------------------------------------------------------- what is refused


def spoilt(images: Any, index: tuple[int, ...], value: float) -> npt.NDArray[Any]:
    out = np.array(images)
    out[index] = value
    return out


UNIT = GREY / 255


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (spoilt(UNIT, (3, 0, 1, 1), np.nan), "images has values that are infinite or not a number; allowed: 0 to 1"),
        (spoilt(UNIT, (3, 0, 1, 1), np.inf), "images has values that are infinite or not a number; allowed: 0 to 1"),
        (UNIT - 0.5, "images has values from -0.5 to 0.5; allowed: 0 to 1, or 0 to 255, not normalised"),
        (UNIT * 300, "images has values from 0 to 300; allowed: 0 to 1, or 0 to 255, not normalised"),
        (GREY.astype(np.int16) - 1, "images has values from -1 to 254; allowed: 0 to 255"),
        (GREY.astype(np.int64) + 1, "images has values from 1 to 256; allowed: 0 to 255"),
        (GREY.astype(np.uint32) * 2, "images has values from 0 to 510; allowed: 0 to 255"),
        (GREY.astype(complex), "images is of type complex128; allowed: booleans, integers, floating-point numbers"),
        (GREY.astype(str), "images is of type <U3; allowed: booleans, integers, floating-point numbers"),
        (np.zeros((N, SIDE)), "images has the shape (12, 6); allowed: (N, H, W), (N, H, W, 1 or 3), (N, 1 or 3, H, W)"),
        (np.zeros((N, 1, 1, 6, 6)), "images has the shape (12, 1, 1, 6, 6); allowed: "),
        (np.zeros((N, 6, 6, 4)), "images has the shape (12, 6, 6, 4), without 1 or 3 channels; allowed: "),
        (np.zeros((N, 3, 6, 3)), "images has the shape (12, 3, 6, 3), whose channels may be first or last; allowed: "),
        (np.zeros((N, 0, 6)), "images has the shape (12, 0, 6); allowed: "),
        (np.zeros((N, 2, 2)), "images have 2×2 pixels; choose one size for all with image_size, from 4 to"),
        (np.zeros((N, 300, 400), np.uint8), "images have 400×300 pixels; choose one size for all with image_size"),
        (GREY[:-1], "images has the shape (11, 1, 6, 6) and labels (12,); their first dimensions must be equal"),
        (np.array(3), "images has the shape () and labels (12,); their first dimensions must be equal"),
    ],
)
def test_images_that_cannot_be_used_are_described(tmp_path: Path, images: npt.NDArray[Any], message: str) -> None:
    path = saved(tmp_path, images=images, labels=LABELS)
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS - 1, "labels has the value -1; allowed: integers ≥ 0"),
        (LABELS + 1, "labels must be class numbers from 0 without a gap, got 3 but no 0"),
        (LABELS * 2, "labels must be class numbers from 0 without a gap, got 4 but no 1"),
        (LABELS + 0.5, "labels has the value 0.5; allowed: integers ≥ 0"),
        (LABELS * np.nan, "labels has the value nan; allowed: integers ≥ 0"),
        (LABELS.astype(np.uint64) + np.uint64(2**63), "labels has the value 9223372036854775810; allowed: integers"),
        (LABELS * 1e300, "labels has the value 2e+300; allowed: integers ≥ 0"),
        (np.eye(3)[LABELS], "labels has the shape (12, 3); allowed: (N,) with at least one entry"),
        (np.array(0), "labels has the shape (); allowed: (N,) with at least one entry"),
        (np.zeros(0), "labels has the shape (0,); allowed: (N,) with at least one entry"),
        (LABELS * 1j, "labels is of type complex128; allowed: integers, or the names of classes"),
        (LABELS * 0, "data set 'npz:data' has one class, '0'; at least two are needed"),
        (np.array([b"\xff", b"b"])[LABELS % 2], "labels has text that is not UTF-8"),
    ],
)
def test_labels_that_cannot_be_used_are_described(tmp_path: Path, labels: npt.NDArray[Any], message: str) -> None:
    path = saved(tmp_path, images=GREY, labels=labels)
    assert refusal(path).startswith(f"{path}: {message}")


NAMES = np.array(["a", "b", "c"])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"test_images": GREY[:1], "test_labels": [3]}, "data set 'npz:data' has the test label 3; allowed: 0 to 2"),
        ({"test_images": GREY[:1], "test_labels": [-1]}, "test_labels has the value -1; allowed: integers ≥ 0"),
        ({"x_val": COLOUR[:1], "y_val": [0]}, "images and tune_images differ in channels, 1 and 3"),
        ({"test_images": GREY[:1], "test_labels": NAMES[:1]}, "labels and test_labels mix numbers and names; "),
        ({"test_images": COLOUR[:1], "test_labels": [0]}, "images and test_images differ in channels, 1 and 3"),
        ({"test_images": GREY[:2], "test_labels": [0]}, "test_images has the shape (2, 1, 6, 6) and test_labels (1,);"),
        ({"test_images": GREY[:0], "test_labels": []}, "test_labels has the shape (0,); allowed: (N,) with at least"),
        ({"test_images": np.zeros((1, 9, 9)), "test_labels": [0]}, "test_images have 9×9 pixels; choose one size"),
        ({"classes": NAMES[:2]}, "data set 'npz:data' has the training label 2; allowed: 0 to 1"),
        ({"classes": np.array(["a", "b", "c", "d"])}, "class 'd' of data set 'npz:data' has no training images"),
        ({"labels": NAMES[LABELS], "classes": NAMES[:2]}, "labels has the class 'c'; allowed: a, b"),
        (
            {"labels": NAMES[LABELS], "test_images": GREY[:1], "test_labels": np.array(["d"])},
            "test_labels has the class 'd'; allowed: a, b, c",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_described(tmp_path: Path, stored: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **({"images": GREY, "labels": LABELS} | stored))
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"images": GREY}, "has no array labels; its arrays: images"),
        ({"labels": LABELS}, "has no array images; its arrays: labels"),
        ({}, "has no array images; its arrays: none"),
        (
            {"X": GREY, "y": LABELS, "x_train": GREY},
            "has X and x_train, which mean the same; expected only one of them",
        ),
        ({"X": GREY, "y": LABELS, "x_test": GREY}, "has x_test but no test_labels"),
        ({"X": GREY, "y": LABELS, "y_test": LABELS}, "has y_test but no test_images"),
        ({"X": GREY, "y": LABELS, "x_val": GREY}, "has x_val but no tune_labels"),
        (
            {"X": GREY, "y": LABELS, "x_val": GREY, "val_images": GREY},
            "has x_val and val_images, which mean the same; expected only one of them",
        ),
    ],
)
def test_a_file_with_too_few_or_too_many_arrays_is_named(tmp_path: Path, stored: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **stored)
    assert refusal(path) == f"{path} {message}"


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_nothing_is_ever_unpickled(tmp_path: Path, name: str) -> None:
    objects = np.array([Explosive()] * N, dtype=object)
    path = saved(tmp_path, **({"images": GREY, "labels": LABELS} | {name: objects}))
    assert refusal(path) == f"{name} in {path} has Python objects, which are not read; save it as numbers"
    path.write_bytes(pickle.dumps(Explosive()))
    assert refusal(path) == f"{path} is not a readable .npz file"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, images=GREY, labels=LABELS)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert refusal(path) == f"{path} is not a readable .npz file"


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, images=GREY, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[content.index(GREY.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    assert refusal(path) == f"images in {path} is damaged"


@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00"]))
def test_random_bytes_are_named(tmp_path_factory: pytest.TempPathFactory, tail: bytes, magic: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "junk.npz"
    path.write_bytes(magic + tail)
    assert str(path) in refusal(path)


def test_a_single_array_is_not_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", GREY)
    (tmp_path / "data.npy").rename(tmp_path / "data.npz")
    assert refusal(tmp_path / "data.npz").endswith(
        "contains a single array; expected an .npz file with images and labels"
    )
