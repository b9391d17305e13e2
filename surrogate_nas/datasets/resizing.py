"""Ways to make a picture square: their names, and a description of each in words. Needs no Pillow."""

from typing import Literal, get_args

from surrogate_nas.foundation.errors import InputError

ResizeName = Literal["crop", "pad", "squash"]
"""`crop` takes the central square, `pad` centres the whole picture on a black square, `squash` changes the ratio of its
sides. For square pictures all three are the same."""
RESIZES: tuple[ResizeName, ...] = get_args(ResizeName)
DEFAULT_RESIZE: ResizeName = "crop"


def resize_name(name: str) -> ResizeName:
    """Check that a name is one of `RESIZES`, and return it.

    Raises:
        InputError: for another name.
    """
    for known in RESIZES:
        if name == known:
            return known
    raise InputError(f"resize {name!r} is not one of {', '.join(RESIZES)}")


def square_side(width: int, height: int, resize: ResizeName) -> int:
    """Side of the square that a picture becomes without a given size: its longer side for `pad`, else its shorter."""
    return max(width, height) if resize == "pad" else min(width, height)


def steps(resize: ResizeName, side: int) -> tuple[str, ...]:
    """Steps from a picture to an upright square of `side` pixels, phrased to follow the words "images are".

    >>> steps("crop", 32)[1]
    'cut to their central square'
    """
    bilinear = "by a bilinear filter that averages where it shrinks"
    to_square = f"resized to {side} × {side} pixels {bilinear}"
    of_mode: dict[ResizeName, tuple[str, ...]] = {
        "crop": ("cut to their central square", to_square),
        "pad": (f"scaled until their longer side has {side} pixels {bilinear}", "centred on a black square"),
        "squash": (f"{to_square}, whatever the ratio of their sides",),
    }
    return ("turned upright", *of_mode[resize])
