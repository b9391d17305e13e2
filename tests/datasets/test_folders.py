"""Images as people have them: folders by class, in any mode, size and orientation, and what can be wrong with them."""

import io
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets import folders as files
from surrogate_nas.datasets import pixels
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.source import load, source_stamp
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import InputError

Bytes = npt.NDArray[np.uint8]
SIDE = 8
RNG = np.random.default_rng(0)


def noise(*shape: int) -> Bytes:
    return RNG.integers(0, 256, shape, np.uint8)


def colour(width: int = SIDE, height: int = SIDE) -> Image.Image:
    return Image.fromarray(noise(height, width, 3))


def grey(width: int = SIDE, height: int = SIDE) -> Image.Image:
    return Image.fromarray(noise(height, width))


def png() -> bytes:
    """A grey image as a file."""
    file = io.BytesIO()
    grey().save(file, "png")
    return file.getvalue()


def write(folder: Path, contents: dict[str, Image.Image | bytes]) -> Path:
    """Files by their paths in `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path)
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three cats and two dogs."""
    images = {name: colour() for name in ("cat/1.png", "cat/2.png", "cat/deep/er/3.png", "dog/1.png", "dog/2.bmp")}
    return write(tmp_path / "pets", images)


def refusal(folder: Path, **options: int) -> str:
    """The message about a folder that cannot be used: one line."""
    with pytest.raises(InputError) as refused:
        load(str(folder), **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


def single(path: Path, side: int | None = None) -> Bytes:
    return pixels.read(path, side).values


# ---------------------------------------------------------------------- folders


def test_a_folder_is_read_by_class_in_the_order_of_its_paths(pets: Path) -> None:
    data = load(str(pets))
    assert (data.name, data.classes, data.test, data.flips, data.notes) == (
        "folder:pets",
        ("cat", "dog"),
        None,
        True,
        (),
    )
    assert data.shape == ImageShape(channels=3, size=SIDE, classes=2)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    paths = ("cat/1.png", "cat/2.png", "cat/deep/er/3.png", "dog/1.png", "dog/2.bmp")
    for path, image in zip(paths, data.train.images, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(Image.open(pets / path)))


def test_reading_twice_gives_the_same(pets: Path) -> None:
    assert load(str(pets)).fingerprint() == load(f"{pets}/../pets/").fingerprint()


def test_a_home_folder_may_be_meant(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(pets.parent))
    assert load("~/pets").name == "folder:pets"


def test_a_folder_with_train_and_test_keeps_them_apart(tmp_path: Path) -> None:
    contents = {f"{part}/{name}/{i}.png": grey() for part in ("train", "test") for name in "ab" for i in range(2)}
    data = load(str(write(tmp_path, contents)))
    assert data.test is not None
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 0, 1, 1], [0, 0, 1, 1])
    np.testing.assert_array_equal(data.test.images[3, 0], np.asarray(contents["test/b/1.png"]))
    assert data.notes == ()


def test_train_alone_has_no_test_split(tmp_path: Path) -> None:
    assert load(str(write(tmp_path, {"train/a/1.png": grey(), "train/b/1.png": grey()}))).test is None


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_images_are_tune_and_test_is_cut_from_train_where_there_is_none(tmp_path: Path, name: str) -> None:
    contents = {f"train/{c}/{i}.png": grey() for c in "ab" for i in range(10)}
    held_out = {f"{name}/{c}/1.png": grey() for c in "ab"}
    data = load(str(write(tmp_path, contents | held_out)))
    splits = split(data, seed=0)
    assert [len(part) for part in (splits.train, splits.tune, splits.test)] == [16, 2, 4]
    np.testing.assert_array_equal(splits.tune.images[1, 0], np.asarray(held_out[f"{name}/b/1.png"]))
    assert data.notes == (f"{name} is the tune split; without a folder test, 20% of train is held out",)
    assert (data.tune_share, data.test_share) == (0.0, 0.2)


def test_train_validation_and_test_are_the_splits_as_given(tmp_path: Path) -> None:
    contents = {f"{part}/{c}/1.png": grey() for part in ("train", "val", "test") for c in "ab"}
    data = load(str(write(tmp_path, contents)))
    splits = split(data, seed=0)
    for folder, part in (("train", splits.train), ("val", splits.tune), ("test", splits.test)):
        assert part.labels.tolist() == [0, 1]
        np.testing.assert_array_equal(part.images[:, 0], [np.asarray(contents[f"{folder}/{c}/1.png"]) for c in "ab"])
    assert data.notes == ()
    assert (data.tune_share, data.test_share) == (0.0, 0.0)


def test_a_class_that_validation_lacks_is_noted(tmp_path: Path) -> None:
    names = ("train/a", "train/b", "val/a", "test/a", "test/b")
    data = load(str(write(tmp_path, {f"{name}/1.png": grey() for name in names})))
    assert data.notes == ("class 'b' has no tune images",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    data = load(str(write(tmp_path, {f"{name}/1.png": grey() for name in ("bus", "train", "tram")})))
    assert data.classes == ("bus", "train", "tram")


def test_a_class_without_test_images_is_noted(tmp_path: Path) -> None:
    data = load(str(write(tmp_path, {"train/a/1.png": grey(), "train/b/1.png": grey(), "test/b/1.png": grey()})))
    assert data.notes == ("class 'a' has no test images",)


def test_hidden_files_are_left_out(pets: Path) -> None:
    names = (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "dog/desktop.ini", ".git/config", "dog/.cache/1.png")
    assert load(str(write(pets, dict.fromkeys(names, b"junk")))).notes == ("6 hidden files were left out",)


STRAYS = {"LICENSE": b"MIT", "README.md": b"# Pets", "cat/notes.txt": b"Rex", "dog/deep/labels.csv": b"a,b"}


@pytest.mark.parametrize("prefixes", [("",), ("train/",), ("train/", "test/"), ("train/", "val/", "test/")])
def test_what_is_no_image_is_left_out_and_counted(tmp_path: Path, prefixes: tuple[str, ...]) -> None:
    """Wherever it lies: the images are those of the same folder without it."""
    images = {f"{p}{c}/{i}.png": grey() for p in prefixes for c in ("cat", "dog") for i in range(2)}
    plain = load(str(write(tmp_path / "plain", images)))
    strays = {f"{p}{name}": content for p in prefixes for name, content in STRAYS.items()}
    strays["README.md"] = STRAYS["README.md"]
    data = load(str(write(tmp_path / "strays", {**images, **strays})))
    assert data.fingerprint() == plain.fingerprint()
    (note,) = set(data.notes) - set(plain.notes)
    assert re.fullmatch(rf"{len(strays)} files that are not images were left out \(.*README.md.*\)", note)


def test_one_file_that_is_no_image_is_named(pets: Path) -> None:
    assert load(str(write(pets, {".DS_Store": b"junk", "README.md": b"# Pets"}))).notes == (
        "1 hidden file was left out",
        "1 file that is not an image was left out (README.md)",
    )


def test_an_image_needs_no_name_of_one(pets: Path) -> None:
    data = load(str(write(pets, {"dog/3": png(), "dog/4.jpg.orig": png()})))
    assert np.bincount(data.train.labels).tolist() == [3, 4]


def test_links_to_folders_are_followed_and_loops_end(pets: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", {"1.png": colour()})
    (pets / "eel").symlink_to(elsewhere)
    (pets / "cat" / "round").symlink_to(pets)
    (pets / "cat" / "self").symlink_to(pets / "cat")
    (pets / "dog" / "more").symlink_to(elsewhere)
    assert load(str(pets)).train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a/1.png": grey()}, "{} has one class, 'a'; at least two are needed"),
        ({"train/a/1.png": grey()}, "{}/train has one class, 'a'; at least two are needed"),
        ({"1.png": grey()}, "{} has no class folders; "),
        ({"train/1.png": grey(), "test/1.png": grey()}, "{}/train has no class folders; "),
        ({"a/1.png": grey(), "b/1.png": grey(), "2.png": grey(), "1.png": grey()}, "{}/1.png lies beside the class"),
        ({"train/a/1.png": grey(), "test/a/1.png": grey(), "2.png": b""}, "{}/2.png lies beside train; "),
        ({"a/1.png": grey(), "b/1.png": grey(), "2": png(), "README": b""}, "{}/2 lies beside the class"),
        ({"train/a/1.png": grey(), "test/a/1.png": grey(), "extra/1.png": b""}, "{}/extra lies beside train; "),
        ({"a/1.png": grey(), "b/.hidden": b""}, "{}/b has no images"),
        ({"a/1.png": grey(), "b/deep/.hidden": b""}, "{}/b has no images"),
        ({f"train/{c}/1.png": grey() for c in "ab"} | {"test/a/.hidden": b""}, "{}/test has no images"),
        ({f"{p}/1.png": grey() for p in ("train/a", "train/b", "test/c")}, "{}/test/c is a class that train lacks"),
        ({f"{p}/1.png": grey() for p in ("train/a", "val/c", "test/a")}, "{}/val/c is a class that train lacks"),
        (
            {f"{p}/a/1.png": grey() for p in ("train", "val", "valid")},
            "{} has val and valid; allowed: only one of them",
        ),
        ({"a/1.png": grey(), "b/notes.txt": b"Rex"}, "{}/b has no images"),
        ({"train/a/1.png": grey(), "train/b/1.png": grey(), "test/a/LICENSE": b"MIT"}, "{}/test has no images"),
        ({"a/1.png": grey(), "b/1.png": b""}, "{}/b/1.png is not a readable image"),
        ({"a/1.png": grey(), "b/1.svg": b"<svg/>"}, "{}/b has no images"),
        ({"a/1.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"}, "{} has one class"),
        ({"a/1.png": grey(), "b/1.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"}, "{}/b/1.eps is not a"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_named(
    tmp_path: Path, contents: dict[str, Image.Image | bytes], message: str
) -> None:
    assert refusal(write(tmp_path / "data", contents)).startswith(message.format(tmp_path / "data"))


def test_a_missing_image_folder_is_a_path_at_which_there_is_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"no folder or .npz file at '{tmp_path / 'none'}'"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").startswith(f"{tmp_path / 'empty'} has no class folders; ")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_cut_off_image_is_named(pets: Path, suffix: str) -> None:
    broken = pets / "dog" / f"3.{suffix}"
    colour(64, 64).save(broken)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    assert refusal(pets, image_size=SIDE) == f"{broken} is not a readable image"


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("nowhere"), os.mkfifo, lambda path: path.symlink_to(path)]
)
def test_what_is_no_file_is_named_and_not_waited_for(pets: Path, make: Callable[[Path], None]) -> None:
    make(pets / "dog" / "3.png")
    assert refusal(pets) == f"{pets / 'dog' / '3.png'} is not a readable image"


@pytest.mark.parametrize("limit", [50, 20])  # Pillow warns above its limit, and raises above twice that
def test_an_image_that_would_fill_the_memory_is_named(pets: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert refusal(pets) == f"{pets / 'cat' / '1.png'} is too large an image; allowed: up to {limit} pixels"


def test_a_stamp_changes_when_a_file_does(pets: Path) -> None:
    stamps = [source_stamp(str(pets)), source_stamp(str(pets))]
    os.utime(pets / "cat" / "1.png", ns=(0, 1))
    stamps.append(source_stamp(str(pets)))
    (pets / "cat" / "1.png").rename(pets / "cat" / "0.png")
    stamps.append(source_stamp(str(pets)))
    (pets / "dog" / "2.bmp").unlink()
    stamps.append(source_stamp(str(pets)))
    (pets / ".DS_Store").touch()
    (pets / "dog" / "dangling").symlink_to("nowhere")
    stamps.append(source_stamp(str(pets)))
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 5
    assert None not in stamps


def test_a_long_reading_says_how_far_it_is(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pixels, "SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr(files, "READ_AHEAD", 2)
    load(str(pets))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"reading images: 4 of 5, about \d+ s left", lines[-1])


def test_no_thread_outlives_a_refusal(pets: Path) -> None:
    (pets / "cat" / "0.png").write_bytes(b"")
    before = threading.active_count()
    refusal(pets)
    assert threading.active_count() == before


# ---------------------------------------------------------------------- sizes


def test_images_of_any_size_are_cropped_and_resized_on_request(tmp_path: Path) -> None:
    sizes = [(16, 12), (16, 12), (8, 8), (9, 20), (300, 300)]
    data = load(str(write(tmp_path, {f"{'ab'[i % 2]}/{i}.png": colour(*s) for i, s in enumerate(sizes)})), image_size=8)
    assert data.shape == ImageShape(channels=3, size=8, classes=2)
    assert data.notes == (
        "4 images of 3 sizes (16×12, 300×300, 9×20) were cropped to their central square and resized to 8×8",
    )


@pytest.mark.parametrize(
    ("sizes", "note"),
    [
        ([(12, 12), (12, 12)], "2 images of 12×12 were resized to 8×8"),
        ([(8, 8), (8, 9)], "1 image of 8×9 was cropped to its central square"),
        ([(8, 8), (4, 5)], "1 image of 4×5 was cropped to its central square and resized to 8×8"),
        ([(20, 20), (21, 21), (22, 22), (23, 23)], "4 images of 4 sizes (20×20, 22×22, 21×21, …) were resized to 8×8"),
    ],
)
def test_it_is_said_what_was_done_to_the_sizes(tmp_path: Path, sizes: list[tuple[int, int]], note: str) -> None:
    folder = write(tmp_path, {f"{'ab'[i % 2]}/{i}.png": grey(*size) for i, size in enumerate(sizes)})
    assert load(str(folder), image_size=8).notes == (note,)


@pytest.mark.parametrize(
    ("sizes", "got"),
    [
        ([(8, 8), (9, 9)], "images differ in size, 8×8 and 9×9 pixels"),
        ([(8, 9), (8, 9)], "{}/a/0.png is 8×9 pixels"),
        ([(3, 3), (3, 3)], "{}/a/0.png is 3×3 pixels"),
        ([(257, 257), (257, 257)], "{}/a/0.png is 257×257 pixels"),
    ],
)
def test_other_images_than_equal_squares_need_a_size(tmp_path: Path, sizes: list[tuple[int, int]], got: str) -> None:
    folder = write(tmp_path, {f"{'ab'[i]}/{i}.png": grey(*size) for i, size in enumerate(sizes)})
    hint = "; choose one size for all with image_size, from 4 to 256; resize selects how they become square"
    assert refusal(folder) == got.format(tmp_path) + hint
    assert refusal(folder, image_size=300) == "image size 300 is not between 4 and 256 pixels"


@given(st.integers(4, 20), st.integers(4, 20), st.sampled_from([1, 3]))
def test_the_central_square_is_kept_to_the_pixel(width: int, height: int, channels: int) -> None:
    values, side = noise(channels, height, width), min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels.of_any(values, side, "image").values
    np.testing.assert_array_equal(square, values[:, top : top + side, left : left + side])


def test_shrinking_averages_over_all_pixels(tmp_path: Path) -> None:
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    assert np.abs(single(tmp_path / "board.png", 8).astype(int) - 127).max() <= 2


def test_a_jpeg_is_decoded_coarsely_but_looks_the_same(tmp_path: Path) -> None:
    photo = Image.fromarray(noise(12, 16, 3)).resize((1600, 1200), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "photo.jpg", quality=95)
    photo.save(tmp_path / "photo.png")
    result = pixels.read(tmp_path / "photo.jpg", 16)
    assert result.size == (1600, 1200)
    assert np.abs(result.values.astype(int) - single(tmp_path / "photo.png", 16)).mean() < 2


# ---------------------------------------------------------------------- modes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photograph_is_respected(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = colour(11, 8)
    photo.save(tmp_path / "photo.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "photo.png")))
    height, width, _ = upright.shape
    assert (width, height) == ((11, 8) if orientation < 5 else (8, 11))
    top, left = (height - 8) // 2, (width - 8) // 2
    np.testing.assert_array_equal(
        single(tmp_path / "photo.png", 8), upright[top : top + 8, left : left + 8].transpose(2, 0, 1)
    )


GREY = noise(SIDE, SIDE)
SIXTEEN = GREY.astype(np.uint16) * 257


def palette_of(values: Bytes) -> Image.Image:
    image = Image.fromarray(values).quantize(256, method=Image.Quantize.FASTOCTREE)
    assert image.mode == "P"
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (Image.fromarray(GREY), "png", GREY),
        (Image.fromarray(GREY > 99), "png", (GREY > 99) * np.uint8(255)),
        (Image.fromarray(SIXTEEN), "png", GREY),
        (Image.fromarray(SIXTEEN), "tif", GREY),
        (Image.fromarray(SIXTEEN.astype(">u2")), "tif", GREY),
        (Image.fromarray(SIXTEEN.astype(np.int32)), "tif", GREY),
        (Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (SIDE, SIDE), 255)]), "png", GREY),
        (Image.fromarray(np.repeat(GREY[:2, :2, None], 3, axis=2)).quantize(4), "png", GREY[:2, :2]),
    ],
    ids=["L", "1", "I;16 png", "I;16 tif", "I;16B", "I", "LA", "P"],
)
def test_grey_images_of_any_mode_have_one_channel(
    tmp_path: Path, image: Image.Image, suffix: str, expected: Bytes
) -> None:
    image.save(tmp_path / f"grey.{suffix}")
    np.testing.assert_array_equal(single(tmp_path / f"grey.{suffix}", len(expected)), expected[None])


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_colour_images_of_any_mode_are_rgb(tmp_path: Path, mode: str) -> None:
    red = Image.new("RGB", (SIDE, SIDE), (255, 0, 0)).convert("RGB" if mode == "LAB" else mode)
    if mode == "LAB":
        red = Image.merge("LAB", [Image.new("L", (SIDE, SIDE), v) for v in (138, 208, 198)])  # CIELAB 54, 80, 70
    values = pixels.of_image(red, SIDE, "red").values
    assert values.shape == (3, SIDE, SIDE)
    assert np.abs(values.transpose(1, 2, 0).astype(int) - (255, 0, 0)).max() <= 9  # of LAB, whose steps are coarse


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)), 3),
        (Image.new("LA", (SIDE, SIDE), (0, 0)), 1),
        (Image.new("RGBA", (SIDE, SIDE), (200, 10, 10, 0)).quantize(2), 3),
    ],
    ids=["RGBA", "LA", "P"],
)
def test_transparency_is_laid_over_white(tmp_path: Path, image: Image.Image, channels: int) -> None:
    image.save(tmp_path / "clear.png")
    result = pixels.read(tmp_path / "clear.png", None)
    assert result.values.min() == 255
    assert "transparent" in result.traits
    assert len(result.values) in (1, channels)  # a palette of white alone is grey


def test_a_transparent_colour_counts_as_transparency(tmp_path: Path) -> None:
    for mode, clear in (("L", 0), ("RGB", (0, 0, 0)), ("P", 0)):
        Image.new(mode, (SIDE, SIDE)).save(tmp_path / f"{mode}.png", transparency=clear)
        assert single(tmp_path / f"{mode}.png").min() == 255


def test_half_transparent_black_is_grey_on_white() -> None:
    values = pixels.of_image(Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 128)), SIDE, "image").values
    assert np.unique(values).tolist() == [127]


def test_grey_images_among_colour_ones_become_rgb(pets: Path) -> None:
    values = grey()
    data = load(str(write(pets, {"cat/0.png": values, "dog/0.png": grey()})))
    assert data.notes == ("2 grey images among colour ones were made RGB",)
    for channel in data.train.images[0]:
        np.testing.assert_array_equal(channel, np.asarray(values))


def test_a_folder_of_grey_images_has_one_channel_and_no_note(tmp_path: Path) -> None:
    data = load(str(write(tmp_path, {"a/1.png": grey(), "b/1.png": Image.fromarray(SIXTEEN), "b/2.png": grey()})))
    assert data.shape.channels == 1
    assert data.notes == ("1 image of 16 bits was reduced to 8 bits",)


def test_an_animated_image_is_its_first_frame(pets: Path) -> None:
    first, second = grey(), grey()
    first.save(pets / "cat" / "0.gif", save_all=True, append_images=[second], duration=10)
    data: Dataset = load(str(pets))
    assert data.notes[0] == "1 animated image: its first frame was taken"
    np.testing.assert_array_equal(data.train.images[0, 0], np.asarray(first))


def test_a_photograph_with_a_preview_is_not_animated(tmp_path: Path) -> None:
    grey().save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[grey()])
    assert pixels.read(tmp_path / "photo.jpg", None).traits == ("grey",)


def test_it_is_said_how_many_images_were_transparent(pets: Path) -> None:
    clear = Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 9))
    data = load(str(write(pets, {"cat/0.png": clear, "dog/0.png": clear, "dog/00.png": colour().convert("RGBA")})))
    assert data.notes == ("2 images with transparency were laid over white",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.zeros((SIDE, SIDE), np.float32),
            "has pixels of floating-point numbers; allowed: integers of 1, 8 or 16 bits",
        ),
        (np.full((SIDE, SIDE), 70_000, np.int32), "has pixels from 70000 to 70000; allowed: 0 to 65535"),
        (np.full((SIDE, SIDE), -1, np.int32), "has pixels from -1 to -1; allowed: 0 to 65535"),
    ],
)
def test_pixels_without_a_scale_are_refused(pets: Path, values: npt.NDArray[np.generic], message: str) -> None:
    Image.fromarray(values).save(pets / "dog" / "3.tif")
    assert refusal(pets) == f"{pets / 'dog' / '3.tif'} {message}"


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"P6 "]),
)
def test_whatever_the_bytes_the_file_is_named(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk") / "junk.png"
    path.write_bytes(magic + tail)
    with pytest.raises(InputError, match=re.escape(f"{path} is ")):
        pixels.read(path, 2)
