"""Repeated training of networks on the front with another seed, if it is worth more than training a new network.

The best of many measurements is partly luck, so trainings with other seeds would not reproduce the measured front. Both
kinds of training are scored by the knowledge gradient (Frazier et al. 2009, doi 10.1287/ijoc.1080.0314): the expected
growth of the hypervolume of the *predicted* front, once the result of the training is known.
"""

import numpy as np

from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.arrays import Array, Floats, Ints
from surrogate_nas.search.bayesian.curve_value import CURVE_SAMPLES, CurveValue
from surrogate_nas.search.strategy import History
from surrogate_nas.space.candidates import Candidates

MOST_TRAININGS = 3
"""Largest number of trainings of one architecture."""


def worth_repeating(
    history: History, value: CurveValue, on_front: Ints, picks: Candidates, q: int
) -> list[tuple[int, Ints]]:
    """Indices of picks to replace, each with the row to train again instead.

    At most half of the picks are replaced. In rounds of a single pick, no two rounds in a row are repeats.

    Args:
        history: history of the search; its settings may disable repeats.
        value: acquisition function of candidates, with the front.
        on_front: (k, G) architectures on the front.
        picks: up to q new architectures.
        q: number of trainings in this round.
    """
    most = q // 2 if q > 1 else int(_last_was_new(history))
    if not history.problem.settings.repeats or not len(value.front.cost) or not most:
        return []
    rows = np.array([row for row in on_front if _may_repeat(history, row)], dtype=np.int64)
    if not len(rows) or not len(picks):
        return []
    worth = _Worth(history, value)
    new, again = worth.of_new(picks), worth.of_repeats(rows)
    places, best = np.argsort(new, kind="stable"), np.argsort(-again, kind="stable")
    return [(int(place), rows[i]) for place, i in zip(places[:most], best, strict=False) if again[i] > new[place]]


def _last_was_new(history: History) -> bool:
    """Whether the architecture of the last proposal was proposed for the first time."""
    last = max(history.taken, key=lambda p: (p.round, p.rank))
    return all(p.architecture != last.architecture for p in history.taken if p is not last)


def _may_repeat(history: History, row: Ints) -> bool:
    """Whether an architecture can be trained, is not in flight, and has fewer than `MOST_TRAININGS` trainings."""
    key, space = row.tobytes(), history.problem.space
    pending = space.indices([p.architecture for p in history.pending])
    trained = sum(other.tobytes() == key for other in history.networks.indices)
    return history.has(row) and trained < MOST_TRAININGS and all(p.tobytes() != key for p in pending)


class _Worth:
    """Expected growth of the predicted front's hypervolume by one more training."""

    def __init__(self, history: History, value: CurveValue) -> None:
        self.value, self.predictor = value, value.predictor
        _, first = np.unique(history.networks.indices, axis=0, return_index=True)
        self.networks = history.networks[np.sort(first)]
        cost, accuracy, _ = value.curves_of(
            self.networks, self.predictor.coefficients(self.networks, 0, 0, fresh=False)
        )
        self.cost, self.accuracy = cost[0], accuracy[0]

    def of_new(self, picks: Candidates) -> Floats:
        """(n,) worth of training new architectures."""
        front = self._front(np.ones(len(self.networks), dtype=bool))
        cost, accuracy = self._after_training(picks)
        return np.asarray(front.improvement(cost, accuracy).mean(axis=0))

    def of_repeats(self, rows: Ints) -> Floats:
        """(k,) worth of training architectures again: the predicted front may also shrink, but not on average."""
        before = self._front(np.ones(len(self.networks), dtype=bool)).hypervolume
        is_row = (self.networks.indices == rows[:, None]).all(axis=2)
        cost, accuracy = self._after_training(self.networks[is_row.argmax(axis=1)])
        growths = []
        for k, same in enumerate(is_row):
            without = self._front(~same)
            gain = float(without.improvement(cost[:, k], accuracy[:, k]).mean())
            growths.append(without.hypervolume + gain - before)
        return np.array(growths)

    def _front(self, mask: Array) -> Front:
        front = self.value.front
        return Front.of(
            self.cost[mask].ravel(), self.accuracy[mask].ravel(), front.reference_cost, front.reference_accuracy
        )

    def _after_training(self, part: Candidates) -> tuple[Floats, Floats]:
        """(S, n, T) sampled posterior mean costs and accuracies after one more training.

        With present variance v, and variance s of a training's result, the new mean has variance v² / (v + s).
        """
        mean, variance = self.predictor.posterior(part)
        noise = self.predictor.network_variance + self._sampling
        z = np.random.default_rng(self.value.seed).standard_normal((CURVE_SAMPLES // 2, 1, mean.shape[1]))
        z = np.concatenate([z, -z])  # antithetic draws keep the mean
        targets = mean + z * (variance / np.sqrt(variance + noise))
        cost, accuracy, _ = self.value.curves_of(part, self.predictor.design.coefficients(targets))
        return cost, accuracy

    @property
    def _sampling(self) -> Floats:
        """(m,) sampling variance of the targets, from the number of held-out samples; 1, their own variance, of those
        that no network has."""
        Yvar = self.predictor.design.targets.Yvar
        known = np.isfinite(Yvar)
        return np.nanmedian(np.where(known.any(axis=0), np.where(known, Yvar, np.nan), 1.0), axis=0)
