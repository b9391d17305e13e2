"""Corrupted images, each kind at five levels, in the spirit of Hendrycks & Dietterich (ICLR 2019, arXiv 1903.12261).

Parameters are those of CIFAR-10-C. Those of noise, contrast and brightness, and of JPEG with its fixed blocks of 8×8
pixels, are the same at any image size. The width of the blur grows with images larger than 32 pixels; it does not
shrink for smaller ones, where a narrower blur would not reach the next pixel. So 8×8 digits are blurred more than
photographs, relative to the size of their content.

| kind | parameter | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|---|
| `noise` | standard deviation of Gaussian noise, of pixels in [0, 1] | 0.04 | 0.06 | 0.08 | 0.09 | 0.10 |
| `blur` | σ of a Gaussian, pixels of a 32×32 image | 0.4 | 0.6 | 0.7 | 0.8 | 1.0 |
| `contrast` | factor on the distance to an image's mean | 0.75 | 0.5 | 0.4 | 0.3 | 0.15 |
| `brightness` | added to the value of HSV, in [0, 1] | 0.05 | 0.10 | 0.15 | 0.20 | 0.30 |
| `jpeg` | quality | 80 | 65 | 58 | 50 | 40 |
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from surrogate_nas.datasets.dataset import Images
from surrogate_nas.foundation.arrays import Floats32
from surrogate_nas.foundation.errors import InputError

LEVELS = (1, 2, 3, 4, 5)
CHUNK = 1024
"""Number of images converted to floating-point numbers at a time, which bounds memory."""
WHITE = 255.0
SIDE = 32
"""Side in pixels of the images for which the widths of the blur are given."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """A kind of corruption."""

    parameters: tuple[float, ...]
    """Parameter at each level, from 1 to 5."""
    apply: Callable[[Floats32, float, np.random.Generator], Floats32]
    """Maps (n, channels, S, S) pixels in [0, 1], a parameter and a generator to pixels, not yet clipped."""


def _noise(x: Floats32, deviation: float, rng: np.random.Generator) -> Floats32:
    return x + np.float32(deviation) * rng.standard_normal(x.shape, dtype=np.float32)


def _blur(x: Floats32, sigma: float, rng: np.random.Generator) -> Floats32:
    width = sigma * max(x.shape[-1] / SIDE, 1)
    return np.asarray(gaussian_filter(x, (0, 0, width, width), mode="nearest"), dtype=np.float32)


def _contrast(x: Floats32, factor: float, rng: np.random.Generator) -> Floats32:
    mean = x.mean(axis=(2, 3), keepdims=True)
    return np.asarray((x - mean) * np.float32(factor) + mean)


def _brightness(x: Floats32, by: float, rng: np.random.Generator) -> Floats32:
    """Raise the value of HSV, the largest channel; one factor for all channels keeps hue and saturation.

    Black becomes grey.
    """
    value = x.max(axis=1, keepdims=True)
    brighter = np.minimum(value + np.float32(by), 1)
    scale = brighter / np.maximum(value, np.finfo(np.float32).tiny)
    return np.asarray(np.where(value > 0, x * scale, brighter), dtype=np.float32)


def _jpeg(x: Floats32, quality: float, rng: np.random.Generator) -> Floats32:
    images = [_through_jpeg(image, int(quality)) for image in _to_bytes(x).transpose(0, 2, 3, 1)]
    return np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(WHITE)


def _through_jpeg(image: Images, quality: int) -> Images:
    """Encode and decode an image (S, S, channels)."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=["JPEG"]) as result:
        return np.asarray(result, dtype=np.uint8).reshape(image.shape)


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption((0.04, 0.06, 0.08, 0.09, 0.10), _noise),
    "blur": Corruption((0.4, 0.6, 0.7, 0.8, 1.0), _blur),
    "contrast": Corruption((0.75, 0.5, 0.4, 0.3, 0.15), _contrast),
    "brightness": Corruption((0.05, 0.10, 0.15, 0.20, 0.30), _brightness),
    "jpeg": Corruption((80, 65, 58, 50, 40), _jpeg),
}


def corrupt(images: Images, name: str, level: int, seed: int) -> Images:
    """Corrupt images; a seed draws one noise, which each level scales.

    Args:
        images: (N, channels, S, S) uint8, of one or three channels.
        name: one of `CORRUPTIONS`.
        level: from 1 to 5; 0 changes nothing.
        seed: seed of the noise.

    Raises:
        InputError: for another name or level.
    """
    if level == 0:
        return images
    require([name], [level])
    kind, rng = CORRUPTIONS[name], np.random.default_rng(seed)
    parameter, result = kind.parameters[level - 1], np.empty_like(images)
    for at in range(0, len(images), CHUNK):
        pixels = images[at : at + CHUNK].astype(np.float32) / np.float32(WHITE)
        result[at : at + CHUNK] = _to_bytes(kind.apply(pixels, parameter, rng))
    return result


def require(names: Sequence[str], levels: Sequence[int]) -> None:
    """Raise `InputError` for an unknown or duplicate corruption or level, and for an empty list of either."""
    for what, values, allowed in (("corruption", names, tuple(CORRUPTIONS)), ("level", levels, LEVELS)):
        choices = ", ".join(map(str, allowed))
        if not values:
            raise InputError(f"expected at least one {what}, got none; allowed: {choices}")
        for value in values:
            if value not in allowed:
                raise InputError(f"{what} {value} is not one of {choices}")
        if len(set(values)) < len(values):
            raise InputError(f"duplicate {what} in {', '.join(map(str, values))}")


def _to_bytes(x: Floats32) -> Images:
    return np.asarray((np.clip(x, 0, 1) * WHITE).round(), dtype=np.uint8)
