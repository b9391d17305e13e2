"""Data sets, their splits, a study's copy of them, and their cards."""

import gzip
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from surrogate_nas import datasets
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.card import card
from surrogate_nas.datasets.dataset import TUNE_IMAGES, Dataset, LabeledImages, Splits, usual_tune_share
from surrogate_nas.datasets.source import load, source_stamp
from surrogate_nas.datasets.splitting import split, tune_share_of
from surrogate_nas.foundation.errors import InputError, JobError

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


def numbered_images(n: int, classes: int = 10) -> LabeledImages:
    """Every image holds its own number."""
    numbers = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 2, 1, 1)
    return LabeledImages(numbers, np.arange(n, dtype=np.int64) % classes)


def numbers(data: LabeledImages) -> list[int]:
    return [int(n) for n in np.ascontiguousarray(data.images).reshape(len(data), 2).view(np.uint16).ravel()]


UNSPLIT = Dataset("numbers", numbered_images(1000), None, tuple("0123456789"), flips=False)
OFFICIAL = replace(UNSPLIT, test=numbered_images(200))


def test_splits_are_disjoint_and_cover_the_data() -> None:
    splits = split(UNSPLIT, seed=1)
    assert sorted(numbers(splits.train) + numbers(splits.tune) + numbers(splits.test)) == list(range(1000))


def test_a_fifth_is_held_out_for_test_and_then_three_tenths_of_few_images_for_tune() -> None:
    splits = split(UNSPLIT, seed=1)
    assert (len(splits.train), len(splits.tune), len(splits.test)) == (560, 240, 200)
    assert (UNSPLIT.test_share, UNSPLIT.tune_share) == (0.2, 0.3)


@pytest.mark.parametrize("images", [1, 100, 1_667, 1_668, 2_500, 5_000, 5_001, 1_000_000])
def test_tune_has_enough_images_or_a_share_within_bounds(images: int) -> None:
    share = usual_tune_share(images)
    assert 0.1 <= share <= 0.3
    enough = share * images >= 0.98 * TUNE_IMAGES  # shares are rounded
    assert share == 0.3 or enough
    assert share == 0.1 or share * images <= 1.02 * TUNE_IMAGES


def test_an_official_test_split_is_kept_and_tune_is_cut_from_the_training_data() -> None:
    splits = split(OFFICIAL, seed=1)
    assert numbers(splits.test) == list(range(200))
    assert sorted(numbers(splits.train) + numbers(splits.tune)) == list(range(1000))
    assert len(splits.tune) == 300
    assert OFFICIAL.test_share == 0.0


def test_every_split_has_its_share_of_every_class() -> None:
    splits = split(UNSPLIT, seed=1)
    for part, each in ((splits.train, 56), (splits.tune, 24), (splits.test, 20)):
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


def of_counts(counts: list[int], test: bool = False) -> Dataset:
    """So many images of each class, in no order; a test split of one image a class if wanted."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    held_out = numbered_images(len(counts), len(counts)) if test else None
    images = numbered_images(len(labels)).images
    return Dataset("counts", LabeledImages(images, labels), held_out, tuple(map(str, range(len(counts)))), flips=True)


@pytest.mark.parametrize(("test", "needed"), [(False, 3), (True, 2)])
def test_every_class_needs_an_image_for_each_part_that_is_cut(test: bool, needed: int) -> None:
    split(of_counts([100, needed], test), seed=0)
    message = f"class '1' of data set 'counts' has too few images, {needed - 1}; at least {needed} are needed"
    with pytest.raises(InputError, match=message):
        split(of_counts([100, needed - 1], test), seed=0)


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 10, 37])
def test_too_few_images_for_all_classes_are_an_error_that_says_how_many_are_needed(classes: int, test: bool) -> None:
    with pytest.raises(InputError, match=r"has too few training images, .* at least .* are needed") as refused:
        split(of_counts([3] * classes, test), seed=0, tune_share=0.1)
    needed = int(str(refused.value).split("at least ")[1].split()[0])
    enough = [needed // classes + (c < needed % classes) for c in range(classes)]
    assert all(len(part) >= classes for part in parts_of(split(of_counts(enough, test), seed=0, tune_share=0.1)))
    with pytest.raises(InputError, match="too few"):
        split(of_counts([*enough[:-1], enough[-1] - 1], test), seed=0, tune_share=0.1)


def parts_of(splits: Splits) -> tuple[LabeledImages, LabeledImages, LabeledImages]:
    return splits.train, splits.tune, splits.test


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.booleans(), st.integers(0, 99))
def test_what_is_not_refused_can_be_cut_and_every_class_is_trained(counts: list[int], test: bool, seed: int) -> None:
    dataset = of_counts(counts, test)
    try:
        splits = split(dataset, seed)
    except InputError:
        return
    assert set(splits.train.labels.tolist()) == set(range(len(counts)))
    assert len(splits.train) + len(splits.tune) + (0 if test else len(splits.test)) == sum(counts)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_tune_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"tune share {share} is not between 0 and 1"):
        split(UNSPLIT, seed=0, tune_share=share)


def test_a_given_tune_split_takes_no_share() -> None:
    given = replace(OFFICIAL, tune=numbered_images(50))
    assert tune_share_of(given) == 0
    with pytest.raises(InputError, match=r"gives a tune split, got tune share 0\.2; expected none"):
        tune_share_of(given, 0.2)


# ---------------------------------------------------------------------- what a data set must be


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0], ("cat",), "data set 'x' has one class, 'cat'; at least two are needed"),
        ([0, 0], (), "data set 'x' has no classes; at least two are needed"),
        ([0, 2], ("a", "b", "c"), "class 'b' of data set 'x' has no training images"),
        ([0, 2], ("a", "b"), "data set 'x' has the training label 2; allowed: 0 to 1"),
        ([-1, 1], ("a", "b"), "data set 'x' has the training label -1; allowed: 0 to 1"),
        ([0], ("a", "b"), "data set 'x' has 2 training images and 1 labels; expected equal numbers, at least 1"),
    ],
)
def test_a_data_set_that_cannot_be_learned_is_refused(
    labels: list[int], classes: tuple[str, ...], message: str
) -> None:
    images = np.zeros((2, 1, 4, 4), np.uint8)
    with pytest.raises(InputError, match=message):
        Dataset("x", LabeledImages(images, np.array(labels, np.int64)), None, classes, flips=True)


def test_a_test_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(InputError, match="data set 'numbers' has the test label 10; allowed: 0 to 9"):
        replace(UNSPLIT, test=numbered_images(11, 11))


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


def test_the_digits_fingerprint_is_that_of_studies_made_before(whole: Dataset) -> None:
    assert whole.fingerprint() == "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"


# ---------------------------------------------------------------------- a study's own copy


@st.composite
def any_dataset(draw: st.DrawFn) -> Dataset:
    """Random images of random shape, with the strangest names."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.lists(st.text(), min_size=2, max_size=5))
    channels, size = draw(st.sampled_from([1, 3])), draw(st.integers(4, 9))

    def part(labels: np.ndarray) -> LabeledImages:
        images = rng.integers(0, 256, (len(labels), size, size, channels), np.uint8).transpose(0, 3, 1, 2)
        return LabeledImages(images, labels.astype(np.int64))

    test = part(rng.integers(0, len(classes), 3)) if draw(st.booleans()) else None
    train = part(rng.permutation(np.arange(3 * len(classes)) % len(classes)))
    notes = tuple(draw(st.lists(st.text(), max_size=2)))
    return Dataset(draw(st.text(min_size=1)), train, test, tuple(classes), draw(st.booleans()), notes)


@given(any_dataset())
def test_a_stored_data_set_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> None:
    path = tmp_path_factory.mktemp("store") / "data.safetensors"
    store.save(data, path)
    back = store.load(path)
    assert (back.name, back.classes, back.flips, back.notes) == (data.name, data.classes, data.flips, data.notes)
    assert (back.test is None) == (data.test is None)
    assert back.fingerprint() == data.fingerprint()
    assert back.train.images.flags.writeable
    np.testing.assert_array_equal(back.train.images, data.train.images)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.fixture
def stored(tmp_path: Path, whole: Dataset) -> Path:
    path = tmp_path / "data.safetensors"
    store.save(whole, path)
    return path


@pytest.mark.parametrize("length", [0, 4, 100, 1000, 100_000])
def test_a_stored_data_set_that_is_cut_off_is_refused(stored: Path, length: int) -> None:
    stored.write_bytes(stored.read_bytes()[:length])
    with pytest.raises(InputError, match=f"{stored} is damaged or not a study's data: ."):
        store.load(stored)


def test_a_file_of_weights_is_not_a_stored_data_set(tmp_path: Path) -> None:
    save_file({"weight": np.zeros((2, 2), np.float32)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="is damaged or not a study's data"):
        store.load(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("changes", "tensors"),
    [({"format": 99}, {}), ({"classes": ["0", "1"]}, {}), ({}, {"train.labels": np.zeros(1797, np.float32)})],
)
def test_a_stored_data_set_that_contradicts_itself_is_refused(
    stored: Path, whole: Dataset, changes: dict[str, object], tensors: dict[str, np.ndarray]
) -> None:
    description = {
        "format": store.FORMATS[0],
        "name": "digits",
        "classes": list(whole.classes),
        "flips": False,
        "notes": [],
    }
    metadata = {store.DESCRIPTION: json.dumps(description | changes)}
    save_file(load_file(stored) | tensors, stored, metadata)
    with pytest.raises(InputError, match="is damaged or not a study's data"):
        store.load(stored)


def test_where_nothing_is_stored_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no data at {tmp_path / 'none'}"):
        store.load(tmp_path / "none")


def test_a_copy_that_cannot_be_written_leaves_what_was_there(whole: Dataset, tmp_path: Path) -> None:
    taken = tmp_path / "data.safetensors"
    taken.mkdir()
    for path in (taken, tmp_path / "nowhere" / "data.safetensors"):
        with pytest.raises(InputError, match=f"{path} cannot be written: ."):
            store.save(whole, path)
    assert [p.name for p in tmp_path.iterdir()] == [taken.name]


# ---------------------------------------------------------------------- cards


@pytest.mark.parametrize("dataset", [UNSPLIT, OFFICIAL], ids=["unsplit", "official"])
def test_a_card_counts_what_the_study_will_cut(dataset: Dataset) -> None:
    data_card, splits = card(dataset, seed=5), split(dataset, seed=5)
    assert (data_card.train, data_card.tune, data_card.test) == tuple(map(len, parts_of(splits)))
    assert sum(c.images for c in data_card.classes) == data_card.train + data_card.tune
    assert [c.test for c in data_card.classes] == np.bincount(splits.test.labels).tolist()
    assert [c.name for c in data_card.classes] == list(dataset.classes)
    assert data_card.fingerprint == dataset.fingerprint()


def test_a_card_has_the_moments_of_the_pixels_and_the_balance_of_the_classes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 5, 5), np.uint8)
    labels = (np.arange(1500) % 3 == 0).astype(np.int64)
    data_card = card(Dataset("noise", LabeledImages(images, labels), None, ("a", "b"), flips=True))
    np.testing.assert_allclose(data_card.mean, images.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(data_card.deviation, images.std(axis=(0, 2, 3)))
    assert data_card.balance == 0.5
    assert data_card.bytes == images.nbytes + labels.nbytes
    assert (data_card.channels, data_card.size) == (3, 5)


def test_a_card_can_be_written_as_json(whole: Dataset) -> None:
    document = card(replace(whole, notes=("a note",))).document()
    assert json.loads(json.dumps(document)) == document
    assert document["classes"][0] == {"name": "0", "images": 142, "test": 36}
    assert document["notes"] == ["a note"]


# ---------------------------------------------------------------------- files, and what can be wrong with them


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root as torchvision lays it out."""
    if not DEBIAN_FASHION_MNIST.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    root = tmp_path_factory.mktemp("data")
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for gz in DEBIAN_FASHION_MNIST.glob("*.gz"):
        (raw / gz.stem).write_bytes(gzip.decompress(gz.read_bytes()))
    return root


def test_fashion_mnist_is_read_in_torchvisions_layout(fashion_mnist: Path) -> None:
    data = load("fashion-mnist", fashion_mnist)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.shape == ImageShape(channels=1, size=28, classes=10)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.classes[:2] == ("T-shirt/top", "Trouser")


def test_fashion_mnist_is_read_from_a_studys_copy_in_a_moment(fashion_mnist: Path, tmp_path: Path) -> None:
    data, path = load("fashion-mnist", fashion_mnist), tmp_path / "data.safetensors"
    store.save(data, path)
    start = time.perf_counter()
    copy = store.load(path)
    assert time.perf_counter() - start < 1  # 0.05 s on an idle machine
    assert copy.fingerprint() == data.fingerprint()


@pytest.mark.parametrize("name", ["mnist", "", "Digits"])
def test_an_unknown_name_names_those_there_are(name: str) -> None:
    names = "cifar10, cifar100, digits, fashion-mnist, svhn"
    with pytest.raises(InputError, match=f"unknown data set '{name}'; allowed: {names}, or the path of a folder"):
        load(name)


@pytest.mark.parametrize("path", ["images/none", "./none", "~none", "none.npz", "~/none.npz", "/dev/null", "..."])
def test_a_path_where_nothing_is_is_an_error_that_names_it(path: str) -> None:
    with pytest.raises(InputError, match=f"no folder or .npz file at '{path}'"):
        load(path)
    assert source_stamp(path) is None


@pytest.mark.parametrize("size", [4, 32])
def test_a_named_set_is_resized_on_request(whole: Dataset, size: int) -> None:
    data = load("digits", image_size=size)
    assert data.shape == ImageShape(channels=1, size=size, classes=10)
    assert data.notes == (f"1,797 images of 8×8 were resized to {size}×{size}",)
    assert abs(float(data.train.images.mean()) - float(whole.train.images.mean())) < 3


def test_a_named_set_of_its_own_size_is_left_alone(whole: Dataset) -> None:
    data = load("digits", image_size=8)
    assert (data.fingerprint(), data.notes) == (whole.fingerprint(), ())


@pytest.mark.parametrize("size", [3, 257, 0, -1])
def test_images_are_resized_to_4_to_256_pixels(size: int) -> None:
    with pytest.raises(InputError, match=f"image size {size} is not between 4 and 256 pixels"):
        load("digits", image_size=size)


def test_whether_mirror_images_are_used_is_the_users_choice() -> None:
    assert [load("digits", flips=flips).flips for flips in (None, True, False)] == [False, True, False]


def test_a_named_set_has_no_stamp() -> None:
    assert source_stamp("digits") is None


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


def test_digits_and_a_studys_copy_need_neither_torch_nor_torchvision_nor_pillow(stored: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from surrogate_nas.datasets import load, stored; "
        "from surrogate_nas.datasets.card import card; from surrogate_nas.datasets.splitting import split; "
        f"split(load('digits'), 0); card(stored.load(Path({str(stored)!r}))); "
        "sys.exit(bool({'torch', 'torchvision', 'PIL'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
