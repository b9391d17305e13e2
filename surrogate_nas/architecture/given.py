"""A backbone of the user's own, as it was cut into segments and counted."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Spec(BaseModel):
    """Choices or counts as data: frozen, and without fields that are not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentSpec(Spec):
    """What a segment of a given backbone was counted to be, for one image."""

    name: str
    channels: Positive
    side: Positive
    """Of the feature map at its end."""
    macs: Annotated[int, Field(ge=0)]
    parameters: Annotated[int, Field(ge=0)]
    weight_bytes: Annotated[int, Field(ge=0)]
    peak_memory: Annotated[int, Field(ge=0)]
    """Bytes of activations at the worst moment."""
    held_memory: Annotated[int, Field(ge=0)]
    """Bytes of activations that the rest of the backbone needs from here."""


class BackboneSpec(Spec):
    """A network of the user's own that is searched for exits only."""

    factory: str
    """`package.module:function` that makes it."""
    folder: str | None = None
    """Where that module is found if it is not installed."""
    frozen: bool = False
    channels: Positive
    side: Positive
    """Of the images that it takes."""
    classes: Positive
    segments: tuple[SegmentSpec, ...] = Field(min_length=2)
