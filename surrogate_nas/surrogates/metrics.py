"""Scores of held-out predictions of one quantity."""

from dataclasses import dataclass

import numpy as np

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.spread import CERTAIN, INTERVAL, Spread

TOP = 5
RESAMPLES = 400
SMALLEST_SD = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Score:
    """Scores of the predictions of one quantity, averaged over the thresholds at which it was judged."""

    target: str
    n: int
    """Number of trained networks it was judged on."""
    tau: float
    """Kendall's τ-b between predicted and measured values: 1 is perfect order, 0 is chance. On a ladder, only networks
    of the same rung are compared."""
    tau_low: float
    """Lower bound of the 90 % bootstrap interval of τ over architectures."""
    tau_high: float
    """Upper bound of that interval."""
    rmse: float
    """Root mean squared error; for costs, relative to the measured value."""
    coverage: float
    """Share of measured values inside the 90 % interval, which is calibrated on other folds."""
    nll: float
    """Negative log likelihood per network, in nats, of a normal distribution with the predicted mean and standard
    deviation; for costs, of the ratio to the measured value."""
    regret: float
    """Gap between the best measured value and the best among the five predicted to be best; for costs, relative. On a
    ladder, the mean over rungs."""

    def __repr__(self) -> str:
        """Short text."""
        return (
            f"<Score {self.target}: τ {self.tau:.2f}, RMSE {self.rmse:.3g}, covers {self.coverage:.0%}, n = {self.n}>"
        )

    @classmethod
    def of(
        cls,
        target: str,
        measured: Floats,
        prediction: Spread,
        group: Ints,
        *,
        cost: bool,
        rung: Ints | None = None,
    ) -> "Score":
        """Judge predictions of n networks at R thresholds.

        Args:
            target: name of the quantity.
            measured: (R, n) values; NaN where undefined, but not everywhere.
            prediction: (R, n). Certain values (the MACs of a network without early exits) count only for τ and RMSE.
            group: (n,) architecture of each network.
            cost: whether errors are relative to the measured value, and less is better.
            rung: (n,) rung of each network; `None` if all are of one.
        """
        defined = np.isfinite(measured)
        scale = np.where(defined, measured, 1.0) if cost else np.ones_like(measured)
        error = np.where(defined, (prediction.mean - measured) / scale, 0.0)[defined]
        open_ = defined & (prediction.sd > CERTAIN * scale)
        inside = (measured >= prediction.low - SMALLEST_SD) & (measured <= prediction.high + SMALLEST_SD)
        sd = np.maximum(prediction.sd / scale, SMALLEST_SD)[open_]
        off = ((measured - prediction.mean) / scale)[open_] / sd
        nll = 0.5 * off**2 + np.log(sd) + 0.5 * np.log(2 * np.pi)
        rungs = np.zeros(len(group), dtype=np.int64) if rung is None else rung
        pairs = [
            (p[k], m[k], group[k], rungs[k])
            for p, m, k in zip(prediction.mean, measured, defined, strict=True)
            if k.any()
        ]
        resampled = np.mean([bootstrap_tau(*pair) for pair in pairs], axis=0)
        tail = (1 - INTERVAL) / 2
        tau_low, tau_high = np.quantile(resampled, [tail, 1 - tail])
        sign = -1 if cost else 1
        of_rungs = [(p[at == r], m[at == r]) for p, m, _, at in pairs for r in np.unique(at)]
        regret = np.mean([_regret(sign * p, sign * m) / (m.min() if cost else 1) for p, m in of_rungs])
        return cls(
            target=target,
            n=int(defined.any(axis=0).sum()),
            tau=float(np.mean([kendall(p, m, at) for p, m, _, at in pairs])),
            tau_low=float(tau_low),
            tau_high=float(tau_high),
            rmse=float(np.sqrt(np.mean(error**2))),
            coverage=float(inside[open_].mean()) if open_.any() else 1.0,
            nll=float(nll.mean()) if open_.any() else 0.0,
            regret=float(regret),
        )


def kendall(a: Floats, b: Floats, rung: Ints | None = None) -> float:
    """Kendall's τ-b; 0 where it is undefined because one side is constant. Only rows of the same rung are compared."""
    return float(_weighted_tau(a, b, np.ones((1, len(a))), rung)[0])


def bootstrap_tau(a: Floats, b: Floats, group: Ints, rung: Ints | None = None, seed: int = 0) -> Floats:
    """(400,) τ-b of groups drawn with replacement; rows of one group are drawn together, and copies of a row are not
    compared with each other, nor rows of different rungs."""
    names, of = np.unique(group, return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return _weighted_tau(a, b, counts[:, of].astype(np.float64), rung)


def _weighted_tau(a: Floats, b: Floats, weights: Floats, rung: Ints | None = None) -> Floats:
    """(B,) τ-b for (B, n) multiplicities of the rows, over pairs of the same rung."""
    above_a, above_b = (np.sign(x[:, None] - x[None]) for x in (a, b))
    if rung is not None:
        above_a, above_b = (above * (rung[:, None] == rung) for above in (above_a, above_b))

    def total(pairs: Floats) -> Floats:
        return np.asarray(((weights @ pairs) * weights).sum(axis=1))

    scale = np.sqrt(total(above_a**2) * total(above_b**2))
    return np.divide(total(above_a * above_b), scale, out=np.zeros(len(weights)), where=scale > 0)


def _regret(predicted: Floats, measured: Floats) -> float:
    top = np.argsort(-predicted, kind="stable")[:TOP]
    return float(measured.max() - measured[top].max())
