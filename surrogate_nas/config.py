"""What a user may set: limits of the search, the training recipe, the settings of a study."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from surrogate_nas.errors import InputError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(gt=0)]
ConfigT = TypeVar("ConfigT", bound=BaseModel)

FEWEST_NETWORKS = 8
"""Trained networks that a surrogate needs at least."""
PolicyName = Literal["max_softmax", "margin", "entropy"]
KeepName = Literal["all", "front", "none"]
SurrogateName = Literal["auto", "xgb", "gp"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Config):
    """What every solution must keep to; `None` is no limit."""

    max_macs: Amount | None = None
    """Expected (average) multiply-accumulates per image."""
    max_worst_macs: Amount | None = None
    """Multiply-accumulates of an image that goes to the last exit."""
    max_params: Amount | None = None
    min_accuracy: Share | None = None
    """Accuracy floor, a fraction."""

    @model_validator(mode="after")
    def _average_below_worst_case(self) -> Self:
        if self.max_macs is not None and self.max_worst_macs is not None and self.max_macs > self.max_worst_macs:
            raise ValueError(
                f"max_macs {self.max_macs:g} is above max_worst_macs {self.max_worst_macs:g}, "
                "but no average exceeds the worst case"
            )
        return self

    def __str__(self) -> str:
        words = {"max_macs": "expected MACs ≤", "max_worst_macs": "worst-case MACs ≤",
                 "max_params": "parameters ≤", "min_accuracy": "accuracy ≥"}  # fmt: skip
        given = [f"{words[name]} {value:,g}" for name, value in self if value is not None]
        return ", ".join(given) or "no limits"


class Recipe(_Config):
    """How a network is trained. Two records are comparable when their recipes are equal."""

    epochs: Count = 20
    batch_size: Count = 64
    learning_rate: Amount = 0.1
    """Peak of the schedule."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    early_exit_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of each early exit's cross entropy in the joint loss; the last exit has 1."""
    augment: bool = True
    """Random shifts, and mirror images where the data set allows them."""
    max_seconds: Amount | None = None
    """A training that takes longer is recorded as a failure."""

    @property
    def fidelity(self) -> str:
        """Names everything that influences a trained network (a time limit does not)."""
        return self.model_dump_json(exclude={"max_seconds"})


class Settings(_Config):
    """A study's `config.yaml`: what may change between two commands. What may not is in the archive."""

    budget: Count = 32
    """Trainings in all."""
    initial: Count = 20
    """Trainings of sampled architectures before the search starts."""
    batch: Count = 4
    """Proposals per round."""
    limits: Limits = Limits()
    recipe: Recipe = Recipe()
    surrogate: SurrogateName = "auto"
    policy: PolicyName = "max_softmax"
    """How an exit scores its own confidence."""
    data_root: Path | None = None
    """Where the data set comes from: torchvision's folder, the folder of images, or the `.npz`; digits need none."""
    download: bool = False
    """Whether torchvision may fetch what is missing there."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Training processes; 0 trains in this one; `None` is one per core."""
    max_memory_gb: Amount | None = None
    """What each training process may use, in 10⁹ bytes; one that takes more is a failure. `None`: its share of what is
    free."""
    keep: KeepName = "front"
    """Whose trained weights are kept: those of every network, of the networks on the front, or of none."""
    device: str = "auto"
    max_hours: Amount | None = None
    """Start no training after this time."""

    @model_validator(mode="after")
    def _initial_fits_the_budget(self) -> Self:
        if self.initial > self.budget:
            raise ValueError(f"initial {self.initial} exceeds the budget of {self.budget} trainings")
        if self.initial < min(self.budget, FEWEST_NETWORKS):
            raise ValueError(
                f"initial {self.initial} is too few to search from; surrogates need at least {FEWEST_NETWORKS} networks"
            )
        return self

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read a YAML file.

        Raises:
            InputError: one line with the file, the field, the value got and what is allowed.
        """
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}") from None
        if not isinstance(loaded, dict | None):
            raise InputError(f"{path}: a mapping of settings is needed, got {type(loaded).__name__}")
        return parse(cls, loaded or {}, str(path))

    def save(self, path: Path) -> None:
        """Write `path`, whole or not at all."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        partial = path.with_suffix(".partial")
        partial.write_text("# What may change between two commands on this study.\n" + text, encoding="utf-8")
        partial.replace(path)

    def updated(self, changes: dict[str, Any]) -> "Settings":
        """With `changes` (nested for limits and recipe) validated and applied."""
        merged = self.model_dump()
        for name, value in changes.items():
            before = merged.get(name)
            merged[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        return parse(Settings, merged, "settings")


def parse(model: type[ConfigT], values: object, source: str) -> ConfigT:
    """Validate `values`.

    Raises:
        InputError: one line with the source, the field, the value got and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_at(model, first["loc"][:-1]))
            raise InputError(f"{source}: unknown setting {where!r}; allowed: {allowed}") from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise InputError(f"{source}: {where + ': ' if where else ''}{message}{got}") from None


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for name in (part for part in path if isinstance(part, str)):  # a number is a place in a tuple of models
        annotation = model.model_fields[name].annotation
        inner = (annotation, *get_args(annotation))
        model = next(a for a in inner if isinstance(a, type) and issubclass(a, BaseModel))
    return list(model.model_fields)
