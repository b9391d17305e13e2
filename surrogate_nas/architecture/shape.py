"""The shape of a data set's images."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Square images and their classes: what a network is built for."""

    channels: int
    size: int
    """Side in pixels."""
    classes: int
