"""Calibration of interval widths from held-out rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from surrogate_nas.foundation.arrays import Floats, Ints

SMALLEST_NETWORK_VARIANCE = 0.01  # of unit-variance targets


@dataclass(frozen=True, slots=True, repr=False)
class Calibration:
    """Calibration of a surrogate, from the deviations of held-out trainings from their predictions."""

    network_variance: Floats
    """(m,) variance beyond that of the model and of sampling: training with another seed, and errors of the model."""
    residuals: Floats
    """(k, m) standardised held-out residuals, one row per training; NaN where a target is undefined."""
    widening: Mapping[str, float] = field(default_factory=dict)
    """Factor by which deviations from the mean are multiplied, for each quantity that follows from the targets."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return "<Calibration by {} trainings of {} targets>".format(*self.residuals.shape)

    @classmethod
    def of(cls, residual: Floats, variance: Floats, sampling: Floats, axes: Ints) -> "Calibration":
        """Build from (k, m) held-out residuals, model variances and sampling variances; the last is ∞ where undefined.

        The network variance is the mean excess of squared residuals over the two known variances, ν = mean(r² − v − s),
        and at least 0.01; targets of the same one of the (m,) `axes` share theirs.
        """
        defined = np.isfinite(sampling)
        known = variance + np.where(defined, sampling, 0.0)
        excess = np.bincount(axes, ((residual**2 - known) * defined).sum(axis=0))
        counts = np.bincount(axes, defined.sum(axis=0))
        network_variance = np.maximum(excess / np.maximum(counts, 1), SMALLEST_NETWORK_VARIANCE)[axes]
        return cls(network_variance, np.where(defined, residual / np.sqrt(known + network_variance), np.nan))

    def fresh(self, mean: Floats, variance: Floats, samples: int, seed: int) -> Floats:
        """(samples, n, m) targets of fresh trainings, from (n, m) means and variances of a model.

        They are μ + z √(v + ν), with z a row of residuals. Whole rows are drawn with replacement, which keeps the
        correlation of the targets, each with both signs, which keeps the means; missing values are replaced by standard
        normal ones. Networks share their draws, so that comparisons are less noisy.
        """
        rng = np.random.default_rng(seed)
        z = self.residuals[rng.integers(len(self.residuals), size=(samples + 1) // 2)]
        z = np.where(np.isnan(z), rng.standard_normal(z.shape), z)
        z = np.concatenate([z, -z])[:samples]
        return np.asarray(mean + z[:, None, :] * np.sqrt(variance + self.network_variance))
