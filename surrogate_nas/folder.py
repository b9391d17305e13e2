"""A study's folder, and the verbs that need no surrogate: create, open, collect, train what was proposed."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from surrogate_nas import datasets, train
from surrogate_nas.archive import Archive, Header
from surrogate_nas.config import Recipe, Settings
from surrogate_nas.cost import ImageShape
from surrogate_nas.datasets import Dataset, LabeledImages, Splits
from surrogate_nas.errors import InputError, JobError
from surrogate_nas.executors import DataSource, Executor, Job, make_executor
from surrogate_nas.network import EarlyExitNetwork
from surrogate_nas.problem import Problem, initial_proposals, user_proposals
from surrogate_nas.progress import TrainingProgress, duration, say
from surrogate_nas.record import Proposal, Record, cost_of
from surrogate_nas.space import Architecture, SearchSpace, preset

SETTINGS, ARCHIVE, CHECKPOINTS = "config.yaml", "archive.sqlite", "checkpoints"
TRIAL_STEPS = 6
SECONDS_PER_FIT_AND_ROUND = 0.25  # per trained network, both surrogates cross-validated, on a slow core


@dataclass
class StudyFolder:
    """An open study: its archive, and the settings in force."""

    path: Path
    archive: Archive
    settings: Settings
    deadline: float | None = None
    """`time.monotonic()` after which no training starts."""

    # ------------------------------------------------------------------ opening

    @classmethod
    def create(cls, path: Path, *, data: str, space: str, seed: int, settings: Settings) -> "StudyFolder":
        """A new study. Everything that can be checked is checked before anything is written.

        Args:
            path: a folder that does not exist or is empty.
            data: a data set's name.
            space: a preset's name.
            seed: of splits, sampling, training and search.
            settings: what may change later.

        Raises:
            InputError: naming the value got and those allowed.
        """
        if seed < 0:
            raise InputError(f"seed {seed} is negative")
        spec = preset(space)
        loaded = datasets.load(data, settings.data_root, settings.download)
        low, high = spec.image_sizes
        if not low <= loaded.shape.size <= high:
            raise InputError(
                f"space {space!r} is for images of {low} to {high} pixels, {data!r} has {loaded.shape.size}"
            )
        train.resolve_device(settings.device)
        problem = Problem(SearchSpace(spec), loaded.shape, settings, seed)
        initial_proposals(problem, settings.initial, [], 0)  # whether the limits leave anything
        if path.exists() and (not path.is_dir() or any(p.name != SETTINGS for p in path.iterdir())):
            raise InputError(f"{path} is not a study, and not an empty folder to make one in")
        header = Header(spec, data, loaded.fingerprint(), loaded.shape, seed, datasets.TUNE_SHARE, loaded.test_share)
        try:
            (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            settings.save(path / SETTINGS)
            return cls(path, Archive.create(path / ARCHIVE, header), settings)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def open(cls, path: Path) -> "StudyFolder":
        """The study at `path`; raises `InputError` if there is none or its settings are wrong."""
        if not (path / ARCHIVE).is_file():
            raise InputError(f"no study at {path}")
        settings = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        return cls(path, Archive.open(path / ARCHIVE), settings)

    def update(self, changes: dict[str, Any]) -> None:
        """Change settings, and keep them.

        Raises:
            InputError: for a setting that is wrong, or a recipe other than that of networks already trained.
        """
        if not changes:
            return
        settings = self.settings.updated(changes)
        trained = {p.fidelity for p in self.archive.proposals()}
        if trained and settings.recipe.fidelity not in trained:
            raise InputError(
                f"this study's networks were trained with {min(trained)}; another recipe needs a study of its own"
            )
        self.settings = settings
        settings.save(self.path / SETTINGS)

    @property
    def problem(self) -> Problem:
        """What is searched, under the settings in force."""
        header = self.archive.header
        return Problem(self.archive.space, header.shape, self.settings, header.seed)

    @property
    def space(self) -> SearchSpace:
        """The study's search space."""
        return self.archive.space

    @property
    def shape(self) -> ImageShape:
        """The study's images and classes."""
        return self.archive.header.shape

    # ------------------------------------------------------------------ data

    @cached_property
    def dataset(self) -> Dataset:
        """The study's data set; raises `InputError` if it is not the one that the study was made with."""
        header = self.archive.header
        loaded = datasets.load(header.data, self.settings.data_root, self.settings.download)
        if loaded.fingerprint() != header.fingerprint:
            raise InputError(f"data set {header.data!r} differs from the one that {self.path} was made with")
        return loaded

    def splits(self) -> Splits:
        """Train, tune and test."""
        return datasets.split(self.dataset, self.archive.header.seed, self.archive.header.tune_share)

    # ------------------------------------------------------------------ training

    def collect(self, n: int, planned: int | None = None) -> list[Record]:
        """Train n more sampled architectures; `planned` as for `evaluate`."""
        taken = self.archive.proposals()
        return self.evaluate(initial_proposals(self.problem, n, taken, self.next_round(taken)), planned)

    def collect_architectures(self, architectures: Sequence[Architecture]) -> list[Record]:
        """Train these; an architecture that has been trained is trained again with another seed."""
        self.space.indices(architectures)
        return self.evaluate(user_proposals(self.problem, architectures, self.next_round(self.archive.proposals())))

    @staticmethod
    def next_round(proposals: Sequence[Proposal]) -> int:
        """The number of the round after these."""
        return max((p.round for p in proposals), default=-1) + 1

    def finish_pending(self) -> list[Record]:
        """Train what was proposed before an interruption."""
        return self.evaluate(self.archive.pending(), self.settings.budget)

    def evaluate(self, proposals: Sequence[Proposal], planned: int | None = None) -> list[Record]:
        """Store the proposals, train those without a record, and return the records in the proposals' order.

        After the deadline no training starts, and what was not trained is missing from the answer.

        Args:
            proposals: what to train.
            planned: trainings in all, for the progress shown; these are the last by default.
        """
        if not proposals:
            return []
        _ = self.dataset  # the right data is there, before anything is decided
        self.archive.propose(proposals)
        waiting = {p.id for p in self.archive.pending()}
        jobs = [self._job(p) for p in proposals if p.id in waiting]
        executor = make_executor(self.settings.workers)
        done = len(self.archive.records())
        progress = TrainingProgress(len(jobs), done, planned or done + len(jobs))
        with progress.shown():
            for record in executor.run(jobs, progress.advance, self.may_start):
                self.archive.add(record)
                progress.ended(record)
        ids = {p.id: i for i, p in enumerate(proposals)}
        return sorted((r for r in self.archive.records(outputs=True) if r.id in ids), key=lambda r: ids[r.id])

    def may_start(self) -> bool:
        """Whether the deadline lets another training start."""
        return self.deadline is None or time.monotonic() < self.deadline

    def _job(self, proposal: Proposal) -> Job:
        header, settings = self.archive.header, self.settings
        source = DataSource(header.data, settings.data_root, header.seed, header.tune_share)
        return Job(proposal, source, settings.recipe, settings.device, self.checkpoint(proposal.id))

    def checkpoint(self, id: str) -> Path:
        """Where the weights of a record are."""
        return self.path / CHECKPOINTS / f"{id}.safetensors"

    def network(self, id: str) -> EarlyExitNetwork:
        """The trained network of a record, in evaluation mode, on the CPU.

        Raises:
            InputError: if there is no such record.
            JobError: if its weights are gone.
        """
        record = self.archive.find(id)
        path = self.checkpoint(record.id)
        if record.failure is not None:
            raise JobError(f"training {record.id} failed ({record.failure.kind}: {record.failure.message})")
        if not path.is_file():
            raise JobError(f"the weights of {record.id} are not at {path}")
        network = EarlyExitNetwork(record.architecture, self.shape)
        network.load_state_dict(load_file(path))
        return network.eval()

    # ------------------------------------------------------------------ planning

    def estimate(self) -> float:
        """Seconds that the rest of the budget will take, from a few timed steps of one network."""
        left = self.settings.budget - len(self.archive.records())
        if left <= 0:
            return 0.0
        splits, recipe = self.splits(), self.settings.recipe
        sample = self.space.sample(min(self.space.size, 64), np.random.default_rng(0))
        macs = np.array([int(cost_of(a, self.shape).macs()[0, -1]) for a in sample])
        typical = sample[int(np.argsort(macs)[len(macs) // 2])]
        device = train.resolve_device(self.settings.device)
        network = train.build(typical, splits, self.shape.classes, 0, device)
        some = splits.train[np.arange(min(len(splits.train), TRIAL_STEPS * recipe.batch_size))]
        steps = max(len(some) // recipe.batch_size, 1)
        trial = recipe.model_copy(update={"epochs": 1, "max_seconds": None})
        per_step = min(_timed(network, some, trial) for _ in range(2)) / steps
        per_step *= float(macs.mean() / np.median(macs))
        held_out = (len(splits.tune) + len(splits.test)) / 3
        training = (len(splits.train) * recipe.epochs + held_out) / recipe.batch_size * per_step
        executor: Executor = make_executor(self.settings.workers)
        rounds = max(self.settings.budget - max(self.settings.initial, len(self.archive.records())), 0)
        rounds = -(-rounds // self.settings.batch) + 1
        fits = rounds * SECONDS_PER_FIT_AND_ROUND * self.settings.budget
        return left * training / min(executor.workers, left) + fits

    def announce(self) -> None:
        """Say what is about to happen, and how long it will take."""
        header, settings = self.archive.header, self.settings
        executor = make_executor(settings.workers)
        say(
            f"study {self.path}: data {header.data}, space {header.space.name}, seed {header.seed}, {settings.limits}; "
            f"{len(self.archive.records())} of {settings.budget} trainings done, {executor.workers} at a time; "
            f"estimated time: {duration(self.estimate())}"
        )

    def set_deadline(self) -> None:
        """Start the clock of `max_hours`."""
        if self.settings.max_hours is not None:
            self.deadline = time.monotonic() + 3600 * self.settings.max_hours


def _timed(network: EarlyExitNetwork, data: LabeledImages, recipe: Recipe) -> float:
    """Seconds that a training takes on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.monotonic()
        with suppress(train.TrainingFailure):  # a recipe that diverges is for the records to say
            train.fit(network, data, recipe, 0, flips=False)
        return time.monotonic() - start
    finally:
        torch.set_num_threads(threads)
