"""Conversion of images of any kind to bytes: grey or RGB, upright, square, of one size."""

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from surrogate_nas.datasets.arrays import item_to_bytes
from surrogate_nas.datasets.dataset import LARGEST_SIZE, SMALLEST_SIZE, Images
from surrogate_nas.datasets.notes import Tally, Trait, WidthHeight
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import duration, say

# Raster formats with a signature. Others run programs (EPS) or cannot be recognised by their content (TGA). AVIF is
# last because older versions of Pillow lack it.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
GREY_MODES = ("1", "L", "LA")
SIXTEEN_BITS = 65535
WORD_STEP = 257  # 65535 / 255
FILTER = Image.Resampling.BILINEAR
DRAFT = 2  # a JPEG is decoded at no less than this multiple of the requested size
SECONDS_BETWEEN_LINES = 5.0
HOW_TO_RESIZE = (
    f"choose one size for all with image_size, from {SMALLEST_SIZE} to {LARGEST_SIZE}; "
    "resize selects how they become square"
)


@dataclass(frozen=True, slots=True)
class Pixels:
    """A converted image."""

    values: Images
    """(channels, size, size) with 1 channel for a grey image, else 3."""
    size: WidthHeight
    """Size before the conversion."""
    traits: tuple[Trait, ...] = ()
    """Conversions other than resizing."""


def read(path: Path, side: int | None, resize: ResizeName = DEFAULT_RESIZE) -> Pixels:
    """Read an image file; a JPEG is decoded at no higher resolution than needed.

    Raises:
        InputError: if the file is not an image, is damaged or too large, or has floating-point pixels; without `side`,
            also if the image is not square or its size is not allowed.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise InputError(f"{path} is not a readable image")
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
            if side is not None:
                image.draft(None, (DRAFT * side, DRAFT * side))
            return replace(of_image(image, side, str(path), resize), size=size)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} is too large an image; allowed: up to {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception:  # decoders raise exceptions of any type on damaged files
        raise InputError(f"{path} is not a readable image") from None


def is_image(path: Path) -> bool:
    """Whether a file is an image by its extension or, with any other extension, by its first bytes."""
    if path.suffix.lower() in Image.registered_extensions():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return path.is_file() and _opens(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except Exception:  # decoders raise exceptions of any type on other files
        return False


def _opens(path: Path) -> bool:
    with Image.open(path, formats=FORMATS):
        return True


def of_image(image: Image.Image, side: int | None, where: str, resize: ResizeName = DEFAULT_RESIZE) -> Pixels:
    """Convert an opened image; `where` names it in errors.

    Its EXIF orientation is applied, transparency is laid over white, 16 bits are reduced to 8, and it is made a square
    of `side` pixels by Pillow's bilinear filter, which averages over all pixels when it shrinks. By `resize`, that is
    its central square, the whole image centred on black (like Pillow's `ImageOps.pad`), or the whole image squashed.

    Raises:
        InputError: for pixels that are floating-point numbers or have more than 16 bits; without `side`, also for an
            image that is not square or whose size is not allowed.
    """
    if side is None:
        side = _own_side(image.size, where)
    animated = getattr(image, "is_animated", False) and image.format != "MPO"  # MPO: a photograph with its preview
    plain, traits = _to_bytes(ImageOps.exif_transpose(image), where)
    if plain.mode == "L":
        traits = (*traits, "grey")
    return Pixels(_to_array(_fit(plain, side, resize)), plain.size, (*traits, "animated") if animated else traits)


def of_any(image: object, side: int | None, where: str, resize: ResizeName = DEFAULT_RESIZE) -> Pixels:
    """Convert a Pillow image, or an array as for `item_to_bytes`, and make it square like `of_image`.

    Raises:
        InputError: for anything else.
    """
    if isinstance(image, Image.Image):
        return of_image(image, side, where, resize)
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError):  # on another device, or of a type that numpy lacks
        array = np.array(None)
    if array.dtype == object:
        raise InputError(f"{where} has a {type(image).__name__}; allowed: images of Pillow, arrays, tensors on the CPU")
    values, traits = item_to_bytes(array, where)
    channels, height, width = values.shape
    if side is None:
        side = _own_side((width, height), where)
    if (height, width) != (side, side):
        values = _to_array(_fit(_to_image(values), side, resize))
    return Pixels(values, (width, height), (*traits, "grey") if channels == 1 else traits)


def resized(images: Images, side: int, resize: ResizeName = DEFAULT_RESIZE) -> Images:
    """Make (N, channels, height, width) images square: (N, channels, side, side)."""
    if images.shape[2:] == (side, side):
        return images
    out = np.empty((*images.shape[:2], side, side), dtype=np.uint8)
    for i, values in enumerate(images):
        out[i] = _to_array(_fit(_to_image(values), side, resize))
    return out


def gather(images: Iterable[Pixels], n: int) -> tuple[Images, Tally]:
    """Collect n images in one array, with a tally of their conversions; progress is printed on stderr.

    Returns:
        (n, channels, size, size), with one channel if every image is grey, else 3; and the tally.

    Raises:
        InputError: if they differ in size.
    """
    tally, reading = Tally(), _Reading(n)
    out: Images = np.empty((0, 1, 0, 0), dtype=np.uint8)
    for i, pixels in enumerate(images):
        channels, side, _ = pixels.values.shape
        if i == 0:
            out = np.empty((n, channels, side, side), dtype=np.uint8)
        if side != out.shape[2]:
            raise InputError(
                f"images differ in size, {out.shape[2]}×{out.shape[2]} and {side}×{side} pixels; {HOW_TO_RESIZE}"
            )
        if channels > out.shape[1]:
            out = np.repeat(out, channels, axis=1)
        out[i] = pixels.values
        tally.add(pixels.size, pixels.traits)
        reading.advance(i + 1)
    return out, tally


def _own_side(size: WidthHeight, where: str) -> int:
    width, height = size
    if width != height or not SMALLEST_SIZE <= width <= LARGEST_SIZE:
        raise InputError(f"{where} is {width}×{height} pixels; {HOW_TO_RESIZE}")
    return width


def _to_bytes(image: Image.Image, where: str) -> tuple[Image.Image, tuple[Trait, ...]]:
    """Convert an image to mode L or RGB; also its conversions."""
    if image.mode == "F":
        raise InputError(f"{where} has pixels of floating-point numbers; allowed: integers of 1, 8 or 16 bits")
    if image.mode.startswith("I"):
        return _from_words(np.asarray(image), where), ("sixteen bits",)
    traits: tuple[Trait, ...] = ()
    mode, grey = image.mode, image.mode in GREY_MODES
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            traits = ("transparent",)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if mode in ("P", "PA"):
        image = image.convert("RGB")
        grey = _without_colour(image)
    return image.convert("L" if grey else "RGB"), traits


def _from_words(values: npt.NDArray[np.integer], where: str) -> Image.Image:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > SIXTEEN_BITS:
        raise InputError(f"{where} has pixels from {low} to {high}; allowed: 0 to {SIXTEEN_BITS}")
    return Image.fromarray(np.rint(values / WORD_STEP).astype(np.uint8))


def _without_colour(image: Image.Image) -> bool:
    values = np.asarray(image)
    return bool((values == values[..., :1]).all())


def _fit(image: Image.Image, side: int, resize: ResizeName) -> Image.Image:
    match resize:
        case "crop":
            edge = min(image.size)
            left, top = (image.width - edge) // 2, (image.height - edge) // 2
            return image.resize((side, side), FILTER, box=(left, top, left + edge, top + edge))
        case "pad":
            return _on_black(image, side)
        case "squash":
            return image.resize((side, side), FILTER)


def _on_black(image: Image.Image, side: int) -> Image.Image:
    """Centre an image on a black square, like Pillow's `ImageOps.pad`, which fails for sides scaled below one pixel."""
    longest = max(image.size)
    width, height = (max(round(edge / longest * side), 1) for edge in image.size)
    square = Image.new(image.mode, (side, side))
    square.paste(image.resize((width, height), FILTER), (round((side - width) / 2), round((side - height) / 2)))
    return square


def _to_image(values: Images) -> Image.Image:
    return Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0)))


def _to_array(image: Image.Image) -> Images:
    """(channels, height, width) array of an image."""
    values: Images = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


class _Reading:
    """Progress of reading images: a line every few seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = self._last_line = time.monotonic()

    def advance(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES or done == self._total:
            return
        self._last_line = now
        remaining = duration((now - self._start) / done * (self._total - done))
        say(f"reading images: {done:,} of {self._total:,}, about {remaining} left")
