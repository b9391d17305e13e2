"""A skewed target made more normal, and back."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import yeojohnson, yeojohnson_llf
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats

POWERS = np.linspace(0, 4, 81)
"""Below 0, samples could be infinitely good."""
SMALLEST = 1e-9
LOWEST = -100.0
"""Standard deviations: far below any reference."""


@dataclass(frozen=True)
class Warp:
    """Yeo and Johnson's power transformation (2000) of standardised values, standardised again.

    Few networks are far worse than all others, and how much worse teaches nothing about the front.
    """

    power: float
    center: float
    scale: float

    @classmethod
    def of(cls, y: Floats) -> "Warp":
        """The power that makes these values most normal."""
        power = float(POWERS[np.argmax([yeojohnson_llf(p, y) for p in POWERS])])
        warped = yeojohnson(y, power)
        return cls(power, float(warped.mean()), float(warped.std()) or 1.0)

    def __call__(self, y: Floats) -> Floats:
        """Values in the model's units."""
        return (yeojohnson(y, self.power) - self.center) / self.scale

    def back(self, warped: Tensor) -> Tensor:
        """Values from the model's units; those outside the range of the warp become the lowest."""
        z, p = warped * self.scale + self.center, self.power
        up = torch.expm1(z.clamp_min(0)) if p == 0 else (1 + p * z.clamp_min(0)) ** (1 / p) - 1
        low = z.clamp_max(0)
        down = -torch.expm1(-low) if p == 2 else 1 - (1 - (2 - p) * low).clamp_min(SMALLEST) ** (1 / (2 - p))
        return torch.where(z >= 0, up, down.clamp_min(LOWEST))
