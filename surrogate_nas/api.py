"""The one door: everything that the commands do, as methods of `Study`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.outputs import Split
from surrogate_nas.archive.record import Group, Proposal, Record
from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS
from surrogate_nas.datasets.corruptions import require as require_corruptions
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.resizing import ResizeName
from surrogate_nas.exits.choosing import MethodName
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.ladder import RUNGS
from surrogate_nas.exits.limits import LimitFields, Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.extras import require_extra
from surrogate_nas.foundation.fields import parse
from surrogate_nas.foundation.signatures import spelled_out
from surrogate_nas.network.backbone import Mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.settings import Settings, SettingsFields
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study import finals, fitting, searching, verification
from surrogate_nas.study import merge as merging
from surrogate_nas.study.baselines import train_baselines
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
from surrogate_nas.study.results import Answer, Rung, Solution
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
        "limits": study.settings.limits,
        "trainings": f"{study.archive.count()} of {study.settings.budget}",
    }
)
class Study:
    """A study in a folder, open until `close` or the end of its `with` block.

    Its methods have the names of the commands. Where a network is meant, each takes the text of an encoding, an
    `Architecture`, the id of a record (or how it starts), a `Record`, a `Solution` or an `Answer`. Limits are a
    `Limits`, a mapping, or keywords (`max_macs=2e5`); by default they are the study's, and `Limits()` is none.

    Scripts that train put the calls under `if __name__ == "__main__":`, because each training is a process of its own.
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
        space: str | Path | Mount = "tiny",
        seed: int = 0,
        image_size: int | None = None,
        flips: bool | None = None,
        resize: ResizeName | None = None,
        splits: str | Path | None = None,
        exist_ok: bool = False,
        **settings: Unpack[SettingsFields],
    ) -> "Study":
        """A new study, or with `exist_ok` the one that is there.

        Args:
            path: a folder that does not exist yet, or is empty.
            data: a data set's name, the path of a folder of images by class or of an `.npz`, or a data set in memory,
                as `datasets.from_torch` makes one of any `torch.utils.data.Dataset`.
            space: a preset's name, the path of a space's YAML file, or what `mount` makes of a network of your own.
            seed: of everything that is drawn.
            image_size: side in pixels to which images are brought; by default they stay as they are.
            flips: whether mirror images are still of their class; the data set's own default for `None`.
            resize: way in which pictures that are not square become square: crop (for `None`), pad or squash.
            splits: CSV file of splits and groups; see `datasets.split_file`.
            exist_ok: open the study at `path` if there is one with this data, space and seed; `settings` then change
                its settings, as `update` does.
            settings: fields of `Settings`; `limits` and `recipe` may be mappings.

        Raises:
            InputError: one line with the value got and those allowed; nothing has been written then.
        """
        path, split_file = _path(path), None if splits is None else _path(splits)
        if exist_ok and (path / ARCHIVE).is_file():
            study = cls.open(path)
            require_same(
                study.images,
                data=data,
                space=space,
                seed=seed,
                image_size=image_size,
                flips=flips,
                splits=split_file,
                resize=resize,
            )
            study.update(**settings)
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
        )
        return cls(new.write())

    @classmethod
    def open(cls, path: str | Path) -> "Study":
        """The study at `path`; raises `InputError` if there is none."""
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
        """Exit policy: how exits score their confidence."""
        return self.home.problem.policy

    @property
    def data(self) -> Dataset:
        """The data set; raises as `splits`."""
        return self.images.dataset

    def splits(self) -> Splits:
        """The images: train, tune and test.

        Raises:
            InputError: if they are gone, or not those that the study was made with.
        """
        return self.images.splits()

    def records(self, group: Group = "search") -> list[Record]:
        """Records with their outputs, in the order of proposal.

        Args:
            group: `search`, `baseline`, or `final`, which are trainings at full fidelity.
        """
        return self.solutions.records(group)

    def record(self, network: Network) -> Record:
        """The record of a trained network, with its outputs.

        Raises:
            InputError: if there is none.
        """
        return self.solutions.views.with_outputs([record_of(self.home, network)])[0]

    def frame(self) -> Any:
        """A table of all trainings, baselines and finals among them; see `study.frame.frame_of` for its columns.

        Returns:
            A `pandas.DataFrame` where pandas is installed, else a mapping from column names to arrays.
        """
        return frame_of(self.solutions)

    def status(self) -> Status:
        """Records by kind, pending trainings, the command at work, and time spent and left."""
        return status_of(self.home, self.trainer.seconds_left())

    @spelled_out
    def update(self, **settings: Unpack[SettingsFields]) -> None:
        """Change settings, and keep them.

        Raises:
            InputError: for a setting that is wrong, or a recipe other than that of networks already trained.
        """
        self.home.update({**settings})

    # ------------------------------------------------------------------ verbs that train

    def run(self) -> list[Record]:
        """The whole path: the initial sample, then the search. Continues where an earlier run stopped."""
        return searching.run(self.trainer, self.solutions)

    def collect(self, n: int | None = None, *, encodings: Network | Iterable[Network] | None = None) -> list[Record]:
        """Train n more sampled architectures, or the given ones; what was pending is trained first.

        An architecture that has been trained is trained again with another seed.

        Raises:
            InputError: for neither or both of them, or an architecture that is not of the space.
        """
        if (n is None) == (encodings is None):
            raise InputError(f"collect needs either n or encodings, got n={n!r} and encodings={encodings!r}")
        architectures = [] if encodings is None else architectures_of(self.home, encodings)
        count = 0 if n is None else _count("n", n)
        with self.trainer.at_work():
            self.trainer.finish_pending()
            return self.trainer.collect_architectures(architectures) if architectures else self.trainer.collect(count)

    def fit(self, *, again: bool = False) -> FittedSurrogate:
        """The surrogate of everything trained so far: the stored one if it still fits, or with `again` a new one.

        Raises:
            JobError: if fewer than eight networks have been trained.
        """
        return fitting.fit(self.home, self.archive.records(), again=again)

    def search(self, rounds: int | None = None) -> list[Record]:
        """Propose, train and refit, for so many rounds or until the budget or the time is spent."""
        return searching.search(self.trainer, self.solutions, None if rounds is None else _count("rounds", rounds))

    def baselines(self, *, everything: bool = False) -> list[Record]:
        """Train the baselines of the front: ResNet-8, its BranchyNet, and the best network of the front without exits.

        Each is trained once; what an earlier call has trained is not trained again. Hand-made networks that cannot keep
        the study's limits are left out, unless `everything` is asked for. `records("baseline")` are those that are
        there.

        Raises:
            JobError: if nothing has been trained yet.
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
        """Train networks at full fidelity, each with several seeds. What an earlier call has trained is kept.

        Args:
            networks: by default those on the front.
            at: budgets of the expected cost that is minimised: instead of the whole front, the most accurate network
                on tune within each.
            seeds: trainings of each network.
            recipe: of full fidelity, kept in the settings; by default the one that is there.

        Returns:
            Those networks within the study's limits, the most accurate on tune first.

        Raises:
            InputError: for an unknown network, a budget below the front's cheapest, or a recipe like the search's.
            JobError: if nothing keeps the limits.
        """
        return finals.finalize(self.trainer, self.solutions, self._ids(networks), at, _count("seeds", seeds), recipe)

    def finals(self, limits: LimitsLike | None = None) -> list[Final]:
        """Networks at full fidelity within limits, the most accurate on tune first.

        Architectures that keep the limits with no seed are left out.
        """
        return finals.finals(self.solutions, self._limits(limits, {}))

    def verify(self, networks: Network | Iterable[Network] = (), *, seeds: int = 3) -> list[Verification]:
        """Train the networks on the front again, by the search's recipe with other seeds, until each has so many
        trainings. They join the archive, and surrogates learn of them.

        The networks of the front as it was before: what further trainings find is not claimed.

        Args:
            networks: on the front; by default all.
            seeds: trainings of each architecture, the search's own among them.

        Returns:
            Those whose claims could be held against other seeds, in the order of the front.

        Raises:
            InputError: for a network that is not on the front, or fewer than two seeds.
            JobError: if nothing keeps the limits.
        """
        return verification.verify(self.trainer, self.solutions, self._ids(networks), _count("seeds", seeds))

    # ------------------------------------------------------------------ the archive

    def merge(self, *others: "str | Path | Study") -> list[MergeResult]:
        """Add the records of other studies of the same data, space, seed and recipe; see `study.merge.merge`.

        Raises:
            InputError: if a folder is no study, or its outputs do not compare with this one's; nothing is changed then.
        """
        return merging.merge(self.home, [_folder(other) for other in others])

    def warm_start(self, *others: "str | Path | Study", n: int | None = None) -> list[Proposal]:
        """Let the architectures on the fronts of other studies be trained here first; see `study.warm_start`.

        Args:
            others: studies of any data, with architectures of this space.
            n: at most so many of each, evenly along the front, which is taken whole by default.

        Raises:
            InputError: if a folder is no study, or has architectures on its front that are not of this space.
            JobError: if nothing that was trained there keeps the limits there.
        """
        return warm_start(self.home, [_folder(other) for other in others], n)

    def retry(self, networks: Network | Iterable[Network] = ()) -> list[str]:
        """Make failed trainings pending again, all of them if none is named; returns their ids."""
        return self.home.retry(self._ids(networks))

    def drop(self, networks: Network | Iterable[Network] = ()) -> list[str]:
        """Forget failed trainings, all of them if none is named; returns their ids."""
        return self.home.drop(self._ids(networks))

    def validate(self) -> list[str]:
        """Problems of the archive, a line each; none if it is sound."""
        return self.archive.problems()

    # ------------------------------------------------------------------ trained networks

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

    def exits(self, network: Network, split: Split) -> Exits:
        """One network's exits on one split, under the study's policy: its scores, and its threshold curve."""
        return self.solutions.views.exits(self.record(network), split)

    def solution(self, network: Network, thresholds: Thresholds) -> Solution:
        """A trained network at given thresholds, measured on both splits.

        Thresholds are compared with scores by the study's policy and the network's own temperatures; those of an
        `OperatingPoint` by its own.

        Raises:
            InputError: if there is no such network, or for a wrong number of thresholds.
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
            network: trained.
            limits: to keep on tune.
            method: how thresholds are chosen; see `exits.choosing`.
            limit: limits by name.

        Raises:
            InputError: if there is no such network, or no such method.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        return self.solutions.tune(self.record(network), self._limits(limits, limit), method)

    @spelled_out
    def ladder(
        self,
        network: Network,
        limits: LimitsLike | None = None,
        *,
        rungs: int = RUNGS,
        **limit: Unpack[LimitFields],
    ) -> list[Rung]:
        """Settings of one trained network for several budgets within limits, cheapest first; chosen on tune.

        See `exits.ladder`.

        Raises:
            InputError: if there is no such network, or for fewer than two rungs.
            JobError: if no thresholds keep the limits; the nearest are named.
        """
        return self.solutions.ladder(self.record(network), self._limits(limits, limit), _count("rungs", rungs))

    @spelled_out
    def policies(
        self, network: Network, limits: LimitsLike | None = None, **limit: Unpack[LimitFields]
    ) -> list[Solution]:
        """One trained network under every exit policy that it can have, with and without temperatures.

        Thresholds are chosen anew for each, on tune, within limits. A policy under which none keep them is left out.

        Raises:
            InputError: if there is no such network.
            JobError: if no policy keeps the limits; the nearest thresholds are named.
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
        """One trained network at fixed thresholds on corrupted test images.

        Args:
            network: trained, with its weights kept.
            limits: that are meant to hold.
            thresholds: by default the best within the limits, chosen on clean tune images.
            corruptions, levels: which of `datasets.corruptions.CORRUPTIONS`, and how strong, from 1 to 5.
            limit: limits by name.

        Raises:
            InputError: if there is no such network, corruption or level.
            JobError: if the weights are gone, or no thresholds keep the limits.
        """
        require_corruptions(corruptions, levels)
        record = self.record(network)
        point = None if thresholds is None else self._point(thresholds, record)
        return shift(self.solutions, self.images, record, self._limits(limits, limit), point, corruptions, levels)

    def network(self, network: Network) -> EarlyExitNetwork:
        """The trained `nn.Module` of a network, in evaluation mode, on the CPU.

        Raises:
            InputError: if there is no such network.
            JobError: if its training failed, or its weights are gone or damaged.
        """
        return load_network(self.home, self.record(network))

    # ------------------------------------------------------------------ predictions

    @spelled_out
    def query(
        self,
        networks: Network | Iterable[Network],
        thresholds: Thresholds | None = None,
        limits: LimitsLike | None = None,
        **limit: Unpack[LimitFields],
    ) -> list[Answer]:
        """Predictions for architectures, trained or not.

        Args:
            networks: one or several.
            thresholds: for all of them; by default each has its best ones within the limits.
            limits: that `feasible_probability` is about.
            limit: limits by name.

        Raises:
            InputError: for an architecture outside the space, or a wrong number of thresholds.
            JobError: if fewer than eight networks have been trained.
        """
        point = None if thresholds is None else self._point(thresholds)
        indices = self.space.indices(architectures_of(self.home, networks))
        respondent = respondent_of(self.solutions, self._limits(limits, limit))
        return [answer for block in respondent.answer(about(self.space, indices, point)) for answer in block]

    @spelled_out
    def best(
        self,
        n: int,
        limits: LimitsLike | None = None,
        *,
        thresholds: Thresholds | None = None,
        **limit: Unpack[LimitFields],
    ) -> list[Answer]:
        """The n architectures that are predicted best within limits, trained or not, the best first; no training.

        Found by an evolutionary search on the surrogate, `search.best_predicted`, and ranked by its `ranking`: first
        those that keep all limits with a probability of at least a half, by accuracy (by cost, where thresholds have
        only an accuracy floor to keep), then the others by that probability. The study's seed decides all chance.

        Args:
            n: fewer are returned only where no more were found within the exact limits.
            limits: to keep.
            thresholds: for all of them; by default each has its best ones.
            limit: limits by name.

        Raises:
            InputError: for n outside 1 to 5,000, or if no architecture keeps the exact limits.
            JobError: if fewer than eight networks have been trained.
        """
        point = None if thresholds is None else self._point(thresholds)
        return respondent_of(self.solutions, self._limits(limits, limit)).best(_count("n", n), point)

    # ------------------------------------------------------------------ results to take away

    def report(self, folder: str | Path | None = None) -> Path:
        """Write `report.html`, `front.csv` and `figures/`, by default into the study; returns the page's path.

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
        rungs: int = RUNGS,
        **limit: Unpack[LimitFields],
    ) -> "Export":
        """Write a trained network as a folder that runs with NumPy and ONNX Runtime alone, and really stops early.

        Args:
            network: trained, with its weights kept.
            folder: one that does not exist or is empty; by default `exports/ID` in the study.
            limits: of the default setting.
            rungs: the largest number of settings beside the default one.
            limit: limits by name.

        Raises:
            InputError: if there is no such network, or something is in the folder already.
            JobError: if no thresholds keep the limits, the weights are gone, the written network computes something
                else, or the extra `export` is not installed.
        """
        with require_extra("export"):
            from surrogate_nas.export.folder import export_network
        record, target = self.record(network), None if folder is None else _path(folder)
        return export_network(
            self.solutions, self.images, record, self._limits(limits, limit), target, _count("rungs", rungs)
        )

    def serve(self, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve the report, networks, predictions and an HTTP API until Ctrl-C; the study is only read.

        Args:
            host: name or address of this machine to listen on; requests that ask for another host are refused.
            port: 0 for any free port.

        Raises:
            InputError: if there is no such host or port.
            JobError: if the port is in use, or the extra `serve` is not installed.
        """
        with require_extra("serve"):
            from surrogate_nas.serve.server import serve
        serve(self.path, host, port)

    # ------------------------------------------------------------------ arguments

    def _ids(self, networks: Network | Iterable[Network]) -> list[str]:
        return [record_of(self.home, network).id for network in as_list(networks)]

    def _limits(self, limits: LimitsLike | None, limit: LimitFields) -> Limits:
        """Limits of a call, else the study's.

        Raises:
            InputError: for limits given twice, wrong ones, and limits on a cost that the study has no table of.
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
        """Operating point of thresholds, by the study's policy; of a trained network, with its temperatures."""
        if isinstance(thresholds, OperatingPoint):
            return thresholds
        positions = self.space.positions if record is None else record.architecture.positions
        point = OperatingPoint.read(thresholds, positions, self.policy)
        return point if record is None else self.solutions.operating_point(record, point.array())


def _path(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise InputError(f"path {path!r} is of type {type(path).__name__}; allowed: a text or a pathlib.Path")
    return Path(path).expanduser()


def _folder(study: "str | Path | Study") -> Path:
    return study.path if isinstance(study, Study) else _path(study)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} {value!r} is not a positive whole number")
    return value
