"""Shape and classes of the images of a data set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Channels, size and number of classes of square images, for which a network is built."""

    channels: int
    size: int
    """Side in pixels."""
    classes: int
