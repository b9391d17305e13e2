"""Records as exits: outputs under one policy, with temperatures and costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.calibration import calibration_error
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import pareto_order
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.policies import PolicyName


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far one exit's largest softmax probability is to be believed."""

    position: int
    """From 0."""
    temperature: float
    """Fitted on tune."""
    error: float
    """Expected calibration error on test."""
    error_with_temperature: float

    @classmethod
    def of(cls, architecture: Architecture, outputs: Outputs) -> list["Calibration"]:
        """Of each exit that exists; nothing above 20 classes, where logits are not kept."""
        if outputs.tune.logits is None:
            return []
        fitted = outputs.tune.temperatures()
        plain, cooled = (
            [calibration_error(*said) for said in zip(*outputs.test.view("max_softmax", temperatures), strict=True)]
            for temperatures in ((), fitted)
        )
        rows = zip(architecture.exit_positions, fitted, plain, cooled, strict=True)
        return [cls(*row) for row in rows]


def exits_of(
    architecture: Architecture,
    outputs: SplitOutputs,
    costing: Costing,
    policy: PolicyName = "max_softmax",
    temperatures: Sequence[float] = (),
) -> Exits:
    """The view of one network's outputs that thresholds act on; temperatures are (E,), or none."""
    E, where = architecture.positions, list(architecture.exit_positions)
    score, right = outputs.view(policy, [temperatures[e] for e in where] if temperatures else ())
    all_scores = np.zeros((E, score.shape[1]), dtype=np.float32)
    all_right = np.zeros((E, score.shape[1]), dtype=bool)
    all_scores[where], all_right[where] = score, right
    present = np.zeros(E, dtype=bool)
    present[where] = True
    return Exits(outputs.available(policy), present, all_scores, all_right, costing.of(architecture))


def temperatures_of(architecture: Architecture, tune: SplitOutputs) -> tuple[float, ...]:
    """(E,) temperatures fitted on tune; 1 where there is no exit."""
    fitted = dict(zip(architecture.exit_positions, tune.temperatures(), strict=True))
    return tuple(fitted.get(e, 1.0) for e in range(architecture.positions))


def front_of(curves: Sequence[tuple[Record, Measurements]]) -> list[Record]:
    """The network of each point that no other beats, cheapest first; with several points, as often."""
    if not curves:
        return []
    accuracy, cost = (np.concatenate([getattr(m, name) for _, m in curves]) for name in ("accuracy", "objective"))
    owner = np.concatenate([np.full(len(m), i) for i, (_, m) in enumerate(curves)])
    return [curves[i][0] for i in owner[pareto_order(accuracy, cost)]]
