"""The Python interface: everything that the commands do, as methods of `Study`."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.ladder import LadderLike
from surrogate_nas.archive.outputs import Split
from surrogate_nas.archive.record import Group, Proposal, Record
from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS
from surrogate_nas.datasets.corruptions import require as require_corruptions
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.resizing import ResizeName
from surrogate_nas.exits.choosing import MethodName
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import LimitFields, Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.exits.tiers import TIERS
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.extras import require_extra
from surrogate_nas.foundation.fields import parse
from surrogate_nas.foundation.signatures import spelled_out
from surrogate_nas.network.backbone import Mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.settings import Settings, SettingsFields
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study import finals, fitting, searching, timed, verification
from surrogate_nas.study import merge as merging
from surrogate_nas.study.baselines import train_baselines
from surrogate_nas.study.certifying import certify_at_the_end, open_seal
from surrogate_nas.study.checks import require_rung
from surrogate_nas.study.creation import prepare
from surrogate_nas.study.finals import Final
from surrogate_nas.study.frame import frame_of
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.merge import MergeResult
from surrogate_nas.study.networks import Network, architectures_of, as_list, record_of
from surrogate_nas.study.opening import require_same
from surrogate_nas.study.paths import ARCHIVE
from surrogate_nas.study.query import about, require_cost_table, respondent_of
from surrogate_nas.study.results import Answer, Solution, Tier
from surrogate_nas.study.shift import Shift, shift
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.status import Status, status_of
from surrogate_nas.study.trainings import Trainer
from surrogate_nas.study.verification import Verification
from surrogate_nas.study.warm_start import warm_start
from surrogate_nas.study.weights import load_network
from surrogate_nas.surrogates.fit import FittedSurrogate
from surrogate_nas.training.recipe import Recipe

if TYPE_CHECKING:
    from surrogate_nas.export.folder import Export

Thresholds = str | Sequence[float | None] | OperatingPoint
"""Thresholds of the early exits: `"0.8,off"`, `(0.8, None)`, or an operating point with a policy of its own."""
LimitsLike = Limits | LimitFields | Mapping[str, float | str | None]
"""Limits, or a mapping with their fields: `{"max_macs": 2e5}`."""


@displayed_by(
    lambda study: {
        "path": study.path,
        "data": study.archive.header.data,
        "space": study.space.spec.name,
        "budget": study.settings.budget,
        "limits": study.settings.limits,
    }
)
class Study:
    """A study in a folder, open until `close` or the end of its `with` block.

    Its methods have the names of the commands. A network is given as the text of an encoding, an `Architecture`, the id
    of a record (or its first characters), a `Record`, a `Solution`, a `Tier` or an `Answer`. Limits are a `Limits`, a
    mapping, or keywords (`max_macs=2e5`); by default they are those of the study, and `Limits()` has none.

    Scripts that train need their calls under `if __name__ == "__main__":`, because each training is a separate process.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.images = StudyImages(home)
        self.trainer = Trainer(home, self.images)
        self.solutions = Solutions(home)

    @classmethod
    @spelled_out
    def create(
        cls,
        path: str | Path,
        *,
        data: str | Path | Dataset = "digits",
        space: str | Path | Mount | None = None,
        seed: int = 0,
        image_size: int | None = None,
        flips: bool | None = None,
        resize: ResizeName | None = None,
        splits: str | Path | None = None,
        tune_share: float | None = None,
        confidence: float | None = None,
        ladder: LadderLike | None = None,
        exist_ok: bool = False,
        **settings: Unpack[SettingsFields],
    ) -> "Study":
        """Create a study, or with `exist_ok` open an existing one.

        Args:
            path: folder of the study; it must not exist yet, or be empty.
            data: name of a data set, path of a folder of images by class or of an `.npz` file, or a data set in memory,
                to which `datasets.from_torch` converts any `torch.utils.data.Dataset`.
            space: name of a preset, path of a YAML file, or a network of your own, mounted by `mount`; for `None`, the
                preset `tiny` or `compact`, by the size of the images.
            seed: seed of all random draws.
            image_size: side in pixels to which images are resized; by default they keep their size.
            flips: whether mirror images still belong to their class; for `None` the default of the data set.
            resize: way in which pictures that are not square become square: crop (for `None`), pad or squash.
            splits: CSV file of splits and groups; see `datasets.split_file`.
            tune_share: share of the training data held out for the tune split; for `None`, it follows the number of
                images, see `datasets.dataset.usual_tune_share`.
            confidence: probability with which all certificates of the study hold together, such as 0.9; part of tune is
                then sealed, see `study.certifying`. For `None` nothing is.
            ladder: rungs that networks are trained to, such as `"1:3:9:27"` of the recipe's epochs, image passes, or
                `"auto"`, by the number of images; for `None`, trainings are of whole epochs, until the study is run by
                time. See `archive.ladder.Ladder`.
            exist_ok: open the study at `path` if there is one with this data, space and seed; `settings` then change
                its settings, like `update`.
            settings: fields of `Settings`; `limits` and `recipe` may be mappings.

        Raises:
            InputError: for a wrong argument; the message names the value got and those allowed, and nothing is written.
        """
        path, split_file = _path(path), None if splits is None else _path(splits)
        if exist_ok and (path / ARCHIVE).is_file():
            study = cls.open(path)
            with ExitStack() as on_error:
                on_error.callback(study.close)
                require_same(
                    study.images,
                    data=data,
                    space=space,
                    seed=seed,
                    image_size=image_size,
                    flips=flips,
                    splits=split_file,
                    resize=resize,
                    tune_share=tune_share,
                    confidence=confidence,
                    ladder=ladder,
                )
                study.update(**settings)
                on_error.pop_all()
            return study
        new = prepare(
            path,
            data=data,
            space=space,
            seed=seed,
            settings=Settings().updated({**settings}),
            image_size=image_size,
            flips=flips,
            splits=split_file,
            resize=resize,
            tune_share=tune_share,
            confidence=confidence,
            ladder=ladder,
        )
        return cls(new.write())

    @classmethod
    def open(cls, path: str | Path) -> "Study":
        """Open the study at `path`; raises `InputError` if there is none."""
        return cls(Home.open(_path(path)))

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ parts

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
        """Exit policy, which defines the confidence of an exit."""
        return self.home.problem.policy

    @property
    def data(self) -> Dataset:
        """The data set; raises errors like `splits`."""
        return self.images.dataset

    def splits(self) -> Splits:
        """The images of the train, tune and test splits.

        Raises:
            InputError: if the images are missing, or differ from those that the study was created with.
        """
        return self.images.splits()

    def records(self, group: Group = "search") -> list[Record]:
        """Records with their outputs, in the order of proposal.

        Args:
            group: `search`, `promoted` (networks at higher rungs), `baseline`, or `final`, which are trainings at full
                fidelity.
        """
        return self.solutions.records(group)

    def record(self, network: Network) -> Record:
        """The record of a trained network, with its outputs.

        Raises:
            InputError: if the network has no record.
        """
        return self.solutions.views.with_outputs([record_of(self.home, network)])[0]

    def frame(self) -> Any:  # pandas is no dependency
        """Table of all trainings, including baselines and finals; see `study.frame.frame_of` for its columns.

        Returns:
            A `pandas.DataFrame` where pandas is installed, else a mapping from column names to arrays.
        """
        return frame_of(self.solutions)

    def status(self) -> Status:
        """State of the study: records by kind, pending trainings, the running command, and time spent and left."""
        return status_of(self.home, self.trainer.seconds_left())

    @spelled_out
    def update(self, **settings: Unpack[SettingsFields]) -> None:
        """Change settings, and store them.

        Raises:
            InputError: for a wrong setting, or a recipe other than that of networks already trained.
        """
        self.home.update({**settings})

    # ------------------------------------------------------------------ verbs that train

    def run(self, *, time: float | str | None = None) -> list[Record]:
        """Train the initial sample, then search until the budget is spent; continues where an earlier run stopped.

        Args:
            time: seconds, or text such as `"25m"`, to search for instead, the report included: `study.timed`. More
                time adds to what is left. A study that was given time continues with it by default.

        Raises:
            InputError: for a text that is no time, a study without a ladder, or one without time left.
        """
        if time is None and not timed.is_timed(self.trainer):
            records = searching.run(self.trainer, self.solutions)
            certify_at_the_end(self.solutions, self.images)
            return records
        seconds = 0.0 if time is None else timed.read_time(time)
        certify = partial(certify_at_the_end, self.solutions, self.images)
        return timed.run(self.trainer, self.solutions, seconds, self.report, certify)

    def collect(self, n: int | None = None, *, encodings: Network | Iterable[Network] | None = None) -> list[Record]:
        """Train more sampled architectures, or given ones; pending trainings come first.

        Args:
            n: number of architectures to sample.
            encodings: architectures to train; one that has been trained is trained again with another seed.

        Raises:
            InputError: for neither or both of `n` and `encodings`, or an architecture outside the space.
        """
        if (n is None) == (encodings is None):
            raise InputError(f"collect needs either n or encodings, got n={n!r} and encodings={encodings!r}")
        architectures = [] if encodings is None else architectures_of(self.home, encodings)
        count = 0 if n is None else _count("n", n)
        with self.trainer.at_work():
            self.trainer.finish_pending()
            return self.trainer.collect_architectures(architectures) if architectures else self.trainer.collect(count)

    def promote(self, networks: Network | Iterable[Network], *, rung: int | None = None) -> list[Record]:
        """Train networks on to a higher rung of the ladder, from where they stopped.

        Args:
            networks: trained networks.
            rung: number of the rung, from 1; by default each network is trained to its next one.

        Returns:
            The records at the higher rungs, in the order of the networks; trainings that a deadline stopped are
            missing.

        Raises:
            InputError: for an unknown network, a study without a ladder, or a rung that is not above a network's own.
        """
        return self.trainer.promote([record_of(self.home, network) for network in as_list(networks)], rung)

    def fit(self, *, again: bool = False) -> FittedSurrogate:
        """Fit the surrogate to all trainings, or load the stored one if it is up to date and `again` is false.

        Raises:
            JobError: if fewer than four networks have been trained.
        """
        return fitting.fit(self.home, self.archive.studied(), again=again)

    def search(self, rounds: int | None = None) -> list[Record]:
        """Propose, train and refit, for a number of rounds or until the budget or the time is spent."""
        return searching.search(self.trainer, self.solutions, None if rounds is None else _count("rounds", rounds))

    def baselines(self, *, everything: bool = False) -> list[Record]:
        """Train networks to compare the front with: ResNet-8, its BranchyNet, and the best network without its exits.

        Each is trained once, also over several calls. Hand-made networks that cannot keep the study's limits are left
        out, unless `everything` is true. Returns the baselines of this call; `records("baseline")` returns all.

        Raises:
            JobError: if no network has been trained yet.
        """
        return train_baselines(self.trainer, self.solutions, everything=everything)

    def finalize(
        self,
        networks: Network | Iterable[Network] = (),
        *,
        at: Sequence[float] = (),
        seeds: int = 3,
        recipe: Recipe | None = None,
    ) -> list[Final]:
        """Train networks at full fidelity, each with several seeds; trainings of an earlier call are not repeated.

        On a ladder, full fidelity is its top rung, and trainings at lower rungs go on.

        Args:
            networks: networks to train; by default those on the front.
            at: budgets of the expected cost that is minimised; for each, the most accurate network on tune within it is
                trained, instead of the whole front.
            seeds: number of trainings of each network.
            recipe: recipe of full fidelity, which is stored in the settings; by default the one stored there. On a
                ladder there is no other than the study's.

        Returns:
            The networks within the study's limits, the most accurate on tune first.

        Raises:
            InputError: for an unknown network, a budget below the cheapest of the front, the recipe of the search, or
                any recipe on a ladder.
            JobError: if no network keeps the limits.
        """
        return finals.finalize(self.trainer, self.solutions, self._ids(networks), at, _count("seeds", seeds), recipe)

    def finals(self, limits: LimitsLike | None = None) -> list[Final]:
        """Networks at full fidelity within limits, the most accurate on tune first.

        Architectures are left out if none of their trainings keeps the limits.
        """
        return finals.finals(self.solutions, self._limits(limits, {}))

    def verify(self, networks: Network | Iterable[Network] = (), *, seeds: int = 3) -> list[Verification]:
        """Train the networks on the front again with other seeds, by the search's recipe, to measure how much was luck.

        The trainings join the archive, so that surrogates learn from them. The results are about the front before these
        trainings, without networks that join it through them.

        Args:
            networks: networks on the front; by default all of them.
            seeds: number of trainings of each architecture, including that of the search.

        Returns:
            Comparisons of the front's figures with those of other seeds, in the order of the front; networks that
            cannot be compared are left out.

        Raises:
            InputError: for a network that is not on the front, or fewer than two seeds.
            JobError: if no network keeps the limits.
        """
        return verification.verify(self.trainer, self.solutions, self._ids(networks), _count("seeds", seeds))

    # ------------------------------------------------------------------ the archive

    def merge(self, *others: "str | Path | Study") -> list[MergeResult]:
        """Add the records of other studies of the same data, space, seed and recipe; see `study.merge.merge`.

        Raises:
            InputError: if a folder is not a study, or its outputs are not comparable with this study's; nothing is
                changed then.
        """
        return merging.merge(self.home, [_folder(other) for other in others])

    def warm_start(self, *others: "str | Path | Study", n: int | None = None) -> list[Proposal]:
        """Propose the architectures on the fronts of other studies for training here; see `study.warm_start`.

        Args:
            others: studies of any data, with architectures of this space.
            n: largest number of architectures from each study, spread evenly along its front; by default all of them.

        Raises:
            InputError: if a folder is not a study, or has architectures outside this space on its front.
            JobError: if no network of another study keeps that study's limits.
        """
        return warm_start(self.home, [_folder(other) for other in others], n)

    def retry(self, networks: Network | Iterable[Network] = ()) -> list[str]:
        """Make failed trainings of `networks` pending again, all of them if none is named; returns their ids."""
        return self.home.retry(self._ids(networks))

    def drop(self, networks: Network | Iterable[Network] = ()) -> list[str]:
        """Delete failed trainings of `networks`, all of them if none is named; returns their ids."""
        return self.home.drop(self._ids(networks))

    def validate(self) -> list[str]:
        """Check the archive; returns a line for each problem, and none if it is sound."""
        return self.archive.problems()

    # ------------------------------------------------------------------ trained networks

    def front(self, *, rung: int | None = None) -> list[Solution]:
        """The Pareto front on tune of the solutions within the limits, cheapest first, measured on tune and test.

        Empty if no trained network can keep the limits; `nearest` then returns the closest solution.

        Args:
            rung: number of the rung of the ladder whose networks are compared, from 1; by default the highest that one
                was trained to, as everywhere.
        """
        return self._at(rung).front()

    def nearest(self) -> Solution:
        """The trained network and thresholds that are closest to keeping the limits on tune."""
        return self.solutions.nearest()

    def hypervolume(self) -> list[float]:
        """Hypervolume of the front on tune, in accuracy × log₁₀ expected cost, after each training, in order."""
        return self.solutions.hypervolume()

    def exits(self, network: Network, split: Split) -> Exits:
        """The exits of one network on one split, under the study's policy: scores and threshold curve."""
        return self.solutions.views.exits(self.record(network), split)

    def solution(self, network: Network, thresholds: Thresholds) -> Solution:
        """A trained network at given thresholds, measured on tune and test.

        Thresholds apply to the scores of the study's policy with the temperatures of the network; an `OperatingPoint`
        has its own policy and temperatures.

        Raises:
            InputError: for an unknown network, or a wrong number of thresholds.
        """
        record = self.record(network)
        return self.solutions.solution(record, self._point(thresholds, record))

    @spelled_out
    def tune(
        self,
        network: Network,
        limits: LimitsLike | None = None,
        *,
        method: MethodName = "curve",
        **limit: Unpack[LimitFields],
    ) -> Solution:
        """The best thresholds of one trained network within limits, chosen on tune.

        Args:
            network: a trained network.
            limits: limits to keep on tune.
            method: way of choosing thresholds: `curve`, from all there are, or as published, `nachos` or `aebnas`.
            limit: limits by name.

        Raises:
            InputError: for an unknown network or method.
            JobError: if no thresholds keep the limits; the message has the closest ones.
        """
        return self.solutions.tune(self.record(network), self._limits(limits, limit), method)

    @spelled_out
    def certify(
        self,
        networks: Network | Iterable[Network] = (),
        limits: LimitsLike | None = None,
        **limit: Unpack[LimitFields],
    ) -> list[Solution]:
        """Test on the sealed images which networks, at which thresholds, keep limits on new images.

        Each opening of the sealed images spends part of what the confidence of the study allows, the first most of it;
        all certificates of a study hold together. The same candidates are not tested twice. See `study.certifying`.

        Args:
            networks: trained networks whose weights are kept; by default those of the front, at the end of a run all.
            limits: limits to certify.
            limit: limits by name.

        Returns:
            The certified solutions that keep the limits, the Pareto front on tune, cheapest first.

        Raises:
            InputError: for an unknown network, a study without sealed images, or without a limit that images keep.
            JobError: if no network has its weights.
        """
        records = [self.record(network) for network in as_list(networks)]
        these = self._limits(limits, limit)
        open_seal(self.solutions, self.images, these, records)
        return self.solutions.certified(these, records or None)

    @spelled_out
    def tiers(
        self,
        network: Network,
        limits: LimitsLike | None = None,
        *,
        tiers: int = TIERS,
        **limit: Unpack[LimitFields],
    ) -> list[Tier]:
        """Settings of one trained network for several budgets within limits, cheapest first, chosen on tune.

        See `exits.tiers`.

        Args:
            network: a trained network.
            limits: limits to keep on tune.
            tiers: largest number of settings.
            limit: limits by name.

        Raises:
            InputError: for an unknown network, or fewer than two tiers.
            JobError: if no thresholds keep the limits; the message has the closest ones.
        """
        return self.solutions.tiers(self.record(network), self._limits(limits, limit), _count("tiers", tiers))

    @spelled_out
    def policies(
        self, network: Network, limits: LimitsLike | None = None, **limit: Unpack[LimitFields]
    ) -> list[Solution]:
        """One trained network under each of its possible exit policies, with and without temperatures.

        Each policy has its own best thresholds within limits, chosen on tune. Policies under which no thresholds keep
        the limits are left out.

        Raises:
            InputError: for an unknown network.
            JobError: if no policy keeps the limits; the message has the closest thresholds.
        """
        return self.solutions.compare_policies(self.record(network), self._limits(limits, limit))

    @spelled_out
    def shift(
        self,
        network: Network,
        limits: LimitsLike | None = None,
        *,
        thresholds: Thresholds | None = None,
        corruptions: Sequence[str] = tuple(CORRUPTIONS),
        levels: Sequence[int] = LEVELS,
        **limit: Unpack[LimitFields],
    ) -> Shift:
        """Measure one trained network at fixed thresholds on corrupted test images.

        Args:
            network: a trained network whose weights are kept.
            limits: limits to check on the corrupted images.
            thresholds: thresholds to use; by default the best within the limits, chosen on clean tune images.
            corruptions: names from `datasets.corruptions.CORRUPTIONS`.
            levels: strengths of each corruption, from 1 to 5.
            limit: limits by name.

        Raises:
            InputError: for an unknown network, corruption or level.
            JobError: if the weights are missing, or no thresholds keep the limits.
        """
        require_corruptions(corruptions, levels)
        record = self.record(network)
        point = None if thresholds is None else self._point(thresholds, record)
        return shift(self.solutions, self.images, record, self._limits(limits, limit), point, corruptions, levels)

    def network(self, network: Network) -> EarlyExitNetwork:
        """The trained `nn.Module` of a network, in evaluation mode, on the CPU.

        Raises:
            InputError: for an unknown network.
            JobError: if its training failed, or its weights are missing or damaged.
        """
        return load_network(self.home, self.record(network))

    # ------------------------------------------------------------------ predictions

    @spelled_out
    def query(
        self,
        networks: Network | Iterable[Network],
        thresholds: Thresholds | None = None,
        limits: LimitsLike | None = None,
        *,
        rung: int | None = None,
        **limit: Unpack[LimitFields],
    ) -> list[Answer]:
        """Predictions for architectures, trained or not.

        Args:
            networks: one network or several.
            thresholds: thresholds of all of them; by default each has its best ones within the limits.
            limits: limits whose probability of being kept is `feasible_probability`.
            rung: number of the rung of the ladder to predict, from 1; by default the top.
            limit: limits by name.

        Raises:
            InputError: for an architecture outside the space, a wrong number of thresholds, or a rung that there is
                not.
            JobError: if fewer than four networks have been trained.
        """
        point = None if thresholds is None else self._point(thresholds)
        indices = self.space.indices(architectures_of(self.home, networks))
        respondent = respondent_of(self.solutions, self._limits(limits, limit), rung)
        return [answer for block in respondent.answer(about(self.space, indices, point)) for answer in block]

    @spelled_out
    def best(
        self,
        n: int,
        limits: LimitsLike | None = None,
        *,
        thresholds: Thresholds | None = None,
        rung: int | None = None,
        **limit: Unpack[LimitFields],
    ) -> list[Answer]:
        """The n architectures predicted to be best within limits, trained or not, the best first; nothing is trained.

        An evolutionary search on the surrogate, `search.best_predicted`, proposes them, and its `ranking` orders them:
        first those that keep all limits with a probability of at least 0.5, by accuracy (by cost, if only a lower limit
        on accuracy depends on thresholds), then the others by that probability. The study's seed makes it
        deterministic.

        Args:
            n: number of architectures, from 1 to 5,000; fewer are returned if no more lie within the exact limits.
            limits: limits to keep.
            thresholds: thresholds of all of them; by default each has its best ones.
            rung: number of the rung of the ladder to predict, from 1; by default the top.
            limit: limits by name.

        Raises:
            InputError: for n outside 1 to 5,000, or if no architecture keeps the exact limits.
            JobError: if fewer than four networks have been trained.
        """
        point = None if thresholds is None else self._point(thresholds)
        return respondent_of(self.solutions, self._limits(limits, limit), rung).best(_count("n", n), point)

    # ------------------------------------------------------------------ report, export, server

    def report(self, folder: str | Path | None = None) -> Path:
        """Write `report.html`, `front.csv` and `figures/`, by default into the study; returns the path of the page.

        Raises:
            InputError: if the folder cannot be written.
        """
        from surrogate_nas.report.writing import write_report  # which imports plotly and matplotlib

        return write_report(self.solutions, self.images, None if folder is None else _path(folder))

    @spelled_out
    def export(
        self,
        network: Network,
        folder: str | Path | None = None,
        *,
        limits: LimitsLike | None = None,
        tiers: int = TIERS,
        **limit: Unpack[LimitFields],
    ) -> "Export":
        """Export a trained network as a folder that runs with NumPy and ONNX Runtime alone, and stops at early exits.

        Args:
            network: a trained network whose weights are kept.
            folder: folder that does not exist or is empty; by default `exports/ID` in the study.
            limits: limits that the default setting keeps on tune.
            tiers: largest number of settings beside the default one.
            limit: limits by name.

        Raises:
            InputError: for an unknown network, or a folder that is not empty.
            JobError: if no thresholds keep the limits, the weights are missing, the outputs of the exported network
                differ from PyTorch's, or the extra `export` is not installed.
        """
        with require_extra("export"):
            from surrogate_nas.export.folder import export_network
        record, target = self.record(network), None if folder is None else _path(folder)
        return export_network(
            self.solutions, self.images, record, self._limits(limits, limit), target, _count("tiers", tiers)
        )

    def serve(self, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve the report, networks, predictions and an HTTP API until Ctrl-C; the study is only read.

        Args:
            host: name or address of this machine to listen on; requests for another host are refused.
            port: port to listen on; 0 for any free one.

        Raises:
            InputError: for a host or port that does not exist.
            JobError: if the port is in use, or the extra `serve` is not installed.
        """
        with require_extra("serve"):
            from surrogate_nas.serve.server import serve
        serve(self.path, host, port)

    # ------------------------------------------------------------------ arguments

    def _at(self, rung: int | None) -> Solutions:
        """Solutions at a rung of the ladder; raises `InputError` in a study without one."""
        if rung is None:
            return self.solutions
        require_rung(self.home.problem.ladder, rung)
        return Solutions(self.home, rung)

    def _ids(self, networks: Network | Iterable[Network]) -> list[str]:
        return [record_of(self.home, network).id for network in as_list(networks)]

    def _limits(self, limits: LimitsLike | None, limit: LimitFields) -> Limits:
        """Limits given to a method, or else those of the study.

        Raises:
            InputError: for limits given in both ways, invalid limits, and limits on cost in a study without cost table.
        """
        if limits is not None and limit:
            raise InputError(f"give limits either as one argument or by name, got {limits!r} and {limit!r}")
        given: object = limit or limits
        if given is None:
            given = self.settings.limits
        parsed = given if isinstance(given, Limits) else parse(Limits, given, "limits")
        require_cost_table(self.home.problem, parsed)
        return parsed

    def _point(self, thresholds: Thresholds, record: Record | None = None) -> OperatingPoint:
        """Operating point of thresholds under the study's policy; for a trained network, with its temperatures."""
        if isinstance(thresholds, OperatingPoint):
            return thresholds
        positions = self.space.positions if record is None else record.architecture.positions
        point = OperatingPoint.read(thresholds, positions, self.policy)
        return point if record is None else self.solutions.operating_point(record, point.array())


def _path(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise InputError(f"path {path!r} is of type {type(path).__name__}; allowed: str or pathlib.Path")
    return Path(path).expanduser()


def _folder(study: "str | Path | Study") -> Path:
    return study.path if isinstance(study, Study) else _path(study)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} {value!r} is not a positive integer")
    return value
