"""Records as exits: outputs under one policy, with temperatures and costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.outputs import Outputs, Split, SplitOutputs
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.calibration import calibration_error
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import pareto_order
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.errors import JobError

ViewKey = tuple[str, Split, PolicyName, tuple[float, ...]]
"""Key of one view: a record's id, a split, a policy, and temperatures."""


@dataclass(frozen=True, slots=True)
class ExitCalibration:
    """Calibration of one exit's largest softmax probability."""

    position: int
    """Exit position, from 0."""
    temperature: float
    """Temperature fitted on tune."""
    error: float
    """Expected calibration error on test."""
    error_with_temperature: float
    """Expected calibration error on test, with the temperature."""

    @classmethod
    def of(cls, architecture: Architecture, outputs: Outputs) -> list["ExitCalibration"]:
        """Calibration of each exit that exists; empty above 20 classes, where logits are not kept."""
        if outputs.tune.logits is None:
            return []
        tune_temperatures = outputs.tune.temperatures()
        plain, scaled = (
            [calibration_error(*view) for view in zip(*outputs.test.view("max_softmax", temperatures), strict=True)]
            for temperatures in ((), tune_temperatures)
        )
        rows = zip(architecture.exit_positions, tune_temperatures, plain, scaled, strict=True)
        return [cls(*row) for row in rows]


@dataclass(frozen=True)
class Views:
    """Exits of trained networks under the settings of one study, computed once and cached.

    Outputs that a record does not carry are read from the archive once. They never change, so they are cached by the
    record's id.
    """

    costing: Costing
    policy: PolicyName
    temperature: bool = False
    """Whether logits are divided by temperatures fitted on tune."""
    archive: Archive | None = None
    """Archive that outputs are read from; without it, each record must carry its own."""
    _outputs: dict[str, Outputs] = field(default_factory=dict, init=False, repr=False, compare=False)
    _temperatures: dict[str, tuple[float, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _exits: dict[ViewKey, Exits] = field(default_factory=dict, init=False, repr=False, compare=False)

    def tune(self, record: Record) -> Exits:
        """The exits of a trained network on tune."""
        return self.exits(record, "tune")

    def test(self, record: Record) -> Exits:
        """The exits of a trained network on test."""
        return self.exits(record, "test")

    def exits(self, record: Record, split: Split) -> Exits:
        """The exits of a trained network on one split."""
        return self.under(record, split, self.policy, self.temperatures(record))

    def under(self, record: Record, split: Split, policy: PolicyName, temperatures: tuple[float, ...]) -> Exits:
        """The exits on one split under any policy and (E,) temperatures; empty means without."""
        key = record.id, split, policy, temperatures
        if key not in self._exits:
            outputs = self.outputs(record)[split]
            self._exits[key] = exits_of(record.architecture, outputs, self.costing, policy, temperatures)
        return self._exits[key]

    def temperatures(self, record: Record) -> tuple[float, ...]:
        """(E,) temperatures of a trained network if the settings use them, otherwise empty."""
        return self.fitted_temperatures(record) if self.temperature else ()

    def fitted_temperatures(self, record: Record) -> tuple[float, ...]:
        """(E,) temperatures of a trained network, whether or not the settings use them.

        Raises:
            InputError: if there are too many classes to keep logits.
        """
        if record.id not in self._temperatures:
            self._temperatures[record.id] = temperatures_of(record.architecture, self.outputs(record).tune)
        return self._temperatures[record.id]

    def outputs(self, record: Record) -> Outputs:
        """Held-out outputs of a record.

        Raises:
            JobError: if the record is a failure, which has no outputs.
        """
        if record.id not in self._outputs:
            self._outputs[record.id] = record.outputs or self._read(record)
        return self._outputs[record.id]

    def _read(self, record: Record) -> Outputs:
        if record.failure is not None or self.archive is None:
            raise JobError(f"record {record.id} has no outputs")
        return self.archive.outputs(record.id)

    def with_outputs(self, records: Sequence[Record]) -> list[Record]:
        """The records with their outputs; failures have none."""
        return [r if r.failure is not None else replace(r, outputs=self.outputs(r)) for r in records]

    def trained(self, records: Sequence[Record]) -> list[tuple[Record, Exits]]:
        """Successful trainings, each with its exits on tune."""
        return [(r, self.tune(r)) for r in records if r.failure is None]


def exits_of(
    architecture: Architecture,
    outputs: SplitOutputs,
    costing: Costing,
    policy: PolicyName = "max_softmax",
    temperatures: Sequence[float] = (),
) -> Exits:
    """The exits of one network from its outputs; temperatures are (E,), or empty."""
    E, where = architecture.positions, list(architecture.exit_positions)
    score, right = outputs.view(policy, [temperatures[e] for e in where] if temperatures else ())
    all_scores = np.zeros((E, score.shape[1]), dtype=np.float32)
    all_right = np.zeros((E, score.shape[1]), dtype=bool)
    all_scores[where], all_right[where] = score, right
    present = np.zeros(E, dtype=bool)
    present[where] = True
    cost, policy = costing.of(architecture), outputs.available(policy)
    return Exits(policy, present, all_scores, all_right, cost, outputs.groups)


def temperatures_of(architecture: Architecture, tune: SplitOutputs) -> tuple[float, ...]:
    """(E,) temperatures fitted on tune; 1 where there is no exit."""
    temperatures = dict(zip(architecture.exit_positions, tune.temperatures(), strict=True))
    return tuple(temperatures.get(e, 1.0) for e in range(architecture.positions))


def front_of(curves: Sequence[tuple[Record, Measurements]]) -> list[Record]:
    """The network of each Pareto-optimal point, cheapest first; repeated for a network with several points."""
    if not curves:
        return []
    accuracy, cost = (np.concatenate([getattr(m, name) for _, m in curves]) for name in ("accuracy", "objective"))
    owner = np.concatenate([np.full(len(m), i) for i, (_, m) in enumerate(curves)])
    return [curves[i][0] for i in owner[pareto_order(accuracy, cost)]]
