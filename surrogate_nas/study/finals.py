"""Networks of the front trained again at full fidelity, with several seeds: what they are worth, and whether the
search, at low fidelity, had ranked them well."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import kendalltau, t

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.exits.intervals import CONFIDENCE
from surrogate_nas.study.results import Solution

FEWEST_RANKED = 3


@dataclass(frozen=True, slots=True)
class Final:
    """One architecture at full fidelity within some limits."""

    architecture: Architecture
    low: Solution | None
    """At low fidelity, within the same limits; `None` if it kept them with no thresholds, or was not trained so."""
    solutions: tuple[Solution, ...]
    """One per seed that keeps the limits, each at the thresholds that are best on its own tune outputs."""
    beyond: int
    """Seeds that keep the limits with no thresholds."""

    @property
    def best(self) -> Solution:
        """The seed that is most accurate on tune."""
        return max(self.solutions, key=lambda s: s.tune.accuracy)

    @property
    def tune_accuracy(self) -> float:
        """Mean over seeds."""
        return mean(s.tune.accuracy for s in self.solutions)

    @property
    def test_accuracy(self) -> float:
        """Mean over seeds."""
        return mean(s.test.accuracy for s in self.solutions)

    @property
    def test_deviation(self) -> float:
        """Sample standard deviation over seeds; NaN for a single one."""
        return stdev(s.test.accuracy for s in self.solutions) if len(self.solutions) > 1 else math.nan

    @property
    def test_interval(self) -> tuple[float, float]:
        """95 %: of the mean over seeds by Student's t; of the only seed by its own samples."""
        n = len(self.solutions)
        if n == 1:
            return self.solutions[0].test.accuracy_interval
        reach = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * self.test_deviation / math.sqrt(n)
        return max(self.test_accuracy - reach, 0.0), min(self.test_accuracy + reach, 1.0)

    @property
    def test_macs(self) -> float:
        """Mean over seeds of the expected multiply-accumulates."""
        return mean(s.test.expected_macs for s in self.solutions)

    @property
    def test_cost(self) -> float | None:
        """Mean over seeds of the expected cost by the study's cost table, if it has one."""
        costs = [s.test.cost[0] for s in self.solutions if s.test.cost is not None]
        return mean(costs) if costs else None


@dataclass(frozen=True, slots=True)
class Held:
    """How the ranking at low fidelity held at full fidelity."""

    tau: float
    """Kendall's τ of the accuracies on tune."""
    n: int
    """Architectures."""

    @classmethod
    def of(cls, finals: Sequence[Final]) -> "Held | None":
        """`None` for fewer than three architectures, or where all are equally accurate."""
        pairs = [(f.low.tune.accuracy, f.tune_accuracy) for f in finals if f.low is not None]
        if len(pairs) < FEWEST_RANKED:
            return None
        tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
        return None if math.isnan(tau) else cls(tau, len(pairs))
