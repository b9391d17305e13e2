"""The settings of a study: everything in `config.yaml`, validated."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict, get_args

import yaml
from pydantic import Field, ValidationInfo, field_validator, model_validator

from surrogate_nas.architecture.cost import ChargeHeads, Objective
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.fields import MOST_SEEDS, Config, Count, DiskSpace, Gigabytes, Hours, parse, read_mapping
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.machine import DEVICE_KINDS
from surrogate_nas.space.sampling import SamplingName
from surrogate_nas.training.recipe import Recipe

FEWEST_NETWORKS = 4
"""Smallest number of trained networks to which a surrogate is fitted."""
FULL = 5
"""Epochs of full fidelity per epoch of the search, by default."""
KeepName = Literal["all", "front", "none"]
SurrogateName = Literal["stack", "gp", "xgb", "switching", "size"]
SURROGATE_NAMES = ("auto", *get_args(SurrogateName))
"""Names of surrogates; `auto` chooses among them by cross-validation."""
StrategyName = Literal["bayesian", "edanas", "nachos", "aebnas", "nsga2", "random", "asha", "pasha"]
STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)
TIMED_ONLY: tuple[StrategyName, ...] = ("asha", "pasha")
"""Strategies that choose which networks are trained on, in a search by time."""
GoalName = Literal["front", "accuracy", "cost"]
ExecutorName = Literal["processes", "ray"]


class SettingsFields(TypedDict, total=False):
    """Keys of a mapping with settings; `limits`, `recipe` and `final` may be mappings, of which the rest stays."""

    budget: int
    initial: int
    sampling: SamplingName
    batch: int
    limits: Limits | Mapping[str, float | str | None]
    recipe: Recipe | Mapping[str, Any]
    final: Recipe | Mapping[str, Any] | None
    rung: int
    surrogate: str
    strategy: str
    repeats: bool
    asynchronous: bool
    stream: int
    policy: PolicyName | None
    temperature: bool
    charge_heads: ChargeHeads | None
    objective: Objective
    goal: GoalName
    data_root: str | Path | None
    download: bool
    workers: int | None
    executor: ExecutorName
    ray_address: str | None
    gpus_per_trial: float | None
    max_memory_gb: float | None
    keep: KeepName
    keep_gb: float | str
    device: str
    cost_table: str | Path | None
    max_hours: float | str | None


class Settings(Config):
    """Settings that may change between two commands of a study: its `config.yaml`. Fixed ones are in the archive."""

    budget: Count = 32
    """Number of trainings in the search, the initial ones included."""
    initial: Count = 20
    """Number of sampled networks to train before the search starts: at least 4, or the whole budget if it is
    smaller."""
    sampling: SamplingName = "uniform"
    """Sampling of the initial networks: `uniform` over the choices of each gene, `stratified` over the logarithm of the
    cost, or `space-filling` over the encoding."""
    batch: Count = 4
    """Number of networks proposed in each round of the search."""
    limits: Limits = Limits()
    """Limits that every solution must keep."""
    recipe: Recipe = Recipe()
    """Training recipe of every network in the search."""
    final: Recipe | None = None
    """Training recipe of `finalize`; `None`: `recipe` with five times as many epochs and no time limit. Not on a
    ladder, whose top it is."""
    rung: Count = 1
    """Rung of the ladder that new networks are trained to, from 1; without a ladder there is only 1."""
    surrogate: str = "auto"
    """Surrogate model: one of `SURROGATE_NAMES`, or `package.module:function`, which fits a model of your own."""
    strategy: str = "bayesian"
    """Search strategy, which proposes the networks to train: one of `STRATEGY_NAMES`, or `package.module:function` for
    your own. `asha` and `pasha` need a search by time, `aebnas` needs `max_macs`."""
    repeats: bool = True
    """Whether the search may train a network of the front again with another seed, where that is expected to improve
    the front more than a new network."""
    asynchronous: bool = False
    """Whether a free worker immediately gets a new proposal, instead of waiting for the end of the round; proposals
    then depend on the order in which trainings end."""
    stream: Annotated[int, Field(ge=0, lt=MOST_SEEDS)] = 0
    """Number of the random stream: studies with the same seed have the same splits, but each stream has its own sampled
    networks, proposals and training seeds."""
    policy: PolicyName | None = None
    """Exit policy: the confidence score that is compared with thresholds; `None`: the default of the space. Those of
    gates need a space whose branches have them."""
    temperature: bool = False
    """Whether to divide the logits of each exit by a temperature, fitted on tune, before confidence is scored; for
    up to 20 classes."""
    charge_heads: ChargeHeads | None = None
    """Exit branches in the cost of a sample: `all` that were run until it left, or only its `own`; `None`: the default
    of the space."""
    objective: Objective = "macs"
    """Expected cost to minimise while accuracy is maximised: `macs`, or the `cost`, which needs a cost table."""
    goal: GoalName = "front"
    """Goal of the search within the limits: the whole `front` of accuracy and cost, the highest `accuracy`, or the
    lowest `cost`, which needs `min_accuracy`."""
    data_root: Path | None = None
    """Path of the images: the folder of torchvision's data sets, a folder of images by class, or a `.npz` file; digits
    need none."""
    download: bool = False
    """Whether torchvision may download a data set that is missing in `data_root`."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Number of simultaneous trainings; 0 trains in the process of the command, not with `ray`; `None`: one per core,
    or as many as the Ray cluster has room for."""
    executor: ExecutorName = "processes"
    """Where trainings run: in `processes` of this machine, or on a `ray` cluster."""
    ray_address: str | None = None
    """Address of the Ray cluster, with `executor: ray`; `None` starts one on this machine."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    """GPUs that Ray reserves for each training, such as 0.25, with `executor: ray`; `None`: 1 if `device` is cuda, or
    if it is auto and the cluster has GPUs, else 0."""
    max_memory_gb: Gigabytes | None = None
    """Memory limit of each training process, in 10⁹ bytes; a training that exceeds it fails. `None`: an equal share of
    the free memory."""
    keep: KeepName = "front"
    """Networks whose trained weights are kept: `all`, those on the `front` (and, within `keep_gb`, the most accurate
    others), or `none`."""
    keep_gb: DiskSpace = 1.0
    """Disk space for weights of networks that are not on the front, with `keep: front`, in 10⁹ bytes: the most accurate
    on tune first, at their best thresholds without limits; 0 keeps the front alone."""
    device: str = "auto"
    """Device that trains networks: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` is CUDA, else Apple's MPS, else the CPU."""
    cost_table: Path | None = None
    """CSV file with another cost of each unit, such as microseconds; the study keeps a copy."""
    max_hours: Hours | None = None
    """Time limit of a command's trainings, in hours: a training that would exceed it stops between two epochs, and the
    next command continues it."""

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
            raise ValueError(f"{name!r} is not a device; allowed: auto, {', '.join(DEVICE_KINDS)}, cuda:1, cuda:2, …")
        return name

    @model_validator(mode="after")
    def _costs_have_a_table(self) -> Self:
        if self.cost_table is None and (self.limits.limits_cost or self.objective == "cost"):
            raise ValueError("limits or objective refer to cost, but no cost_table is set")
        return self

    @model_validator(mode="after")
    def _cheapest_needs_a_floor(self) -> Self:
        if self.goal == "cost" and self.limits.min_accuracy is None:
            raise ValueError("goal cost needs a limit min_accuracy: without one, the cheapest network is the worst")
        return self

    @model_validator(mode="after")
    def _ray_settings_need_ray(self) -> Self:
        for name in ("ray_address", "gpus_per_trial"):
            if getattr(self, name) is not None and self.executor != "ray":
                raise ValueError(f"{name} {getattr(self, name)} needs executor ray, got {self.executor}")
        uses_gpus = self.device == "auto" or self.device.startswith("cuda")
        if self.gpus_per_trial == 0 and self.device.startswith("cuda"):
            raise ValueError(
                f"gpus_per_trial 0 cannot be combined with device {self.device}; use more than 0, or device cpu"
            )
        if self.gpus_per_trial and not uses_gpus:
            raise ValueError(f"gpus_per_trial {self.gpus_per_trial:g} needs device auto or cuda, got {self.device}")
        if self.workers == 0 and self.executor == "ray":
            raise ValueError(
                "workers 0 trains in this process and cannot be combined with executor ray; use at least 1, or leave "
                "it unset"
            )
        return self

    @model_validator(mode="after")
    def _initial_fits_the_budget(self) -> Self:
        if self.initial > self.budget:
            raise ValueError(f"initial {self.initial} exceeds the budget of {self.budget} trainings")
        if self.initial < min(self.budget, FEWEST_NETWORKS):
            raise ValueError(
                f"initial {self.initial} is too small; surrogates need at least {FEWEST_NETWORKS} trained networks"
            )
        return self

    @property
    def full_recipe(self) -> Recipe:
        """Training recipe of full fidelity, used by `finalize`."""
        return self.final or self.recipe.model_copy(update={"epochs": FULL * self.recipe.epochs, "max_seconds": None})

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read a YAML file.

        Raises:
            InputError: one line with the file, the field, the value got and the values allowed.
        """
        return parse(cls, read_mapping(path), str(path))

    def save(self, path: Path) -> None:
        """Write the YAML file `path` atomically."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        with replaced(path) as partial:
            partial.write_text("# Settings that may change between two commands of this study.\n" + text, "utf-8")

    def updated(self, changes: dict[str, Any]) -> "Settings":
        """Copy with `changes` applied and validated; mappings, such as limits and recipe, are merged."""
        values = self.model_dump()
        for name, value in changes.items():
            value_before = values.get(name)
            values[name] = (
                {**value_before, **value} if isinstance(value_before, dict) and isinstance(value, Mapping) else value
            )
        return parse(Settings, values, "settings")
