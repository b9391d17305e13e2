"""Published surrogate-assisted searches of early-exit networks: EDANAS (IJCNN 2023), NACHOS (arXiv 2401.13330) and
AEBNAS (arXiv 2512.10671).

All three are MSuNAS (Lu et al., arXiv 2007.10396) with other individuals and objectives: each round chooses one
surrogate per measured quantity anew, runs NSGA-II on their predictions, and trains those of its last population that
fill the gaps of the front.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from surrogate_nas.exits.choosing import AEBNAS_WEIGHT, by_aebnas, by_nachos
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import pareto_order
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.evolutionary.individuals import (
    Individuals,
    TrainedIndividuals,
    at_genes,
    fill_up,
    new_ones,
    pending_individuals,
)
from surrogate_nas.search.evolutionary.nsga2 import POPULATION, Survivors, evolve, predictions
from surrogate_nas.search.strategy import History, Suggestion
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.switching import Regressor, best_regressor

PENALTY = 1e10
BEYOND = 1.0
"""Largest distance of a predicted cost from the range of trained costs, in decades; predictions are clipped to it."""
ObjectiveValues = Callable[[Floats, Floats], Floats]
"""Function of (n,) errors and (n,) log₁₀ costs that returns the (n, 2) values to minimise."""


def edanas(history: History, q: int) -> Sequence[Suggestion]:
    """The strategy named `edanas`: thresholds are genes; error and log₁₀ expected cost are minimised.

    Raises:
        JobError: if fewer than four networks have been trained.
    """
    trained = TrainedIndividuals.of(history, at_genes)
    return _Round("edanas", history, trained, lambda error, cost: np.stack([error, cost], axis=1)).suggestions(q)


def nachos(history: History, q: int) -> Sequence[Suggestion]:
    """The strategy named `nachos`: thresholds are chosen after training by NACHOS's rule, and limits are penalties.

    Raises:
        JobError: if fewer than four networks have been trained.
    """
    trained = TrainedIndividuals.of(
        history, lambda exits, _: at_nachos(exits, history.problem.settings.limits), genes=False
    )
    limits, share = history.problem.settings.limits, float(trained.feasible.mean()) if len(trained) else 1.0
    budget = limits.budget(history.problem.settings.objective)
    worst = None if limits.min_accuracy is None else 1 - limits.min_accuracy

    def values(error: Floats, log_cost: Floats) -> Floats:
        return np.stack([penalised(error, worst, share), penalised(10**log_cost, budget, share)], axis=1)

    return _Round("nachos", history, trained, values).suggestions(q)


@dataclass(frozen=True)
class Aebnas:
    """The strategy named `aebnas`: thresholds are genes, tuned after training; costs far from a target are penalised.

    Raises:
        InputError: without a target.
        JobError: if fewer than four networks have been trained.
    """

    target_macs: float | None = None
    """Target of expected MACs; by default the limit on them."""

    def __call__(self, history: History, q: int) -> Sequence[Suggestion]:
        """Up to q suggestions; see `Strategy`."""
        target = self.target_macs or history.problem.settings.limits.max_macs
        if target is None:
            raise InputError("strategy aebnas needs a target of expected MACs, got no max_macs")
        target_limits = Limits(max_macs=target)
        trained = TrainedIndividuals.of(history, lambda exits, _: by_aebnas(exits, target_limits), macs=True)
        return _Round("aebnas", history, trained, lambda e, c: near_target(e, c, target), macs=True).suggestions(q)


def at_nachos(exits: Exits, limits: Limits) -> Measurements:
    """Measurements at NACHOS's thresholds; if their repair to keep the limits fails, at those before it."""
    try:
        return by_nachos(exits, limits)
    except JobError:
        return by_nachos(exits, Limits())


def penalised(value: Floats, cap: float | None, share: float) -> Floats:
    """NACHOS's φ·v + (1 − φ)·max(0, v − cap)·10¹⁰; plain v without a cap.

    Args:
        value: (n,) v.
        cap: the limit on v, or `None`.
        share: φ, the share of trained networks that keep the limits.
    """
    return value if cap is None else share * value + (1 - share) * np.maximum(0, value - cap) * PENALTY


def near_target(error: Floats, log_cost: Floats, target: float) -> Floats:
    """(n, 2) objectives of AEBNAS: error in % + 0.1 · deviation of the cost from the target in %; that deviation."""
    deviation = 100 * np.abs(10**log_cost / target - 1)
    return np.stack([100 * error + AEBNAS_WEIGHT * deviation, deviation], axis=1)


class _Round:
    """The decisions of one round."""

    def __init__(
        self, name: str, history: History, trained: TrainedIndividuals, values: ObjectiveValues, *, macs: bool = False
    ) -> None:
        if len(trained) < FEWEST_NETWORKS:
            raise JobError(f"strategy {name} needs at least {FEWEST_NETWORKS} trained networks, got {len(trained)}")
        self.name, self.history, self.trained, self.values = name, history, trained, values
        self.tells_macs = macs or history.problem.settings.objective == "macs"
        self.rng, self.k = np.random.default_rng(history.seed), trained.individuals.thresholds.shape[1]
        self.objectives = values(trained.error, trained.log_cost)
        self.predict = Surrogates.fit(history.problem.space, trained, history.seed)

    def suggestions(self, q: int) -> list[Suggestion]:
        """Up to q new architectures."""
        last = evolve(
            self.history, self._start(), lambda individuals: self.values(*self.predict(individuals)), self.rng
        )
        candidates = new_ones(self.history, last)
        if len(candidates):
            candidates = candidates[even_subset(self._known_costs(), self.predict(candidates)[1], q)]
        return self._suggestions(fill_up(self.history, candidates, q, self.rng))

    def _start(self) -> Individuals:
        """The first population: the best trained individuals, filled up with samples."""
        best = self.trained.individuals[Survivors.of(self.objectives, self.rng).index]
        space = self.history.problem.space
        samples = self.history.sample(POPULATION - len(best), self.rng).indices if len(best) < POPULATION else None
        return best if samples is None else best.concatenate(Individuals.random(space, samples, self.k, self.rng))

    def _known_costs(self) -> Floats:
        """(K,) log₁₀ costs: measured ones of the front, and predicted ones of individuals in flight."""
        front = pareto_order(-self.objectives[:, 0], self.objectives[:, 1])
        pending = pending_individuals(self.history, self.k)
        costs = self.trained.log_cost[front]
        return np.append(costs, self.predict(pending)[1]) if len(pending) else costs

    def _suggestions(self, individuals: Individuals) -> list[Suggestion]:
        if not len(individuals):
            return []
        error, log_cost = self.predict(individuals)
        kept_predictions = predictions(self.history, self.name, individuals)
        for prediction, accuracy, cost in zip(kept_predictions, np.clip(1 - error, 0, 1), 10**log_cost, strict=True):
            prediction["accuracy"] = [float(accuracy)] * 3
            if self.tells_macs:
                prediction["expected_macs"] = [float(cost)] * 3
        architectures = self.history.problem.space.architectures(individuals.rows)
        return [Suggestion(a, p) for a, p in zip(architectures, kept_predictions, strict=True)]


@dataclass(frozen=True)
class Surrogates:
    """One regressor for the error and one for log₁₀ cost, chosen by their held-out ranking (adaptive switching)."""

    space: SearchSpace
    names: tuple[str, ...]
    """Names of the regressors; see `best_regressor`."""
    regressors: tuple[Regressor, ...]
    scales: tuple[tuple[float, float], ...]
    """Mean and standard deviation of each target, by which it was standardised."""
    bounds: tuple[float, float]
    """Bounds of predicted log₁₀ costs."""

    @classmethod
    def fit(cls, space: SearchSpace, trained: TrainedIndividuals, seed: int) -> "Surrogates":
        """Fit to all trained individuals; trainings of one architecture are in one fold."""
        X = trained.individuals.features(space)
        _, group = np.unique(trained.individuals.rows, axis=0, return_inverse=True)
        targets = (trained.error, trained.log_cost)
        scales = tuple((float(y.mean()), float(y.std()) or 1.0) for y in targets)
        names, regressors = list[str](), list[Regressor]()
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for y, (mean, deviation) in zip(targets, scales, strict=True):
                name, regressor, _ = best_regressor(X, (y - mean) / deviation, group.ravel(), seed)
                names.append(name)
                regressors.append(regressor)
        bounds = float(trained.log_cost.min() - BEYOND), float(trained.log_cost.max() + BEYOND)
        return cls(space, tuple(names), tuple(regressors), scales, bounds)

    def __call__(self, individuals: Individuals) -> tuple[Floats, Floats]:
        """Predicted (n,) errors and (n,) log₁₀ costs; n is at least 1."""
        X = individuals.features(self.space)
        error, cost = (
            mean + deviation * np.asarray(regressor.predict(X)).ravel()
            for regressor, (mean, deviation) in zip(self.regressors, self.scales, strict=True)
        )
        return error, np.clip(cost, *self.bounds)


def even_subset(known: Floats, costs: Floats, q: int) -> Ints:
    """Indices of the q of n candidates that space the costs most evenly: the smallest standard deviation of gaps.

    The criterion is that of MSuNAS. In place of its genetic algorithm, candidates are chosen greedily, then swapped one
    by one until no swap is better.

    Args:
        known: (K,) costs of existing networks.
        costs: (n,) costs of the candidates.
        q: number of candidates to choose; all if there are fewer.
    """
    chosen: list[int] = []
    for _ in range(min(q, len(costs))):
        chosen.append(_best_addition(known, costs, chosen)[0])
    best = float(_unevenness(np.append(known, costs[chosen])[None])[0])
    improved = True
    while improved and len(chosen) < len(costs):
        improved = False
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            other, value = _best_addition(known, costs, others)
            if value < best - 1e-12:
                chosen[place], best, improved = other, value, True
    return np.array(chosen, dtype=np.int64)


def _best_addition(known: Floats, costs: Floats, chosen: Sequence[int]) -> tuple[int, float]:
    """The candidate whose addition to the chosen leaves the gaps most even, and their standard deviation then."""
    occupied = np.append(known, costs[list(chosen)])
    value = _unevenness(np.concatenate([np.tile(occupied, (len(costs), 1)), costs[:, None]], axis=1))
    value[list(chosen)] = np.inf
    return int(value.argmin()), float(value.min())


def _unevenness(costs: Floats) -> Floats:
    """(m,) standard deviation of the gaps of (m, K) costs; 0 for fewer than two."""
    return np.diff(np.sort(costs, axis=1), axis=1).std(axis=1) if costs.shape[1] > 1 else np.zeros(len(costs))
