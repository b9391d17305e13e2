"""Threshold curves: the behaviour of a network at any thresholds, as a few coefficients.

Each sample has one of sixteen equally likely levels of easiness d, spread like a standard normal variable. Its easiness
is the same at every exit of a network, so that samples that do not leave at one exit are hard for the next. Of the
samples of easiness d that reach an early exit e, the share

    g_e(t, d) = σ(β₀ + (β₁ + β₂ d)⁻ t + β₃⁻ t⁶ + β₄⁻ u + β₅ d),    x⁻ = (x − √(x² + 0.04)) / 2,

leaves at threshold t, where u = −log₁₀(1.001 − t) / 3 counts the nines of t, since confidences crowd near 1; of these

    c_e(t, d) = σ(γ₀ + γ₁ d + γ₂ t + γ₃ u),    at the last exit σ(γ₀ + γ₁ d),

are right. x⁻ is a smooth min(x, 0), so a higher threshold never lets more samples leave. Exit probabilities
p_e = E_d[g_e Π_{j<e} (1 − g_j)] and the accuracies a_e = E_d[c_e g_e Π_{j<e} (1 − g_j)] / p_e of the samples that leave
follow by stick-breaking at each level, so the exit probabilities always sum to 1. Surrogates predict the C coefficients
of all positions from an encoding; MACs and exit presence are exact.

(This is a model of item response theory, with exits as questions and samples as persons.)

If most scores are low (margins; networks trained briefly or for many classes), the relevant thresholds are low too.
Above, t is then the threshold to the power of 1/p, with p such that the median score of early exits becomes about 0.6.
p is one of few numbers, 1 unless the median is below 0.55, so that another network rarely changes it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.local_dependence import SMALLEST_SHARE, locally_dependent, right_of_all
from surrogate_nas.surrogates.overthinking import without_more

TERMS_LEAVE = 6
TERMS_EARLY = 4
TERMS_LAST = 2
BEND = 6
LEVELS = 16
TOP = 1.001
OFF_SHARE = 0.25
SPREAD_SHARE = 0.5
LOWEST_SPREAD = 0.2
USUAL_MEDIAN = 0.6
POWERS = tuple(2 ** (k / 2) for k in range(7))
"""Powers p: 1 to 8 in steps of √2."""
BLUNTNESS = 0.2
"""x⁻ differs from min(x, 0) by at most half of this, at 0. Without a kink, fits converge and have a curvature."""

Numbers = TypeVar("Numbers", Tensor, Floats)


def nines(thresholds: Tensor) -> Tensor:
    """u in [0, 1] of thresholds in [0, 1]: 0.33 for 0.9, 0.65 for 0.99."""
    return -torch.log10(TOP - thresholds) / 3


def power_for(exits: Sequence[Exits]) -> float:
    """Power p, from the scores of networks on tune: of `POWERS` the nearest in ratio."""
    medians = [np.median(view.scores[e]) for view in exits for e in view.early]
    if not medians:
        return 1.0
    exact = np.log(np.clip(np.median(medians), 1e-12, USUAL_MEDIAN)) / np.log(USUAL_MEDIAN)
    return float(POWERS[np.abs(np.log(POWERS) - np.log(exact)).argmin()])


def shared_thresholds(positions: int, count: int, seed: int = 0, *, power: float = 1.0) -> Floats:
    """(count, E − 1) thresholds, the grid at which all curves are evaluated: half spread evenly in u, half in t over
    [0.2, 1], then a quarter of all switched off. Without early positions there is one setting, of shape (1, 0)."""
    if positions == 1:
        return np.zeros((1, 0))
    rng = np.random.default_rng(seed)
    shape = count, positions - 1
    in_nines = np.clip(TOP - 10 ** (-3 * rng.uniform(0.0, 1.0, shape)), 0, 1)
    thresholds = np.where(rng.random(shape) < SPREAD_SHARE, rng.uniform(LOWEST_SPREAD, 1.0, shape), in_nines)
    return np.where(rng.random(shape) < OFF_SHARE, OFF, thresholds) ** power


@dataclass(frozen=True, slots=True)
class ExitBehavior:
    """Exit probabilities and accuracies of E positions at thresholds: tensors of shape (…, E)."""

    rates: Tensor
    """Exit probabilities p_e; they sum to 1."""
    exit_accuracy: Tensor
    """Accuracies a_e of the samples that leave at each exit; defined by the curves even where p_e is 0."""
    without: Tensor
    """(…) accuracy of the last exit on all samples, a network's without early exits."""

    @property
    def accuracy(self) -> Tensor:
        """(…) accuracy Σ p_e a_e."""
        return (self.rates * self.exit_accuracy).sum(-1)

    @property
    def drop(self) -> Tensor:
        """(…) accuracy of the last exit on all samples, less the accuracy."""
        return self.without - self.accuracy

    def expected(self, costs: Tensor) -> Tensor:
        """(…) expected cost Σ p_e M_e for (…, E) costs of leaving at each position."""
        return (self.rates * costs).sum(-1)

    def with_sampling_noise(self, samples: int, generator: torch.Generator) -> "ExitBehavior":
        """Draw these quantities as measured on a finite number of held-out samples.

        The first dimension holds the draws; networks share the noise of a draw, so that comparisons are less noisy.
        Binomial counts are approximated by rounded normal variables. Where no sample leaves, the accuracy is unchanged;
        so is the drop, since most samples are answered alike with early exits and without.
        """
        inside = torch.full_like(self.rates[..., 0], samples)
        ahead = torch.ones_like(inside)
        rates, accuracy = [], []
        for e in range(self.rates.shape[-1]):
            last = e == self.rates.shape[-1] - 1
            share = torch.ones_like(inside) if last else self.rates[..., e] / ahead.clamp_min(1e-12)
            leaving = inside if last else _binomial(inside, share.clamp(0, 1), generator)
            right = _binomial(leaving, self.exit_accuracy[..., e], generator)
            rates.append(leaving / samples)
            accuracy.append(torch.where(leaving > 0, right / leaving.clamp_min(1), self.exit_accuracy[..., e]))
            inside, ahead = inside - leaving, ahead - self.rates[..., e]
        noisy = ExitBehavior(torch.stack(rates, -1), torch.stack(accuracy, -1), self.without)
        return replace(noisy, without=self.without + noisy.accuracy - self.accuracy)


@dataclass(frozen=True)
class CurveBasis:
    """Layout of the curve coefficients of networks with E exit positions."""

    positions: int
    power: float = 1.0
    """Power p: curves are functions of the p-th root of thresholds."""

    def root(self, thresholds: Tensor) -> Tensor:
        """t, the p-th root of thresholds."""
        return thresholds if self.power == 1 else thresholds ** (1 / self.power)

    def spread(self, count: int, seed: int = 0) -> Floats:
        """(count, E − 1) thresholds; see `shared_thresholds`."""
        return shared_thresholds(self.positions, count, seed, power=self.power)

    @cached_property
    def leave(self) -> list[slice]:
        """Slice of the coefficients β of each early position."""
        return [slice(e * TERMS_LEAVE, (e + 1) * TERMS_LEAVE) for e in range(self.positions - 1)]

    @cached_property
    def right(self) -> list[slice]:
        """Slice of the coefficients γ of each position."""
        start, early = (self.positions - 1) * TERMS_LEAVE, self.positions - 1
        slices = [slice(start + e * TERMS_EARLY, start + (e + 1) * TERMS_EARLY) for e in range(early)]
        return [*slices, slice(start + early * TERMS_EARLY, start + early * TERMS_EARLY + TERMS_LAST)]

    @property
    def groups(self) -> list[slice]:
        """Slices of the coefficients of each curve."""
        return [*self.leave, *self.right]

    @property
    def size(self) -> int:
        """Number C of coefficients."""
        return int(self.right[-1].stop)

    def defined(self, present: Bools) -> Bools:
        """(n, C) whether each coefficient exists, for networks with (n, E) exits."""
        defined = np.zeros((len(present), self.size), dtype=bool)
        for e in range(self.positions):
            defined[:, self.right[e]] = present[:, e, None]
            if e < self.positions - 1:
                defined[:, self.leave[e]] = present[:, e, None]
        return defined

    def compose(
        self,
        coefficients: Tensor,
        thresholds: Tensor,
        present: Tensor,
        dependence: Floats | None = None,
        gain: float = math.inf,
    ) -> ExitBehavior:
        """Exit probabilities and accuracies from coefficients.

        Args:
            coefficients: (…, C).
            thresholds: (…, E − 1), ∞ for off.
            present: (…, E) booleans. The leading shapes broadcast.
            dependence: (2, E, 5) numbers of `locally_dependent`; 0 by default.
            gain: how much more accurate networks may be with early exits than without; see `overthinking`.
        """
        rates, right, without = self._shares(coefficients, thresholds, present)
        accuracy = right.div_(rates.clamp_min(SMALLEST_SHARE)).clamp_(0, 1).masked_fill_(rates < SMALLEST_SHARE, 0.5)
        if dependence is not None and dependence.any():
            rates, accuracy = locally_dependent(rates, accuracy, dependence)
        without = without if dependence is None else right_of_all(without, dependence)
        if math.isfinite(gain):
            accuracy = without_more(rates, accuracy, without + gain)
        return ExitBehavior(rates.movedim(0, -1), accuracy.movedim(0, -1), without)

    def _shares(self, coefficients: Tensor, thresholds: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(E, …) shares of all samples that leave at each position, and that leave there with a right answer, and the
        (…) share that the last exit has right of all samples.

        Internally, coefficients and levels come first and networks last, and the arrays of all levels are written in
        place: several times faster, since new memory costs more than the arithmetic.
        """
        shape = np.broadcast_shapes(coefficients.shape[:-1], thresholds.shape[:-1])
        with _scratch(3, (LEVELS, *shape), coefficients.dtype) as arrays:
            return self._shares_in(arrays, coefficients, thresholds, present)

    def _shares_in(
        self, arrays: Sequence[Tensor], coefficients: Tensor, thresholds: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        on = torch.isfinite(thresholds) & present[..., :-1]
        rank = max(coefficients.dim(), thresholds.dim())
        c, on, t = (_of_rank(rank, part.movedim(-1, 0)) for part in (coefficients, on, thresholds))
        t = self.root(torch.where(on, t, 1.0)).contiguous()
        bent, u, d = t**BEND, nines(t), easiness_levels(c.dtype).reshape(-1, *[1] * (rank - 1))
        leave_terms, right_terms = c[self.leave_terms], c[self.right_terms]
        leaving, right, inside = arrays
        inside.fill_(1)
        rates, corrects = [], []
        for e in range(self.positions - 1):
            if not on[e].any():
                nobody = torch.zeros(inside.shape[1:], dtype=inside.dtype)
                rates.append(nobody)
                corrects.append(nobody)
                continue
            constant, of_level, slope = leave_logit(leave_terms[:, e], bent[e], u[e], d)
            torch.add(torch.where(on[e], constant, -torch.inf), of_level, out=leaving)
            leaving.addcmul_(slope, t[e]).sigmoid_().mul_(inside)
            b = right_terms[:, e]
            torch.add(b[0] + b[2] * t[e] + b[3] * u[e], b[1] * d, out=right)
            rates.append(leaving.mean(0))
            corrects.append(right.sigmoid_().mul_(leaving).mean(0))
            inside.sub_(leaving)
        last = c[self.right[-1]]
        right_at_last = (last[0] + last[1] * d).sigmoid_()
        corrects.append(inside.mul_(right_at_last).mean(0))
        everyone = torch.ones_like(corrects[-1])
        rates.append(everyone - sum(rates, torch.zeros_like(everyone)))
        return torch.stack(rates).clamp_(0, 1), torch.stack(corrects), right_at_last.mean(0)

    @cached_property
    def leave_terms(self) -> Ints:
        """(6, E − 1) places of each β of the early positions."""
        return np.arange(self.size)[: self.right[0].start].reshape(-1, TERMS_LEAVE).T.copy()

    @cached_property
    def right_terms(self) -> Ints:
        """(4, E − 1) places of each γ of the early positions."""
        return np.arange(self.size)[self.right[0].start : self.right[-1].start].reshape(-1, TERMS_EARLY).T.copy()


def _of_rank(rank: int, part: Tensor) -> Tensor:
    """Values with the first dimension kept, and as many others as make up the rank."""
    return part.reshape(len(part), *[1] * (rank - part.dim()), *part.shape[1:])


_FREE = list[Tensor]()
"""Memory of finished computations, for later ones; at most as many pieces as threads compute at once."""
MOST_KEPT = 2**22
"""Largest number of values of a piece of memory that is kept."""


@contextmanager
def _scratch(count: int, shape: Sequence[int], dtype: torch.dtype) -> Iterator[list[Tensor]]:
    """Some arrays of a shape, with any values in them, for the duration of a computation."""
    size = math.prod(shape)
    memory = _FREE.pop() if _FREE else torch.empty(0)
    if memory.dtype != dtype or len(memory) < count * size:
        memory = torch.empty(count * size, dtype=dtype)
    yield [memory[i * size : (i + 1) * size].view(*shape) for i in range(count)]
    if len(memory) <= MOST_KEPT:
        _FREE.append(memory)


@cache
def easiness_levels(dtype: torch.dtype) -> Tensor:
    """(LEVELS,) easiness d of each level: evenly spaced quantiles of a normal distribution, scaled to unit variance."""
    d = norm.ppf((np.arange(LEVELS) + 0.5) / LEVELS)
    return torch.tensor(d / d.std(), dtype=dtype)


def leave_logit(b: Numbers, bent: Numbers, u: Numbers, d: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Logit of g, from the six β, the threshold as t, t⁶ and u, and easiness d: the sum of the first two, and of the
    third times t. Shapes broadcast."""
    return b[0] + never_positive(b[3]) * bent + never_positive(b[4]) * u, b[5] * d, never_positive(b[1] + b[2] * d)


def never_positive(x: Numbers) -> Numbers:
    """x⁻, a smooth min(x, 0); in place after the first step, since new memory costs more than the arithmetic."""
    result: Numbers = x * x
    result += BLUNTNESS**2
    result **= 0.5
    result -= x
    result *= -0.5
    return result


def _binomial(trials: Tensor, p: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn((len(trials), *[1] * (trials.dim() - 1)), generator=generator, dtype=trials.dtype)
    counts = (trials * p + (trials * p * (1 - p)).clamp_min(0).sqrt() * normal).round()
    return torch.minimum(counts.clamp_min(0), trials)
