"""How a network is trained: one small frozen configuration."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from surrogate_nas.foundation.fields import (
    Amount,
    BelowOne,
    Config,
    Count,
    NotNegative,
    Seconds,
    Share,
    parse,
    read_mapping,
)

ROUNDING = 1e-9
"""Error of a share of epochs that comes from floating point."""
Precision = Literal["float32", "bfloat16"]


class Joint(Config):
    """Weighted cross entropies of all exits; see `losses.joint`."""

    kind: Literal["joint"] = "joint"
    """Which loss this is."""


class Distillation(Config):
    """Earlier exits learn from the last one too; see `losses.distillation`."""

    kind: Literal["distillation"] = "distillation"
    """Which loss this is."""
    weight: NotNegative = 1.0
    """Of what earlier exits learn from the last one, beside the joint loss."""
    temperature: Amount = 3.0
    """τ, by which logits are divided there."""


class Nachos(Config):
    """Gates are trained as the policy will use them, in three phases; see `losses.nachos`.

    Weights of 0 leave a term out: `cost_weight: 0, peak_weight: 0` are the ablations.
    """

    kind: Literal["nachos"] = "nachos"
    """Which loss this is."""
    max_macs: Amount | None = None
    """Budget of expected multiply-accumulates; needed unless `cost_weight` is 0."""
    exits_weight: NotNegative = 1.0
    """w_α, of the exits' cross entropies."""
    cost_weight: NotNegative = 1.0
    """w_β, of the term for what is above the budget."""
    peak_weight: NotNegative = 1.0
    """w_γ, of the support-matrix term."""
    backbone_share: BelowOne = 0.5
    """Of the epochs, the first, in which only the backbone and the last exit learn."""
    warm_up_share: BelowOne = 0.25
    """Of the epochs, those after that, in which all learns without the support matrix."""
    start: Literal["gradual", "at_once"] = "gradual"
    """How exits start to learn. `gradual`: while they warm up, all have the same weight, and the learning rate rises
    anew. `at_once`, as older versions did: weighted by the probability of leaving, at the rate of the schedule, by
    which an exit may never learn."""
    support_share: Share = 0.1
    """Of the training images, drawn anew for each epoch's support matrix."""

    def warm_up(self, epochs: int) -> tuple[int, int]:
        """The first of so many epochs, from 0, in which exits learn, and the first with the support matrix."""
        ends = (self.backbone_share, self.backbone_share + self.warm_up_share)
        first, second = (math.ceil(end * epochs - ROUNDING) for end in ends)
        return first, second

    @model_validator(mode="after")
    def _the_cost_has_a_budget(self) -> Self:
        if self.max_macs is None and self.cost_weight > 0:
            raise ValueError("max_macs is missing: the cost term needs a budget, or cost_weight 0")
        if self.backbone_share + self.warm_up_share >= 1:
            raise ValueError(
                f"backbone_share {self.backbone_share:g} and warm_up_share {self.warm_up_share:g} leave no epochs; "
                "allowed: a sum below 1"
            )
        return self


Loss = Annotated[Joint | Distillation | Nachos, Field(discriminator="kind")]


class Recipe(Config):
    """How a network is trained. Two records are comparable when their recipes are equal."""

    epochs: Count = 20
    """Passes over the training images."""
    batch_size: Count = 64
    """Images per step."""
    learning_rate: Amount = 0.1
    """Peak of the schedule."""
    momentum: BelowOne = 0.9
    """Nesterov momentum; AdamW's first beta."""
    weight_decay: NotNegative = 5e-4
    """Of weights; biases and batch norm have none."""
    label_smoothing: BelowOne = 0.05
    """Share of each target that is spread over all classes."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """How the learning rate goes: up to the peak and down again, or down from it along a cosine."""
    early_exit_weight: NotNegative = 1.0
    """Weight of each early exit's cross entropy in the joint loss; the last exit has 1."""
    augment: bool = True
    """Random shifts, and mirror images where the data set allows them."""
    max_seconds: Seconds | None = None
    """A training that takes longer is recorded as a failure."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """What makes the steps."""
    cutout: BelowOne = 0.0
    """Side of a blanked square, as a share of the image's (arXiv 1708.04552)."""
    mixup: NotNegative = 0.0
    """α of the Beta distribution that images of a batch are mixed by, in pairs (arXiv 1710.09412)."""
    ema: BelowOne = 0.0
    """Decay per step of the moving average of the weights that is measured in their place; 0 measures the weights."""
    precision: Precision = "float32"
    """Of convolutions and linear layers while training; see `precision`. bfloat16 pays on accelerators, and on CPUs
    that have matrix units for it (AMX), not on others."""
    loss: Loss = Joint()
    """What networks are trained for: `joint`, `distillation` or `nachos`, or a mapping with `kind` and its options."""

    @field_validator("loss", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A name alone stands for a loss with its defaults."""
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _mixtures_have_no_right_answer(self) -> Self:
        if self.mixup > 0 and self.loss.kind == "nachos":
            raise ValueError(f"mixup {self.mixup:g} leaves gates no right answers to learn from; loss nachos needs 0")
        return self

    @property
    def fidelity(self) -> str:
        """Names everything that influences a trained network (a time limit does not).

        Fields that came later are named where they matter, so that records of older versions keep their names.
        """
        unnamed: dict[str, Any] = {name: True for name, value in _NEUTRAL.items() if getattr(self, name) == value}
        if self.loss.kind == "nachos" and self == self.older:
            unnamed["loss"] = set(_OLDER_NACHOS)
        return self.model_dump_json(exclude={"max_seconds": True, **unnamed})

    @classmethod
    def of_fidelity(cls, text: str) -> "Recipe":
        """The recipe that a record's fidelity names."""
        recipe = cls.model_validate_json(text)
        return recipe if recipe.fidelity == text else recipe.older

    @property
    def older(self) -> "Recipe":
        """The recipe of older versions, where this one names no field that came later."""
        if self.loss.kind != "nachos":
            return self
        return self.model_copy(update={"loss": self.loss.model_copy(update=_OLDER_NACHOS)})


_NEUTRAL: dict[str, Any] = {
    "optimizer": "sgd",
    "cutout": 0.0,
    "mixup": 0.0,
    "ema": 0.0,
    "precision": "float32",
    "loss": Joint(),
}


_OLDER_NACHOS: dict[str, Any] = {"start": "at_once"}


def changed(recipe: Recipe, file: Path | None, epochs: int | None) -> Recipe:
    """`recipe` with what a YAML file says, and then with other epochs.

    Raises:
        InputError: one line with the file, the field, the value got and what is allowed.
    """
    values = recipe.model_dump()
    if file is not None:
        values |= read_mapping(file)
    if epochs is not None:
        values["epochs"] = epochs
    return parse(Recipe, values, "recipe" if file is None else str(file))
