"""Search strategies by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from surrogate_nas.foundation.plugins import load_function
from surrogate_nas.search.bayesian.strategy import Bayesian
from surrogate_nas.search.strategy import FitSurrogate, History, Strategy, Suggestion
from surrogate_nas.search.timed.halving import RATIO, RATIO_FOR_ONE, Halving
from surrogate_nas.settings import GoalName, StrategyName


def at_random(history: History, q: int) -> Sequence[Suggestion]:
    """The strategy named `random`: uniform over choices, within the exact limits."""
    candidates = history.sample(q, np.random.default_rng(history.seed))
    return [Suggestion(a) for a in history.problem.space.architectures(candidates.indices)]


def _evolutionary(name: str) -> Strategy:
    """An evolutionary strategy; imported when it is named, since only these need pymoo."""
    from surrogate_nas.search.evolutionary import nsga2, published

    strategies: dict[str, Strategy] = {
        "edanas": published.edanas,
        "nachos": published.nachos,
        "aebnas": published.Aebnas(),
        "nsga2": nsga2.nsga2,
    }
    return strategies[name]


STRATEGIES: Mapping[StrategyName, Callable[[FitSurrogate], Strategy]] = {
    "bayesian": Bayesian,
    "edanas": lambda fit: _evolutionary("edanas"),
    "nachos": lambda fit: _evolutionary("nachos"),
    "aebnas": lambda fit: _evolutionary("aebnas"),
    "nsga2": lambda fit: _evolutionary("nsga2"),
    "random": lambda fit: at_random,
    "asha": lambda fit: at_random,
    "pasha": lambda fit: at_random,
}


def strategy_named(name: str, fit: FitSurrogate) -> Strategy:
    """A built-in strategy, or the user's own function.

    Raises:
        InputError: for a function that cannot be imported.
    """
    if name in STRATEGIES:
        return STRATEGIES[cast("StrategyName", name)](fit)
    strategy: Strategy = load_function(name, "strategy")
    return strategy


def schedule_named(name: str, fit: FitSurrogate, goal: GoalName = "front") -> Halving:
    """The schedule of a search by time, in which a strategy chooses the networks that begin: successive halving, but
    for `random`, where each network is trained to the top before the next begins.

    Where a single network is looked for, fewer go on than for a front, if there is time; the rivals `asha` and `pasha`
    have one ratio.

    Raises:
        InputError: for a function that cannot be imported.
    """
    strategy = strategy_named(name, fit)
    if name == "random":
        return Halving(strategy, (1, 1))
    most = RATIO if goal == "front" or name in ("asha", "pasha") else RATIO_FOR_ONE
    return Halving(strategy, (RATIO, most), growing=name == "pasha")
