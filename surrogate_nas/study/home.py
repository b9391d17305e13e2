"""The folder of a study: archive, settings, problem and lock. Imports neither torch nor surrogates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from surrogate_nas.architecture.cost import CostModel
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import GROUPS
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.lock import StudyLock
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.problem import Problem
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study.checks import (
    cost_table,
    require_ladder,
    require_policy,
    require_strategy,
    require_surrogate,
    require_temperature,
)
from surrogate_nas.study.paths import ARCHIVE, CHECKPOINTS, COSTS, SETTINGS, weights_path
from surrogate_nas.study.pruning import prune


@dataclass
class Home:
    """An open study: its archive, and the settings in force."""

    path: Path
    archive: Archive
    settings: Settings
    wait: bool = False
    """Whether to wait for another command that is changing the study, instead of raising an error."""
    _problem: Problem | None = field(default=None, init=False, repr=False, compare=False)
    _before: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Earlier values of changed settings, until the work that uses the new values has succeeded."""

    @classmethod
    def open(cls, path: Path) -> "Home":
        """The study at `path`; raises `InputError` if there is none or its settings are wrong."""
        if not (path / ARCHIVE).is_file():
            raise InputError(f"no study at {path}")
        settings = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        home = cls(path, Archive.open(path / ARCHIVE), settings)
        older = settings.recipe.older
        if older.fidelity in home.archive.fidelities():  # an older version trained networks here
            home.settings = settings.model_copy(update={"recipe": older})
        home._require_fidelity(home.settings)
        return home

    @property
    def problem(self) -> Problem:
        """The search problem under the settings in force; one object, with cached views, until they change."""
        if self._problem is None or self._problem.settings is not self.settings:
            table = self.path / COSTS
            model = CostTable.read(table) if table.is_file() else None
            self._problem = self._with_costs(model)
        return self._problem

    def _with_costs(self, model: CostModel | None) -> Problem:
        header = self.archive.header
        return Problem(
            self.space, header.shape, self.settings, header.seed, model, self.archive, header.ladder, header.seal
        )

    @property
    def costing(self) -> Costing:
        """The cost model of the study."""
        return self.problem.costing

    @property
    def space(self) -> SearchSpace:
        """The study's search space."""
        return self.archive.space

    @property
    def shape(self) -> ImageShape:
        """The study's images and classes."""
        return self.archive.header.shape

    def checkpoint(self, id: str) -> Path:
        """Path of the weights of a record."""
        return weights_path(self.path / CHECKPOINTS, id)

    # ------------------------------------------------------------------ changes

    @cached_property
    def _lock(self) -> StudyLock:
        return StudyLock(self.path)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the study's lock inside the block.

        Raises:
            InputError: if another command holds it, and `wait` is off.
        """
        with self._lock.hold(wait=self.wait):
            yield

    def update(self, changes: dict[str, Any]) -> None:
        """Change settings, and store them.

        Raises:
            InputError: for a wrong setting, or a recipe other than that of networks already trained.
        """
        if not changes:
            return
        settings, table = self._checked(changes)
        with self.changing():
            if table is not None:
                table.write(self.path / COSTS)
            self._before = {name: getattr(self.settings, name) for name in changes} | self._before
            self._keep(settings)
            if changes.keys() & {"keep", "keep_gb"}:
                self.prune()

    def begin_ladder(self, ladder: Ladder, settings: Settings) -> None:
        """Give a study without trainings a ladder, and settings that fit it.

        Raises:
            InputError: for settings that cannot be combined with a ladder, or a study with trainings or a ladder.
        """
        require_ladder(settings, ladder)
        with self.changing():
            self.archive.give_ladder(ladder)
            self._keep(settings)

    def preview(self, changes: dict[str, Any]) -> None:
        """Change settings of this object alone, like `update`, but without writing anything.

        Raises:
            InputError: as `update` does.
        """
        if not changes:
            return
        self.settings, table = self._checked(changes)
        if table is not None:
            self._problem = self._with_costs(table)

    def _checked(self, changes: dict[str, Any]) -> tuple[Settings, CostTable | None]:
        """The settings with `changes`, and the cost table that they name if they change it; raises as `update`."""
        settings = self.settings.updated(changes)
        self._require_fidelity(settings)
        if "surrogate" in changes:
            require_surrogate(settings)
        if changes.keys() & {"strategy", "limits"}:
            require_strategy(settings)
        require_policy(self.space.spec, settings)
        require_ladder(settings, self.archive.header.ladder)
        require_temperature(self.shape.classes, self.archive.header.data, settings)
        self._tell_of_initial(settings)
        return settings, cost_table(settings, self.space, self.shape) if "cost_table" in changes else None

    def _keep(self, settings: Settings) -> None:
        settings.save(self.path / SETTINGS)
        self.settings = settings

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Revert a change of a setting if the work inside the block, which uses it, fails.

        An interruption is not a failure, and keeps the change.
        """
        try:
            yield
        except Exception:
            if name in self._before:
                with suppress(InputError), self.changing():
                    self._keep(self.settings.updated({name: self._before.pop(name)}))
            raise
        self.has_worked(name)

    def has_worked(self, name: str) -> None:
        """Confirm a change of a setting, so that `trial` no longer reverts it."""
        self._before.pop(name, None)

    def _tell_of_initial(self, settings: Settings) -> None:
        """Report a smaller initial sample that has no effect, because more networks have been proposed already."""
        proposed = len(self.archive.proposals())
        if settings.initial < self.settings.initial and settings.initial < proposed:
            say(f"initial {settings.initial} has no effect: {proposed} networks have been proposed already")

    def _require_fidelity(self, settings: Settings) -> None:
        """Raise `InputError` for a recipe other than that of networks already trained."""
        fidelities, ladder = self.archive.fidelities(), self.archive.header.ladder
        fidelity = settings.recipe.fidelity if ladder is None else settings.recipe.fidelity_on(ladder.top)
        if fidelities and fidelity not in fidelities:
            raise InputError(
                f"this study's networks were trained with {min(fidelities)}, got {fidelity}; another recipe needs a "
                "new study"
            )
        if ladder is not None and (epochs := settings.recipe.epochs) != self.settings.recipe.epochs:
            raise InputError(
                f"epochs {epochs} has no effect on a ladder, whose rungs are {ladder} image passes; another ladder "
                "needs a new study"
            )

    def prune(self) -> None:
        """Remove trained weights not selected by the settings `keep` and `keep_gb`."""
        prune(self.path / CHECKPOINTS, self.archive, self.problem)

    def retry(self, ids: Sequence[str]) -> list[str]:
        """Make failed trainings pending again, all of them if none is named; returns their ids."""
        failed_ids = self._failed_ids(ids)
        with self.changing():
            self.archive.retry(failed_ids)
        return failed_ids

    def drop(self, ids: Sequence[str]) -> list[str]:
        """Delete failed trainings, all of them if none is named, which frees budget again; returns their ids."""
        failed_ids = self._failed_ids(ids)
        with self.changing():
            self.archive.drop(failed_ids)
            self.prune()
        return failed_ids

    def _failed_ids(self, ids: Sequence[str]) -> list[str]:
        """Full ids of failed records.

        Raises:
            InputError: for an unknown id, or a training that did not fail.
        """
        if not ids:
            return [r.id for group in GROUPS for r in self.archive.records(group) if r.failure]
        records = [self.archive.find(id) for id in ids]
        for record in records:
            if record.failure is None:
                raise InputError(f"training {record.id} did not fail; allowed: failed ones (archive list --failed)")
        return [record.id for record in records]
