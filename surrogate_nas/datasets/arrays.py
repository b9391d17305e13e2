"""Conversion of image arrays of any layout and type to (N, channels, height, width) bytes."""

from collections.abc import Mapping

import numpy as np

from surrogate_nas.datasets.dataset import Images
from surrogate_nas.datasets.notes import Trait
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError

CHANNELS = (1, 3)
BYTE_MAX, WORD_MAX = 255, 65535
BLOCK = 4096  # number of images converted through floating-point numbers at a time


def channels_first(images: Array, what: str) -> Array:
    """View (N, channels, H, W) of an array (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W).

    Raises:
        InputError: for another shape, or one whose channels may be first or last; `what` names the array.
    """
    allowed = "allowed: (N, H, W), (N, H, W, 1 or 3), (N, 1 or 3, H, W)"
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(f"{what} has the shape {images.shape}; {allowed}")
    if images.ndim == 3:
        return images[:, None]
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if first and last:
        raise InputError(f"{what} has the shape {images.shape}, whose channels may be first or last; {allowed}")
    if not (first or last):
        raise InputError(f"{what} has the shape {images.shape}, without 1 or 3 channels; {allowed}")
    return images if first else images.transpose(0, 3, 1, 2)


def to_bytes(arrays: Mapping[str, Array]) -> tuple[dict[str, Images], dict[str, tuple[Trait, ...]]]:
    """Convert named arrays of images to bytes, with one scale for all arrays of a type.

    Booleans become 0 and 255. Unsigned 16 bits are divided by 257, unless no value is above 255. Floating-point
    numbers are multiplied by 255 if none is above 1, else rounded. Other integers are kept.

    Returns:
        The arrays of bytes, and the conversions of each array, both by name.

    Raises:
        InputError: for other types, and for values that are negative, too large, infinite or NaN.
    """
    ranges = {name: _range(values, name) for name, values in arrays.items()}
    highest: dict[str, float] = {}
    for name, values in arrays.items():
        kind = _kind(values)
        highest[kind] = max(highest.get(kind, 0), ranges[name][1])
    images, traits = {}, {}
    for name, values in arrays.items():
        divisor, traits[name], limit = _scale(_kind(values), highest[_kind(values)])
        low, high = ranges[name]
        if low < 0 or high > limit:
            allowed = f"0 to 1, or 0 to {BYTE_MAX}, not normalised" if _kind(values) == "f" else f"0 to {limit}"
            raise InputError(f"{name} has values from {low:g} to {high:g}; allowed: {allowed}")
        images[name] = _divide(values, divisor)
    return images, traits


def item_to_bytes(values: Array, what: str) -> tuple[Images, tuple[Trait, ...]]:
    """Convert an image (H, W), (channels, H, W) or (H, W, channels) to (channels, H, W) bytes; also its conversions.

    Raises:
        InputError: for another shape, and for values other than bytes, booleans and floating-point numbers in [0, 1].
    """
    if values.dtype != np.uint8 and values.dtype.kind not in "bf":
        raise InputError(f"{what} is of type {values.dtype}; allowed: bytes, booleans, floating-point numbers")
    try:
        image = channels_first(values[None], what)[0]
    except InputError:
        raise InputError(
            f"{what} has the shape {values.shape}; allowed: (H, W), (1 or 3, H, W), (H, W, 1 or 3)"
        ) from None
    if image.dtype == np.uint8:
        return image, ()
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{what} has values from {low:g} to {high:g}; allowed: 0 to 1, not normalised: the network does that itself"
        )
    return _divide(image, 1 / BYTE_MAX), ("unit range",) if image.dtype.kind == "f" else ()


def _kind(values: Array) -> str:
    return "word" if values.dtype.kind == "u" and values.dtype.itemsize == 2 else values.dtype.kind


def _range(values: Array, name: str) -> tuple[float, float]:
    if values.dtype.kind not in "buif":
        raise InputError(f"{name} is of type {values.dtype}; allowed: booleans, integers, floating-point numbers")
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} has values that are infinite or not a number; allowed: 0 to 1, or 0 to {BYTE_MAX}")
    return low, high


def _scale(kind: str, high: float) -> tuple[float, tuple[Trait, ...], int]:
    """Divisor, traits and largest allowed value for arrays of one type."""
    if kind == "b":
        return 1 / BYTE_MAX, (), 1
    if kind == "word" and high > BYTE_MAX:
        return WORD_MAX / BYTE_MAX, ("sixteen bits",), WORD_MAX
    if kind == "f":
        return (1 / BYTE_MAX, ("unit range",), 1) if high <= 1 else (1, ("fractions",), BYTE_MAX)
    return 1, (), BYTE_MAX


def _divide(values: Array, divisor: float) -> Images:
    if divisor == 1 and values.dtype.kind in "ui":
        return np.ascontiguousarray(values, dtype=np.uint8)
    out: Images = np.empty(values.shape, dtype=np.uint8)
    for start in range(0, len(values), BLOCK):
        block = slice(start, start + BLOCK)
        out[block] = np.rint(values[block].astype(np.float64) / divisor)
    return out
