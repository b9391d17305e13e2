"""Splits and groups from a CSV file: every image in one split, no group in two, and one clear line for a wrong file."""

import csv
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.card import GroupCounts, card
from surrogate_nas.datasets.dataset import Dataset, LabeledImages, Splits
from surrogate_nas.datasets.from_torch import from_torch
from surrogate_nas.datasets.source import load
from surrogate_nas.datasets.split_file import SplitFile, with_splits
from surrogate_nas.datasets.splitting import settled, split
from surrogate_nas.foundation.errors import InputError
from tests.conftest import Command

PARTS = ("train", "tune", "test")


def numbered(labels: Sequence[int], first: int = 0) -> LabeledImages:
    """Images whose first two pixels are their number."""
    images = np.zeros((len(labels), 1, 4, 4), np.uint8)
    number = np.arange(first, first + len(labels))
    images[:, 0, 0, 0], images[:, 0, 0, 1] = number // 256, number % 256
    return LabeledImages(images, np.array(labels, np.int64))


def numbers(part: LabeledImages) -> list[int]:
    return (part.images[:, 0, 0, 0].astype(int) * 256 + part.images[:, 0, 0, 1]).tolist()


def dataset(labels: Sequence[int]) -> Dataset:
    return Dataset("numbers", numbered(labels), None, tuple(map(str, range(max(labels) + 1))), flips=True)


def file(folder: Path, header: str, lines: Sequence[Sequence[object]]) -> Path:
    path = folder / "splits.csv"
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([header.split(","), *lines])
    return path


def grouped(folder: Path, labels: Sequence[int], groups: Sequence[object]) -> Dataset:
    path = file(folder, "image,group", list(enumerate(groups)))
    return with_splits(dataset(labels), SplitFile.read(path))


def each(splits: Splits) -> list[LabeledImages]:
    return [splits.train, splits.tune, splits.test]


# ---------------------------------------------------------------------- laws


@settings(max_examples=10)
@given(st.data())
def test_groups_stay_whole_and_every_image_is_in_one_split(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    classes, count = data.draw(st.integers(2, 4)), data.draw(st.integers(12, 40))
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=count, max_size=count))
    groups = np.repeat(np.arange(count), sizes)
    labels = groups % classes
    if data.draw(st.booleans()):  # groups of several classes
        labels = np.arange(len(groups)) % classes
    order = np.random.default_rng(count).permutation(len(groups))
    names = [f"g{g}" if sizes[g] > 1 or g % 2 else "" for g in groups[order]]
    whole = grouped(tmp_path_factory.getbasetemp(), labels[order].tolist(), names)
    seed = data.draw(st.integers(0, 3))
    splits = split(whole, seed)
    assert sorted(n for part in each(splits) for n in numbers(part)) == list(range(len(groups)))
    sides = [set(groups[order][numbers(part)]) for part in each(splits)]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(sides, 2))
    assert [len(side) for side in sides] == [len(np.unique(part.groups)) for part in each(splits)]
    assert all(sides)
    assert set(splits.train.labels.tolist()) == set(range(classes))
    np.testing.assert_equal(asdict(split(whole, seed)), asdict(splits))
    np.testing.assert_equal(asdict(split(settled(whole, seed), seed + 1)), asdict(splits))


def test_shares_and_classes_are_near_those_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 12, size=300))
    labels = (np.arange(300) % 3 == 0).astype(int)[groups]
    splits = split(grouped(tmp_path, labels.tolist(), groups.tolist()), seed=0, tune_share=0.1)
    assert len(splits.test) / len(labels) == pytest.approx(0.2, abs=0.01)
    assert len(splits.tune) / len(labels) == pytest.approx(0.08, abs=0.01)
    for part in each(splits):
        assert part.labels.mean() == pytest.approx(labels.mean(), abs=0.02)


def test_many_groups_are_cut_in_seconds_and_near_the_shares_too(tmp_path: Path) -> None:
    groups = np.repeat(np.arange(3000), np.random.default_rng(0).integers(1, 5, size=3000))
    labels = (np.arange(3000) % 10)[groups]
    splits = split(grouped(tmp_path, labels.tolist(), groups.tolist()), seed=0)
    assert len(splits.test) / len(labels) == pytest.approx(0.2, abs=0.01)
    assert len(splits.tune) / len(labels) == pytest.approx(0.08, abs=0.01)
    assert all(set(a.groups).isdisjoint(b.groups) for a, b in itertools.combinations(each(splits), 2))
    for part in each(splits):
        assert np.bincount(part.labels) / len(part) == pytest.approx(0.1, abs=0.03)


def test_another_seed_cuts_otherwise(tmp_path: Path) -> None:
    whole = grouped(tmp_path, [i % 2 for i in range(200)], [i // 4 for i in range(200)])
    assert numbers(split(whole, 0).test) != numbers(split(whole, 1).test)


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few groups, 1, to cut test and leave each class a group for training"):
        split(grouped(tmp_path, [0, 1] * 10, ["one"] * 20), seed=0)
    with pytest.raises(InputError, match="too few groups, 2, to cut tune and leave each class a group for training"):
        split(grouped(tmp_path, [0] * 40 + [1] * 20, ["a"] * 20 + ["b"] * 20 + ["c"] * 20), seed=0)


def test_the_only_group_of_a_class_is_trained_on(tmp_path: Path) -> None:
    labels = [0] * 40 + [1] * 6
    whole = settled(grouped(tmp_path, labels, [i // 2 for i in range(40)] + ["rare"] * 6), seed=0)
    assert set(range(40, 46)) <= set(numbers(split(whole, 0).train))
    assert "class '1' has no tune images" in whole.notes
    assert "class '1' has no test images" in whole.notes
    assert settled(whole, 0) is not whole
    assert settled(whole, 0).notes == whole.notes


def test_a_share_that_whole_groups_cannot_have_is_noted(tmp_path: Path) -> None:
    groups = [i // 10 for i in range(60)]
    whole = settled(grouped(tmp_path, [i % 2 for i in range(60)], groups), seed=0, tune_share=0.1)
    assert "tune has 20% of the images instead of 10%, as groups stay whole" in whole.notes
    assert not any(note.startswith("test has") for note in whole.notes)  # one group of six, 17 %


# ---------------------------------------------------------------------- given splits


def test_given_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    names = ["train", "tune", "test", "val", "TRAIN", "test"]
    path = file(tmp_path, "split,image", [(name, i) for i, name in enumerate(names)])
    splits = split(with_splits(dataset([0, 0, 1, 1, 1, 0]), SplitFile.read(path)), seed=5)
    assert [numbers(part) for part in each(splits)] == [[0, 4], [1, 3], [2, 5]]
    assert splits.train.groups is None


def test_a_split_that_no_line_names_is_cut_from_the_training_images(tmp_path: Path) -> None:
    path = file(tmp_path, "image,split", [(i, "test" if i >= 100 else "train") for i in range(120)])
    whole = with_splits(dataset([i % 2 for i in range(120)]), SplitFile.read(path))
    splits = split(whole, seed=0)
    assert numbers(splits.test) == list(range(100, 120))
    assert (len(splits.tune), len(splits.train)) == (30, 70)
    assert (whole.tune_share, whole.test_share) == (0.3, 0.0)
    plain = replace(dataset([i % 2 for i in range(100)]), test=numbered([i % 2 for i in range(100, 120)], 100))
    np.testing.assert_equal(asdict(split(plain, 0)), asdict(splits))


def test_open_images_are_cut_and_the_others_stay(tmp_path: Path) -> None:
    path = file(tmp_path, "image,split", [(i, "train" if i < 50 else "") for i in range(150)])
    splits = split(with_splits(dataset([i % 2 for i in range(150)]), SplitFile.read(path)), seed=0)
    assert set(range(50)) <= set(numbers(splits.train))
    assert (len(splits.test), len(splits.tune)) == (20, 24)


def test_open_images_follow_their_group(tmp_path: Path) -> None:
    lines = [(i, ["tune", "", "test", "", "train", ""][i % 6], i // 2) for i in range(24)]
    path = file(tmp_path, "image,split,group", lines)
    splits = split(with_splits(dataset([i // 6 % 2 for i in range(24)]), SplitFile.read(path)), seed=0)
    assert numbers(splits.tune) == [i for i in range(24) if i % 6 in (0, 1)]
    assert numbers(splits.test) == [i for i in range(24) if i % 6 in (2, 3)]


def test_groups_alone_keep_the_data_sets_own_splits(tmp_path: Path) -> None:
    own = replace(dataset([0, 1] * 20), tune=numbered([0, 1], 40), test=numbered([0, 1], 42))
    path = file(tmp_path, "image,group", [(i, i // 2) for i in range(44)])
    splits = split(with_splits(own, SplitFile.read(path)), seed=0)
    assert [numbers(part) for part in each(splits)] == [list(range(40)), [40, 41], [42, 43]]
    assert splits.tune.groups is not None
    assert len(np.unique(splits.tune.groups)) == 1


def test_a_column_of_splits_replaces_the_data_sets_own(tmp_path: Path) -> None:
    own = replace(dataset([0, 1, 0, 1]), test=numbered([0], 4), notes=("class '1' has no test images", "other"))
    path = file(tmp_path, "image,split", [(0, "test"), (1, "tune"), (2, "train"), (3, "train"), (4, "train")])
    whole = with_splits(own, SplitFile.read(path))
    assert [numbers(part) for part in each(split(whole, 0))] == [[2, 3, 4], [1], [0]]
    assert whole.notes == ("other",)


def test_a_validation_set_of_pairs_is_the_tune_split() -> None:
    def pairs(count: int) -> list[tuple[np.ndarray, int]]:
        return [(np.full((4, 4), i, np.uint8), i % 2) for i in range(count)]

    splits = split(from_torch(pairs(8), pairs(2), tune=pairs(4)), seed=0)
    assert [part.images[:, 0, 0, 0].tolist() for part in each(splits)] == [[*range(8)], [*range(4)], [0, 1]]
    assert [len(part) for part in each(split(from_torch(pairs(20), tune=pairs(4)), seed=0))] == [16, 4, 4]
    assert from_torch(pairs(8), tune=pairs(1)).notes == ("class '1' has no tune images",)


# ---------------------------------------------------------------------- a stored copy


def test_a_stored_copy_keeps_the_splits_and_groups(tmp_path: Path) -> None:
    whole = settled(grouped(tmp_path, [i % 2 for i in range(80)], [i // 4 for i in range(80)]), seed=3)
    store.save(whole, tmp_path / "data.safetensors")
    again = store.load(tmp_path / "data.safetensors")
    np.testing.assert_equal(asdict(again), asdict(whole))
    np.testing.assert_equal(asdict(split(again, 99)), asdict(split(whole, 3)))
    assert again.fingerprint() == dataset([i % 2 for i in range(80)]).fingerprint()


def test_a_stored_copy_keeps_the_official_tune_split(tmp_path: Path) -> None:
    whole = replace(dataset([0, 1] * 20), tune=numbered([0, 1], 40))
    store.save(whole, tmp_path / "data.safetensors")
    again = store.load(tmp_path / "data.safetensors")
    np.testing.assert_equal(asdict(again), asdict(whole))
    assert again.fingerprint() == whole.fingerprint()
    moved = replace(dataset([0, 1] * 20), test=numbered([0, 1], 40))
    assert len({d.fingerprint() for d in (whole, moved, dataset([0, 1] * 20), dataset([0, 1] * 21))}) == 4


def test_without_given_splits_a_copy_is_as_older_versions_wrote_it(tmp_path: Path) -> None:
    """So studies of either version open in the other, with the same splits."""
    whole = replace(dataset([0, 1] * 20), test=numbered([0, 1], 40))
    path = tmp_path / "data.safetensors"
    store.save(whole, path)
    with safe_open(path, framework="numpy") as opened:
        description = json.loads(opened.metadata()[store.DESCRIPTION])
        assert sorted(opened.keys()) == ["test.images", "test.labels", "train.images", "train.labels"]
    assert sorted(description) == ["classes", "flips", "format", "name", "notes", "oblong", "resize"]
    assert description["format"] == 1
    assert [numbers(part) for part in each(split(store.load(path), 0))][2] == [40, 41]
    store.save(replace(whole, tune=numbered([0, 1], 42)), path)
    with safe_open(path, framework="numpy") as opened:  # which an older version would misread
        assert json.loads(opened.metadata()[store.DESCRIPTION])["format"] == 2


# ---------------------------------------------------------------------- wrong files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{} is empty; expected the columns image, split, group"),
        ("image\n0\n", "{} has the columns image; expected image, and split or group or both"),
        ("image;group\n0;a\n", "{} has the columns image;group; expected image, and"),
        ("file,group\n0,a\n", "{} has the columns file, group; expected image, and"),
        ("image,groups\n0,a\n", "{} has the columns image, groups; expected image, and"),
        ("image,group,group\n0,a,b\n", "{} has the columns image, group, group; expected image, and"),
        ("image,group\n0,a\n1\n", "line 3 of {} has 1 cells; expected 2"),
        ("image,split\n0,train\n\n1,dev\n", "line 4 of {} has the split 'dev'; allowed: train, tune, test, or empty"),
        ("image,group\n0,a\n1,a\n0,b\n", "line 4 of {} repeats image '0' of line 2"),
        ("image,group\n0,a\n9,a\n", "line 3 of {} names '9', which is not an image; expected names like '0'"),
        ("image,group\n0,a\n2,a\n", "{} has no line for 2 of 4 images, the first of them '1'; each needs one"),
        (
            "image,split,group\n0,train,p7\n1,train,q\n2,test,p7\n3,test,q\n",
            "group 'p7' of {} is in both train (0) and test (2); allowed: one split",
        ),
        ('image,group\n0,"a\n', "{} is not a readable CSV file"),
        ("image,split,group\n0,tune,a\n1,tune,\n2,tune,\n3,tune,\n", "class '0' of data set 'numbers' has no training"),
        ("image,split\n0,tune\n1,tune\n2,tune\n3,tune\n", "class '0' of data set 'numbers' has no training images"),
        ("image,split\n0,test\n1,train\n2,tune\n3,train\n", "class '0' of data set 'numbers' has no training images"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        split(with_splits(dataset([0, 1, 0, 1]), SplitFile.read(path)), seed=0)
    assert str(refused.value).startswith(message.format(path))
    assert "\n" not in str(refused.value)


def test_a_file_as_spreadsheets_write_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_bytes("\ufeffimage, group\r\n./0, a\r\n1,a\r\n\r\n2,\r\n".encode())
    read = SplitFile.read(path)
    assert {name: row.group for name, row in read.rows.items()} == {"0": "a", "1": "a", "2": ""}
    assert read.notes() == ("images are in 1 groups, and 1 without a group; the largest, 'a', has 2 images",)
    path.write_text("group,image\n,2\na,1\na,0\n")
    assert SplitFile.read(path).digest == read.digest
    read.write(tmp_path / "copy.csv")
    assert SplitFile.read(tmp_path / "copy.csv").digest == read.digest
    path.write_text("group,image\nb,2\na,1\na,0\n")
    assert SplitFile.read(path).digest != read.digest


# ---------------------------------------------------------------------- a folder, and the command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Sixty images by two classes, three of each object."""
    folder = tmp_path / "photos"
    for i in range(60):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
    return folder


def test_images_of_a_folder_are_named_by_their_paths(photos: Path) -> None:
    lines = [(f"{'ab'[i % 2]}/{i:02}.png", f"object {i // 6}-{i % 2}") for i in range(60)]
    splits = split(load(str(photos), splits=file(photos, "image,group", lines)), seed=0)
    sides = [{(i // 6, i % 2) for i in part.images[:, 0, 0, 0].tolist()} for part in each(splits)]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(sides, 2))
    assert sum(len(side) for side in sides) == 20


def test_the_command_shows_counts_and_groups(photos: Path, command: Command) -> None:
    lines = [(f"{'ab'[i % 2]}/{i:02}.png", i // 6) for i in range(60)]
    path = file(photos.parent, "image,group", lines)
    code, out, _ = command("datasets", "show", photos, "--splits", path, "--tune-share", 0.1, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["groups"] == {"train": 7, "tune": 1, "test": 2, "largest": 6}
    assert (document["train"], document["tune"], document["test"]) == (42, 6, 12)
    code, out, _ = command("datasets", "show", photos, "--splits", path, "--tune-share", 0.1)
    assert "train 7, tune 1, test 2; the largest has 6 images" in out
    assert card(load(str(photos))).groups is None
    assert card(load(str(photos), splits=path), tune_share=0.1).groups == GroupCounts(7, 1, 2, 6)


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        ("image,split", [("a/00.png", "dev")], "has the split 'dev'"),
        ("image,group", [("a/99.png", "x")], "names 'a/99.png', which is not an image; expected names like 'a/00.png'"),
        (
            "image,group",
            [("a/00.png", "x")],
            "has no line for 59 of 60 images, the first of them 'a/02.png'; each needs one",
        ),
    ],
)
def test_a_wrong_file_is_refused_before_any_image_is_decoded(
    photos: Path, command: Command, header: str, lines: list[tuple[str, str]], message: str
) -> None:
    (photos / "b" / "59.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    path, study = file(photos.parent, header, lines), photos.parent / "study"
    for words in (["run", study, "--data", photos], ["collect", study, "--n", 1, "--data", photos]):
        code, _, err = command(*words, "--splits", path)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
    assert not study.exists()
