"""A study: the verbs of the package on one object."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.outputs import Split
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS
from surrogate_nas.datasets.corruptions import require as require_corruptions
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.exits.choosing import MethodName
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.ladder import RUNGS
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.network.backbone import Mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study import baselines, finals, fitting, searching, verification
from surrogate_nas.study.creation import create
from surrogate_nas.study.finals import Final
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.query import Question, Respondent, about, require_cost_table, respondent_of
from surrogate_nas.study.results import Answer, Measured, Rung, Solution
from surrogate_nas.study.shift import Shift, measure_shift
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.trainings import Trainer
from surrogate_nas.study.verification import Verification
from surrogate_nas.study.weights import load_network
from surrogate_nas.surrogates.fit import FittedSurrogate
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.training import resolve_device


class Study:
    """A study in a folder, open until `close` or the end of its `with` block.

    Whoever runs trainings from a script puts the calls under `if __name__ == "__main__":`, because each training has
    a process of its own.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.images = StudyImages(home)
        self.trainer = Trainer(home, self.images)
        self.solutions = Solutions(home)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        data: str | Path | Dataset = "digits",
        space: str | Path | Mount = "tiny",
        seed: int = 0,
        image_size: int | None = None,
        flips: bool | None = None,
        **settings: Any,
    ) -> "Study":
        """A new study.

        Args:
            path: a folder that does not exist yet, or is empty.
            data: a data set's name, the path of a folder of images by class or of an `.npz`, or a data set in memory,
                as `datasets.from_torch` makes one of any `torch.utils.data.Dataset`.
            space: a preset's name, the path of a space's YAML file, or what `mount` makes of a network of your own.
            seed: of everything that is drawn.
            image_size: side in pixels to which images are brought; by default they stay as they are.
            flips: whether mirror images are still of their class; the data set's own default for `None`.
            settings: fields of `Settings`; `limits` and `recipe` are mappings.

        Raises:
            InputError: one line with the value got and those allowed; nothing has been written then.
        """
        home = create(
            Path(path),
            data=data,
            space=space,
            seed=seed,
            settings=Settings().updated(settings),
            image_size=image_size,
            flips=flips,
        )
        return cls(home)

    @classmethod
    def open(cls, path: str | Path) -> "Study":
        """The study at `path`; raises `InputError` if there is none."""
        return cls(Home.open(Path(path)))

    def close(self) -> None:
        """Close the archive."""
        self.home.archive.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self.home.path

    @property
    def settings(self) -> Settings:
        """Settings in force."""
        return self.home.settings

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.home.space

    @property
    def archive(self) -> Archive:
        """The training archive."""
        return self.home.archive

    @property
    def policy(self) -> PolicyName:
        """How exits score their confidence."""
        return self.home.problem.policy

    def splits(self) -> Splits:
        """The images: train, tune and test.

        Raises:
            InputError: if they are gone, or not those that the study was made with.
        """
        return self.images.splits()

    def records(self) -> list[Record]:
        """All records of the search with their outputs, in the order they were proposed."""
        return self.solutions.records()

    def baselines(self) -> list[Record]:
        """The trained baselines with their outputs; none of them is part of the search or its front."""
        return self.solutions.records("baseline")

    # ------------------------------------------------------------------ verbs

    def collect(self, n: int) -> list[Record]:
        """Train n more sampled architectures."""
        return self.trainer.collect(n)

    def fit(self, *, again: bool = False) -> FittedSurrogate:
        """The surrogate of everything trained so far: the stored one if it still fits, or a new one.

        Raises:
            JobError: if fewer than eight networks have been trained.
        """
        return fitting.fit(self.home, self.archive.records(), again=again)

    def stored_fit(self, records: Sequence[Record]) -> FittedSurrogate | None:
        """The stored surrogate of these records, if there is one: nothing is fitted, and no outputs are read.

        Raises:
            JobError: if fewer than eight networks have been trained.
        """
        return fitting.stored_fit(self.home, records)

    def search(self, rounds: int | None = None) -> list[Record]:
        """Propose, train and refit, for so many rounds or until the budget or the time is spent."""
        return searching.search(self.trainer, self.solutions, rounds)

    def run(self) -> list[Record]:
        """The whole path: the initial sample, then the search. Continues where an earlier run stopped."""
        return searching.run(self.trainer, self.solutions)

    def train_baselines(self, *, everything: bool = False) -> list[Record]:
        """Train the baselines of the front: ResNet-8, its BranchyNet, and the best network of the front without exits.

        Each is trained once; what an earlier call has trained is not trained again. Hand-made networks that cannot keep
        the study's limits are left out, unless `everything` is asked for.

        Raises:
            JobError: if nothing has been trained yet.
        """
        return baselines.train_baselines(self.trainer, self.solutions, everything=everything)

    def finalize(
        self, ids: Sequence[str] = (), *, at: Sequence[float] = (), seeds: int = 3, recipe: Recipe | None = None
    ) -> list[Final]:
        """Train networks at full fidelity, each with several seeds. What an earlier call has trained is kept.

        Args:
            ids: of records; by default the networks on the front.
            at: budgets of the expected cost that is minimised: instead of the whole front, the most accurate network
                on tune within each.
            seeds: trainings of each network.
            recipe: of full fidelity, kept in the settings; by default the one that is there.

        Returns:
            Those networks within the study's limits, the most accurate on tune first.

        Raises:
            InputError: for an unknown id, a budget below the front's cheapest, or a recipe like the search's.
            JobError: if nothing keeps the limits.
        """
        return finals.finalize(self.trainer, self.solutions, ids, at, seeds, recipe)

    def verify(self, ids: Sequence[str] = (), *, seeds: int = 3) -> list[Verification]:
        """Train the networks on the front again, by the search's recipe with other seeds, until each has so many
        trainings. They join the archive, and surrogates learn of them.

        The networks of the front as it was before: what further trainings find is not claimed.

        Args:
            ids: of records on the front; by default all.
            seeds: trainings of each architecture, the search's own among them.

        Returns:
            Those whose claims could be held against other seeds, in the order of the front.

        Raises:
            InputError: for a record that is not on the front, or fewer than two seeds.
            JobError: if nothing keeps the limits.
        """
        return verification.verify(self.trainer, self.solutions, ids, seeds)

    def finals(self, limits: Limits | None = None) -> list[Final]:
        """Architectures trained by the final recipe, within limits (by default the study's), the best on tune first.

        Architectures that keep the limits with no seed are left out.
        """
        return finals.finals(self.solutions, self._limits(limits))

    # ------------------------------------------------------------------ answers

    def exits(self, record: Record, split: Split) -> Exits:
        """One network's exits on one split, under the study's policy."""
        return self.solutions.views.exits(record, split)

    def operating_point(self, record: Record, thresholds: Floats) -> OperatingPoint:
        """(E − 1,) thresholds for a trained network, with the study's policy and the network's own temperatures."""
        return self.solutions.operating_point(record, thresholds)

    def temperatures(self, record: Record) -> tuple[float, ...]:
        """(E,) of a trained network, fitted on tune; none if the settings ask for none."""
        return self.solutions.views.temperatures(record)

    def solution(self, record: Record, operating_point: OperatingPoint) -> Solution:
        """A trained network at an operating point, on both splits."""
        return self.solutions.solution(record, operating_point)

    def measured(self, record: Record, split: Split, operating_point: OperatingPoint) -> Measured:
        """A trained network at one operating point, under that point's policy, on one split."""
        return self.solutions.measured(record, split, operating_point)

    def front(self) -> list[Solution]:
        """All solutions within the limits that no other beats on tune, cheapest first, measured on both splits.

        Empty if no trained network can keep the limits; `nearest` then says how close one comes.
        """
        return self.solutions.front()

    def nearest(self) -> Solution:
        """The trained network and thresholds that come nearest to keeping the limits on tune."""
        return self.solutions.nearest()

    def hypervolume(self) -> list[float]:
        """Area of (accuracy, log₁₀ expected cost) on tune that the front dominates after each training, in order."""
        return self.solutions.hypervolume()

    def _limits(self, limits: Limits | None) -> Limits:
        """Limits of a call, else the study's.

        Raises:
            InputError: for limits on a cost that the study has no table of.
        """
        limits = self.settings.limits if limits is None else limits
        require_cost_table(self.home.problem, limits)
        return limits

    def tune(self, id: str, limits: Limits | None = None, method: MethodName = "curve") -> Solution:
        """The best thresholds of one trained network within limits, chosen on tune.

        Args:
            id: of a record.
            limits: what to keep to; the study's by default, and `Limits()` for none.
            method: how they are chosen; see `exits.choosing`.

        Raises:
            InputError: if there is no such record, or no such method.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        return self.solutions.tune(id, self._limits(limits), method)

    def ladder(self, id: str, limits: Limits | None = None, rungs: int = RUNGS) -> list[Rung]:
        """Settings of one trained network for several budgets within limits, by default the study's, cheapest first;
        chosen on tune. See `exits.ladder`.

        Raises:
            InputError: if there is no such record, or for fewer than two rungs.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        return self.solutions.ladder(id, self._limits(limits), rungs)

    def compare_policies(self, id: str, limits: Limits | None = None) -> list[Solution]:
        """One trained network under every exit policy that it can have, with and without temperatures.

        Thresholds are chosen anew for each, on tune, within limits, by default the study's. A policy under which none
        keep them is left out.

        Raises:
            InputError: if there is no such record.
            JobError: if no policy keeps the limits; the nearest thresholds are named.
        """
        return self.solutions.compare_policies(id, self._limits(limits))

    def shift(
        self,
        id: str,
        limits: Limits | None = None,
        *,
        operating_point: OperatingPoint | None = None,
        corruptions: Sequence[str] = tuple(CORRUPTIONS),
        levels: Sequence[int] = LEVELS,
    ) -> Shift:
        """One trained network at fixed thresholds on corrupted test images.

        Args:
            id: of a record whose weights are kept.
            limits: that are meant to hold; the study's by default.
            operating_point: by default the best within the limits, chosen on clean tune images.
            corruptions, levels: which of `datasets.corruptions.CORRUPTIONS`, and how strong, from 1 to 5.

        Raises:
            InputError: if there is no such record, corruption or level.
            JobError: if the weights are gone, or no thresholds keep the limits.
        """
        require_corruptions(corruptions, levels)
        limits, record = self._limits(limits), self.archive.find(id)
        network = self.network(record.id).to(resolve_device(self.settings.device))
        point = operating_point or self.tune(record.id, limits).operating_point
        return measure_shift(
            network,
            self.splits().test,
            self.solution(record, point),
            limits,
            lambda outputs: self.solutions.measure_outputs(record.architecture, outputs, point),
            corruptions,
            levels,
            self.home.problem.seed,
        )

    def network(self, id: str) -> EarlyExitNetwork:
        """The trained `nn.Module` of a record, in evaluation mode, on the CPU.

        Raises:
            InputError: if there is no such record.
            JobError: if its weights are gone or damaged.
        """
        return load_network(self.home, id)

    # ------------------------------------------------------------------ predictions

    def query(
        self,
        architectures: Sequence[Architecture],
        operating_point: OperatingPoint | None = None,
        limits: Limits | None = None,
    ) -> list[Answer]:
        """Predictions for architectures, trained or not.

        Without an operating point each is predicted at its best one within the limits, by default the study's.

        Raises:
            InputError: for an architecture outside the space, or a wrong number of thresholds.
            JobError: if fewer than eight networks have been trained.
        """
        questions = about(self.space, self.space.indices(architectures), operating_point)
        return [answer for block in self.answers(questions, limits) for answer in block]

    def answers(self, questions: Iterable[Question], limits: Limits | None = None) -> Iterator[list[Answer]]:
        """Answers to any number of questions, block by block, with no more than a block in memory.

        Raises:
            InputError: as `query`, and for limits on a cost that the study has no table of.
            JobError: if fewer than eight networks have been trained.
        """
        return respondent_of(self.solutions, self._limits(limits)).answer(questions)

    def best(self, n: int, limits: Limits | None = None, operating_point: OperatingPoint | None = None) -> list[Answer]:
        """The n architectures that are predicted best within limits, trained or not, the best first; no training.

        Found by an evolutionary search on the surrogate, `search.best_predicted`, and ranked by its `ranking`: first
        those that keep all limits with a probability of at least a half, by accuracy (by cost, where thresholds have
        only an accuracy floor to keep), then the others by that probability. The study's seed decides all chance.

        Args:
            n: fewer are returned only where no more were found within the exact limits.
            limits: by default the study's.
            operating_point: for all of them; by default each has its best thresholds.

        Raises:
            InputError: for n outside 1 to 5,000, or if no architecture keeps the exact limits.
            JobError: if fewer than eight networks have been trained.
        """
        return respondent_of(self.solutions, self._limits(limits)).best(n, operating_point)

    def respondent(self, records: Sequence[Record], fitted: FittedSurrogate, limits: Limits) -> Respondent:
        """Makes answers within limits, from a fitted surrogate and records."""
        return Respondent.of(self.solutions, records, fitted.predictor, limits)
