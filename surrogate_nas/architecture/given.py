"""Specification of a user's backbone: its segments and their counts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Spec(BaseModel):
    """Base of specifications: frozen, without undeclared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentSpec(Spec):
    """Counts of one segment of a user's backbone, for one image."""

    name: str
    channels: Positive
    side: Positive
    """Side in pixels of the feature map at the end of the segment."""
    macs: Annotated[int, Field(ge=0)]
    parameters: Annotated[int, Field(ge=0)]
    weight_bytes: Annotated[int, Field(ge=0)]
    peak_memory: Annotated[int, Field(ge=0)]
    """Bytes of activations at the worst moment."""
    held_memory: Annotated[int, Field(ge=0)]
    """Bytes of activations that later segments read."""


class BackboneSpec(Spec):
    """A user's network, on which only the exits are searched."""

    factory: str
    """`package.module:function` that creates the network."""
    folder: str | None = None
    """Folder of the module, if it is not installed."""
    frozen: bool = False
    """Whether only the exit branches and the network's own classifier are trained."""
    channels: Positive
    """Channels of input images."""
    side: Positive
    """Side in pixels of input images."""
    classes: Positive
    segments: tuple[SegmentSpec, ...] = Field(min_length=2)
