"""What architectures would measure at thresholds: samples of accuracy, expected cost and exit rates."""

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
from surrogate_nas.surrogates.curves import Reach
from surrogate_nas.surrogates.design import DesignMatrix


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
            self.costs,
            accuracy=self.accuracy,
            macs=Spending(rates, self.costs.macs.costs),
            cost=None if cost is None else Spending(rates, cost.costs),
        )

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

    def shaped(array: Array) -> Array:
        return array[:, None] if wide else array

    present = shaped(candidates.present)
    on = np.isfinite(thresholds) & present[..., :-1]

    def spent(backbone: Array, branch: Array) -> Array:
        return costs_of_leaving(shaped(backbone), shaped(branch), on, cost.charge_heads)

    nothing = np.zeros(0)
    memory = np.maximum(shaped(cost.backbone_memory[:, -1]), (shaped(cost.branch_memory)[..., :-1] * on).max(axis=-1))
    costs = Figures(
        nothing,
        Spending(nothing, spent(cost.backbone, cost.branch)),
        shaped(cost.parameters),
        shaped(cost.weight_bytes),
        memory,
        None if cost.other is None else Spending(nothing, spent(*cost.other)),
    )
    curve = design.basis.compose(coefficients, torch.from_numpy(thresholds), torch.from_numpy(present))
    return Reached(curve, costs, spent(*cost.objective_costs).astype(np.float64))
