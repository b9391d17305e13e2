"""The shape of a data set's images."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageShape:
    """What a network is built for."""

    channels: int
    size: int
    """Side in pixels; images are square."""
    classes: int
