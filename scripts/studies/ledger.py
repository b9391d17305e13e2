"""Figures of trainings as lines of JSON, one when each training ends: a script goes on where it was stopped, also on
another machine, with nothing but this file."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogate_nas import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.search.proposals import final_proposals
from surrogate_nas.training.recipe import Recipe

Line = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """An append-only file."""

    path: Path

    def lines(self, **values: Any) -> list[Line]:
        """The lines that have these values."""
        if not self.path.is_file():
            return []
        lines = [json.loads(text) for text in self.path.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if all(line.get(name) == value for name, value in values.items())]

    def add(self, line: Line) -> None:
        """Append a line, and flush it to disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class Training:
    """An architecture to train by a recipe."""

    label: str
    recipe: Recipe
    architecture: Architecture


def train_all(
    study: Study, trainings: Sequence[Training], seeds: int, ledger: Ledger, figures: Callable[[Record, str], Line]
) -> None:
    """Train what the ledger lacks, each with so many seeds, and add `figures` of each training when it ends."""
    ended = {line["id"] for line in ledger.lines(kind="training")}
    proposals, label_of = list[Proposal](), dict[str, str]()
    for training in trainings:
        study.home.update({"final": training.recipe.model_dump()})
        for proposal in final_proposals(study.home.problem, [training.architecture], seeds):
            if proposal.id not in ended:
                proposals.append(proposal)
                label_of[proposal.id] = training.label

    def land(record: Record) -> None:
        proposal = record.proposal
        line = {
            "kind": "training",
            "id": record.id,
            "label": label_of[record.id],
            "network": str(record.architecture),
            "seed": proposal.seed,
            "recipe": json.loads(proposal.fidelity),
            "seconds": round(record.seconds, 1),
            "device": record.provenance["device"],
            "torch": record.provenance["torch"],
        }
        failure = {} if record.failure is None else {"failure": f"{record.failure.kind}: {record.failure.message}"}
        ledger.add({**line, **failure, **(figures(record, label_of[record.id]) if record.outputs else {})})

    trained = [r for r in study.archive.records("final") if r.id in label_of]
    for record in study.home.problem.views.with_outputs(trained):  # before an interruption, but not landed
        land(record)
        del label_of[record.id]
    study.trainer.on_record = land
    study.trainer.evaluate([p for p in proposals if p.id in label_of])
