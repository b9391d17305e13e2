"""Training recipe: the hyperparameters of a training, as a small frozen configuration."""

import json
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
"""Largest rounding error of a share of epochs."""
Precision = Literal["float32", "bfloat16"]


class Joint(Config):
    """Weighted mean of the cross entropies of all exits; see `losses.joint`."""

    kind: Literal["joint"] = "joint"
    """Name of the loss."""


class Distillation(Config):
    """Joint loss, and a term by which earlier exits learn from the last one; see `losses.distillation`."""

    kind: Literal["distillation"] = "distillation"
    """Name of the loss."""
    weight: NotNegative = 1.0
    """Weight of the distillation term, which is added to the joint loss."""
    temperature: Amount = 3.0
    """Temperature τ, by which logits are divided in the distillation term."""


class Nachos(Config):
    """Loss of NACHOS, which trains gates as the policy uses them, in three phases; see `losses.nachos`.

    A weight of 0 leaves its term out: `cost_weight: 0, peak_weight: 0` are the ablations of the paper.
    """

    kind: Literal["nachos"] = "nachos"
    """Name of the loss."""
    max_macs: Amount | None = None
    """Budget of expected multiply-accumulates in the cost term; required unless `cost_weight` is 0."""
    exits_weight: NotNegative = 1.0
    """Weight w_α of the exits' cross entropies."""
    cost_weight: NotNegative = 1.0
    """Weight w_β of the cost term, which penalises expected MACs above the budget."""
    peak_weight: NotNegative = 1.0
    """Weight w_γ of the support-matrix term."""
    backbone_share: BelowOne = 0.5
    """Share of the epochs in the first phase, in which only the backbone and the last exit learn."""
    warm_up_share: BelowOne = 0.25
    """Share of the epochs in the second phase, in which the early exits learn too, without the support matrix."""
    start: Literal["gradual", "at_once"] = "gradual"
    """Start of the early exits' learning. `gradual`: in the second phase all exits have the same weight, and the
    learning rate rises again from 0. `at_once`, as in older versions: exits are weighted by the probability of leaving,
    at the learning rate of the schedule, so that an exit may never learn."""
    support_share: Share = 0.1
    """Share of the training images, drawn anew in each epoch, from which the support matrix is computed."""

    def warm_up(self, epochs: int) -> tuple[int, int]:
        """First of so many epochs, counted from 0, in which early exits learn, and first with the support matrix."""
        ends = (self.backbone_share, self.backbone_share + self.warm_up_share)
        first, second = (math.ceil(end * epochs - ROUNDING) for end in ends)
        return first, second

    @model_validator(mode="after")
    def _the_cost_has_a_budget(self) -> Self:
        if self.max_macs is None and self.cost_weight > 0:
            raise ValueError("max_macs is missing: set it as the budget of the cost term, or set cost_weight to 0")
        if self.backbone_share + self.warm_up_share >= 1:
            raise ValueError(
                f"backbone_share {self.backbone_share:g} and warm_up_share {self.warm_up_share:g} leave no epochs for "
                "the third phase; allowed: a sum below 1"
            )
        return self


Loss = Annotated[Joint | Distillation | Nachos, Field(discriminator="kind")]


class Recipe(Config):
    """Hyperparameters of a training. Two records are comparable if their recipes are equal."""

    epochs: Count = 20
    """Number of passes over the training images."""
    batch_size: Count = 64
    """Number of images per step."""
    learning_rate: Amount = 0.1
    """Largest learning rate of the schedule."""
    momentum: BelowOne = 0.9
    """Nesterov momentum of `sgd`; first beta of `adamw`."""
    weight_decay: NotNegative = 5e-4
    """Weight decay; biases and batch norm have none."""
    label_smoothing: BelowOne = 0.05
    """Share of each target that is spread over all classes."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """Schedule of the learning rate: `one_cycle`, a linear rise and then a cosine to 0; `cosine`, without the rise."""
    early_exit_weight: NotNegative = 1.0
    """Weight of each early exit's cross entropy in the joint loss; the last exit has 1."""
    augment: bool = True
    """Whether training images are shifted at random, and mirrored if the data set allows it."""
    max_seconds: Seconds | None = None
    """Time limit of a training, in seconds; a training that exceeds it is recorded as a failure."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimiser: `sgd`, stochastic gradient descent with Nesterov momentum, or `adamw`."""
    cutout: BelowOne = 0.0
    """Side of a square that is blanked in each image, as a share of the image's side (arXiv 1708.04552); 0 for none."""
    mixup: NotNegative = 0.0
    """α of the Beta distribution of the shares in which pairs of images are mixed (arXiv 1710.09412); 0 for none."""
    balance: bool = False
    """Whether images are drawn so that all classes are equally frequent in training, for data with rare classes: with
    replacement, as many as there are in an epoch."""
    ema: BelowOne = 0.0
    """Decay per step of a moving average of the weights, which replaces them after training; 0 for no average."""
    precision: Precision = "float32"
    """Precision of convolutions and linear layers in training. bfloat16 is faster on accelerators and on CPUs with
    matrix units for it (AMX), and slower on others."""
    loss: Loss = Joint()
    """Loss of trainings: `joint`, `distillation` or `nachos`, or a mapping with `kind` and the options of that loss."""

    @field_validator("loss", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a name alone, for a loss with its defaults."""
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _nachos_needs_unmixed_images(self) -> Self:
        if self.mixup > 0 and self.loss.kind == "nachos":
            raise ValueError(
                f"mixup {self.mixup:g} cannot be combined with loss nachos, whose gates need images of one class; use 0"
            )
        return self

    @property
    def fidelity(self) -> str:
        """Text that identifies the fidelity: everything that influences a trained network (a time limit does not).

        Fields of later versions are included only if they matter, so that records of older versions keep their text.
        """
        unnamed: dict[str, Any] = {name: True for name, value in _NEUTRAL.items() if getattr(self, name) == value}
        if self.loss.kind == "nachos" and self == self.older:
            unnamed["loss"] = set(_OLDER_NACHOS)
        return self.model_dump_json(exclude={"max_seconds": True, **unnamed})

    def fidelity_on(self, top: int) -> str:
        """Text that identifies the fidelity of all rungs of a ladder: `fidelity`, with the image passes of the top rung
        in place of epochs, schedule and momentum; see `training.rungs`."""
        values = json.loads(self.fidelity)
        kept = {name: value for name, value in values.items() if name not in _OF_WHOLE_EPOCHS}
        return json.dumps({TOP: top, **kept}, separators=(",", ":"))

    @classmethod
    def of_fidelity(cls, text: str) -> "Recipe":
        """Recipe of a record's fidelity; on a ladder, epochs, schedule and momentum have no meaning."""
        values = json.loads(text)
        if values.pop(TOP, None) is not None:
            return cls.model_validate(values)
        recipe = cls.model_validate(values)
        return recipe if recipe.fidelity == text else recipe.older

    @property
    def older(self) -> "Recipe":
        """Copy that trains as older versions did, in fields which they did not have."""
        if self.loss.kind != "nachos":
            return self
        return self.model_copy(update={"loss": self.loss.model_copy(update=_OLDER_NACHOS)})


TOP = "top"
"""Key of a fidelity on a ladder: image passes of the top rung."""
_OF_WHOLE_EPOCHS = ("epochs", "schedule", "momentum")
_NEUTRAL: dict[str, Any] = {
    "optimizer": "sgd",
    "cutout": 0.0,
    "mixup": 0.0,
    "balance": False,
    "ema": 0.0,
    "precision": "float32",
    "loss": Joint(),
}


_OLDER_NACHOS: dict[str, Any] = {"start": "at_once"}


def is_on_ladder(fidelity: str) -> bool:
    """Whether a fidelity is that of the rungs of a ladder; see `Recipe.fidelity_on`."""
    return TOP in json.loads(fidelity)


def changed(recipe: Recipe, file: Path | None, epochs: int | None) -> Recipe:
    """Copy of `recipe` with the values in a YAML file, and then with another number of epochs.

    Raises:
        InputError: one line with the file, the field, the value got and the values allowed.
    """
    values = recipe.model_dump()
    if file is not None:
        values |= read_mapping(file)
    if epochs is not None:
        values["epochs"] = epochs
    return parse(Recipe, values, "recipe" if file is None else str(file))
