"""The design matrix: inputs and targets of surrogates, from records.

Signs and transforms live here, in `targets` and in `places`, and nowhere else. A row of the training set is an exit of
one training: its inputs are what that exit can depend on, its targets the coefficients of its threshold curves, rotated
and scaled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from botorch.models.model import Model
from torch import Tensor

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.curves import CurveBasis, ExitBehavior
from surrogate_nas.surrogates.exit_model import ExitModel, Layout
from surrogate_nas.surrogates.normal_model import Apart
from surrogate_nas.surrogates.places import Places, Trained
from surrogate_nas.surrogates.targets import FEWEST_ARCHITECTURES, Targets
from surrogate_nas.surrogates.training_set import TrainingSet

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, repr=False)
class DesignMatrix:
    """Inputs and targets of n trained networks."""

    places: Places
    records: tuple[str, ...]
    """(n,) ids of the records."""
    architectures: tuple[Architecture, ...]
    """(n,) architecture of each record; records of one architecture are never split between folds."""
    candidates: Candidates
    targets: Targets
    """Targets Y (n, m) of the networks, and their sampling variance, from the number of held-out samples."""
    span: tuple[Floats, Floats]
    """Smallest and largest physical features of the rows. They scale the inputs: to [0, 1] for the rows, and beyond for
    other candidates."""
    passes: tuple[int, ...] | None = None
    """(n,) rung of each record, in image passes; `None` without a ladder."""
    trainings: tuple[str, ...] | None = None
    """(n,) training of each record, see `Proposal.training`; `None` without a ladder."""
    rung: int | None = None
    """Rung of other candidates, in image passes; `None` without a ladder."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return f"<DesignMatrix of {len(self)} networks, {self.training.outputs} targets>"

    @classmethod
    def build(
        cls,
        views: Sequence[tuple[Record, Exits]],
        space: SearchSpace,
        costing: Costing,
        folder: Path | None = None,
        ladder: Ladder | None = None,
    ) -> "DesignMatrix":
        """Build from records that have outputs, each with its exits on tune; fitted curves are kept in `folder`, if it
        is given. On a ladder, records are of any of its rungs, and other candidates are of its top rung; see `at`.

        Raises:
            JobError: if fewer than four networks, or only one architecture, have been trained.
            InputError: if their fidelities differ.
        """
        trained = [record for record, _ in views]
        require_enough(trained)
        group = _groups([r.architecture for r in trained])
        return cls.of(trained, Targets.of([exits for _, exits in views], group, folder), space, costing, ladder)

    @classmethod
    def of(
        cls,
        trained: Sequence[Record],
        targets: Targets,
        space: SearchSpace,
        costing: Costing,
        ladder: Ladder | None = None,
    ) -> "DesignMatrix":
        """Build from n records and their targets; outputs are not read."""
        architectures = tuple(r.architecture for r in trained)
        candidates, places = Candidates.of(space, architectures, costing), Places(space, costing, ladder)
        return cls(
            places=places,
            records=tuple(r.id for r in trained),
            architectures=architectures,
            candidates=candidates,
            targets=targets,
            span=places.span(candidates),
            passes=None if ladder is None else tuple(r.proposal.passes or ladder.top for r in trained),
            trainings=None if ladder is None else tuple(r.proposal.training for r in trained),
            rung=None if ladder is None else ladder.top,
        )

    def at(self, rung: int | None) -> "DesignMatrix":
        """These rows, for candidates at another rung (image passes)."""
        return replace(self, rung=rung)

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def basis(self) -> CurveBasis:
        """The basis of the curves."""
        return CurveBasis(self.candidates.present.shape[1], self.targets.power)

    @property
    def samples(self) -> int:
        """Number of held-out samples that each row was measured on; of grouped ones, the effective number."""
        return self.targets.samples

    @cached_property
    def group(self) -> Ints:
        """(n,) number of each network's architecture."""
        return _groups(self.architectures)

    @property
    def rungs(self) -> Ints | None:
        """(n,) rung of each network, in image passes; `None` without a ladder."""
        return None if self.passes is None else np.array(self.passes)

    @property
    def rung_numbers(self) -> Ints | None:
        """(n,) number of each network's rung, from 0; `None` without a ladder."""
        return None if self.rungs is None else np.searchsorted(self.places.rungs, self.rungs)

    @property
    def rung_number(self) -> int:
        """Number of the rung of other candidates, from 0."""
        return 0 if self.rung is None else self.places.rungs.index(self.rung)

    @cached_property
    def layout(self) -> Layout:
        """Where the targets of an exit are among those of its network."""
        return Layout(self.basis.positions, self.targets.early, self.targets.learned)

    @cached_property
    def training(self) -> TrainingSet:
        """A row for each exit: inputs (r, d), targets (r, k) and their sampling variance."""
        network, position = self.rows_of_exits
        trained = None if self.rungs is None else Trained(self.rungs, self.group + 1, self._training_numbers)
        inputs = self.places.inputs(self.candidates, self.span, trained)[network, position]
        Y, Yvar = self.layout.of_exits(self.targets.Y, 0.0), self.layout.of_exits(self.targets.Yvar, np.inf)
        return TrainingSet(
            inputs, self.places.kinds, Y[network, position], Yvar[network, position], self.group[network]
        )

    @property
    def rows_of_exits(self) -> tuple[Ints, Ints]:
        """(r,) network, and (r,) position, of each row of the training set."""
        network, position = np.nonzero(self.candidates.present)
        return network, position

    def of_networks(self, rows: Floats) -> Floats:
        """(n, m) values of the networks' targets, from (r, k) values of their exits; 0 where undefined."""
        values = np.zeros((*self.candidates.present.shape, rows.shape[1]))
        values[self.rows_of_exits] = rows
        return self.layout.of_networks(values)

    def whole(self, model: Model) -> ExitModel:
        """The model of networks that a model of exits makes."""
        return ExitModel(model, self.layout, self.targets.unknown)

    @property
    def columns(self) -> int:
        """Number of inputs of a network: d of each of its E places."""
        return self.basis.positions * len(self.places.kinds)

    def inputs(self, candidates: Candidates, trainings: Sequence[str] = ()) -> Floats:
        """(n, E d) model inputs of n candidates, at `rung`: those of their exits, one position after the other.

        They are fresh trainings, or those of `trainings` (n,), which go on; see `Proposal.training`.
        """
        n = len(candidates)
        trained = None if self.rung is None else Trained.fresh(n, self.rung)
        if trained is not None and trainings:
            rows = [self._row_of_training[training] for training in trainings]
            trained = replace(trained, architecture=self.group[rows] + 1, training=self._training_numbers[rows])
        return self.places.inputs(candidates, self.span, trained).reshape(n, -1)

    def rows(self, index: Ints) -> "DesignMatrix":
        """Design matrix of some of the networks, with the same axes of targets."""
        targets = replace(self.targets, Y=self.targets.Y[index], Yvar=self.targets.Yvar[index])

        def some(values: Sequence[T]) -> tuple[T, ...]:
            return tuple(values[i] for i in index)

        return replace(
            self,
            records=some(self.records),
            architectures=some(self.architectures),
            candidates=self.candidates[index],
            targets=targets,
            passes=None if self.passes is None else some(self.passes),
            trainings=None if self.trainings is None else some(self.trainings),
        )

    @property
    def apart(self) -> list[Apart]:
        """For each case of `going_on`, the rows of exits of the network, and those that it must be predicted without:
        its training at rungs above the one that is known."""
        if self.rungs is None:
            return []
        network, trainings = self.rows_of_exits[0], self._training_numbers
        apart = list[Apart]()
        for i, known in zip(*self.going_on, strict=True):
            later = np.flatnonzero((trainings == trainings[i]) & (self.rungs > known))
            apart.append((np.flatnonzero(network == i), np.flatnonzero(np.isin(network, later))))
        return apart

    @cached_property
    def _row_of_training(self) -> Mapping[str, int]:
        """A row of each training."""
        return {training: i for i, training in enumerate(self.trainings or ())}

    @cached_property
    def _training_numbers(self) -> Ints:
        """(n,) number of each network's training, from 1."""
        number = {training: i for i, training in enumerate(dict.fromkeys(self.trainings or ()), 1)}
        return np.array([number[training] for training in self.trainings or ()], dtype=np.int64)

    @cached_property
    def going_on(self) -> tuple[Ints, Ints]:
        """(k,) networks, each with a lower rung that its training had been trained to before: the cases that show how
        trainings go on from one rung to another."""
        if self.rungs is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        same = self._training_numbers[:, None] == self._training_numbers
        network, before = np.nonzero(same & (self.rungs[:, None] > self.rungs))
        return network, self.rungs[before]

    def compose(self, coefficients: Tensor, thresholds: Tensor, present: Tensor) -> ExitBehavior:
        """Exit probabilities and accuracies from (…, C) coefficients; see `CurveBasis.compose`."""
        return self.basis.compose(coefficients, thresholds, present, self.targets.dependence, self.targets.gain)

    def coefficients(self, Y: Floats) -> Floats:
        """(…, C) curve coefficients of (…, m) targets."""
        return np.asarray(self.targets.center + Y @ self.targets.rotation)


def require_enough(trained: Sequence[Record]) -> None:
    """Raise `JobError` for fewer than four trained networks or a single architecture, and `InputError` for networks of
    several fidelities."""
    if len(fidelities := {r.proposal.fidelity for r in trained}) > 1:
        raise InputError(f"surrogates need records of a single fidelity, got {len(fidelities)}: {fidelities}")
    if (count := len({r.proposal.training for r in trained})) < FEWEST_NETWORKS:
        raise JobError(f"surrogates need at least {FEWEST_NETWORKS} trained networks, the archive has {count}")
    if len({r.architecture for r in trained}) < FEWEST_ARCHITECTURES:
        raise JobError(
            f"surrogates need trained networks of at least {FEWEST_ARCHITECTURES} architectures, the archive has one"
        )


def _groups(architectures: Sequence[Architecture]) -> Ints:
    """(n,) number of each row's architecture, from 0 in the order of their first rows."""
    number = {a: i for i, a in enumerate(dict.fromkeys(architectures))}
    return np.array([number[a] for a in architectures])
