"""A snapshot of a study in memory, from which pages and API are served."""

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
from surrogate_nas.exits.intervals import wilson
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.report.drawing import FIGURES, exit_colour
from surrogate_nas.report.writing import FRONT, REPORT
from surrogate_nas.search.problem import on_front
from surrogate_nas.serve.pool import Pool
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.genes import Gene
from surrogate_nas.study.query import Question, Respondent, require_cost_table
from surrogate_nas.study.study import Study

GROUPS = {"stem": "stem", "resolution": "input", "bits": "bit width"}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A study at one moment. Not thread-safe."""

    study: Study
    """The study of a copy, whose archive has been closed."""
    records: tuple[Record, ...]
    """Records of the search, with their outputs."""
    respondent: Respondent | None
    """Answers within the study's limits; `None` while there is no surrogate."""
    pool: Pool | None
    front: frozenset[str]
    """Ids of the networks with a point on the front."""
    files: Mapping[str, bytes]
    """Files of the report by name; empty until it has been made."""
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cache of computed cards, by id."""

    @classmethod
    def of(cls, home: Path) -> "Snapshot":
        """Read a copy of a study. No surrogate is fitted: there is one only if the copy stores a fit of its records.

        Raises:
            InputError: if there is no study, or its settings are wrong.
        """
        study = Study.open(home)
        records = study.records()
        study.close()
        problem = study.home.problem
        trained = [r for r in records if r.outputs is not None]
        fitted = study.stored_fit(records) if len(trained) >= FEWEST_NETWORKS else None
        respondent = pool = None
        if fitted is not None:
            respondent = study.respondent(records, fitted, study.settings.limits)
            pool = Pool.of(problem, fitted.predictor)
        front = frozenset(on_front(problem, records)) if trained else frozenset()
        return cls(
            study=study, records=tuple(records), respondent=respondent, pool=pool, front=front, files=_files(home)
        )

    # ------------------------------------------------------------------ predictions

    def within(self, limits: Limits | None) -> Respondent:
        """The respondent for limits, by default the study's.

        Raises:
            InputError: for limits on a cost that the study has no table of.
            JobError: if there is no surrogate yet.
        """
        limits = self.study.settings.limits if limits is None else limits
        require_cost_table(self.study.home.problem, limits)
        if self.respondent is None:
            trained = sum(r.outputs is not None for r in self.records)
            few = f"it needs {FEWEST_NETWORKS} trained networks, and there are {trained}"
            raise JobError(f"no surrogate yet: {'it is being fitted' if trained >= FEWEST_NETWORKS else few}")
        return replace(self.respondent, limits=limits)

    def query(self, encodings: Sequence[str], thresholds: str | None, limits: Limits | None) -> list[dict[str, Any]]:
        """The document of `query --json`; see `Study.query`."""
        respondent, problem = self.within(limits), self.study.home.problem
        point = None
        if thresholds is not None:
            point = OperatingPoint.parse(thresholds, problem.space.positions, problem.policy)
        questions = [self._question(i, text, point) for i, text in enumerate(encodings)]
        return answers_document([answer for block in respondent.answer(questions) for answer in block])

    def _question(self, i: int, text: str, point: OperatingPoint | None) -> Question:
        try:
            architecture, row = self.study.space.parse_with_row(text)
        except InputError as error:
            raise InputError(f"encodings.{i}: {error}") from None
        return Question(str(architecture), row, point)

    def best(self, n: int, limits: Limits | None) -> dict[str, Any]:
        """The n best of the pool within limits, the best first; with the index of each gene's value."""
        respondent = self.within(limits)
        assert self.pool is not None
        answers, rows = self.pool.best(respondent, n)
        return {"answers": answers_document(answers), "choices": [list(row) for row in rows]}

    # ------------------------------------------------------------------ what there is

    def space_document(self) -> dict[str, Any]:
        """Document of the search space and the study's limits."""
        space = self.study.space
        encoded = set(space.genes.encoded)
        return {
            "name": space.spec.name,
            "positions": space.positions,
            "policy": self.study.policy,
            "least_exits": space.spec.exits.at_least,
            "limits": self.study.settings.limits.model_dump(exclude_none=True),
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
        """A row per trained network."""
        trained = [r for r in self.records if r.outputs is not None]
        rows = record_rows(self.study.home.costing, trained)
        return [{**row, "on_front": row["id"] in self.front} for row in rows]

    @cached_property
    def _trained(self) -> dict[str, Record]:
        return {r.id: r for r in self.records if r.outputs is not None}

    def card(self, id: str) -> dict[str, Any]:
        """One network along its threshold curve; raises `KeyError` if there is no such network."""
        record = self._trained[id]
        if id not in self.cards:
            self.cards[id] = self._card(record)
        return self.cards[id]

    def _card(self, record: Record) -> dict[str, Any]:
        study, tune, test = self.study, self.study.exits(record, "tune"), self.study.exits(record, "test")
        curve = tune.curve
        measurements = test.measure(curve.thresholds)
        feasible = curve.feasible(study.settings.limits).tolist()
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
            "choices": study.space.indices([record.architecture])[0].tolist(),
            "curve": [
                {**point, "printed": printed, "test": on_test, "keeps_limits": keeps}
                for point, printed, on_test, keeps in zip(
                    _points(curve), texts, _points(measurements), feasible, strict=True
                )
            ],
        }


def _points(measurements: Measurements) -> list[dict[str, Any]]:
    """Each operating point of a network on one split."""
    right, n = measurements.correct.sum(axis=1), measurements.n
    thresholds = [str(OperatingPoint.from_array(t)) for t in measurements.thresholds]
    exit_accuracy = [[None if np.isnan(a) else a for a in row] for row in measurements.exit_accuracy.tolist()]
    columns = {
        "thresholds": thresholds,
        "accuracy": measurements.accuracy.tolist(),
        "accuracy_interval": [wilson(k, n) for k in right],
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
    return name or ("there" if gene.key[0] == "exit" else gene.name)


def _value(gene: Gene, value: object) -> str:
    yes_or_no = isinstance(value, bool) or (gene.key[0] == "exit" and len(gene.key) == 2)
    return ("yes" if value else "no") if yes_or_no else str(value)


def _files(home: Path) -> dict[str, bytes]:
    """Files written by `write_report`, by name; empty where it has not run."""
    figures = sorted((home / FIGURES).iterdir()) if (home / FIGURES).is_dir() else []
    there = [path for path in (home / REPORT, home / FRONT, *figures) if path.is_file()]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in there}


def as_json(document: object) -> bytes:
    """JSON in ASCII, which any client can decode; raises `ValueError` for NaN and infinities."""
    return json.dumps(document, allow_nan=False).encode("ascii")
