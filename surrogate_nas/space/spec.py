"""A search space as data: the choices that a YAML preset or a user's own mapping declares."""

from functools import cache
from importlib import resources
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from surrogate_nas.config import parse
from surrogate_nas.errors import InputError
from surrogate_nas.space.architecture import Block, Layer

Positive = Annotated[int, Field(ge=1)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Choices(_Spec):
    @model_validator(mode="after")
    def _choices_are_distinct_and_ascending(self) -> Self:
        for name, values in self:
            if isinstance(values, tuple) and all(isinstance(v, int) for v in values):
                if not values or list(values) != sorted(set(values)):
                    raise ValueError(f"{name} {list(values)} is not a list of distinct ascending numbers")
            elif isinstance(values, tuple) and (not values or len(set(values)) != len(values)):
                raise ValueError(f"{name} is empty or names a choice twice")
        return self


class StemSpec(_Choices):
    """Choices of the stem convolution."""

    width: tuple[Positive, ...]
    stride: tuple[Positive, ...] = (1,)


class StageSpec(_Choices):
    """Choices of one backbone stage; its stride is part of the space, not a choice."""

    block: tuple[Block, ...]
    depth: tuple[Positive, ...]
    width: tuple[Positive, ...]
    kernel: tuple[Positive, ...]
    expansion: tuple[Positive, ...] = (1,)
    stride: Positive

    @model_validator(mode="after")
    def _kernels_are_odd(self) -> Self:
        if even := [k for k in self.kernel if k % 2 == 0]:
            raise ValueError(f"kernel {even[0]} is even; kernels are odd")
        return self


class BranchSpec(_Choices):
    """Choices of every early exit's branch."""

    depth: tuple[Annotated[int, Field(ge=0)], ...]
    layer: tuple[Layer, ...] = ("conv",)
    channels: tuple[Positive, ...] = (1,)
    pool: tuple[Positive, ...] = (1,)


class SpaceSpec(_Spec):
    """Everything that defines a search space. Every stage but the last may be followed by an exit."""

    name: str
    about: str = ""
    image_sizes: tuple[Positive, Positive]
    """Smallest and largest side, in pixels, that the space is meant for."""
    stem: StemSpec
    stages: tuple[StageSpec, ...] = Field(min_length=1)
    branch: BranchSpec

    @model_validator(mode="after")
    def _image_sizes_ascend(self) -> Self:
        if self.image_sizes[0] > self.image_sizes[1]:
            raise ValueError(f"image_sizes {list(self.image_sizes)} are not a smallest and a largest side")
        return self


def preset_names() -> list[str]:
    """Names of the spaces that come with the package.

    >>> preset_names()
    ['compact', 'tiny']
    """
    folder = resources.files(__package__) / "presets"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


@cache
def preset(name: str) -> SpaceSpec:
    """The preset of that name.

    Raises:
        InputError: naming the presets there are.
    """
    if name not in preset_names():
        raise InputError(f"unknown search space {name!r}; allowed: {', '.join(preset_names())}")
    text = (resources.files(__package__) / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_spec(yaml.safe_load(text))


def parse_spec(mapping: object) -> SpaceSpec:
    """Validate a mapping as a space.

    Raises:
        InputError: one line with the field, the value got and what is allowed.
    """
    return parse(SpaceSpec, mapping, "search space")
