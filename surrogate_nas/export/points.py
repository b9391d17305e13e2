"""Settings of an exported network: thresholds for several budgets, with their measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.outputs import SPLITS, Split
from surrogate_nas.archive.record import Record
from surrogate_nas.certificates.evidence import Evidence
from surrogate_nas.datasets.dataset import LabeledImages, Labels
from surrogate_nas.exits.digits import shortest
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import share_interval
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.export import runtime
from surrogate_nas.export.parity import clear_of, predictions_of
from surrogate_nas.export.runtime import ExportedNetwork, Reference
from surrogate_nas.foundation.arrays import Array, Floats32
from surrogate_nas.foundation.progress import say
from surrogate_nas.network.predictions import ExitPredictions
from surrogate_nas.study.results import Certificate, Measured
from surrogate_nas.study.solutions import Solutions


@dataclass(frozen=True)
class Judge:
    """Measurements and routes of one network at any thresholds, from logits of all its exits."""

    record: Record
    costing: Costing
    """Costing that charges every branch that is run, whatever the study charges: a device must run them all."""
    images: Mapping[Split, LabeledImages]
    predictions: Mapping[Split, ExitPredictions]

    @classmethod
    def of(
        cls,
        costing: Costing,
        record: Record,
        images: Mapping[Split, LabeledImages],
        predictions: Mapping[Split, ExitPredictions],
    ) -> "Judge":
        """Build for a trained network, by the costs of its study."""
        return cls(record, replace(costing, charge_heads="all"), images, predictions)

    def exits(self, split: Split, policy: PolicyName) -> Exits:
        """Scores and correctness of all exits on one split."""
        architecture, images = self.record.architecture, self.images[split]
        cost = self.costing.of(architecture)
        return self.predictions[split].exits(architecture, cost, policy, images.labels, images.groups)

    def compared(self, point: OperatingPoint) -> Floats32:
        """(E, n) scores of all images, as compared with the thresholds of an operating point."""
        on = [e for e in self.record.architecture.exit_positions[:-1] if point.thresholds[e] is not None]
        return np.concatenate(
            [self.exits(split, point.policy).compared_scores(on) for split in self.predictions], axis=1
        )

    def measure(self, split: Split, point: OperatingPoint) -> Measured:
        """Measure one split at one operating point."""
        labels, classes = self.images[split].labels, self.predictions[split].logits.shape[2]
        return Measured.of(self.exits(split, point.policy), labels, classes, point)

    def route(self, split: Split, point: OperatingPoint) -> tuple[Labels, Labels]:
        """(N,) numbers of the exits at which images leave, from 1 by position, and (N,) predicted classes."""
        where = np.array(self.record.architecture.exit_positions)
        x = np.searchsorted(where, self.exits(split, point.policy).route(point))
        return where[x] + 1, self.predictions[split].logits[x, np.arange(len(x))].argmax(axis=1)


def chosen_points(solutions: Solutions, record: Record, limits: Limits, tiers: int) -> tuple[list[OperatingPoint], int]:
    """Operating points, cheapest first, and the index of the best one within limits: of the certified ones, if any.

    All that are certified within the limits are among them. The other points are tiers for budgets below and above that
    of the limits; they keep all other limits.

    Raises:
        JobError: if no thresholds keep the limits; the message names the closest.
    """
    certified = solutions.certified(limits, [record])
    best = solutions.best_of(certified) if certified else solutions.tune(record, limits)
    others = limits.with_budget(solutions.home.settings.objective, None)
    chosen = [tier.solution for tier in solutions.tiers(record, others, tiers)]
    thresholds = {solution.operating_point for solution in chosen}
    for solution in [*certified, best]:
        if solution.operating_point not in thresholds:
            chosen.append(solution)
            thresholds.add(solution.operating_point)
    chosen.sort(key=lambda s: (s.tune.expected_macs, s.tune.accuracy))
    points = [solution.operating_point for solution in chosen]
    return points, points.index(best.operating_point)


def settle(point: OperatingPoint, one: Judge, other: Judge) -> OperatingPoint:
    """The operating point with every threshold moved clear of scores, which changes the exits of few images.

    Args:
        point: thresholds of every position but the last; those of positions without an exit become `None`.
        one, other: predictions for the same images, computed in two ways.
    """
    scores, early = [judge.compared(point) for judge in (one, other)], one.record.architecture.exit_positions[:-1]
    thresholds: list[float | None] = [None] * len(point.thresholds)
    for e in early:
        threshold = point.thresholds[e]
        thresholds[e] = None if threshold is None else clear_of(threshold, scores[0][e], scores[1][e])
    return OperatingPoint(tuple(thresholds), point.policy, point.temperatures)


def confirmed(
    solutions: Solutions,
    record: Record,
    points: Sequence[OperatingPoint],
    sealed: LabeledImages,
    network: ExportedNetwork,
) -> list[Certificate | None]:
    """The certificate of each operating point of an exported network; `None` where there is none.

    A certificate is one of the exported network only if that answers every sealed image as the network did when it was
    tested; where it does not, this is reported.
    """
    certificates = [solutions.solution(record, point).certificate for point in points]
    if not any(certificates):
        return certificates
    predictions = predictions_of(network, sealed.images)
    cost = solutions.home.costing.of(record.architecture)
    for i, (point, certificate) in enumerate(zip(points, certificates, strict=True)):
        if certificate is None:
            continue
        exits = predictions.exits(record.architecture, cost, point.policy, sealed.labels, sealed.groups)
        reason = None
        if Evidence(exits, point).answers != certificate.tested.answers:
            reason = "exported, it answers some of the sealed images otherwise"
        elif solutions.home.costing.charge_heads != "all" and certificate.limits.limits_spending:
            reason = "it was certified by costs that leave branches out, which a device must run"
        if reason is not None:
            say(f"note: setting {i} loses its certificate: {reason}")
            certificates[i] = None
    return certificates


def setting_document(judge: Judge, point: OperatingPoint, limits: Limits) -> dict[str, Any]:
    """Document of one setting in the manifest; `limits` are those that it should keep.

    Thresholds are exact, one for each exit of the network; as text they are one for each position, see `exits.digits`.
    """
    exits = list(judge.record.architecture.exit_positions)
    on = np.isfinite(point.array())
    cost = judge.costing.of(judge.record.architecture)
    others = cost.others(on)
    measured = {split: judge.measure(split, point) for split in SPLITS}
    documents: dict[str, dict[str, Any]] = {
        split: _measured_document(measured[split], judge.exits(split, point.policy), point) for split in SPLITS
    }
    return {
        "thresholds": [point.thresholds[e] for e in exits[:-1]],
        "thresholds_text": str(shortest(point, [judge.exits(split, point.policy) for split in SPLITS])),
        "macs": cost.macs(on)[0, exits].tolist(),
        **({} if others is None else {"cost": others[0, exits].tolist()}),
        **documents,
        "reference": _reference(judge, point),
        "broken_on_test": measured["test"].broken_names(limits),
    }


def _reference(judge: Judge, point: OperatingPoint) -> dict[str, Any]:
    """Reference of a guard at one operating point, from the images of all splits; no labels are read."""
    where = judge.record.architecture.exit_positions
    exits, answers = list[Array](), list[Array]()
    for split in judge.predictions:
        x = np.searchsorted(where, judge.exits(split, point.policy).route(point))
        temperatures = np.array([point.temperature(e) for e in where], dtype=np.float32)[x]
        logits = judge.predictions[split].logits[x, np.arange(len(x))]
        exits.append(x)
        answers.append(runtime.softmax(logits / temperatures[:, None]))
    return Reference.of(np.concatenate(exits), np.concatenate(answers), len(where)).document()


def _measured_document(measured: Measured, view: Exits, point: OperatingPoint) -> dict[str, Any]:
    """Document of measurements on one split; `reach` is the share of images for which an exit's segment is computed."""
    exits, leaving = np.flatnonzero(view.present), view.route(point)
    reaching = [leaving >= e for e in exits]
    return {
        "images": measured.n,
        "accuracy": measured.accuracy,
        "accuracy_interval": list(measured.accuracy_interval),
        "accuracy_bound": measured.accuracy_bound,
        "drop": measured.drop,
        "drop_bound": measured.drop_bound,
        "expected_macs": measured.expected_macs,
        "expected_macs_interval": list(measured.expected_macs_interval),
        "p95_macs": measured.p95_macs,
        "exit_rates": [measured.rates[e] for e in exits],
        "exit_accuracy": [measured.exit_accuracy[e] for e in exits],
        "reach": [float(reaches.mean()) for reaches in reaching],
        "reach_interval": [list(share_interval(reaches, view.clusters)) for reaches in reaching],
    }


def exit_costs(judge: Judge) -> list[dict[str, Any]]:
    """Documents with the position of each exit, and the costs of its segment and branch."""
    architecture = judge.record.architecture
    exits, cost = list(architecture.exit_positions), judge.costing.of(architecture)
    amounts: dict[str, tuple[Array, Array]] = {"macs": (cost.backbone, cost.branch)}
    if cost.other is not None:
        amounts["cost"] = cost.other
    rows: list[dict[str, Any]] = [{"exit": e + 1} for e in exits]
    for name, (backbone, branch) in amounts.items():
        segments = np.diff(backbone[0, exits], prepend=backbone.dtype.type(0))
        for row, segment, own in zip(rows, segments.tolist(), branch[0, exits].tolist(), strict=True):
            row[f"segment_{name}"], row[f"branch_{name}"] = segment, own
    return rows
