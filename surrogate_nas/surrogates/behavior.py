"""Behaviour of architectures at thresholds, from curve coefficients: accuracy, expected cost and exit rates."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from surrogate_nas.architecture.cost import costs_of_leaving
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Figures, Spending
from surrogate_nas.foundation.arrays import Array, Floats
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.curves import ExitBehavior
from surrogate_nas.surrogates.design import DesignMatrix


@dataclass(frozen=True)
class CandidateBehavior:
    """Behaviour of n candidates at thresholds: their curves, and the exact costs of leaving at each exit."""

    curve: ExitBehavior
    costs: Figures
    """Exact costs; exit rates, accuracy and drop are left empty."""
    objective_costs: Floats
    """(…, E) cost of leaving at each exit, of the kind that is minimised."""

    def with_sampling_noise(self, samples: int, generator: torch.Generator) -> "CandidateBehavior":
        """Draw the behaviour as measured on held-out samples; see `ExitBehavior.with_sampling_noise`."""
        return replace(self, curve=self.curve.with_sampling_noise(samples, generator))

    @cached_property
    def accuracy(self) -> Floats:
        """(…) accuracy Σ p_e a_e."""
        return np.asarray(self.curve.accuracy.numpy())

    @cached_property
    def objective(self) -> Floats:
        """(…) expected cost, of the kind that is minimised."""
        return np.asarray(self.curve.expected(torch.from_numpy(self.objective_costs)).numpy())

    @cached_property
    def figures(self) -> Figures:
        """(…) all quantities that limits may bound."""
        rates, cost = self.curve.rates.numpy(), self.costs.cost
        return replace(
            self.costs,
            accuracy=self.accuracy,
            drop=np.asarray(self.curve.drop.numpy()),
            macs=Spending(rates, self.costs.macs.costs),
            cost=None if cost is None else Spending(rates, cost.costs),
        )

    def excess(self, limits: Limits) -> Floats:
        """(…) relative excess over the limits; see `Figures.excess`."""
        return self.figures.excess(limits)


def behavior_at(
    design: DesignMatrix, candidates: Candidates, coefficients: Tensor, thresholds: Floats
) -> CandidateBehavior:
    """Compute the behaviour of n candidates at thresholds.

    Args:
        design: source of the curve basis.
        candidates: n architectures.
        coefficients: (S, n, C), or (n, 1, C) against (1, T, E − 1) thresholds.
        thresholds: (n, E − 1), or (1, T, E − 1).
    """
    cost, wide = candidates.cost, thresholds.ndim == 3

    def broadcast(array: Array) -> Array:
        return array[:, None] if wide else array

    present = broadcast(candidates.present)
    on = np.isfinite(thresholds) & present[..., :-1]

    def exit_costs(backbone: Array, branch: Array) -> Array:
        return costs_of_leaving(broadcast(backbone), broadcast(branch), on, cost.charge_heads)

    nothing = np.zeros(0)
    memory = np.maximum(
        broadcast(cost.backbone_memory[:, -1]), (broadcast(cost.branch_memory)[..., :-1] * on).max(axis=-1, initial=0)
    )
    costs = Figures(
        nothing,
        nothing,
        Spending(nothing, exit_costs(cost.backbone, cost.branch)),
        broadcast(cost.parameters),
        broadcast(cost.weight_bytes),
        memory,
        None if cost.other is None else Spending(nothing, exit_costs(*cost.other)),
    )
    curve = design.compose(coefficients, torch.from_numpy(thresholds), torch.from_numpy(present))
    return CandidateBehavior(curve, costs, exit_costs(*cost.objective_costs).astype(np.float64))
