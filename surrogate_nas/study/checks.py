"""Checks of settings against a study, when it is created and when its settings change."""

from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.outputs import MOST_CLASSES_WITH_LOGITS
from surrogate_nas.exits.policies import GATE_POLICIES
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.plugins import load_function
from surrogate_nas.settings import STRATEGY_NAMES, SURROGATE_NAMES, TIMED_ONLY, Settings
from surrogate_nas.space.costs import costing_for, require_all
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec
from surrogate_nas.training.recipe import Recipe


def cost_table(settings: Settings, space: SearchSpace, shape: ImageShape) -> CostTable | None:
    """The cost table of the settings; raises `InputError` if it is invalid or lacks a unit of the space."""
    if settings.cost_table is None:
        return None
    table = CostTable.read(settings.cost_table)
    require_all(table, space, costing_for(space, shape))
    return table


def require_gates(spec: SpaceSpec, recipe: Recipe) -> None:
    """Raise `InputError` for a loss that needs gates, if the space's branches have none."""
    if recipe.loss.kind == "nachos" and spec.branch.kind != "gated":
        raise InputError(f"loss nachos needs branches with gates; those of space {spec.name!r} have none")


def require_rung(ladder: Ladder | None, rung: int) -> int:
    """Image passes of a rung; raises `InputError` if the ladder does not have it, or there is none."""
    if ladder is None:
        raise InputError(f"rung {rung} needs a study with a ladder, which is created with --ladder")
    return ladder.passes(rung)


def require_ladder(settings: Settings, ladder: Ladder | None) -> None:
    """Raise `InputError` for settings that cannot be combined with the study's ladder, or with having none."""
    if ladder is None:
        if settings.rung != 1:
            require_rung(None, settings.rung)
        return
    require_rung(ladder, settings.rung)
    recipe = settings.recipe
    if recipe.loss.kind == "nachos":
        raise InputError("loss nachos has phases of a whole training, and cannot be used on a ladder")
    if recipe.optimizer != "sgd":
        raise InputError(f"a ladder needs optimizer sgd, got {recipe.optimizer}")
    if recipe.ema:
        raise InputError(f"ema {recipe.ema:g} cannot be used on a ladder, whose weights are averages already")
    for name in ("schedule", "momentum"):
        if (value := getattr(recipe, name)) != Recipe.model_fields[name].default:
            raise InputError(f"{name} {value} cannot be used on a ladder, whose trainings have none of the recipe's")
    if settings.final is not None:
        raise InputError("a final recipe cannot be used on a ladder: finalize trains to its top rung")


def require_policy(spec: SpaceSpec, settings: Settings) -> None:
    """Raise `InputError` for a policy that needs gates, if the space's branches have none."""
    policy = settings.policy or spec.policy
    if policy in GATE_POLICIES and spec.branch.kind != "gated":
        raise InputError(f"policy {policy} needs branches with gates; those of space {spec.name!r} have none")


def require_temperature(classes: int, data: str, settings: Settings) -> None:
    """Raise `InputError` for temperatures, if there are too many classes to keep the logits that they are fitted to."""
    if settings.temperature and classes > MOST_CLASSES_WITH_LOGITS:
        raise InputError(
            f"temperatures need logits, which are kept only up to {MOST_CLASSES_WITH_LOGITS} classes; "
            f"data {data!r} has {classes}"
        )


def require_surrogate(settings: Settings) -> None:
    """Raise `InputError` for a user's surrogate that cannot be imported."""
    if settings.surrogate not in SURROGATE_NAMES:
        load_function(settings.surrogate, "surrogate")


def require_without_time(settings: Settings) -> None:
    """Raise `InputError` for a strategy that needs a search by time."""
    if settings.strategy in TIMED_ONLY:
        raise InputError(f"strategy {settings.strategy} decides how far networks are trained, and needs --time")


def require_strategy(settings: Settings) -> None:
    """Raise `InputError` for a user's strategy that cannot be imported, or for `aebnas` without a target."""
    if settings.strategy not in STRATEGY_NAMES:
        load_function(settings.strategy, "strategy")
    if settings.strategy == "aebnas" and settings.limits.max_macs is None:
        raise InputError("strategy aebnas needs a target of expected MACs, got no max_macs")
