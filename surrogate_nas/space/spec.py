"""Specification of a search space: the choices that a YAML file declares."""

import math
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, Self, get_origin

import yaml
from pydantic import Field, field_validator, model_validator

from surrogate_nas.architecture.architecture import BIT_WIDTHS, FLOAT_BITS, Activation, BlockKind
from surrogate_nas.architecture.branches import Branch, GatedBranch, LayerKind, parse_branch
from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.architecture.given import BackboneSpec, Positive, Spec
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse


class _Choices(Spec):
    @model_validator(mode="before")
    @classmethod
    def _one_value_is_a_list_of_one(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        lists = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is tuple}
        return {n: [v] if n in lists and isinstance(v, int | str) else v for n, v in values.items()}

    @model_validator(mode="after")
    def _choices_are_distinct_and_ascending(self) -> Self:
        for name, values in self:
            if isinstance(values, tuple) and all(isinstance(v, int) for v in values):
                if not values or list(values) != sorted(set(values)):
                    raise ValueError(f"{name} {list(values)} is not a list of distinct ascending numbers")
            elif isinstance(values, tuple) and (not values or len(set(values)) != len(values)):
                raise ValueError(f"{name} is empty or has duplicate choices")
        return self


def _require_odd(kernels: tuple[int, ...]) -> None:
    if even := [k for k in kernels if k % 2 == 0]:
        raise ValueError(f"kernel {even[0]} is even; kernels must be odd")


class StemSpec(_Choices):
    """Choices of the stem."""

    width: tuple[Positive, ...]
    stride: tuple[Positive, ...] = (1,)
    block: bool = False
    activation: Activation = "relu"


class StageSpec(_Choices):
    """Choices of one backbone stage; its stride is part of the space, not a choice."""

    block: tuple[BlockKind, ...]
    depth: tuple[Positive, ...]
    width: tuple[Positive, ...]
    kernel: tuple[Positive, ...]
    expansion: tuple[Positive, ...] = (1,)
    stride: Positive
    squeeze: tuple[bool, ...] = (False,)
    activation: tuple[Activation, ...] = ("relu",)
    per_block: bool = False
    """Whether each block has its own kernel and expansion; otherwise all blocks of the stage share them."""

    @model_validator(mode="after")
    def _kernels_are_odd(self) -> Self:
        _require_odd(self.kernel)
        return self


class ConvBranchSpec(_Choices):
    """Choices of every early exit's branch, a `ConvBranch`."""

    kind: Literal["conv"] = "conv"
    depth: tuple[Annotated[int, Field(ge=0)], ...]
    layer: tuple[LayerKind, ...] = ("conv",)
    channels: tuple[Positive, ...] = (1,)
    pool: tuple[Positive, ...] = (1,)


class MobileBranchSpec(_Choices):
    """Choices of every early exit's branch, a `MobileBranch`."""

    kind: Literal["mobile"]
    expand: tuple[Positive, ...] = (6,)
    mix: tuple[Positive, ...] = (8,)


class GatedBranchSpec(Spec):
    """Branch of every early exit, a `GatedBranch`; it has no choices."""

    kind: Literal["gated"]
    channels: tuple[Positive, ...] = Field(min_length=1)


class ResizeModuleSpec(_Choices):
    """Choices of one module, a `ResizeModule`; a side of 0 leaves out this module and those after it."""

    side: tuple[Annotated[int, Field(ge=0)], ...]
    kernel: tuple[Positive, ...] = (3,)
    multiplier: tuple[Positive, ...] = (1,)
    pool: tuple[Positive, ...] = (1,)

    @model_validator(mode="after")
    def _feature_map_remains(self) -> Self:
        _require_odd(self.kernel)
        least = min((side for side in self.side if side), default=0)
        if least and ((least - max(self.kernel)) // 2 + 1) // max(self.pool) < 1:
            raise ValueError(
                f"side {least} with kernel {max(self.kernel)} and pool {max(self.pool)} gives a feature map below 1×1"
            )
        return self


class ResizeBranchSpec(Spec):
    """Choices of every early exit's branch, a `ResizeBranch`."""

    kind: Literal["resize"]
    modules: tuple[ResizeModuleSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _the_first_module_exists(self) -> Self:
        if 0 in self.modules[0].side:
            raise ValueError("the first module cannot be left out: its side must not be 0")
        return self


AnyBranchSpec = Annotated[
    ConvBranchSpec | MobileBranchSpec | GatedBranchSpec | ResizeBranchSpec, Field(discriminator="kind")
]


class ExitsSpec(_Choices):
    """Positions of early exits, and their least number."""

    at: tuple[Positive, ...] | None = None
    """Stages, counted from 1, that an exit may follow; by default all but the last."""
    at_least: Annotated[int, Field(ge=0)] = 0
    """Least number of early exits in every network."""


class SpaceSpec(Spec):
    """Specification of a search space."""

    name: str
    about: str = ""
    """Description of the space in a few words."""
    image_sizes: tuple[Positive, Positive]
    """Smallest and largest side, in pixels, of images that the space is meant for."""
    resolution: tuple[Positive, ...] = ()
    """Sides in pixels to which images may be resized first; if empty, they are not resized."""
    bits: tuple[int, ...] = (FLOAT_BITS,)
    """Bit widths of weights and activations."""
    stem: StemSpec | None = None
    stages: tuple[StageSpec, ...] = ()
    backbone: BackboneSpec | None = None
    """User's network on which exits are searched, instead of a stem and stages."""
    branch: AnyBranchSpec
    exits: ExitsSpec = ExitsSpec()
    classifier: str = "linear"
    """Classifier after the last stage, as the text form of a branch."""
    policy: PolicyName = "max_softmax"
    """Exit policy of studies that set none."""
    charge_heads: ChargeHeads = "all"
    """Exit branches charged to a sample, in studies that do not set it."""

    @model_validator(mode="before")
    @classmethod
    def _branches_are_conv_branches(cls, values: Any) -> Any:
        branch = values.get("branch") if isinstance(values, dict) else None
        if isinstance(branch, dict) and "kind" not in branch:
            return {**values, "branch": {"kind": "conv", **branch}}
        return values

    @field_validator("resolution", "bits", mode="before")
    @classmethod
    def _one_value_is_a_list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) else value

    @field_validator("resolution", "bits")
    @classmethod
    def _numbers_ascend(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError(f"{list(values)} is not a list of distinct ascending numbers")
        return values

    @field_validator("bits")
    @classmethod
    def _bits_are_supported(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if not values or (wrong := [b for b in values if b not in (*BIT_WIDTHS, FLOAT_BITS)]):
            got = wrong[0] if values else "none"
            raise ValueError(f"{got} is not one of {', '.join(map(str, (*BIT_WIDTHS, FLOAT_BITS)))}")
        return values

    @field_validator("classifier")
    @classmethod
    def _classifier_is_a_branch(cls, text: str) -> str:
        if isinstance(parse_branch(text), GatedBranch):
            raise ValueError(f"{text} has a gate; only branches of early exits may have one")
        return text

    @model_validator(mode="after")
    def _parts_are_consistent(self) -> Self:
        if self.image_sizes[0] > self.image_sizes[1]:
            raise ValueError(f"image_sizes {list(self.image_sizes)} must be the smallest and the largest side")
        if self.backbone is None and (self.stem is None or not self.stages):
            raise ValueError("stages: a stem and at least 1 stage are needed, or a backbone")
        if self.backbone is not None and (self.stem is not None or self.stages):
            raise ValueError("backbone cannot be combined with a stem or stages")
        for s in self.exits.at or ():
            if s >= self.positions:
                allowed = f"1 to {self.positions - 1}" if self.positions > 1 else "none"
                raise ValueError(f"exits.at: no early exit can follow stage {s}; allowed: {allowed}")
        if self.exits.at_least > len(self.exit_places):
            raise ValueError(
                f"exits.at_least {self.exits.at_least} exceeds the {len(self.exit_places)} positions of early exits"
            )
        self._check_pooling()
        return self

    def _check_pooling(self) -> None:
        if not isinstance(self.branch, ConvBranchSpec) or max(self.branch.depth) == 0:
            return
        for e in self.exit_places:
            if self.smallest_side(e) < max(self.branch.pool):
                raise ValueError(
                    f"branch.pool {max(self.branch.pool)} exceeds the side {self.smallest_side(e)} that a feature map "
                    f"may have at exit {e + 1}"
                )

    @property
    def positions(self) -> int:
        """Exit positions E, the final classifier's included."""
        return len(self.backbone.segments) if self.backbone else len(self.stages)

    @property
    def exit_places(self) -> tuple[int, ...]:
        """Positions, counted from 0, that an early exit may take."""
        at = self.exits.at
        return tuple(range(self.positions - 1)) if at is None else tuple(s - 1 for s in at)

    def smallest_side(self, position: int) -> int:
        """Smallest side of the feature map after a stage, over the images that the space is meant for."""
        if self.backbone:
            return self.backbone.segments[position].side
        assert self.stem is not None
        side = -(-min(self.resolution or self.image_sizes) // max(self.stem.stride))
        return -(-side // math.prod(stage.stride for stage in self.stages[: position + 1]))

    def is_for(self, size: int) -> bool:
        """Whether the space is for images of a side in pixels."""
        low, high = self.image_sizes
        return low <= size <= high

    @property
    def last_branch(self) -> Branch:
        """The classifier after the last stage."""
        return parse_branch(self.classifier)


def preset_names() -> list[str]:
    """Names of the presets: the spaces that come with the package.

    >>> preset_names()
    ['aebnas', 'compact', 'edanas', 'edanas-resolution', 'nachos', 'tiny']
    """
    folder = resources.files(__package__) / "presets"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


USUAL = ("tiny", "compact")
"""Presets for devices with little memory, of which a new study takes the one for the size of its images."""


def usual_preset(size: int) -> str:
    """Name of the preset that a new study searches by default, by the side of its images in pixels.

    Raises:
        InputError: if there is none for that size; the message lists the presets that are.

    >>> usual_preset(8), usual_preset(48)
    ('tiny', 'compact')
    """
    if (name := next((n for n in USUAL if preset(n).is_for(size)), None)) is not None:
        return name
    others = ", ".join(n for n in preset_names() if preset(n).is_for(size)) or "none of the presets"
    sizes = " or ".join("{} to {}".format(*preset(n).image_sizes) for n in USUAL)
    raise InputError(
        f"images of {size} pixels need a --space (allowed: {others}, or a file whose name ends in .yaml), "
        f"or an --image-size of {sizes}"
    )


@cache
def preset(name: str) -> SpaceSpec:
    """Load the preset of that name.

    Raises:
        InputError: for an unknown name; the message lists the presets.
    """
    if name not in preset_names():
        raise InputError(
            f"unknown search space {name!r}; allowed: {', '.join(preset_names())}, or a file whose name ends in .yaml"
        )
    text = (resources.files(__package__) / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_spec(yaml.safe_load(text))


def parse_spec(mapping: object) -> SpaceSpec:
    """Validate a mapping as a space.

    Raises:
        InputError: one line with the field, the value got and the values allowed.
    """
    return parse(SpaceSpec, mapping, "search space")
