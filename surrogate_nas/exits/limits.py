"""Limits that a user sets, and how they are told to people."""

from typing import Self

from pydantic import model_validator

from surrogate_nas.architecture.cost import Objective
from surrogate_nas.foundation.fields import Amount, Config, Share


class Limits(Config):
    """What every solution must keep to; `None` is no limit."""

    max_macs: Amount | None = None
    """Expected (average) multiply-accumulates per image."""
    max_worst_macs: Amount | None = None
    """Multiply-accumulates of an image that goes to the last exit."""
    max_p95_macs: Amount | None = None
    """Multiply-accumulates that 95 % of the images do not exceed."""
    max_params: Amount | None = None
    """Parameters of the whole network."""
    max_weight_bytes: Amount | None = None
    """Bytes of weights of the whole network as deployed."""
    max_activation_bytes: Amount | None = None
    """Bytes of activations alive at the worst moment, for one image."""
    max_cost: Amount | None = None
    """Expected (average) cost per image by the study's cost table."""
    max_worst_cost: Amount | None = None
    """The same of an image that goes to the last exit."""
    max_p95_cost: Amount | None = None
    """The same that 95 % of the images do not exceed."""
    min_accuracy: Share | None = None
    """Accuracy floor, a fraction."""

    @model_validator(mode="after")
    def _average_below_worst_case(self) -> Self:
        for mean, worst in (("max_macs", "max_worst_macs"), ("max_cost", "max_worst_cost")):
            average, cap = getattr(self, mean), getattr(self, worst)
            if average is not None and cap is not None and average > cap:
                raise ValueError(f"{mean} {average:g} is above {worst} {cap:g}, but no average exceeds the worst case")
        return self

    @property
    def limits_cost(self) -> bool:
        """Whether anything is limited that only a cost table can tell."""
        return any(cap is not None for cap in (self.max_cost, self.max_worst_cost, self.max_p95_cost))

    @property
    def limits_spending(self) -> bool:
        """Whether anything is limited that thresholds decide, beside accuracy."""
        caps = (self.max_macs, self.max_p95_macs, self.max_worst_macs, self.max_activation_bytes)
        return self.limits_cost or any(cap is not None for cap in caps)

    def only_cuts(self, objective: Objective) -> bool:
        """Whether the best points within these limits are those of the unlimited front that keep them."""
        cut = {"min_accuracy", "max_params", "max_weight_bytes", "max_macs" if objective == "macs" else "max_cost"}
        return all(cap is None for name, cap in self if name not in cut)

    def __str__(self) -> str:
        words = {
            "max_macs": "expected MACs ≤",
            "max_worst_macs": "worst-case MACs ≤",
            "max_p95_macs": "95 % of images' MACs ≤",
            "max_params": "parameters ≤",
            "max_weight_bytes": "bytes of weights ≤",
            "max_activation_bytes": "bytes of activations ≤",
            "max_cost": "expected cost ≤",
            "max_worst_cost": "worst-case cost ≤",
            "max_p95_cost": "95 % of images' cost ≤",
            "min_accuracy": "accuracy ≥",
        }
        given = [f"{words[name]} {value:,g}" for name, value in self if value is not None]
        return ", ".join(given) or "no limits"
