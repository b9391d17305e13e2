"""Quantities that surrogates are judged by: as measured, and as drawn from predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.design import DesignMatrix

ACCURACY, EXPECTED_MACS, EXPECTED_COST = "accuracy", "expected MACs", "expected cost"
EXIT_PROBABILITY, EXIT_ACCURACY = "exit probability", "exit accuracy"
"""Kinds of quantities; each exit has its own of the latter two."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity of networks at thresholds."""

    kind: str
    exit: int | None = None
    """Number of the exit, from 1."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.kind if self.exit is None else f"{self.kind} {self.exit}"


Measured = Mapping[Quantity, Floats]
"""(T, n) values of each quantity, NaN where one is undefined, but not everywhere."""


def measured_quantities(design: DesignMatrix, exits: Sequence[Exits], thresholds: Floats) -> Measured:
    """Measurements of the n networks of a design at each of (T, E − 1) thresholds."""
    measurements = [view.measure(thresholds) for view in exits]
    values = {
        Quantity(ACCURACY): np.array([m.accuracy for m in measurements]).T,
        Quantity(EXPECTED_MACS): np.array([m.expected_macs for m in measurements]).T,
    }
    if design.candidates.cost.other is not None:
        values[Quantity(EXPECTED_COST)] = np.array([m.figures.cost.expected for m in measurements if m.figures.cost]).T
    present = design.candidates.present
    for e in range(design.basis.positions):
        rates = np.array([m.rates[:, e] for m in measurements]).T
        values[Quantity(EXIT_PROBABILITY, e + 1)] = np.where(present[:, e], rates, np.nan)
        values[Quantity(EXIT_ACCURACY, e + 1)] = np.array([m.exit_accuracy[:, e] for m in measurements]).T
    return {quantity: array for quantity, array in values.items() if np.isfinite(array).any()}


def sampled_quantities(design: DesignMatrix, targets: Floats, thresholds: Floats) -> Mapping[Quantity, Floats]:
    """(S, T, n) draws of every quantity at each of (T, E − 1) thresholds, from (S, n, m) targets."""
    parts = [_sampled_at(design, targets, setting) for setting in thresholds]
    return {quantity: np.stack([part[quantity] for part in parts], axis=1) for quantity in parts[0]}


def _sampled_at(design: DesignMatrix, targets: Floats, thresholds: Floats) -> dict[Quantity, Floats]:
    coefficients = torch.from_numpy(design.coefficients(targets))
    behavior = behavior_at(design, design.candidates, coefficients, np.tile(thresholds, (len(design), 1)))
    behavior = behavior.with_sampling_noise(design.samples, torch.Generator().manual_seed(0))
    curve, figures = behavior.curve, behavior.figures
    values = {Quantity(ACCURACY): behavior.accuracy, Quantity(EXPECTED_MACS): figures.macs.expected}
    if figures.cost is not None:
        values[Quantity(EXPECTED_COST)] = figures.cost.expected
    for e in range(design.basis.positions):
        values[Quantity(EXIT_PROBABILITY, e + 1)] = curve.rates[..., e].numpy()
        values[Quantity(EXIT_ACCURACY, e + 1)] = curve.exit_accuracy[..., e].numpy()
    return values
