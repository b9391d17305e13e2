"""Data sets of PyTorch, and lists of pairs, as data for a study."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.from_torch import from_torch
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import InputError

N, SIDE = 30, 6
COLOUR = np.random.default_rng(0).integers(0, 256, (N, 3, SIDE, SIDE), np.uint8)
LABELS = np.arange(N) % 3
TENSORS = TensorDataset(torch.from_numpy(COLOUR), torch.from_numpy(LABELS))


class Photographs(TorchDataset[tuple[Image.Image, int, str]]):
    """Images of Pillow with a label and something else."""

    classes = ("ant", "bee", "cat")

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[Image.Image, int, str]:
        return Image.fromarray(COLOUR[index].transpose(1, 2, 0)), int(LABELS[index]), "a caption"


def test_tensors_are_read_with_their_labels() -> None:
    data = from_torch(TENSORS)
    assert (data.name, data.classes, data.test, data.flips, data.notes) == (
        "torch:TensorDataset",
        ("0", "1", "2"),
        None,
        True,
        (),
    )
    assert data.shape == ImageShape(channels=3, size=SIDE, classes=3)
    np.testing.assert_array_equal(data.train.images, COLOUR)
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert len(split(data, seed=0).train) + len(split(data, seed=0).tune) == 24


def test_photographs_are_read_with_the_names_of_their_classes() -> None:
    data = from_torch(Photographs(), flips=False)
    assert (data.name, data.classes, data.flips) == ("torch:Photographs", ("ant", "bee", "cat"), False)
    assert data.fingerprint() == from_torch(TENSORS).fingerprint()


def test_names_may_be_given() -> None:
    data = from_torch(Photographs(), name="insects", classes=["a", "b", "c"])
    assert (data.name, data.classes) == ("insects", ("a", "b", "c"))


def test_a_test_split_is_kept_apart() -> None:
    data = from_torch(Photographs(), Subset(TENSORS, [0, 3, 4]))
    assert data.test is not None
    np.testing.assert_array_equal(data.test.images, COLOUR[[0, 3, 4]])
    assert data.test.labels.tolist() == [0, 0, 1]
    assert data.notes == ("class 'cat' has no test images",)


def to_unit(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).float() / 255


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: image.transpose(1, 2, 0),
        lambda image: image / 255,
        to_unit,
        lambda image: Image.fromarray(image.transpose(1, 2, 0)),
        lambda image: to_unit(image).double(),
    ],
)
@pytest.mark.parametrize("label", [int, np.int64, np.uint8, torch.tensor])
def test_images_and_labels_of_any_type_are_read_alike(convert: Any, label: Any) -> None:
    pairs = [(convert(image), label(int(c))) for image, c in zip(COLOUR, LABELS, strict=True)]
    assert from_torch(pairs, classes="abc").fingerprint() == from_torch(TENSORS).fingerprint()


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (1, SIDE, SIDE), (SIDE, SIDE, 1)])
def test_grey_images_have_one_channel(shape: tuple[int, ...]) -> None:
    data = from_torch([(image[0].reshape(shape), c) for image, c in zip(COLOUR, LABELS, strict=True)])
    np.testing.assert_array_equal(data.train.images, COLOUR[:, :1])


@given(st.integers(4, 12), st.integers(4, 12), st.integers(4, 12))
def test_an_array_and_an_image_are_resized_alike(width: int, height: int, size: int) -> None:
    values = np.random.default_rng(width).integers(0, 256, (2, height, width, 3), np.uint8)
    arrays = from_torch([(v.transpose(2, 0, 1), i) for i, v in enumerate(values)], image_size=size)
    images = from_torch([(Image.fromarray(v), i) for i, v in enumerate(values)], image_size=size)
    assert arrays.fingerprint() == images.fingerprint()
    assert arrays.notes == images.notes
    assert arrays.shape.size == size


def test_it_is_said_what_was_done() -> None:
    grey = Image.fromarray(COLOUR[0, 0])
    data = from_torch([(to_unit(COLOUR[0]), 0), (grey, 1), (COLOUR[1] > 9, 1)])
    assert data.notes == (
        "1 image of values from 0 to 1 was scaled by 255",
        "1 grey image among colour ones was made RGB",
    )


# ---------------------------------------------------------------------- what is refused


class Stream(IterableDataset[tuple[Any, int]]):
    def __iter__(self) -> Iterator[tuple[Any, int]]:
        yield COLOUR[0], 0


@pytest.mark.parametrize("data", [Stream(), DataLoader(TENSORS), iter([])])
def test_data_without_numbered_items_are_refused(data: Any) -> None:
    message = f"train is a {type(data).__name__}; expected a data set with a length and items by index"
    with pytest.raises(InputError, match=message):
        from_torch(data)


def test_empty_data_are_refused() -> None:
    with pytest.raises(InputError, match="train is empty"):
        from_torch([])
    with pytest.raises(InputError, match="test is empty"):
        from_torch(TENSORS, [])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (COLOUR[0], "item 2 of train is a ndarray; expected a pair of an image and its label"),
        ((COLOUR[0],), "item 2 of train is a tuple; expected a pair of an image and its label"),
        ({"image": 0, "label": 0}, "item 2 of train is a dict; expected a pair of an image and its label"),
        ((COLOUR[0], "cat"), "item 2 of train has the label 'cat'; allowed: integers ≥ 0"),
        ((COLOUR[0], torch.tensor(1.0)), r"item 2 of train has the label tensor\(1.\); allowed: integers ≥ 0"),
        ((COLOUR[0], -1), "labels of train must be class numbers ≥ 0, got -1"),
        ((COLOUR[0], 10**12), "labels of train must be class numbers from 0 without a gap, got 1000000000000 but no"),
        (("cat.png", 0), r"item 2 of train is of type <U7; allowed: bytes, booleans, floating-point numbers"),
        ((None, 0), "item 2 of train has a NoneType; allowed: images of Pillow, arrays, tensors on the CPU"),
        ((torch.zeros(6, 6, device="meta"), 0), "item 2 of train has a Tensor; allowed: images of Pillow, arrays"),
        ((to_unit(COLOUR[0]) - 0.5, 0), "item 2 of train has values from -0.5 to 0.4.*; allowed: 0 to 1, not n"),
        ((COLOUR[0] / np.float32(2), 0), r"item 2 of train has values from .* to 124; allowed: 0 to 1, not normal"),
        ((np.full((6, 6), np.nan), 0), "item 2 of train has values from nan to nan; allowed: 0 to 1, not normalis"),
        ((COLOUR[0].astype(int), 0), "item 2 of train is of type int64; allowed: bytes, booleans, floating-point"),
        ((np.zeros((4, 6, 6), np.uint8), 0), r"item 2 of train has the shape \(4, 6, 6\); allowed: \(H, W\), \(1 or 3"),
        ((np.zeros(6, np.uint8), 0), r"item 2 of train has the shape \(6,\); allowed: \(H, W\), \(1 or 3, H, W\)"),
        ((np.zeros((3, 5, 6), np.uint8), 0), "item 2 of train is 6×5 pixels; choose one size for all with image_size"),
        (
            (np.zeros((3, 7, 7), np.uint8), 0),
            "images differ in size, 6×6 and 7×7 pixels; choose one size for all with image_size",
        ),
        ((Image.new("F", (6, 6)), 0), "item 2 of train has pixels of floating-point numbers; allowed: integers of"),
    ],
)
def test_an_item_that_cannot_be_used_is_named(item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_torch([(COLOUR[0], 0), (COLOUR[1], 1), item])


def test_a_test_label_that_training_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="data set 'torch:TensorDataset' has the test label 3; allowed: 0 to 2"):
        from_torch(TENSORS, [(COLOUR[0], 3)])


def test_the_size_asked_for_is_checked_first() -> None:
    with pytest.raises(InputError, match="image size 300 is not between 4 and 256 pixels"):
        from_torch([], image_size=300)
