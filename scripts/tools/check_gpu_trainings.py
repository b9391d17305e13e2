"""The part of `check_gpu.py` that trains by this package's own executor, interrupts, resumes, and compares weights."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from check_gpu_device import BrokenOff
from safetensors.torch import load_file
from torch import Tensor

from surrogate_nas import datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.training.executors.jobs import DataSource, Job
from surrogate_nas.training.executors.processes import LocalProcesses
from surrogate_nas.training.recipe import Precision, Recipe

TIME_TO_STOP = 20.0
"""Seconds after its time limit until an executor ends a training that does not stop by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of the data and of the trainings."""

    images: int
    side: int
    epochs: int
    batch: int


ON_CPU = Size(images=1_797, side=16, epochs=3, batch=64)
ON_GPU = Size(images=16_384, side=32, epochs=4, batch=128)


@dataclass(frozen=True, slots=True)
class Trained:
    """Outcome of the trainings."""

    records: list[Record]
    weights: dict[str, dict[str, Tensor]]
    """By id."""
    images_per_second: float
    seconds: float


@dataclass
class Trainings:
    """The trainings of one precision, and what they are made of."""

    networks: Sequence[str]
    data: Path
    size: Size
    device: str
    precision: Precision
    end: float
    """When the time is over, on the monotonic clock."""

    @property
    def all(self) -> list[tuple[str, int]]:
        """Network and seed of each."""
        return [*((network, 0) for network in self.networks), (self.networks[0], 1)]

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def job(self, network: str, seed: int, folder: Path, epochs: int | None = None) -> Job:
        """A training that stops by itself before the time is over."""
        recipe = Recipe(
            epochs=epochs or self.size.epochs,
            batch_size=self.size.batch,
            precision=self.precision,
            max_seconds=max(self.left - TIME_TO_STOP, 1.0),
        )
        proposal = Proposal(
            round=0,
            rank=0,
            origin="user",
            architecture=Architecture.parse(network),
            seed=seed,
            fidelity=recipe.fidelity,
        )
        return Job(
            proposal=proposal,
            source=DataSource(self.data, 0, 0.1),
            recipe=recipe,
            device=self.device,
            checkpoint=folder / f"{proposal.id}.safetensors",
            unfinished=folder / f"{proposal.id}.unfinished",
        )

    @property
    def first_id(self) -> str:
        """Id of the first training."""
        return self.job(*self.all[0], self.data.parent).proposal.id

    def train(self, processes: int) -> Trained:
        """All trainings, so many at a time."""
        folder = self.data.parent / f"{self.precision}-{processes}"
        folder.mkdir()
        ends: dict[str, list[float]] = {}
        start = time.monotonic()
        jobs = (self.job(network, seed, folder) for network, seed in self.all)  # made when they start
        records = list(LocalProcesses(processes).run(jobs, lambda p, share: note(ends, p)))
        seconds = time.monotonic() - start
        weights = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
        return Trained(records, weights, processes * self._rate(ends), seconds)

    def _rate(self, ends: dict[str, list[float]]) -> float:
        """Images per second of one process: those of all epochs but each training's first, by the time they took."""
        steps = train_images(self.size.images) // self.size.batch
        seconds = sum(times[-1] - times[0] for times in ends.values())
        epochs = sum(len(times) - 1 for times in ends.values())
        return epochs * steps * self.size.batch / seconds if seconds else 0.0

    def interrupt_and_resume(self) -> dict[str, Tensor]:
        """Weights of the first training after it was killed once an epoch had ended, and went on."""
        folder = self.data.parent / f"{self.precision}-resumed"
        folder.mkdir()
        job = self.job(*self.all[0], folder)
        try:
            list(LocalProcesses(1).run([job], kill_it))
        except Interrupted:
            pass
        else:
            raise BrokenOff("the training ended before it could be interrupted")
        again, shares = self.job(*self.all[0], folder), list[float]()
        (record,) = LocalProcesses(1).run([again], lambda p, share: shares.append(share))
        if record.failure is not None:
            raise BrokenOff(f"it failed when it went on: {record.failure.message}")
        if len(shares) >= self.size.epochs:
            raise BrokenOff("it began anew instead of going on")
        return load_file(again.checkpoint)


class Interrupted(Exception):
    """Raised to abandon a training, which the executor then kills."""


def kill_it(proposal: Proposal, share: float) -> None:
    """End a training when an epoch has ended."""
    raise Interrupted


def note(ends: dict[str, list[float]], proposal: Proposal) -> None:
    """Note the time at which an epoch ended."""
    ends.setdefault(proposal.id, []).append(time.monotonic())


def train_images(images: int) -> int:
    """Number of images left for training, of so many in all."""
    rest = images - -(-images // 5)
    return rest - -(-rest // 10)


def weight_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference of a weight; infinite where the names or shapes differ."""
    if a.keys() != b.keys() or any(a[name].shape != b[name].shape for name in a):
        return float("inf")
    return float(torch.stack([(a[name].double() - b[name].double()).abs().max() for name in a]).max())


def enlarged_digits(images: int, side: int) -> Dataset:
    """The digits, each pixel as a square and each image as often as needed."""
    digits = datasets.load("digits")
    scale = max(side // digits.shape.size, 1)
    index = np.arange(images) % len(digits.train)
    larger = digits.train.images[index].repeat(scale, axis=2).repeat(scale, axis=3)
    return Dataset("digits", LabeledImages(larger, digits.train.labels[index]), None, digits.classes, digits.flips)
