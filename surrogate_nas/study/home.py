"""A study's folder, and the verbs that need no surrogate: create, open, collect, train what was proposed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from surrogate_nas import datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.record import GROUPS, Proposal, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.foundation.errors import InputError, JobError, first_line
from surrogate_nas.foundation.lock import StudyLock
from surrogate_nas.foundation.machine import amount, size_of
from surrogate_nas.foundation.progress import duration, say
from surrogate_nas.network.backbone import Mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.search.problem import Problem, on_front
from surrogate_nas.search.proposals import baseline_proposals, final_proposals, initial_proposals, user_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study.creation import cost_table, create, require_strategy, require_surrogate
from surrogate_nas.study.estimate import Plan, seconds
from surrogate_nas.study.images import read
from surrogate_nas.study.paths import ARCHIVE, CHECKPOINTS, COSTS, DATA, SETTINGS, unfinished_path, weights_path
from surrogate_nas.study.trainings import ENDED, TrainingProgress
from surrogate_nas.study.weights import prune
from surrogate_nas.study.workers import make_executor
from surrogate_nas.training.executors.jobs import ARCHITECTURE, DataSource, Executor, Job
from surrogate_nas.training.recipe import Recipe


@dataclass
class StudyFolder:
    """An open study: its archive, and the settings in force."""

    path: Path
    archive: Archive
    settings: Settings
    deadline: float | None = None
    """`time.monotonic()` after which no training starts."""
    wait: bool = False
    """Whether to wait for another command that works on the study, instead of giving up."""
    on_record: Callable[[Record], None] = lambda record: None
    """Told of each record, with its outputs, once it is stored."""

    # ------------------------------------------------------------------ opening

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        data: str | Path | Dataset,
        space: str | Path | Mount,
        seed: int,
        settings: Settings,
        image_size: int | None = None,
        flips: bool | None = None,
    ) -> "StudyFolder":
        """A new study. Everything that can be checked is checked before anything is written.

        Args:
            path: a folder that does not exist or is empty.
            data: a data set's name, the path of a folder of images by class or of an `.npz`, or a data set in memory.
            space: a preset's name, a file, or a network of the user's own to mount exits on.
            seed: of splits, sampling, training and search.
            settings: what may change later.
            image_size: side in pixels to which images are brought; by default they stay as they are.
            flips: whether mirror images are still of their class; the data set's own default for `None`.

        Raises:
            InputError: naming the value got and those allowed.
        """
        archive, settings = create(path, data, space, seed, settings, image_size, flips)
        return cls(path, archive, settings)

    @classmethod
    def open(cls, path: Path) -> "StudyFolder":
        """The study at `path`; raises `InputError` if there is none or its settings are wrong."""
        if not (path / ARCHIVE).is_file():
            raise InputError(f"no study at {path}")
        settings = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        folder = cls(path, Archive.open(path / ARCHIVE), settings)
        folder._require_fidelity(settings)
        return folder

    @cached_property
    def _lock(self) -> StudyLock:
        return StudyLock(self.path)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the right to change the study inside the block.

        Raises:
            InputError: if another command has it, and this one is not to wait.
        """
        with self._lock.held(wait=self.wait):
            yield

    def update(self, changes: dict[str, Any]) -> None:
        """Change settings, and keep them.

        Raises:
            InputError: for a setting that is wrong, or a recipe other than that of networks already trained.
        """
        if not changes:
            return
        settings = self.settings.updated(changes)
        self._require_fidelity(settings)
        if "surrogate" in changes:
            require_surrogate(settings)
        if changes.keys() & {"strategy", "limits"}:
            require_strategy(settings)
        table = cost_table(settings, self.space, self.shape) if "cost_table" in changes else None
        with self.changing():
            if table is not None:
                table.write(self.path / COSTS)
                self.__dict__.pop("_costs", None)
            settings.save(self.path / SETTINGS)
            self.settings = settings
            if "keep" in changes:
                self.prune()

    def _require_fidelity(self, settings: Settings) -> None:
        """Raise `InputError` for a recipe other than that of networks already trained."""
        trained = {p.fidelity for p in self.archive.proposals()}
        if trained and settings.recipe.fidelity not in trained:
            raise InputError(
                f"this study's networks were trained with {min(trained)}, got {settings.recipe.fidelity}; another "
                "recipe needs a study of its own"
            )

    @property
    def problem(self) -> Problem:
        """What is searched, under the settings in force."""
        header = self.archive.header
        return Problem(self.archive.space, header.shape, self.settings, header.seed, self._costs)

    @cached_property
    def _costs(self) -> CostTable | None:
        """The study's copy of its cost table."""
        path = self.path / COSTS
        return CostTable.read(path) if path.is_file() else None

    @property
    def costing(self) -> Costing:
        """How costs are counted."""
        return self.problem.costing

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
        """The study's own copy of its images, or, should that be gone, what it was made of, read again.

        Raises:
            InputError: if neither is there, or it is not what the study was made with.
        """
        header, copy = self.archive.header, self.path / DATA
        source = self._source
        loaded = store.load(copy) if copy.is_file() else read(source, self.settings, header.shape.size, None)
        if loaded.fingerprint() != header.fingerprint:
            raise InputError(f"data set {loaded.name!r} is not the one that {self.path} was made with")
        if not copy.is_file():
            with suppress(InputError):  # where nothing can be written it is read again each time
                store.save(loaded, copy)
        return loaded

    @property
    def _source(self) -> str:
        name = self.archive.header.data
        return name if name in datasets.dataset_names() else str(self.settings.data_root or name)

    def require_data(self, data: str | None, image_size: int | None, flips: bool | None) -> None:
        """Raise `InputError` if this asks for other images than those of the study; `None` asks for nothing."""
        header = self.archive.header
        if image_size not in (None, header.shape.size):
            raise InputError(
                f"study {self.path} has images of {header.shape.size} pixels, got --image-size {image_size}"
            )
        if flips not in (None, self.dataset.flips):
            was, got = ("" if f else "no-" for f in (self.dataset.flips, flips))
            raise InputError(f"study {self.path} was made with --{was}flips, got --{got}flips")
        if data in (None, header.data):
            return
        other = InputError(
            f"study {self.path} has data {header.data}, got --data {data}; that needs a study of its own"
        )
        if data in datasets.dataset_names():
            raise other
        if (stamp := datasets.source_stamp(data)) is not None and stamp == header.source_stamp:
            return
        if read(data, self.settings, header.shape.size, flips).fingerprint() != header.fingerprint:
            raise other

    def splits(self) -> Splits:
        """Train, tune and test."""
        return datasets.split(self.dataset, self.archive.header.seed, self.archive.header.tune_share)

    # ------------------------------------------------------------------ training

    def collect(self, n: int, planned: int | None = None) -> list[Record]:
        """Train n more sampled architectures; `planned` as for `evaluate`."""
        with self.changing():
            taken = self.archive.proposals()
            return self.evaluate(initial_proposals(self.problem, n, taken, self.next_round(taken)), planned)

    def collect_architectures(self, architectures: Sequence[Architecture]) -> list[Record]:
        """Train these; an architecture that has been trained is trained again with another seed."""
        self.space.indices(architectures)
        with self.changing():
            round = self.next_round(self.archive.proposals())
            return self.evaluate(user_proposals(self.problem, architectures, round))

    def collect_finals(self, architectures: Sequence[Architecture], seeds: int) -> list[Record]:
        """Train these at full fidelity, each with so many seeds; what has been trained is not trained again."""
        return self.evaluate(final_proposals(self.problem, architectures, seeds))

    def collect_baselines(self, architectures: Sequence[Architecture]) -> list[Record]:
        """Train these once, outside the search."""
        return self.evaluate(baseline_proposals(self.problem, architectures))

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
        with self.changing():
            self.archive.propose(proposals)
            asked = {p.id for p in proposals}
            waiting = [p for p in self._pending() if p.id in asked]
            for _record in self._train(waiting, len(waiting), planned):
                pass
            self.prune()
        order = {p.id: i for i, p in enumerate(proposals)}
        found = self.archive.records(proposals[0].group, outputs=True)
        return sorted((r for r in found if r.id in order), key=lambda r: order[r.id])

    def stream(self, proposals: Iterator[Proposal], most: int) -> Iterator[Record]:
        """Take up to `most` proposals, one whenever a worker is free; store each before it is trained, and its record,
        which is then yielded."""

        def stored() -> Iterator[Proposal]:
            for proposal in proposals:
                self.archive.propose([proposal])
                yield proposal

        _ = self.dataset
        with self.changing():
            yield from self._train(stored(), most, self.settings.budget)
            self.prune()

    def _train(self, proposals: Iterable[Proposal], count: int, planned: int | None) -> Iterator[Record]:
        """Carry out so many proposals, and store and yield each record as it comes."""
        if not count:
            return
        plan = self.plan(count)
        plan.check(self.path)
        done = len(self.archive.records())
        progress = TrainingProgress(count, done, planned or done + count)
        if begun := sum(self._job(p).unfinished.is_file() for p in proposals) if isinstance(proposals, list) else 0:
            say(f"{begun} of {count} trainings go on from their last epoch")
        with progress.shown():
            jobs = (self._job(p) for p in proposals)
            for record in self._executor(plan).run(jobs, progress.advance, self.may_start):
                self.archive.add(record)
                if record.failure is None or record.failure.kind in ENDED:
                    unfinished_path(self.path / CHECKPOINTS, record.id).unlink(missing_ok=True)
                progress.ended(record)
                self.on_record(record)
                yield record

    def _executor(self, plan: Plan) -> Executor:
        chosen_here = self.settings.executor == "ray" or self.settings.workers == 0
        return make_executor(self.settings, None if chosen_here else min(plan.workers, plan.trainings))

    def may_start(self) -> bool:
        """Whether the deadline lets another training start."""
        return self.deadline is None or time.monotonic() < self.deadline

    def _job(self, proposal: Proposal) -> Job:
        header, settings = self.archive.header, self.settings
        source, weights = DataSource(self.path / DATA, header.seed, header.tune_share), self.path / CHECKPOINTS
        return Job(
            proposal=proposal,
            source=source,
            recipe=self._recipe(proposal),
            device=settings.device,
            checkpoint=weights_path(weights, proposal.id),
            unfinished=unfinished_path(weights, proposal.id),
            backbone=self.space.spec.backbone,
            charge_heads=self.costing.charge_heads,
        )

    def _recipe(self, proposal: Proposal) -> Recipe:
        """That of its fidelity, with the time limit of the setting that is meant."""
        named = {r.fidelity: r for r in (self.settings.full_recipe, self.settings.recipe)}
        return named.get(proposal.fidelity) or Recipe.of_fidelity(proposal.fidelity)

    def checkpoint(self, id: str) -> Path:
        """Where the weights of a record are."""
        return weights_path(self.path / CHECKPOINTS, id)

    def network(self, id: str) -> EarlyExitNetwork:
        """The trained network of a record, in evaluation mode, on the CPU.

        Raises:
            InputError: if there is no such record.
            JobError: if its weights are gone or damaged.
        """
        record = self.archive.find(id)
        path = self.checkpoint(record.id)
        if record.failure is not None:
            raise JobError(f"training {record.id} failed ({record.failure.kind}: {record.failure.message})")
        if not path.is_file():
            raise JobError(
                f"the weights of {record.id} are not at {path}: this study keeps those of {self.settings.keep}; "
                f"train it again with --keep all"
            )
        network = EarlyExitNetwork(record.architecture, self.shape, backbone=self.space.spec.backbone)
        needed = str(record.architecture)
        try:
            with safe_open(path, framework="pt") as file:
                held = (file.metadata() or {}).get(ARCHITECTURE, "another network")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no iterator
        except (SafetensorError, OSError) as error:
            raise JobError(f"the weights of {record.id} at {path} are damaged: {first_line(error)}") from None
        try:
            network.load_state_dict(weights)
        except RuntimeError:
            raise JobError(f"{path} has the weights of {held}; those of {record.id} are of {needed}") from None
        return network.eval()

    # ------------------------------------------------------------------ what is kept

    def prune(self) -> None:
        """Remove trained weights that the setting `keep` does not name."""
        records = [r for group in GROUPS for r in self.archive.records(group)]
        failed, pending = {r.id for r in records if r.failure}, {p.id for p in self._pending()}
        prune(self.path / CHECKPOINTS, self._kept(records), pending | failed)

    def _kept(self, records: Sequence[Record]) -> set[str]:
        """Records whose weights are kept."""
        match self.settings.keep:
            case "none":
                return self._best_finals()
            case "all":
                return {r.id for r in records}
            case "front":
                baselines = {r.id for r in records if r.proposal.group == "baseline"}
                return baselines | on_front(self.problem, self.archive.records(outputs=True)) | self._best_finals()

    def _best_finals(self) -> set[str]:
        """Of each architecture at each full fidelity, the training that is most accurate on tune."""
        best: dict[tuple[Architecture, str], tuple[float, str]] = {}
        for record, exits in self.problem.views(self.archive.records("final", outputs=True)):
            key = record.architecture, record.proposal.fidelity
            best[key] = max(best.get(key, (-1.0, "")), (float(exits.curve.accuracy.max()), record.id))
        return {id for _, id in best.values()}

    def _pending(self) -> list[Proposal]:
        return [p for group in GROUPS for p in self.archive.pending(group)]

    def retry(self, ids: Sequence[str]) -> list[str]:
        """Make failed trainings pending again, all of them if none is named; returns which."""
        failed = self._failed(ids)
        with self.changing():
            self.archive.retry(failed)
        return failed

    def drop(self, ids: Sequence[str]) -> list[str]:
        """Forget failed trainings, all of them if none is named; the budget has room again. Returns which."""
        failed = self._failed(ids)
        with self.changing():
            self.archive.drop(failed)
            self.prune()
        return failed

    def _failed(self, ids: Sequence[str]) -> list[str]:
        """Full ids of failed records.

        Raises:
            InputError: for one that is not there or did not fail.
        """
        if not ids:
            return [r.id for group in GROUPS for r in self.archive.records(group) if r.failure]
        found = [self.archive.find(id) for id in ids]
        for record in found:
            if record.failure is None:
                raise InputError(f"training {record.id} did not fail; allowed: failed ones (archive list --failed)")
        return [record.id for record in found]

    # ------------------------------------------------------------------ planning

    def plan(self, trainings: int) -> Plan:
        """What so many trainings take."""
        return Plan.of(self.problem, self.splits(), trainings)

    def announce(self) -> None:
        """Say what is about to happen, and what it takes."""
        header, settings, done = self.archive.header, self.settings, len(self.archive.records())
        plan = self.plan(max(settings.budget - done, 0))
        time_left = seconds(self.problem, self.splits(), plan, done)
        stream = f", stream {settings.stream}" if settings.stream else ""
        say(
            f"study {self.path}: data {header.data}, space {header.space.name}, seed {header.seed}{stream}, "
            f"{settings.limits}; "
            f"{done} of {settings.budget} trainings done, {plan.workers} at a time; "
            f"estimated time: {duration(time_left)}"
        )
        say(
            f"disk: {amount(size_of(self.path))} used, at most {amount(plan.disk)} more (weights kept: {settings.keep})"
            + (f"; memory: about {amount(plan.memory)} per training" if plan.memory else "")
        )

    def set_deadline(self) -> None:
        """Start the clock of `max_hours`."""
        if self.settings.max_hours is not None:
            self.deadline = time.monotonic() + 3600 * self.settings.max_hours
