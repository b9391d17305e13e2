"""A fitted surrogate, ready to answer: distributions of what any architecture would do, at any thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from botorch.models.model import Model
from torch import Tensor

from surrogate_nas.candidates import Candidates
from surrogate_nas.config import Limits
from surrogate_nas.cost import charged
from surrogate_nas.measurements import Figures, Spent
from surrogate_nas.surrogates.curves import Floats, Reach
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.model import marginals
from surrogate_nas.surrogates.scores import Spread

COMPOSE_CHUNK = 16_384
QUERY_SAMPLES = 64
ACCURACY, EXPECTED_MACS, EXPECTED_COST = "accuracy", "expected MACs", "expected cost"
EXIT_PROBABILITY, EXIT_ACCURACY = "exit probability", "exit accuracy"
"""Quantities that follow from the targets; the latter two with the number of an exit."""
SMALLEST_NETWORK_VARIANCE = 0.01  # of unit-variance targets


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far held-out trainings fell from their predictions."""

    network_variance: Floats
    """(m,) variance beyond the model's own and that of sampling: training with another seed, and what the model
    misses."""
    residuals: Floats
    """(k, m) standardised held-out residuals, one row per training; NaN where a target is undefined."""
    widening: Mapping[str, float] = field(default_factory=dict)
    """Of each quantity that follows from the targets, by what its deviations from the mean are multiplied."""

    @classmethod
    def of(cls, residual: Floats, variance: Floats, sampling: Floats) -> "Calibration":
        """From (k, m) held-out residuals, model variances and sampling variances; the last is ∞ where undefined.

        The network variance is the mean of what squared residuals exceed the two known variances by,
        ν = mean(r² − v − s), and at least 0.01.
        """
        defined = np.isfinite(sampling)
        known = variance + np.where(defined, sampling, 0.0)
        excess = ((residual**2 - known) * defined).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
        network_variance = np.maximum(excess, SMALLEST_NETWORK_VARIANCE)
        return cls(network_variance, np.where(defined, residual / np.sqrt(known + network_variance), np.nan))

    def fresh(self, mean: Floats, variance: Floats, samples: int, seed: int) -> Floats:
        """(samples, n, m) targets of fresh trainings, from (n, m) means and variances of a model.

        Those are μ + z √(v + ν), with z a row of residuals. Whole rows are drawn with replacement, so that coefficients
        deviate together as they did; where a row has no value, a standard normal one stands in. Networks share their
        draws, so comparisons are less noisy.
        """
        rng = np.random.default_rng(seed)
        drawn = self.residuals[rng.integers(len(self.residuals), size=samples)]
        drawn = np.where(np.isnan(drawn), rng.standard_normal(drawn.shape), drawn)
        return np.asarray(mean + drawn[:, None, :] * np.sqrt(variance + self.network_variance))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a fresh training of each of n architectures would measure at its operating point."""

    thresholds: Floats
    """(n, E − 1), ∞ for off."""
    rates: Spread
    """(n, E) exit probabilities."""
    exit_accuracy: Spread
    """(n, E) accuracy of those who leave there."""
    accuracy: Spread
    """(n,)."""
    expected_macs: Spread
    """(n,)."""
    cost: Spread | None
    """(n,) expected cost by the study's cost table, if it has one."""
    macs: npt.NDArray[np.int64]
    """(n, E) exact."""
    feasible: Floats
    """(n,) probability that every limit holds."""


@dataclass(frozen=True)
class Predictor:
    """A model with its design matrix and calibration."""

    kind: str
    design: DesignMatrix
    model: Model
    """A BoTorch model from inputs (n, d + costs) to targets (n, m)."""
    calibration: Calibration

    def posterior(self, candidates: Candidates) -> tuple[Floats, Floats]:
        """(n, m) mean and variance of the targets, before the network variance."""
        mean, variance = marginals(self.model, torch.from_numpy(self.design.inputs(candidates)))
        return mean.numpy(), variance.numpy()

    def coefficients(self, candidates: Candidates, samples: int, seed: int, *, fresh: bool) -> Floats:
        """(samples, n, m) curve coefficients.

        Args:
            candidates: n architectures.
            samples: number of draws; 0 gives the mean, with a leading dimension of 1.
            seed: of the draws; architectures share them, so that comparisons are less noisy.
            fresh: draws of what a fresh training would measure; otherwise of the mean over trainings.
        """
        mean, variance = self.posterior(candidates)
        if samples == 0:
            return self.design.coefficients(mean[None])
        if fresh:
            return self.design.coefficients(self.calibration.fresh(mean, variance, samples, seed))
        deviation = np.random.default_rng(seed).standard_normal((samples, 1, mean.shape[1]))
        return self.design.coefficients(mean + deviation * np.sqrt(variance))

    def best_thresholds(self, candidates: Candidates, limits: Limits, grid: Floats) -> Floats:
        """(n, E − 1) thresholds out of the (T, E − 1) grid that are predicted best within the limits.

        The rule is that of `Measurements.best`; where no setting is predicted to keep the limits, the one that
        violates them least. Without limits on cost, no more accuracy is bought than half a point.
        """
        chosen = [self._best(candidates[part], limits, grid) for part in _chunks(len(candidates), len(grid))]
        return np.concatenate(chosen)

    def _best(self, candidates: Candidates, limits: Limits, grid: Floats) -> Floats:
        mean = self.coefficients(candidates, 0, 0, fresh=False)[0]
        reached = reach(self.design, candidates, torch.from_numpy(mean)[:, None], grid[None])
        accuracy, expected, violation = reached.accuracy, reached.objective, reached.excess(limits)
        capped = limits.limits_spending
        floor = limits.min_accuracy if limits.min_accuracy is not None else accuracy.max(1, keepdims=True) - 0.005
        utility = accuracy if capped else np.where(accuracy >= floor, 1 / expected, accuracy - 1)
        best = np.lexsort((-utility, violation), axis=1)[:, 0]
        return np.asarray(np.where(candidates.present[:, :-1], grid[best], np.inf))

    def predict(self, candidates: Candidates, thresholds: Floats, limits: Limits, seed: int = 0) -> Prediction:
        """Distributions of fresh trainings at (n, E − 1) thresholds, from 64 draws."""
        parts = [self._predict(candidates[part], thresholds[part], limits, seed)
                 for part in _chunks(len(candidates), QUERY_SAMPLES)]  # fmt: skip
        return parts[0] if len(parts) == 1 else _concatenate(parts)

    def _predict(self, candidates: Candidates, thresholds: Floats, limits: Limits, seed: int) -> Prediction:
        drawn = torch.from_numpy(self.coefficients(candidates, QUERY_SAMPLES, seed, fresh=True))
        reached = reach(self.design, candidates, drawn, thresholds)
        reached = reached.measured(self.design.samples, torch.Generator().manual_seed(seed))
        curve, figures, widening = reached.curve, reached.figures, self.calibration.widening

        def share(values: Floats, *names: str) -> Spread:
            return Spread.of(values, np.array([widening.get(name, 1.0) for name in names]), within=(0, 1))

        on = np.concatenate([np.isfinite(thresholds) & candidates.present[:, :-1], candidates.present[:, -1:]], axis=1)

        def spent(amount: Spent, name: str) -> Spread:
            least, most = (np.where(on, amount.costs, none) for none in (np.inf, -np.inf))
            within = least.min(axis=-1), most.max(axis=-1)
            return Spread.of(amount.expected, widening.get(name, 1.0), within=within)

        positions = range(1, self.design.basis.positions + 1)
        return Prediction(
            thresholds, share(curve.rates.numpy(), *(f"{EXIT_PROBABILITY} {e}" for e in positions)),
            share(curve.exit_accuracy.numpy(), *(f"{EXIT_ACCURACY} {e}" for e in positions)),
            share(figures.accuracy, ACCURACY), spent(figures.macs, EXPECTED_MACS),
            None if figures.cost is None else spent(figures.cost, EXPECTED_COST),
            candidates.cost.macs(np.isfinite(thresholds)), (self._widened(figures).excess(limits) <= 0).mean(axis=0),
        )  # fmt: skip

    def _widened(self, figures: Figures) -> Figures:
        """Draws of what limits speak of, with deviations from the mean as wide as those of the intervals."""
        widening = self.calibration.widening

        def wide(values: Floats, name: str) -> Floats:
            mean = values.mean(axis=0)
            return np.asarray(mean + widening.get(name, 1.0) * (values - mean))

        macs, cost = figures.macs, figures.cost
        return replace(
            figures, accuracy=wide(figures.accuracy, ACCURACY), macs=Spent(wide(macs.rates, EXPECTED_MACS), macs.costs),
            cost=None if cost is None else Spent(wide(cost.rates, EXPECTED_COST), cost.costs),
        )  # fmt: skip


@dataclass(frozen=True)
class Reached:
    """What n candidates do at thresholds: their curves, and the exact costs of leaving anywhere."""

    curve: Reach
    costs: Figures
    """Without rates and accuracy: what is exact."""
    priced: Floats
    """(…, E) cost that is to be minimised."""

    def measured(self, samples: int, generator: torch.Generator) -> "Reached":
        """What that many held-out samples would show; see `Reach.measured`."""
        return replace(self, curve=self.curve.measured(samples, generator))

    @cached_property
    def accuracy(self) -> Floats:
        """(…) Σ p_e a_e."""
        return np.asarray(self.curve.accuracy.numpy())

    @cached_property
    def objective(self) -> Floats:
        """(…) expected cost that is to be minimised."""
        return np.asarray(self.curve.expected(torch.from_numpy(self.priced)).numpy())

    @cached_property
    def figures(self) -> Figures:
        """(…) what limits speak of."""
        rates, cost = self.curve.rates.numpy(), self.costs.cost
        return replace(
            self.costs, accuracy=self.accuracy, macs=Spent(rates, self.costs.macs.costs),
            cost=None if cost is None else Spent(rates, cost.costs),
        )  # fmt: skip

    def excess(self, limits: Limits) -> Floats:
        """(…) over the limits; see `Figures.excess`."""
        return self.figures.excess(limits)


def reach(design: DesignMatrix, candidates: Candidates, coefficients: Tensor, thresholds: Floats) -> Reached:
    """What n candidates do at thresholds.

    Args:
        design: for its basis.
        candidates: n architectures.
        coefficients: (S, n, m), or (n, 1, m) against (1, T, E − 1) thresholds.
        thresholds: (n, E − 1), or (1, T, E − 1).
    """
    cost, wide = candidates.cost, thresholds.ndim == 3

    def shaped(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[:, None] if wide else array

    present = shaped(candidates.present)
    on = np.isfinite(thresholds) & present[..., :-1]

    def spent(backbone: npt.NDArray[Any], branch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return charged(shaped(backbone), shaped(branch), on, cost.charge_heads)

    nothing = np.zeros(0)
    memory = np.maximum(shaped(cost.backbone_memory[:, -1]), (shaped(cost.branch_memory)[..., :-1] * on).max(axis=-1))
    costs = Figures(
        nothing, Spent(nothing, spent(cost.backbone, cost.branch)), shaped(cost.parameters),
        shaped(cost.weight_bytes), memory, None if cost.other is None else Spent(nothing, spent(*cost.other)),
    )  # fmt: skip
    curve = design.basis.compose(coefficients, torch.from_numpy(thresholds), torch.from_numpy(present))
    return Reached(curve, costs, spent(*cost.priced).astype(np.float64))


def _chunks(n: int, width: int) -> list[slice]:
    step = max(COMPOSE_CHUNK // max(width, 1), 1)
    return [slice(start, start + step) for start in range(0, n, step)] or [slice(0, 0)]


def _concatenate(parts: list[Prediction]) -> Prediction:
    def join(name: str) -> Spread:
        of = [getattr(part, name) for part in parts]
        return Spread(*(np.concatenate([getattr(e, part) for e in of]) for part in Spread.__slots__))

    return Prediction(
        np.concatenate([p.thresholds for p in parts]), join("rates"), join("exit_accuracy"), join("accuracy"),
        join("expected_macs"), None if parts[0].cost is None else join("cost"),
        np.concatenate([p.macs for p in parts]), np.concatenate([p.feasible for p in parts]),
    )  # fmt: skip
