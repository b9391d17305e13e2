"""The settings of a study: everything in `config.yaml`, validated."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import Field, ValidationInfo, field_validator, model_validator

from surrogate_nas.architecture.cost import ChargeHeads, Objective
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.fields import MOST_SEEDS, Amount, Config, Count, NotNegative, parse, read_mapping
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.machine import DEVICE_KINDS
from surrogate_nas.space.sampling import SamplingName
from surrogate_nas.training.recipe import Recipe

FEWEST_NETWORKS = 8
"""Fewest trained networks that a surrogate is fitted to."""
FULL = 5
"""Default epochs of full fidelity per epoch of the search."""
KeepName = Literal["all", "front", "none"]
SurrogateName = Literal["stack", "gp", "xgb", "switching", "size"]
SURROGATE_NAMES = ("auto", *get_args(SurrogateName))
"""`auto` chooses among several by cross-validation."""
StrategyName = Literal["bayesian", "edanas", "nachos", "aebnas", "nsga2", "random"]
STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)
ExecutorName = Literal["processes", "ray"]


class Settings(Config):
    """A study's `config.yaml`: the settings that may change between two commands. Fixed ones are in the archive."""

    budget: Count = 32
    """Trainings in all."""
    initial: Count = 20
    """Trainings of sampled architectures before the search starts."""
    sampling: SamplingName = "uniform"
    """How these are sampled: uniform over choices, evenly over the logarithm of cost, or spread over the encoding."""
    batch: Count = 4
    """Proposals per round."""
    limits: Limits = Limits()
    """What every solution must keep to."""
    recipe: Recipe = Recipe()
    """How each network is trained."""
    final: Recipe | None = None
    """Recipe of `finalize`; `None` is `recipe` for five times as many epochs."""
    surrogate: str = "auto"
    """One of `SURROGATE_NAMES`, or `package.module:function` that fits one of your own."""
    strategy: str = "bayesian"
    """What proposes networks: one of `STRATEGY_NAMES`, or `package.module:function` of your own."""
    repeats: bool = True
    """Whether a network of the front may be trained again with another seed where that is worth more than a new one."""
    asynchronous: bool = False
    """Whether a free worker gets a proposal at once, instead of waiting for the round; proposals then depend on which
    training ends first."""
    stream: Annotated[int, Field(ge=0, lt=MOST_SEEDS)] = 0
    """Which of many sequences of draws, proposals and training seeds the study's seed gives: studies of one seed have
    the same splits, and those of other streams train other networks."""
    policy: PolicyName | None = None
    """How an exit scores its own confidence; `None` leaves it to the space."""
    temperature: bool = False
    """Whether each exit's logits are divided by a temperature fitted on tune before they are scored."""
    charge_heads: ChargeHeads | None = None
    """Whether a sample is charged for `all` branches that were run before it left, or for its `own` alone; `None`
    leaves it to the space."""
    objective: Objective = "macs"
    """What is minimised beside maximising accuracy: expected MACs, or the expected cost by the study's cost table."""
    data_root: Path | None = None
    """Where the data set comes from: torchvision's folder, the folder of images, or the `.npz`; digits need none."""
    download: bool = False
    """Whether torchvision may fetch what is missing there."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Trainings at a time; 0 trains in this process; `None` is one per core, or what Ray has room for."""
    executor: ExecutorName = "processes"
    """Where trainings run: in processes of this machine, or on a Ray cluster."""
    ray_address: str | None = None
    """Address of the cluster; `None` starts one on this machine."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    """Share of a GPU that Ray gives each training; `None` is one where `device` is cuda, or auto and the cluster has
    GPUs, else none."""
    max_memory_gb: Amount | None = None
    """What each training process may use, in 10⁹ bytes; one that takes more is a failure. `None`: its share of what is
    free."""
    keep: KeepName = "front"
    """Whose trained weights are kept: those of every network, of the networks on the front (and, within `keep_gb`, the
    most accurate others), or of none."""
    keep_gb: NotNegative = 1.0
    """With `keep: front`, how much disk in 10⁹ bytes weights of other networks may take, the most accurate on tune
    first, at their best thresholds without limits; 0 keeps the front alone."""
    device: str = "auto"
    """Where networks are trained: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` is CUDA, else Apple's MPS, else the CPU."""
    cost_table: Path | None = None
    """CSV with another cost per unit, such as microseconds. The study keeps a copy."""
    max_hours: Amount | None = None
    """A command's trainings end within so many hours: one that would not is stopped between two epochs, and the next
    command continues it."""

    @field_validator("surrogate", "strategy")
    @classmethod
    def _known_name_or_reference(cls, name: str, info: ValidationInfo) -> str:
        names: tuple[str, ...] = SURROGATE_NAMES if info.field_name == "surrogate" else STRATEGY_NAMES
        if name not in names and ":" not in name:
            raise ValueError(
                f"{name!r} is not a {info.field_name}; allowed: {', '.join(names)}, package.module:function"
            )
        return name

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        if name != "auto" and not re.fullmatch(rf"({'|'.join(DEVICE_KINDS)})(:\d+)?", name):
            raise ValueError(f"{name!r} is not a device; allowed: auto, {', '.join(DEVICE_KINDS)}, cuda:1 and the like")
        return name

    @model_validator(mode="after")
    def _costs_have_a_table(self) -> Self:
        if self.cost_table is None and (self.limits.limits_cost or self.objective == "cost"):
            raise ValueError("cost is limited or minimised, and there is no cost_table to tell it")
        return self

    @model_validator(mode="after")
    def _ray_settings_need_ray(self) -> Self:
        for name in ("ray_address", "gpus_per_trial"):
            if getattr(self, name) is not None and self.executor != "ray":
                raise ValueError(f"{name} {getattr(self, name)} needs executor ray, got {self.executor}")
        uses_gpus = self.device == "auto" or self.device.startswith("cuda")
        if self.gpus_per_trial == 0 and self.device.startswith("cuda"):
            raise ValueError(f"gpus_per_trial 0 leaves device {self.device} no GPU; allowed: more, or device cpu")
        if self.gpus_per_trial and not uses_gpus:
            raise ValueError(f"gpus_per_trial {self.gpus_per_trial:g} is for device auto or cuda, got {self.device}")
        if self.workers == 0 and self.executor == "ray":
            raise ValueError(
                "workers 0 trains in this process, and executor ray elsewhere; allowed: at least 1, or none"
            )
        return self

    @model_validator(mode="after")
    def _initial_fits_the_budget(self) -> Self:
        if self.initial > self.budget:
            raise ValueError(f"initial {self.initial} exceeds the budget of {self.budget} trainings")
        if self.initial < min(self.budget, FEWEST_NETWORKS):
            raise ValueError(
                f"initial {self.initial} is too few to search from; surrogates need at least {FEWEST_NETWORKS} networks"
            )
        return self

    @property
    def full_recipe(self) -> Recipe:
        """The recipe of full fidelity."""
        return self.final or self.recipe.model_copy(update={"epochs": FULL * self.recipe.epochs, "max_seconds": None})

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read a YAML file.

        Raises:
            InputError: one line with the file, the field, the value got and what is allowed.
        """
        return parse(cls, read_mapping(path), str(path))

    def save(self, path: Path) -> None:
        """Write `path`, whole or not at all."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        with replaced(path) as partial:
            partial.write_text("# What may change between two commands on this study.\n" + text, encoding="utf-8")

    def updated(self, changes: dict[str, Any]) -> "Settings":
        """A copy with `changes` (nested for limits and recipe) applied and validated."""
        values = self.model_dump()
        for name, value in changes.items():
            value_before = values.get(name)
            values[name] = (
                {**value_before, **value} if isinstance(value_before, dict) and isinstance(value, dict) else value
            )
        return parse(Settings, values, "settings")
