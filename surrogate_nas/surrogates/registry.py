"""Surrogates by name, built in or the user's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from botorch.models.model import Model

from surrogate_nas.foundation.plugins import load_function
from surrogate_nas.settings import SurrogateName
from surrogate_nas.surrogates.gp import GaussianProcesses
from surrogate_nas.surrogates.kernels import VIEWS, View
from surrogate_nas.surrogates.size import BySize
from surrogate_nas.surrogates.switching import Switching
from surrogate_nas.surrogates.training_set import TrainingSet
from surrogate_nas.surrogates.xgb import XGBoostEnsemble

FitMember = Callable[[TrainingSet, int], Model]
"""Function of rows and a seed that returns a fitted BoTorch model with m outputs."""


@dataclass(frozen=True)
class Member:
    """A model that is fitted separately, alone or as a part of a surrogate."""

    fit: FitMember
    empty: Callable[[TrainingSet], Model] | None = None
    """Function that builds the unfitted model to load a stored state into; without it, the model is fitted again."""


def _gp(view: View) -> Member:
    return Member(lambda training, seed: GaussianProcesses.fit(training, view), partial(GaussianProcesses, view=view))


MEMBERS: Mapping[str, Member] = {
    **{f"gp-{view}": _gp(view) for view in VIEWS},
    "xgb": Member(lambda training, seed: XGBoostEnsemble(training).fit(training, seed), XGBoostEnsemble),
    "switching": Member(Switching),
    "size": Member(lambda training, seed: BySize(training), BySize),
}
_GP = tuple(f"gp-{view}" for view in VIEWS)


@dataclass(frozen=True)
class Surrogate:
    """Members of a surrogate and their weighting."""

    members: tuple[str, ...]
    stacked: bool = False
    """Whether held-out rows decide the weights; otherwise they are equal."""


SURROGATES: Mapping[SurrogateName, Surrogate] = {
    "gp": Surrogate(_GP),
    "xgb": Surrogate(("xgb",)),
    "stack": Surrogate((*_GP, "xgb"), stacked=True),
    "switching": Surrogate(("switching",)),
    "size": Surrogate(("size",)),
}
AUTO: tuple[SurrogateName, ...] = ("gp", "xgb", "stack")
"""Surrogates that `auto` chooses from."""
DEFAULT: SurrogateName = "stack"
LEAD = 0.1
"""Lead in held-out τ by which another surrogate replaces the default: the best of three is often the luckiest."""
BY_SIZE: SurrogateName = "size"
"""The baseline of all comparisons: costs alone."""


def preferred(tau: Mapping[str, float]) -> str:
    """Name of the surrogate to use, by held-out τ of each: the default, unless another leads by more than `LEAD`."""
    return max(tau, key=lambda name: tau[name] + (LEAD if name == DEFAULT else 0.0))


def surrogate_named(name: str) -> Surrogate:
    """A built-in surrogate, or the user's own `package.module:function`."""
    return SURROGATES[cast("SurrogateName", name)] if name in SURROGATES else Surrogate((name,))


def member_named(name: str) -> Member:
    """A built-in member, or the user's own.

    Raises:
        InputError: for a function that cannot be imported.
    """
    return MEMBERS.get(name) or Member(load_function(name, "surrogate"))
