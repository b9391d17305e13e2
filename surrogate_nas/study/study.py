"""A study: the verbs of the package on one object."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Outputs, Split, SplitOutputs
from surrogate_nas.archive.record import Record
from surrogate_nas.archive.views import exits_of, temperatures_of
from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS
from surrogate_nas.datasets.corruptions import require as require_corruptions
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.exits.choosing import METHODS, MethodName
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import Front, pareto_order
from surrogate_nas.exits.intervals import CONFIDENCE, bootstrap
from surrogate_nas.exits.ladder import RUNGS, ladder
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import GATE_POLICIES, POLICY_NAMES, PolicyName
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.network.backbone import Mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.search.loop import search, search_asynchronously
from surrogate_nas.search.registry import strategy_named
from surrogate_nas.settings import Settings
from surrogate_nas.study import fitting
from surrogate_nas.study.baselines import HAND_MADE, without_exits
from surrogate_nas.study.creation import require_gates
from surrogate_nas.study.finals import Final
from surrogate_nas.study.home import StudyFolder
from surrogate_nas.study.query import Question, Respondent, about, require_cost_table
from surrogate_nas.study.results import Answer, Measured, Rung, Solution
from surrogate_nas.study.shift import Shift, measure_shift
from surrogate_nas.study.verification import Claim, Verification
from surrogate_nas.surrogates.fit import Fitted
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.training import resolve_device

FEWEST_SEEDS = 2
SPLITS: tuple[Split, Split] = ("tune", "test")


class Study:
    """A study in a folder.

    Whoever runs trainings from a script puts the calls under `if __name__ == "__main__":`, because each training has
    a process of its own.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

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
        folder = StudyFolder.create(
            Path(path),
            data=data,
            space=space,
            seed=seed,
            settings=Settings().updated(settings),
            image_size=image_size,
            flips=flips,
        )
        return cls(folder)

    @classmethod
    def open(cls, path: str | Path) -> "Study":
        """The study at `path`; raises `InputError` if there is none."""
        return cls(StudyFolder.open(Path(path)))

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self.folder.path

    @property
    def settings(self) -> Settings:
        """Settings in force."""
        return self.folder.settings

    @property
    def policy(self) -> PolicyName:
        """How exits score their confidence."""
        return self.folder.problem.policy

    def records(self) -> list[Record]:
        """All records with their outputs, in the order they were proposed."""
        return self.folder.archive.records(outputs=True)

    # ------------------------------------------------------------------ verbs

    def collect(self, n: int) -> list[Record]:
        """Train n more sampled architectures."""
        return self.folder.collect(n)

    def fit(self, *, again: bool = False) -> Fitted:
        """The surrogate of everything trained so far: the stored one if it still fits, or a new one.

        Raises:
            JobError: if fewer than eight networks have been trained.
        """
        return fitting.fit(self.folder, self.folder.archive.records(), again=again)

    def stored_fit(self, records: Sequence[Record]) -> Fitted | None:
        """The stored surrogate of these records, if there is one: nothing is fitted, and no outputs are read.

        Raises:
            JobError: if fewer than eight networks have been trained.
        """
        return fitting.stored_fit(self.folder, records)

    def search(self, rounds: int | None = None) -> list[Record]:
        """Propose, train and refit, for so many rounds or until the budget or the time is spent."""
        with self.folder.changing():
            return self._search(rounds)

    def _search(self, rounds: int | None) -> list[Record]:
        folder, budget = self.folder, self.settings.budget
        folder.finish_pending()
        if not folder.may_start():
            say("the time limit is reached; the same command continues")
            return self.records()
        proposals = folder.archive.proposals()
        strategy = strategy_named(self.settings.strategy, lambda records: fitting.fit(folder, records))
        if self.settings.asynchronous:
            most = max(budget - len(proposals), 0) if rounds is None else rounds * self.settings.batch
            most = min(most, max(budget - len(proposals), 0))
            search_asynchronously(
                folder.problem, self.records(), proposals, lambda p: folder.stream(p, most), strategy, most=most
            )
            return self.records()
        return search(
            folder.problem, self.records(), proposals, lambda p: folder.evaluate(p, budget), strategy, rounds=rounds
        )

    def run(self) -> list[Record]:
        """The whole path: the initial sample, then the search. Continues where an earlier run stopped."""
        with self.folder.changing():
            self.folder.set_deadline()
            self.folder.finish_pending()
            missing = self.settings.initial - len(self.folder.archive.proposals())
            if missing > 0:
                self.folder.collect(missing, self.settings.budget)
            return self._search(None)

    def train_baselines(self) -> list[Record]:
        """Train what a front is compared with: ResNet-8, its BranchyNet, and the best network of the front cut back.

        Each is trained once; what an earlier call has trained is not trained again.

        Raises:
            JobError: if nothing has been trained yet.
        """
        front = self.front()
        best = front[-1] if front else self.nearest()
        return self.folder.collect_baselines([*HAND_MADE.values(), without_exits(best.record.architecture)])

    def baselines(self) -> list[Record]:
        """The trained baselines with their outputs; none of them is part of the search or its front."""
        return self.folder.archive.records("baseline", outputs=True)

    def finalize(
        self, ids: Sequence[str] = (), *, at: Sequence[float] = (), seeds: int = 3, recipe: Recipe | None = None
    ) -> list[Final]:
        """Train networks at full fidelity, each with several seeds. What an earlier call has trained is kept.

        Args:
            ids: of records; by default the networks on the front.
            at: budgets of expected MACs: instead of the whole front, the most accurate network on tune within each.
            seeds: trainings of each network.
            recipe: of full fidelity, kept in the settings; by default the one that is there.

        Returns:
            Those networks within the study's limits, the most accurate on tune first.

        Raises:
            InputError: for an unknown id, a budget below the front's cheapest, or a recipe like the search's.
            JobError: if nothing keeps the limits.
        """
        if seeds < 1:
            raise InputError(f"seeds {seeds} is not a positive number")
        with self.folder.changing():
            chosen, full = self._to_finalize(ids, at), recipe or self.settings.full_recipe
            if full.fidelity == self.settings.recipe.fidelity:
                raise InputError(f"the final recipe is the search's: {full.fidelity}; give more epochs")
            require_gates(self.folder.space.spec, full)
            if recipe is not None:
                self.folder.update({"final": recipe.model_dump()})
            self.folder.collect_finals(chosen, seeds)
        return [f for f in self.finals() if f.architecture in chosen]

    def _to_finalize(self, ids: Sequence[str], at: Sequence[float]) -> list[Architecture]:
        if ids:
            return list(dict.fromkeys(self.folder.archive.find(id).architecture for id in ids))
        front = self.front()
        if not front:
            raise JobError(f"no trained network keeps {self.settings.limits}: there is no front to finalize")
        chosen = front
        if at:
            cheapest = front[0].tune.expected_macs
            if min(at) < cheapest:
                raise InputError(f"budget {min(at):g} is below the cheapest solution's expected MACs, {cheapest:,.0f}")
            chosen = [[s for s in front if s.tune.expected_macs <= budget][-1] for budget in at]
        return list(dict.fromkeys(s.record.architecture for s in chosen))

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
        if seeds < FEWEST_SEEDS:
            raise InputError(f"seeds {seeds}: to verify takes at least {FEWEST_SEEDS}, the search's own among them")
        with self.folder.changing():
            self.folder.finish_pending()
            front = self.front()
            if not front:
                raise JobError(f"no trained network keeps {self.settings.limits}: there is no front to verify")
            on_front = list(dict.fromkeys(s.record.id for s in front))
            if strange := [id for id in ids if id not in on_front]:
                raise InputError(f"network {strange[0]} is not on the front: {', '.join(on_front)}")
            front = [s for s in front if not ids or s.record.id in ids]
            chosen = list(dict.fromkeys(s.record.architecture for s in front))
            trained = Counter(p.architecture for p in self.folder.archive.proposals())
            self.folder.collect_architectures([a for a in chosen for _ in range(seeds - trained[a])])
        return [v for a in chosen if (v := self._verification(a, front)) is not None]

    def _verification(self, architecture: Architecture, front: Sequence[Solution]) -> Verification | None:
        trained = [r for r in self.records() if r.architecture == architecture and r.outputs is not None]
        claims = []
        for solution in (s for s in front if s.record.architecture == architecture):
            macs, cost = solution.tune.expected_macs, solution.tune.cost
            spent = {"max_macs": macs} if self.settings.objective == "macs" or cost is None else {"max_cost": cost[0]}
            within = self.settings.limits.model_copy(update=spent)
            others = (self._within(r, within) for r in trained if r.id != solution.record.id)
            claims.append(Claim(solution, tuple(s for s in others if s is not None)))
        return Verification(architecture, tuple(claims), len(trained)) if any(c.again for c in claims) else None

    def finals(self, limits: Limits | None = None) -> list[Final]:
        """What was trained by the final recipe, within limits (the study's by default), most accurate on tune first.

        Architectures that keep the limits with no seed are left out.
        """
        limits = self.settings.limits if limits is None else limits
        fidelity = self.settings.full_recipe.fidelity
        of: dict[Architecture, list[Record]] = {}
        for record in self.folder.archive.records("final", outputs=True):
            if record.outputs is not None and record.proposal.fidelity == fidelity:
                of.setdefault(record.architecture, []).append(record)
        low = {r.architecture: r for r in reversed(self.records()) if r.outputs is not None and r.architecture in of}
        finals = []
        for architecture, records in of.items():
            kept = [s for r in records if (s := self._within(r, limits)) is not None]
            searched = low.get(architecture)
            before = None if searched is None else self._within(searched, limits)
            if kept:
                finals.append(Final(architecture, before, tuple(kept), len(records) - len(kept)))
        return sorted(finals, key=lambda f: -f.tune_accuracy)

    def _within(self, record: Record, limits: Limits) -> Solution | None:
        """At its best thresholds on tune within limits, if there are any."""
        exits = self.exits(record, "tune")
        points = exits.within(limits)
        if not len(points):
            return None
        best = points[np.array([points.best(limits)])]
        return self.solution(record, self.operating_point(record, best.thresholds[0]))

    # ------------------------------------------------------------------ answers

    def exits(self, record: Record, split: Split) -> Exits:
        """One network's exits on one split, under the study's policy."""
        return self.folder.problem.view(record.architecture, self._outputs(record), split)

    def _outputs(self, record: Record) -> Outputs:
        return record.outputs or self.folder.archive.outputs(record.id)

    def operating_point(self, record: Record, thresholds: npt.NDArray[np.float64]) -> OperatingPoint:
        """(E − 1,) thresholds for a trained network, with the study's policy and the network's own temperatures."""
        return OperatingPoint.from_array(thresholds, self.policy, self.temperatures(record))

    def temperatures(self, record: Record) -> tuple[float, ...]:
        """(E,) of a trained network, fitted on tune; none if the settings ask for none."""
        return self.folder.problem.temperatures(record.architecture, self._outputs(record))

    def solution(self, record: Record, operating_point: OperatingPoint) -> Solution:
        """A trained network at an operating point, on both splits."""
        tune, test = (self.measured(record, split, operating_point) for split in SPLITS)
        return Solution(record, operating_point, tune, test)

    def measured(self, record: Record, split: Split, operating_point: OperatingPoint) -> Measured:
        """A trained network at one operating point, under that point's policy, on one split."""
        outputs = self._outputs(record)
        return self._measured(record, outputs.tune if split == "tune" else outputs.test, operating_point)

    def _measured(self, record: Record, said: SplitOutputs, operating_point: OperatingPoint) -> Measured:
        policy, temperatures = operating_point.policy, operating_point.temperatures
        exits = exits_of(record.architecture, said, self.folder.costing, policy, temperatures)
        return Measured.of(exits, said.labels, self.folder.shape.classes, operating_point)

    def front(self) -> list[Solution]:
        """All solutions within the limits that no other beats on tune, cheapest first, measured on both splits.

        Empty if no trained network can keep the limits; `nearest` then says how close one comes.
        """
        owner, settings = self._feasible()
        if not len(settings):
            return []
        order = pareto_order(settings.accuracy, settings.objective)
        records = [r for r in self.records() if r.outputs is not None]
        found = [(records[owner[i]], settings.thresholds[i]) for i in order]
        return [self.solution(record, self.operating_point(record, t)) for record, t in found]

    def _feasible(self) -> tuple[npt.NDArray[np.int64], Measurements]:
        """Every network's best points on tune within the limits, and the index of its network among the trained."""
        views = self.folder.problem.views(self.records())
        if not views:
            raise JobError("nothing has been trained yet")
        keeps = [exits.within(self.settings.limits) for _, exits in views]
        owner = np.concatenate([np.full(len(m), i) for i, m in enumerate(keeps)])
        return owner, Measurements.concatenate(keeps)

    def nearest(self) -> Solution:
        """The trained network and thresholds that come nearest to keeping the limits on tune."""
        curves = [(r, exits.curve) for r, exits in self.folder.problem.views(self.records())]
        violation = [m.violation(self.settings.limits) for _, m in curves]
        best = int(np.argmin([v.min() for v in violation]))
        record, measured = curves[best]
        return self.solution(record, self.operating_point(record, measured.thresholds[int(violation[best].argmin())]))

    def hypervolume(self) -> list[float]:
        """Area of (accuracy, log₁₀ expected cost) on tune that the front dominates after each training, in order."""
        records, problem = self.records(), self.folder.problem
        front = Front.of(np.array([]), np.array([]), *problem.reference(records))
        volumes = []
        for record in records:
            if record.outputs is not None:
                points = self.exits(record, "tune").within(self.settings.limits)
                front = front.with_points(np.log10(points.objective), points.accuracy)
            volumes.append(front.hypervolume)
        return volumes

    def tune(self, id: str, limits: Limits, method: MethodName = "curve") -> Solution:
        """The best thresholds of one trained network within `limits`, chosen on tune.

        Args:
            id: of a record.
            limits: what to keep to.
            method: how they are chosen; see `thresholds`.

        Raises:
            InputError: if there is no such record, or no such method.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        if method not in METHODS:
            raise InputError(f"method {method!r} is not one of {', '.join(METHODS)}")
        record = self.folder.archive.find(id)
        best = METHODS[method](self.exits(record, "tune"), limits)
        return self.solution(record, self.operating_point(record, best.thresholds[0]))

    def ladder(self, id: str, limits: Limits, rungs: int = RUNGS) -> list[Rung]:
        """Settings of one trained network for several budgets, cheapest first; chosen on tune. See `thresholds.ladder`.

        Raises:
            InputError: if there is no such record, or for fewer than two rungs.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        record = self.folder.archive.find(id)
        exits = self.exits(record, "tune")
        budgets, settings = ladder(exits, limits, rungs)
        if not len(settings):
            exits.best(limits)  # says why
        return [self._rung(record, float(b), t) for b, t in zip(budgets, settings.thresholds, strict=True)]

    def _rung(self, record: Record, budget: float, thresholds: npt.NDArray[np.float64]) -> Rung:
        solution = self.solution(record, self.operating_point(record, thresholds))
        test = self.exits(record, "test").measure(thresholds[None])
        interval, _ = bootstrap(test.leaving[0], test.correct[0], test.macs[0], CONFIDENCE)
        return Rung(budget, solution, interval)

    def compare_policies(self, id: str, limits: Limits) -> list[Solution]:
        """One trained network under every exit policy that it can have, with and without temperatures.

        Thresholds are chosen anew for each, on tune. A policy under which none keep the limits is left out.

        Raises:
            InputError: if there is no such record.
            JobError: if no policy keeps the limits; the nearest thresholds are named.
        """
        record = self.folder.archive.find(id)
        outputs, solutions, reasons = self._outputs(record), [], []
        fitted = () if outputs.tune.logits is None else temperatures_of(record.architecture, outputs.tune)
        cooled = [(), fitted] if fitted else [()]
        views: list[tuple[PolicyName, tuple[float, ...]]] = [(p, t) for p in POLICY_NAMES for t in cooled]
        views += [] if outputs.tune.gates is None else [(p, ()) for p in GATE_POLICIES]
        for policy, temperatures in views:
            exits = exits_of(record.architecture, outputs.tune, self.folder.costing, policy, temperatures)
            try:
                best = exits.best(limits)
            except JobError as error:
                reasons.append(error)
                continue
            solutions.append(self.solution(record, OperatingPoint.from_array(best.thresholds[0], policy, temperatures)))
        if not solutions:
            raise reasons[0]
        return solutions

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
            corruptions, levels: which of `corruptions.CORRUPTIONS`, and how strong, from 1 to 5.

        Raises:
            InputError: if there is no such record, corruption or level.
            JobError: if the weights are gone, or no thresholds keep the limits.
        """
        require_corruptions(corruptions, levels)
        limits, record = self.settings.limits if limits is None else limits, self.folder.archive.find(id)
        network = self.folder.network(record.id).to(resolve_device(self.settings.device))
        point = operating_point or self.tune(record.id, limits).operating_point
        return measure_shift(
            network,
            self.folder.splits().test,
            self.solution(record, point),
            limits,
            lambda said: self._measured(record, said, point),
            corruptions,
            levels,
            self.folder.problem.seed,
        )

    def network(self, id: str) -> EarlyExitNetwork:
        """The trained `nn.Module` of a record, in evaluation mode."""
        return self.folder.network(id)

    # ------------------------------------------------------------------ predictions

    def query(
        self,
        architectures: Sequence[Architecture],
        operating_point: OperatingPoint | None = None,
        limits: Limits | None = None,
    ) -> list[Answer]:
        """What is predicted of architectures, trained or not.

        Without an operating point each answers at the one predicted best within the limits, by default the study's.

        Raises:
            InputError: for an architecture outside the space, or a wrong number of thresholds.
            JobError: if fewer than eight networks have been trained.
        """
        questions = about(self.folder.space, self.folder.space.indices(architectures), operating_point)
        return [answer for block in self.stream(questions, limits) for answer in block]

    def stream(self, questions: Iterable[Question], limits: Limits | None = None) -> Iterator[list[Answer]]:
        """The same of any number of questions, of which no more than a block is in memory.

        Raises:
            InputError: as `query`, and for limits on a cost that the study has no table of.
            JobError: if fewer than eight networks have been trained.
        """
        return self._respondent(limits).answer(questions)

    def best(self, n: int, limits: Limits | None = None, operating_point: OperatingPoint | None = None) -> list[Answer]:
        """The n architectures that are predicted best within limits, trained or not, the best first; no training.

        Found by an evolutionary search on the surrogate, `search.evolution`, and ranked by `evolution.ranking`: first
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
        return self._respondent(limits).best(n, operating_point)

    def _respondent(self, limits: Limits | None) -> Respondent:
        limits = self.settings.limits if limits is None else limits
        require_cost_table(self.folder.problem, limits)
        records = self.folder.archive.records()
        return self.respondent(records, fitting.fit(self.folder, records), limits)

    def respondent(self, records: Sequence[Record], fitted: Fitted, limits: Limits) -> Respondent:
        """What answers within limits, from a surrogate and records that are at hand."""
        trained: dict[str, list[Record]] = {}
        for record in records:
            if record.failure is None:
                trained.setdefault(str(record.architecture), []).append(record)

        def measure(record: Record, thresholds: npt.NDArray[np.float64]) -> dict[str, Any]:
            measured = self.measured(record, "tune", self.operating_point(record, thresholds))
            return {name: getattr(measured, name) for name in Measured.__slots__}

        return Respondent(self.folder.problem, fitted.predictor, limits, trained, measure)
