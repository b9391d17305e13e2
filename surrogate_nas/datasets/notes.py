"""Counts of the conversions of images on reading, and sentences that report them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from surrogate_nas.datasets.dataset import Labels
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName, square_side

WidthHeight = tuple[int, int]
"""Width and height in pixels."""
Trait = Literal["animated", "transparent", "sixteen bits", "unit range", "fractions", "grey"]
MOST_NAMED = 3
MOST_ALLOWED = 12
_SENTENCES: dict[Trait, tuple[str, str]] = {
    "animated": ("1 animated image: its first frame was taken", "{} animated images: their first frames were taken"),
    "transparent": (
        "1 image with transparency was laid over white",
        "{} images with transparency were laid over white",
    ),
    "sixteen bits": ("1 image of 16 bits was reduced to 8 bits", "{} images of 16 bits were reduced to 8 bits"),
    "unit range": (
        "1 image of values from 0 to 1 was scaled by 255",
        "{} images of values from 0 to 1 were scaled by 255",
    ),
    "fractions": ("1 image of fractional values was rounded", "{} images of fractional values were rounded"),
    "grey": ("1 grey image among colour ones was made RGB", "{} grey images among colour ones were made RGB"),
}
_SQUARING: dict[ResizeName, tuple[str, str]] = {
    "crop": ("cropped to its central square", "cropped to their central square"),
    "pad": ("padded with black to a square", "padded with black to squares"),
    "squash": ("squashed to a square", "squashed to squares"),
}


@dataclass
class Tally:
    """Counts of the images read, by size and trait."""

    sizes: Counter[WidthHeight] = field(default_factory=Counter)
    """Number of images of each size, before resizing."""
    traits: Counter[Trait] = field(default_factory=Counter)
    """Number of images with each trait."""

    def add(self, size: WidthHeight, traits: Iterable[Trait], images: int = 1) -> None:
        """Count `images` more images, all with this size and these traits."""
        self.sizes[size] += images
        for trait in traits:
            self.traits[trait] += images

    @property
    def oblong(self) -> float:
        """Mean share of a picture outside its central square; 0 if all pictures are square."""
        outside = sum((1 - min(size) / max(size)) * count for size, count in self.sizes.items())
        return outside / max(self.sizes.total(), 1)

    def sentences(self, side: int, channels: int, resize: ResizeName = DEFAULT_RESIZE) -> tuple[str, ...]:
        """Sentences on the conversions to images of `channels` × `side` × `side` bytes."""
        sentences = [_resizing(self.sizes, side, resize)] if any(size != (side, side) for size in self.sizes) else []
        for trait, (one, many) in _SENTENCES.items():
            count = self.traits[trait]
            if count and (trait != "grey" or channels > 1):
                sentences.append(one if count == 1 else many.format(f"{count:,}"))
        return tuple(sentences)


def _resizing(sizes: Counter[WidthHeight], side: int, resize: ResizeName) -> str:
    sizes_changed = Counter({size: count for size, count in sizes.items() if size != (side, side)})
    names = some([f"{width}×{height}" for (width, height), _ in sizes_changed.most_common()])
    which = names if len(sizes_changed) == 1 else f"{len(sizes_changed):,} sizes ({names})"
    one = sizes_changed.total() == 1
    steps = []
    if any(width != height for width, height in sizes_changed):
        steps.append(_SQUARING[resize][0 if one else 1])
    if any(square_side(*size, resize) != side for size in sizes_changed):
        steps.append(f"resized to {side}×{side}")
    who = f"1 image of {which} was" if one else f"{sizes_changed.total():,} images of {which} were"
    return f"{who} {' and '.join(steps)}"


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first names, separated by commas.

    >>> some("abc"), some("abcd")
    ('a, b, c', 'a, b, c, …')
    """
    return ", ".join((*names[:most], "…") if len(names) > most else names)


def hidden_files(count: int) -> tuple[str, ...]:
    """A sentence on hidden files that were left out; empty if there are none."""
    if not count:
        return ()
    return ("1 hidden file was left out" if count == 1 else f"{count:,} hidden files were left out",)


def no_images(names: Sequence[str]) -> tuple[str, ...]:
    """A sentence on files that are not images and were left out; empty if there are none.

    >>> no_images(["LICENSE"])
    ('1 file that is not an image was left out (LICENSE)',)
    >>> no_images(["LICENSE", "README.md"])
    ('2 files that are not images were left out (LICENSE, README.md)',)
    """
    if not names:
        return ()
    who = "1 file that is not an image was" if len(names) == 1 else f"{len(names):,} files that are not images were"
    return (f"{who} left out ({some(names)})",)


def lacking_classes(classes: tuple[str, ...], labels: Labels, split: str) -> tuple[str, ...]:
    """A sentence on the classes that a held-out split lacks; empty if it has all.

    >>> lacking_classes(("cat", "dog"), np.array([0, 0]), "tune")
    ("class 'dog' has no tune images",)
    """
    lacking = [repr(classes[c]) for c in np.setdiff1d(np.arange(len(classes)), labels)]
    if not lacking:
        return ()
    if len(lacking) == 1:
        return (f"class {lacking[0]} has no {split} images",)
    return (f"{len(lacking):,} classes have no {split} images ({some(lacking)})",)
