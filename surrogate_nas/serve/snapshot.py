"""Snapshot of a study in memory, from which pages and API are served."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.archive.record import Record
from surrogate_nas.documents import answers_document, record_rows
from surrogate_nas.exits.digits import shortest
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import accuracy_intervals
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.report.drawing import FIGURES, exit_colour
from surrogate_nas.report.writing import FRONT
from surrogate_nas.search.problem import on_front
from surrogate_nas.serve.pool import Pool
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.genes import Gene
from surrogate_nas.study.fitting import stored_fit
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import REPORT
from surrogate_nas.study.query import Question, Respondent, require_cost_table
from surrogate_nas.study.solutions import Solutions

GROUPS = {"stem": "stem", "resolution": "input", "bits": "bit width"}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a study at one moment. Not thread-safe."""

    solutions: Solutions
    """Trained networks of a copy of the study, whose archive has been closed."""
    records: tuple[Record, ...]
    """Records of the search at the rung of `solutions`, with their outputs."""
    networks: int
    """Number of trained networks, at any rung."""
    respondent: Respondent | None
    """Respondent within the study's limits; `None` while there is no surrogate."""
    pool: Pool | None
    front: frozenset[str]
    """Ids of the networks with a point on the front."""
    files: Mapping[str, bytes]
    """Files of the report by name; empty until there is one."""
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cache of computed cards, by id."""

    @classmethod
    def of(cls, folder: Path) -> "Snapshot":
        """Read a copy of a study. No surrogate is fitted; it has one only if the copy stores a fit of its records.

        Raises:
            InputError: if there is no study, or its settings are wrong.
        """
        home = Home.open(folder)
        solutions, problem = Solutions(home).fixed(), home.problem
        studied, records = solutions.views.with_outputs(home.archive.studied()), solutions.records()
        home.archive.close()
        trained = [r for r in records if r.outputs is not None]
        networks = len({r.proposal.training for r in studied if r.outputs is not None})
        fitted = stored_fit(home, studied) if networks >= FEWEST_NETWORKS else None
        respondent = pool = None
        if fitted is not None:
            predictor = fitted.predictor.at(solutions.passes)
            respondent = Respondent.of(solutions, studied, predictor, solutions.limits)
            pool = Pool.of(problem, predictor)
        front = frozenset(on_front(problem, records)) if trained else frozenset()
        return cls(
            solutions=solutions,
            records=tuple(records),
            networks=networks,
            respondent=respondent,
            pool=pool,
            front=front,
            files=_files(folder),
        )

    # ------------------------------------------------------------------ predictions

    def within(self, limits: Limits | None) -> Respondent:
        """The respondent for limits, by default the study's.

        Raises:
            InputError: for limits on cost, if the study has no cost table.
            JobError: if there is no surrogate yet.
        """
        limits = self.solutions.limits if limits is None else limits
        require_cost_table(self.solutions.home.problem, limits)
        if self.respondent is None:
            few = f"it needs at least {FEWEST_NETWORKS} trained networks, got {self.networks}"
            raise JobError(f"no surrogate yet: {'it is being fitted' if self.networks >= FEWEST_NETWORKS else few}")
        return replace(self.respondent, limits=limits)

    def query(self, encodings: Sequence[str], thresholds: str | None, limits: Limits | None) -> list[dict[str, Any]]:
        """The document of `query --json`; see `Study.query`."""
        respondent, problem = self.within(limits), self.solutions.home.problem
        point = None
        if thresholds is not None:
            point = OperatingPoint.parse(thresholds, problem.space.positions, problem.policy)
        questions = [self._question(i, text, point) for i, text in enumerate(encodings)]
        return answers_document([answer for block in respondent.answer(questions) for answer in block])

    def _question(self, i: int, text: str, point: OperatingPoint | None) -> Question:
        try:
            architecture, row = self.solutions.home.space.parse_with_row(text)
        except InputError as error:
            raise InputError(f"encodings.{i}: {error}") from None
        return Question(str(architecture), row, point)

    def best(self, n: int, limits: Limits | None) -> dict[str, Any]:
        """The n best architectures of the pool within limits, the best first, with the index of each gene's value."""
        respondent = self.within(limits)
        assert self.pool is not None
        answers, rows = self.pool.best(respondent, n)
        return {"answers": answers_document(answers), "choices": [list(row) for row in rows]}

    # ------------------------------------------------------------------ space and networks

    def space_document(self) -> dict[str, Any]:
        """Document of the search space and the study's limits."""
        space = self.solutions.home.space
        encoded = set(space.genes.encoded)
        return {
            "name": space.spec.name,
            "positions": space.positions,
            "policy": self.solutions.home.problem.policy,
            "least_exits": space.spec.exits.at_least,
            "limits": self.solutions.limits.model_dump(exclude_none=True),
            "colours": [exit_colour(e) for e in range(space.positions)],
            "exits": [space.genes.exits.get(e) for e in range(space.positions - 1)],
            "genes": [
                {
                    "name": _label(gene),
                    "group": _group(gene),
                    "values": [_value(gene, v) for v in gene.values],
                    "needs": gene.needs,
                    "encoded": g in encoded,
                }
                for g, gene in enumerate(space.genes)
            ],
        }

    def networks_document(self) -> list[dict[str, Any]]:
        """Rows of all trained networks, in the order of their proposals."""
        trained = [r for r in self.records if r.outputs is not None]
        rows = record_rows(self.solutions.home.costing, trained)
        return [{**row, "on_front": row["id"] in self.front} for row in rows]

    @cached_property
    def _trained(self) -> dict[str, Record]:
        return {r.id: r for r in self.records if r.outputs is not None}

    def card(self, id: str) -> dict[str, Any]:
        """Document of one network along its threshold curve; raises `KeyError` if there is no such network."""
        record = self._trained[id]
        if id not in self.cards:
            self.cards[id] = self._card(record)
        return self.cards[id]

    def _card(self, record: Record) -> dict[str, Any]:
        views = self.solutions.views
        tune, test = views.tune(record), views.test(record)
        curve = tune.curve
        measurements = test.measure(curve.thresholds)
        feasible = curve.feasible(self.solutions.limits).tolist()
        texts = [str(shortest(OperatingPoint.from_array(t), (tune, test))) for t in curve.thresholds]
        return {
            "id": record.id,
            "encoding": str(record.architecture),
            "origin": record.proposal.origin,
            "seed": record.proposal.seed,
            "parameters": int(curve.parameters[0]),
            "on_front": record.id in self.front,
            "tune_images": curve.n,
            "test_images": measurements.n,
            "exits": [e + 1 for e in record.architecture.exit_positions],
            "choices": self.solutions.home.space.indices([record.architecture])[0].tolist(),
            "curve": [
                {**point, "printed": printed, "test": on_test, "keeps_limits": keeps}
                for point, printed, on_test, keeps in zip(
                    _points(tune, curve), texts, _points(test, measurements), feasible, strict=True
                )
            ],
        }


def _points(exits: Exits, measurements: Measurements) -> list[dict[str, Any]]:
    """Rows of the operating points of a network, measured on one split."""
    thresholds = [str(OperatingPoint.from_array(t)) for t in measurements.thresholds]
    exit_accuracy = [[None if np.isnan(a) else a for a in row] for row in measurements.exit_accuracy.tolist()]
    columns = {
        "thresholds": thresholds,
        "accuracy": measurements.accuracy.tolist(),
        "accuracy_interval": accuracy_intervals(exits, measurements),
        "expected_macs": measurements.expected_macs.tolist(),
        "worst_macs": measurements.worst_macs.tolist(),
        "rates": measurements.rates.tolist(),
        "exit_accuracy": exit_accuracy,
        "macs": measurements.macs.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _group(gene: Gene) -> str:
    kind = str(gene.key[0])
    return f"{kind} {int(gene.key[1]) + 1}" if kind in ("stage", "exit") else GROUPS[kind]


def _label(gene: Gene) -> str:
    """The gene's name without its group's name."""
    name = gene.name.removeprefix(_group(gene)).strip()
    return name or ("present" if gene.key[0] == "exit" else gene.name)


def _value(gene: Gene, value: object) -> str:
    yes_or_no = isinstance(value, bool) or (gene.key[0] == "exit" and len(gene.key) == 2)
    return ("yes" if value else "no") if yes_or_no else str(value)


def _files(folder: Path) -> dict[str, bytes]:
    """Files written by `write_report`, by name; empty if there are none."""
    figures = sorted((folder / FIGURES).iterdir()) if (folder / FIGURES).is_dir() else []
    there = [path for path in (folder / REPORT, folder / FRONT, *figures) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in there}


def as_json(document: object) -> bytes:
    """JSON in ASCII, which any client can decode; raises `ValueError` for NaN and infinities."""
    return json.dumps(document, allow_nan=False).encode("ascii")
