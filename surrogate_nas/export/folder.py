"""Writing and checking of an exported network's folder: pieces, manifest, weights, examples, model card, runtime."""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogate_nas.archive.outputs import SPLITS, Split
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.dataset import Images, LabeledImages, Labels
from surrogate_nas.datasets.resizing import resize_name, steps
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.exits.tiers import TIERS
from surrogate_nas.export import runtime
from surrogate_nas.export.card import card
from surrogate_nas.export.parity import predictions_of, require_equal, require_same_answers
from surrogate_nas.export.pieces import Piece, pieces_of
from surrogate_nas.export.points import (
    Judge,
    chosen_points,
    confirmed,
    exit_costs,
    setting_document,
    settle,
)
from surrogate_nas.export.runtime import EXAMPLES, FORMAT, MANIFEST, VERSION, ExportedNetwork, digest_of
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.files import new_folder, require_new_folder
from surrogate_nas.foundation.progress import Countdown, say
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.network.predictions import ExitPredictions, OnImages
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.results import Measured
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.weights import load_network

EXPORTS = "exports"
WEIGHTS, CARD, RUNTIME = "weights.safetensors", "README.md", "runtime.py"
MOST_EXAMPLES, EXAMPLE_BYTES = 256, 4 << 20


@displayed_by(
    lambda e: {
        "folder": e.folder,
        "settings": len(e.manifest["settings"]),
        "default setting": e.manifest["default_setting"],
        "largest logit difference": e.logit_difference,
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Export:
    """An exported folder."""

    folder: Path
    """Folder that was written."""
    manifest: Mapping[str, Any]
    """Contents of its `manifest.json`: input, exits, settings, certificates, provenance, checksums."""
    logit_difference: float
    """Largest difference between logits of PyTorch and ONNX Runtime, over the tune and test splits."""


def export_network(
    solutions: Solutions,
    images: StudyImages,
    record: Record,
    limits: Limits,
    folder: Path | None = None,
    tiers: int = TIERS,
) -> Export:
    """Write a trained network as a folder that runs without this package.

    Logits of every exit are compared with PyTorch's on all tune and test images. At every setting, the predictions of
    the written folder for all test images are compared with the routes that follow from PyTorch's logits. Thresholds
    are moved just far enough from all scores that rounding changes no image's exit.

    Args:
        solutions: trained networks of the study.
        images: images of the study.
        record: record of the network.
        limits: limits of the default setting.
        folder: a folder that does not exist or is empty; by default `exports/ID` in the study.
        tiers: largest number of settings besides the default one.

    Raises:
        InputError: if the folder is not empty.
        JobError: if no thresholds keep the limits, the weights are missing, or the files give other results.
    """
    target = folder or solutions.home.path / EXPORTS / record.id
    require_new_folder(target)
    network = load_network(solutions.home, record)
    points, default = chosen_points(solutions, record, limits, tiers)
    with one_thread():
        return _Exporting(solutions, images, record, network, limits, target).write(points, default)


@dataclass(frozen=True)
class _Exporting:
    """Steps of one export."""

    solutions: Solutions
    study_images: StudyImages
    record: Record
    network: EarlyExitNetwork
    limits: Limits
    target: Path

    def write(self, points: list[OperatingPoint], default: int) -> Export:
        """Write the folder atomically: all of it, or nothing."""
        with new_folder(self.target) as part:
            export = self._write_into(part, points, default)
        return Export(self.target, export.manifest, export.logit_difference)

    def _write_into(self, part: Path, points: list[OperatingPoint], default: int) -> Export:
        costing, record = self.solutions.home.costing, self.record
        policy, temperatures = self._policy, points[default].temperatures
        points = [OperatingPoint(point.thresholds, policy, temperatures) for point in points]
        files, exits = self._pieces(part, temperatures)
        splits = self.study_images.splits()
        images: Mapping[Split, LabeledImages] = {"tune": splits.tune, "test": splits.test}
        by_network = self._predictions_by(
            images, partial(ExitPredictions.by_network, self.network, policy, temperatures), "PyTorch"
        )
        torch_judge = Judge.of(costing, record, images, by_network)
        self._examples(part, files, images["test"], by_network["test"])
        self._save(part, self._manifest(torch_judge, points, default, exits, files))
        by_export = self._predictions_by(images, partial(predictions_of, ExportedNetwork.load(part)), "ONNX Runtime")
        quantized = record.architecture.bits is not None
        differences = [require_equal(by_network[s], by_export[s], quantized=quantized) for s in SPLITS]

        judge = Judge.of(costing, record, images, by_export)
        settled = [settle(point, torch_judge, judge) for point in points]
        manifest = self._manifest(judge, settled, default, exits, files)
        if splits.certify is not None:
            exported = ExportedNetwork.load(part)
            for entry, certificate in zip(
                manifest["settings"],
                confirmed(self.solutions, record, settled, splits.certify, exported),
                strict=True,
            ):
                if certificate is not None:
                    entry["certificate"] = certificate.document()
        self._add(files, part, CARD, card(manifest).encode())
        manifest["files"] = files
        self._save(part, manifest)
        self._require_same_answers(part, torch_judge, settled, default, images["test"])
        self._report_broken_limits(judge.measure("tune", settled[default]))
        return Export(part, manifest, max(differences))

    @property
    def _policy(self) -> PolicyName:
        """The study's exit policy, or its replacement if the network has no gates."""
        return self.solutions.views.tune(self.record).policy

    def _pieces(self, part: Path, temperatures: Sequence[float]) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """Write every piece; returns the checksums and the files of each exit."""
        files, exits = dict[str, str](), list[dict[str, Any]]()
        countdown, of = Countdown("pieces exported"), 2 * len(self.record.architecture.exit_positions) - 1
        for pair in pieces_of(self.network, self._policy, temperatures):
            for piece in pair:
                if piece is not None:
                    self._add(files, part, piece.name, piece.onnx())
                    countdown.at(len(files), of)
            exits.append(dict(zip(("segment", "branch"), map(_name, pair), strict=True)))
        self._add(files, part, RUNTIME, Path(runtime.__file__).read_bytes())
        self._add(files, part, WEIGHTS, self.solutions.home.checkpoint(self.record.id).read_bytes())
        return files, exits

    @staticmethod
    def _add(files: dict[str, str], part: Path, name: str, content: bytes) -> None:
        (part / name).write_bytes(content)
        files[name] = hashlib.sha256(content).hexdigest()

    @staticmethod
    def _predictions_by(
        images: Mapping[Split, LabeledImages], by: Callable[[Images, OnImages], ExitPredictions], whose: str
    ) -> dict[Split, ExitPredictions]:
        done, of = 0, sum(len(data) for data in images.values())
        countdown = Countdown(f"images by {whose}")

        def on_images(n: int) -> None:
            nonlocal done
            done += n
            countdown.at(done, of)

        return {split: by(data.images, on_images) for split, data in images.items()}

    def _examples(self, part: Path, files: dict[str, str], test: LabeledImages, predictions: ExitPredictions) -> None:
        """Write randomly drawn test images, with the network's logits for them."""
        n = min(MOST_EXAMPLES, len(test), max(1, EXAMPLE_BYTES // test.images[0].nbytes))
        rows = np.sort(np.random.default_rng(0).choice(len(test), n, replace=False))
        np.savez(
            part / EXAMPLES, images=test.images[rows], labels=test.labels[rows], logits=predictions.logits[:, rows]
        )
        files[EXAMPLES] = hashlib.sha256((part / EXAMPLES).read_bytes()).hexdigest()

    def _manifest(
        self,
        judge: Judge,
        points: list[OperatingPoint],
        default: int,
        exits: list[dict[str, Any]],
        files: Mapping[str, str],
    ) -> dict[str, Any]:
        architecture, point = self.record.architecture, points[default]
        header, cost = self.solutions.home.archive.header, judge.costing.of(architecture)
        shape, dataset = header.shape, self.study_images.dataset
        where = list(architecture.exit_positions)
        return {
            "format": FORMAT,
            "version": VERSION,
            "network": self.record.id,
            "architecture": str(architecture),
            "input": {
                "shape": [shape.channels, shape.size, shape.size],
                "layout": "N, channel, row, column",
                "pixels": "0 … 255, red, green, blue" if shape.channels == 3 else "0 … 255",
                "resize": header.resize,
                "preprocessing": [*steps(resize_name(header.resize), shape.size), "normalised inside the network"],
            },
            "labels": list(dataset.classes),
            "policy": point.policy,
            "exits": [
                {**files_, **costs, "temperature": point.temperature(e)}
                for files_, costs, e in zip(exits, exit_costs(judge), where, strict=True)
            ],
            "cost_unit": None if judge.costing.model is None else judge.costing.model.name,
            "settings": [setting_document(judge, p, self._limits_of(i == default)) for i, p in enumerate(points)],
            "default_setting": default,
            "limits": self.limits.model_dump(exclude_none=True),
            "quantized": architecture.bits is not None,
            "parameters": int(cost.parameters[0]),
            "weight_bytes": int(cost.weight_bytes[0]),
            "activation_bytes": int(cost.memory()[0]),
            "data": {"name": header.data, "fingerprint": header.fingerprint, "seed_of_splits": header.seed},
            "training": {
                "seed": self.record.proposal.seed,
                "recipe": self.record.proposal.fidelity,
                **({} if self.record.proposal.passes is None else {"passes": self.record.proposal.passes}),
                **self.record.provenance,
            },
            "exported": {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "python": platform.python_version(),
                **{name: version(name) for name in ("surrogate-nas", "torch", "onnx", "onnxruntime")},
            },
            "files": dict(files),
        }

    def _limits_of(self, is_default: bool) -> Limits:
        """Limits that a setting should keep; settings besides the default one are for other budgets."""
        return self.limits if is_default else self.limits.with_budget(self.solutions.home.settings.objective, None)

    @staticmethod
    def _save(part: Path, manifest: dict[str, Any]) -> None:
        """Write the manifest, with its own checksum."""
        manifest["sha256"] = digest_of(manifest)
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _require_same_answers(
        self, part: Path, judge: Judge, points: list[OperatingPoint], default: int, test: LabeledImages
    ) -> None:
        """Compare the folder, run at every setting like by a user, with logits, and at the default one with PyTorch."""
        network, countdown = ExportedNetwork.load(part), Countdown("settings run on the test images")
        batches = [test.images[at : at + runtime.BATCH] for at in range(0, len(test), runtime.BATCH)]
        for i, (point, setting) in enumerate(zip(points, network.settings, strict=True)):
            answers = runtime.joined([network.run(batch, i) for batch in batches])
            require_same_answers(judge.route("test", point), answers, f"from the logits at setting {i}")
            if i == default:
                require_same_answers(self._predicted(batches, point), answers, "from PyTorch")
            if not np.isclose((answers.classes == test.labels).mean(), setting.accuracy, rtol=0, atol=1e-12):
                raise JobError(f"the accuracy at setting {i} differs from that of the manifest, {setting.accuracy}")
            countdown.at(i + 1, len(points))

    def _predicted(self, batches: list[Images], point: OperatingPoint) -> tuple[Labels, Labels]:
        """(N,) numbers of exits and (N,) classes by PyTorch, with early exits."""
        answers = [self.network.predict(torch.from_numpy(batch), point) for batch in batches]
        positions = np.concatenate([a.positions for a in answers])
        classes = np.concatenate([a.logits.argmax(dim=1).numpy() for a in answers])
        return positions + 1, classes

    def _report_broken_limits(self, measured: Measured) -> None:
        """Report limits that the default setting breaks on tune after its thresholds were moved."""
        if broken := measured.broken(self.limits):
            say(f"note: the default setting, charged for every branch, breaks on tune: {', '.join(map(str, broken))}")


def _name(piece: Piece | None) -> str | None:
    return None if piece is None else piece.name
