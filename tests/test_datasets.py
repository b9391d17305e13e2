"""Data sets and their splits."""

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas import datasets
from surrogate_nas.cost import ImageShape
from surrogate_nas.datasets import Dataset, LabeledImages, Splits, load, split
from surrogate_nas.errors import InputError, JobError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return load("digits")


def test_digits_are_1797_grey_images_of_eight_by_eight_bytes_in_ten_classes(whole: Dataset) -> None:
    assert whole.train.images.shape == (1797, 1, 8, 8)
    assert whole.train.images.dtype == np.uint8
    assert (whole.train.images.min(), whole.train.images.max()) == (0, 255)
    assert whole.shape == ImageShape(channels=1, size=8, classes=10)
    assert set(whole.train.labels.tolist()) == set(range(10))
    assert whole.test is None
    assert not whole.flips


# ---------------------------------------------------------------------- splits


def numbered(n: int, classes: int = 10) -> LabeledImages:
    """Every image holds its own number."""
    numbers = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 2, 1, 1)
    return LabeledImages(numbers, np.arange(n, dtype=np.int64) % classes)


def numbers(data: LabeledImages) -> list[int]:
    return [int(n) for n in np.ascontiguousarray(data.images).reshape(len(data), 2).view(np.uint16).ravel()]


UNSPLIT = Dataset("numbers", numbered(1000), None, tuple("0123456789"), flips=False)
OFFICIAL = replace(UNSPLIT, test=numbered(200))


def test_splits_are_disjoint_and_cover_the_data() -> None:
    splits = split(UNSPLIT, seed=1)
    assert sorted(numbers(splits.train) + numbers(splits.tune) + numbers(splits.test)) == list(range(1000))


def test_a_fifth_is_held_out_for_test_and_then_a_tenth_for_tune() -> None:
    splits = split(UNSPLIT, seed=1)
    assert (len(splits.train), len(splits.tune), len(splits.test)) == (720, 80, 200)
    assert UNSPLIT.test_share == 0.2


def test_an_official_test_split_is_kept_and_tune_is_cut_from_the_training_data() -> None:
    splits = split(OFFICIAL, seed=1)
    assert numbers(splits.test) == list(range(200))
    assert sorted(numbers(splits.train) + numbers(splits.tune)) == list(range(1000))
    assert len(splits.tune) == 100
    assert OFFICIAL.test_share == 0.0


def test_every_split_has_its_share_of_every_class() -> None:
    splits = split(UNSPLIT, seed=1)
    for part, each in ((splits.train, 72), (splits.tune, 8), (splits.test, 20)):
        assert np.bincount(part.labels).tolist() == [each] * 10


def test_images_stay_with_their_labels() -> None:
    splits = split(UNSPLIT, seed=1)
    for part in (splits.train, splits.tune, splits.test):
        assert [n % 10 for n in numbers(part)] == part.labels.tolist()


def test_splits_follow_from_the_seed() -> None:
    def tune_of(seed: int) -> list[int]:
        return numbers(split(UNSPLIT, seed).tune)

    assert tune_of(1) == tune_of(1)
    assert tune_of(1) != tune_of(2)


def test_the_tune_share_is_the_studys_choice(digits: Splits, whole: Dataset) -> None:
    splits = split(whole, seed=0, tune_share=0.25)
    assert (len(splits.tune), len(splits.test)) == (360, 360)
    np.testing.assert_array_equal(splits.test.images, digits.test.images)


# ---------------------------------------------------------------------- fingerprints


def test_a_fingerprint_changes_with_a_single_pixel_or_label(whole: Dataset) -> None:
    images, labels = whole.train.images.copy(), whole.train.labels.copy()
    images[-1, 0, 3, 3] ^= 1
    labels[0] = (labels[0] + 1) % 10
    other_pixel = replace(whole, train=LabeledImages(images, whole.train.labels))
    other_label = replace(whole, train=LabeledImages(whole.train.images, labels))
    same = replace(whole, train=LabeledImages(whole.train.images.copy(order="F"), whole.train.labels))
    assert same.fingerprint() == whole.fingerprint()
    assert len({whole.fingerprint(), other_pixel.fingerprint(), other_label.fingerprint()}) == 3


def test_the_test_split_is_part_of_the_fingerprint() -> None:
    assert OFFICIAL.fingerprint() != UNSPLIT.fingerprint()


# ---------------------------------------------------------------------- files, and what can be wrong with them


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root as torchvision lays it out."""
    if not DEBIAN_FASHION_MNIST.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    root = tmp_path_factory.mktemp("data")
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in DEBIAN_FASHION_MNIST.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return root


def test_fashion_mnist_is_read_in_torchvisions_layout(fashion_mnist: Path) -> None:
    data = load("fashion-mnist", fashion_mnist)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.shape == ImageShape(channels=1, size=28, classes=10)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.classes[:2] == ("T-shirt/top", "Trouser")


def test_an_unknown_name_names_those_there_are() -> None:
    with pytest.raises(
        InputError, match="unknown data set 'mnist'; allowed: cifar10, cifar100, digits, fashion-mnist, svhn"
    ):
        load("mnist")


torchvision_sets = pytest.mark.parametrize("name", [n for n in datasets.dataset_names() if n != "digits"])


@torchvision_sets
def test_a_data_set_of_files_needs_a_root(name: str) -> None:
    with pytest.raises(InputError, match=f"data set '{name}' needs --data-root"):
        load(name)


@torchvision_sets
def test_files_that_are_not_there_are_an_error_that_names_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"data set '{name}' cannot be read from {tmp_path}: ."):
        load(name, tmp_path)


@pytest.mark.parametrize("content", [b"", b"junk", b"\0\0\x08\x03\0\0\0\x02\0\0\0\x1c\0\0\0\x1c"])
def test_damaged_files_are_an_error_that_names_the_folder(tmp_path: Path, content: bytes) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for file in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{file}-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=f"data set 'fashion-mnist' cannot be read from {tmp_path}: ."):
        load("fashion-mnist", tmp_path)


def test_without_torchvision_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(JobError, match=r"torchvision cannot be imported .* pip install"):
        load("cifar10", tmp_path)


def test_digits_need_neither_torch_nor_torchvision() -> None:
    program = (
        "import sys; from surrogate_nas.datasets import load, split; split(load('digits'), 0); "
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
