"""Predictions of a fitted surrogate: distributions of the measurements of any architecture at any thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from botorch.models.model import Model

from surrogate_nas.exits.best import best_first, wants_cheapest
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Figures, Spending
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.calibration import Calibration
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.quantities import (
    ACCURACY,
    EXIT_ACCURACY,
    EXIT_PROBABILITY,
    EXPECTED_COST,
    EXPECTED_MACS,
)
from surrogate_nas.surrogates.spread import Spread

COMPOSE_CHUNK = 16_384
QUERY_SAMPLES = 64
UNLIMITED_LOSS = 0.005
"""Accuracy given up for a lower cost where no limit depends on thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted measurements of a fresh training of each of n architectures at its operating point."""

    thresholds: Floats
    """(n, E − 1) thresholds, ∞ for off."""
    rates: Spread
    """(n, E) exit probabilities."""
    exit_accuracy: Spread
    """(n, E) accuracy of the samples that leave at each exit."""
    accuracy: Spread
    """(n,) accuracy of all samples."""
    expected_macs: Spread
    """(n,) expected MACs."""
    cost: Spread | None
    """(n,) expected cost by the study's cost table, if it has one."""
    macs: Ints
    """(n, E) exact MACs from the input to each exit."""
    feasible: Floats
    """(n,) probability that every limit holds."""


@dataclass(frozen=True, slots=True)
class GoingOn:
    """Prediction of trainings that go on to a higher rung, by what they have shown so far."""

    model: Model
    """A BoTorch model as that of `Predictor`."""
    calibration: Calibration


@dataclass(frozen=True, repr=False)
class Predictor:
    """A model with its design matrix and calibration."""

    kind: str
    design: DesignMatrix
    model: Model
    """A BoTorch model from inputs (n, E d) to targets (n, m)."""
    calibration: Calibration
    going_on: GoingOn | None = None
    """`None` without a ladder, where no training goes on."""
    trainings: tuple[str, ...] = ()
    """(n,) trainings that candidates are of; empty for fresh ones."""

    def __repr__(self) -> str:
        """Short text, without the model."""
        return f"<Predictor {self.kind} of {len(self.design)} networks>"

    def at(self, rung: int | None) -> "Predictor":
        """A copy for trainings to another rung of the ladder (image passes)."""
        return replace(self, design=self.design.at(rung))

    def of_trainings(self, trainings: Sequence[str]) -> "Predictor":
        """A copy for (n,) trainings that go on (`Proposal.training`) instead of n fresh ones."""
        assert self.going_on is not None
        return replace(
            self, model=self.going_on.model, calibration=self.going_on.calibration, trainings=tuple(trainings)
        )

    def posterior(self, candidates: Candidates) -> tuple[Floats, Floats]:
        """(n, m) mean and variance of the targets, before the network variance."""
        parts = [
            marginals(self.model, torch.from_numpy(self.design.inputs(candidates[part], self.trainings[part])))
            for part in _chunks(len(candidates), self.design.basis.positions)
        ]
        mean, variance = (torch.cat(moment).numpy() for moment in zip(*parts, strict=True))
        return mean, variance

    def coefficients(self, candidates: Candidates, samples: int, seed: int, *, fresh: bool) -> Floats:
        """(samples, n, m) curve coefficients.

        Args:
            candidates: n architectures.
            samples: number of draws; 0 gives the mean, with a leading dimension of 1.
            seed: seed of the draws, which architectures share, so that comparisons are less noisy.
            fresh: whether to draw measurements of a new training, instead of the mean over trainings.
        """
        mean, variance = self.posterior(candidates)
        if samples == 0:
            return self.design.coefficients(mean[None])
        if fresh:
            return self.design.coefficients(self._fresh(mean, variance, samples, seed))
        half = np.random.default_rng(seed).standard_normal(((samples + 1) // 2, 1, mean.shape[1]))
        deviation = np.concatenate([half, -half])[:samples]  # antithetic draws keep the mean
        return self.design.coefficients(mean + deviation * np.sqrt(variance))

    @property
    def network_variance(self) -> Floats:
        """(m,) variance of the targets over trainings with other seeds; see `Calibration`."""
        return np.asarray(self.calibration.network_variance[self.design.rung_number])

    def _fresh(self, mean: Floats, variance: Floats, samples: int, seed: int) -> Floats:
        """(samples, n, m) targets of fresh trainings."""
        return self.calibration.fresh(mean, variance, samples, seed, self.design.rung_number)

    def best_thresholds(self, candidates: Candidates, limits: Limits, grid: Floats) -> Floats:
        """(n, E − 1) thresholds of the (T, E − 1) grid with the best prediction within the limits; see `best_first`.

        If no setting is predicted to keep the limits, the one that violates them least. If no limit depends on
        thresholds, the cheapest setting whose accuracy is at most 0.005 below the highest.
        """
        mean = self.coefficients(candidates, 0, 0, fresh=False)[0]
        parts = _chunks(len(candidates), len(grid))
        return np.concatenate([self._best(candidates[part], mean[part], limits, grid) for part in parts])

    def _best(self, candidates: Candidates, coefficients: Floats, limits: Limits, grid: Floats) -> Floats:
        behavior = behavior_at(self.design, candidates, torch.from_numpy(coefficients)[:, None], grid[None])
        accuracy, beyond, cheapest = behavior.accuracy, behavior.excess(limits), wants_cheapest(limits)
        if not (cheapest or limits.limits_spending):  # thresholds have no limit to keep
            beyond = np.maximum(accuracy.max(axis=1, keepdims=True) - UNLIMITED_LOSS - accuracy, 0)
            cheapest = True
        best = best_first(accuracy, behavior.objective, beyond, cheapest=cheapest)[:, 0]
        return np.asarray(np.where(candidates.present[:, :-1], grid[best], np.inf))

    def predict(self, candidates: Candidates, thresholds: Floats, limits: Limits, seed: int = 0) -> Prediction:
        """Distributions of fresh trainings at (n, E − 1) thresholds, from 64 draws."""
        mean, variance = self.posterior(candidates)
        parts = [
            self._predict(candidates[part], (mean[part], variance[part]), thresholds[part], limits, seed)
            for part in _chunks(len(candidates), QUERY_SAMPLES)
        ]
        return parts[0] if len(parts) == 1 else _concatenate(parts)

    def _predict(
        self, candidates: Candidates, targets: tuple[Floats, Floats], thresholds: Floats, limits: Limits, seed: int
    ) -> Prediction:
        draws = self.design.coefficients(self._fresh(*targets, QUERY_SAMPLES, seed))
        behavior = behavior_at(self.design, candidates, torch.from_numpy(draws), thresholds)
        behavior = behavior.with_sampling_noise(self.design.samples, torch.Generator().manual_seed(seed))
        curve, figures, widening = behavior.curve, behavior.figures, self.calibration.widening

        def share(values: Floats, name: str) -> Spread:
            return Spread.of(values, widening.get(name, 1.0), within=(0, 1))

        on = np.concatenate([np.isfinite(thresholds) & candidates.present[:, :-1], candidates.present[:, -1:]], axis=1)

        def spending(amount: Spending, name: str) -> Spread:
            least, most = (np.where(on, amount.costs, none) for none in (np.inf, -np.inf))
            within = least.min(axis=-1), most.max(axis=-1)
            return Spread.of(amount.expected, widening.get(name, 1.0), within=within)

        return Prediction(
            thresholds=thresholds,
            rates=share(curve.rates.numpy(), EXIT_PROBABILITY),
            exit_accuracy=share(curve.exit_accuracy.numpy(), EXIT_ACCURACY),
            accuracy=share(figures.accuracy, ACCURACY),
            expected_macs=spending(figures.macs, EXPECTED_MACS),
            cost=None if figures.cost is None else spending(figures.cost, EXPECTED_COST),
            macs=candidates.cost.macs(np.isfinite(thresholds)),
            feasible=(self._widen(figures).excess(limits) <= 0).mean(axis=0),
        )

    def _widen(self, figures: Figures) -> Figures:
        """Draws of the limited quantities, with deviations from the mean widened like the intervals."""
        widening = self.calibration.widening

        def wide(values: Floats, name: str) -> Floats:
            mean = values.mean(axis=0)
            return np.asarray(mean + widening.get(name, 1.0) * (values - mean))

        macs, cost = figures.macs, figures.cost
        return replace(
            figures,
            accuracy=wide(figures.accuracy, ACCURACY),
            drop=wide(figures.drop, ACCURACY),
            macs=Spending(wide(macs.rates, EXPECTED_MACS), macs.costs),
            cost=None if cost is None else Spending(wide(cost.rates, EXPECTED_COST), cost.costs),
        )


def _chunks(n: int, width: int) -> list[slice]:
    step = max(COMPOSE_CHUNK // max(width, 1), 1)
    return [slice(start, start + step) for start in range(0, n, step)] or [slice(0, 0)]


def _concatenate(parts: list[Prediction]) -> Prediction:
    def join(name: str) -> Spread:
        of = [getattr(part, name) for part in parts]
        return Spread(*(np.concatenate([getattr(e, part) for e in of]) for part in Spread.__slots__))

    return Prediction(
        thresholds=np.concatenate([p.thresholds for p in parts]),
        rates=join("rates"),
        exit_accuracy=join("exit_accuracy"),
        accuracy=join("accuracy"),
        expected_macs=join("expected_macs"),
        cost=None if parts[0].cost is None else join("cost"),
        macs=np.concatenate([p.macs for p in parts]),
        feasible=np.concatenate([p.feasible for p in parts]),
    )
