"""Calibration of interval widths from held-out rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from surrogate_nas.foundation.arrays import Floats, Ints

SMALLEST_NETWORK_VARIANCE, SMALLEST_OF_A_RUNG = 0.01, 0.001
"""For targets whose variance over networks is 1; on a ladder that is mostly the variance between its rungs."""
NEARNESS = 0.25
"""Weight of rows of the next rung, for the variance of a rung; of the one after it, its square."""
STEPS = 20


@dataclass(frozen=True, slots=True, repr=False)
class Calibration:
    """Calibration of a surrogate, from the deviations of held-out trainings from their predictions."""

    network_variance: Floats
    """(R, m) variance beyond that of the model and of sampling, at each rung of a ladder, or in one row without one:
    training with another seed, and errors of the model."""
    residuals: Floats
    """(k, m) standardised held-out residuals, one row per training; NaN where a target is undefined."""
    widening: Mapping[str, float] = field(default_factory=dict)
    """Factor by which deviations from the mean are multiplied, for each quantity that follows from the targets."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return "<Calibration by {} trainings of {} targets>".format(*self.residuals.shape)

    @classmethod
    def of(
        cls,
        residual: Floats,
        variance: Floats,
        sampling: Floats,
        axes: Ints,
        rung: Ints | None = None,
        rungs: int = 1,
    ) -> "Calibration":
        """Build from (k, m) held-out residuals, model variances and sampling variances; the last is ∞ where undefined.

        The network variance is the mean excess of squared residuals over the two known variances, ν = mean(r² − v − s),
        and at least 0.01; targets of the same one of the (m,) `axes` share theirs.

        On a ladder of R `rungs` each rung has its own, and `rung` has the (k,) numbers of the rows' rungs, from 0. The
        mean is weighted there by 0.25^d / (v + s + ν)², where d is how many rungs away a row is, and the rest is the
        weight of maximum likelihood; it is at least 0.001.
        """
        defined = np.isfinite(sampling)
        known = variance + np.where(defined, sampling, 0.0)
        excess = residual**2 - known
        if rung is None:
            total, counts = (np.bincount(axes, values.sum(axis=0)) for values in (excess * defined, defined))
            network_variance = np.maximum(total / np.maximum(counts, 1), SMALLEST_NETWORK_VARIANCE)[None, axes]
            own = network_variance
        else:
            apart = np.abs(rung - np.arange(rungs)[:, None])
            near = NEARNESS ** apart[..., None] * defined
            network_variance = _weighted(excess, known, near, axes)
            own = network_variance[rung]
        return cls(network_variance, np.where(defined, residual / np.sqrt(known + own), np.nan))

    def fresh(self, mean: Floats, variance: Floats, samples: int, seed: int, rung: int | Ints = 0) -> Floats:
        """(samples, n, m) targets of fresh trainings, from (n, m) means and variances of a model, at a rung or at (n,)
        rungs, numbered from 0.

        They are μ + z √(v + ν), with z a row of residuals. Whole rows are drawn with replacement, which keeps the
        correlation of the targets, each with both signs, which keeps the means; missing values are replaced by standard
        normal ones. Networks share their draws, so that comparisons are less noisy.
        """
        rng = np.random.default_rng(seed)
        z = self.residuals[rng.integers(len(self.residuals), size=(samples + 1) // 2)]
        z = np.where(np.isnan(z), rng.standard_normal(z.shape), z)
        z = np.concatenate([z, -z])[:samples]
        return np.asarray(mean + z[:, None, :] * np.sqrt(variance + self.network_variance[rung]))


def _weighted(excess: Floats, known: Floats, near: Floats, axes: Ints) -> Floats:
    """(R, m) network variances, from (k, m) excesses and known variances, and (R, k, m) weights."""
    of_axis = axes == np.arange(axes.max() + 1)[:, None]
    value = np.full((len(near), len(axes)), SMALLEST_NETWORK_VARIANCE)
    for _ in range(STEPS):
        weight = near / (known + value[:, None]) ** 2
        total, weights = ((part.sum(axis=1) @ of_axis.T)[:, axes] for part in (weight * excess, weight))
        value = np.maximum(np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), SMALLEST_OF_A_RUNG)
    return value
