"""Create the folder of a study. All checks are made before anything is written."""

from dataclasses import dataclass
from pathlib import Path

from surrogate_nas import datasets
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.ladder import AUTO, Ladder, LadderLike
from surrogate_nas.certificates.levels import Seal, require_confidence
from surrogate_nas.certificates.needed import at_best
from surrogate_nas.certificates.sequence import spent
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.split_file import SplitFile
from surrogate_nas.datasets.splitting import sealed_share_of, split, tune_share_of, with_seal
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import require_seed
from surrogate_nas.foundation.files import is_left_of, left_beside
from surrogate_nas.foundation.lock import HOLDER, LOCK, StudyLock
from surrogate_nas.foundation.progress import say
from surrogate_nas.network.backbone import Mount
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import usual_preset
from surrogate_nas.space.yaml_files import load_space
from surrogate_nas.study.checks import (
    cost_table,
    require_gates,
    require_ladder,
    require_policy,
    require_strategy,
    require_surrogate,
    require_temperature,
)
from surrogate_nas.study.estimate import Plan
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import read_images, settle_splits
from surrogate_nas.study.paths import ARCHIVE, CHECKPOINTS, COSTS, DATA, SETTINGS, SPLITS
from surrogate_nas.training.devices import device_here

WRITTEN = (DATA, SETTINGS, COSTS, SPLITS, ARCHIVE)
"""Files of a new study, each written atomically."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStudy:
    """A new study: its arguments are checked, and nothing is written yet."""

    path: Path
    header: Header
    data: Dataset
    settings: Settings
    problem: Problem
    table: CostTable | None
    splits: Path | None
    """File of splits and groups; `None` without one."""

    def write(self) -> Home:
        """Write the files of the study, the archive last."""
        try:
            (self.path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            with StudyLock(self.path).hold():
                for name in WRITTEN:
                    for leftover in left_beside(self.path / name):
                        leftover.unlink()
                store.save(self.data, self.path / DATA)
                self.settings.save(self.path / SETTINGS)
                if self.table is not None:
                    self.table.write(self.path / COSTS)
                if self.splits is not None:
                    SplitFile.read(self.splits).write(self.path / SPLITS)
                return Home(self.path, Archive.create(self.path / ARCHIVE, self.header), self.settings)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from None


def prepare(
    path: Path,
    *,
    data: str | Path | Dataset,
    space: str | Path | Mount | None,
    seed: int,
    settings: Settings,
    image_size: int | None = None,
    flips: bool | None = None,
    sample: int | None = None,
    splits: Path | None = None,
    resize: str | None = None,
    tune_share: float | None = None,
    confidence: float | None = None,
    ladder: LadderLike | None = None,
) -> NewStudy:
    """Check a new study in a folder that does not exist, is empty, or was left by an interrupted creation.

    Args:
        path: folder of the study.
        data: name of a data set, path of a folder of images by class or of an `.npz` file, or a data set in memory.
        space: name of a preset, path of a YAML file, a network of the user's own to mount exits on, or `None` for the
            preset that is usual for the size of the images.
        seed: seed of splits, sampling, training and search.
        settings: settings, which may change later.
        image_size: side in pixels to which images are resized; by default they keep their size.
        flips: whether mirror images still belong to their class; for `None` the default of the data set.
        sample: number of networks that must exist within the limits; for `None` the size of the initial sample.
        splits: CSV file of splits and groups; see `datasets.split_file`.
        resize: way in which pictures that are not square become square: crop (for `None`), pad or squash.
        tune_share: share of the training data held out for the tune split; for `None` by the number of images.
        confidence: probability with which all certificates of the study hold together; part of tune is then sealed.
        ladder: rungs that networks are trained to, see `Ladder.read`, whose ratios are those of the recipe's epochs;
            for `None`, trainings are of whole epochs.

    Raises:
        InputError: for a wrong argument; the message names the value got and those allowed.
    """
    _require_free(path)
    require_seed(seed)
    require_confidence(confidence)
    if isinstance(space, Mount):
        space.check()
    elif space is not None:
        load_space(space)
    dataset = read_images(data, settings, image_size, flips, splits, resize)
    if isinstance(space, Mount):
        spec = space.space(dataset.shape)
    else:
        spec = load_space(usual_preset(dataset.shape.size) if space is None else space)
    tune_share, test_share = tune_share_of(dataset, tune_share), dataset.test_share
    dataset = settle_splits(dataset, seed, tune_share)
    table = cost_table(settings, SearchSpace(spec), dataset.shape)
    divided, sealed_share = _divided(dataset, seed, tune_share, confidence, settings.limits)
    rungs = None if ladder is None else ladder_of(ladder, settings, len(divided.train))
    if rungs is not None:
        settings = on_ladder(settings, rungs, len(divided.train))
    require_ladder(settings, rungs)
    draws = 0 if divided.certify is None else divided.certify.draws
    seal = Seal(draws, 1 - confidence) if confidence is not None and draws else None
    problem = Problem(SearchSpace(spec), dataset.shape, settings, seed, table, ladder=rungs, seal=seal)
    _check(path, problem, dataset, divided, sample)
    stamp = None
    if not isinstance(data, Dataset) and (stamp := datasets.source_stamp(str(data))) is not None:
        settings = settings.updated({"data_root": Path(data).expanduser().absolute()})
    header = Header(
        space=spec,
        data=dataset.name,
        fingerprint=dataset.fingerprint(),
        shape=dataset.shape,
        seed=seed,
        tune_share=tune_share,
        test_share=test_share,
        confidence=confidence,
        sealed_share=sealed_share,
        sealed_draws=draws,
        source_stamp=stamp,
        splits=None if dataset.given is None else dataset.given.digest,
        resize=dataset.resize,
        ladder=rungs,
    )
    return NewStudy(
        path=path, header=header, data=dataset, settings=settings, problem=problem, table=table, splits=splits
    )


def _divided(
    dataset: Dataset, seed: int, tune_share: float, confidence: float | None, limits: Limits
) -> tuple[Splits, float]:
    """The splits, and the share of tune that is sealed: none if so few images could not certify the limits."""
    splits = split(dataset, seed, tune_share)
    if confidence is None:
        return splits, 0.0
    share = sealed_share_of(splits.tune)
    sealed = with_seal(splits, seed, share)
    there = 0 if sealed.certify is None else sealed.certify.draws
    if (least := at_best(limits, spent(1 - confidence, 1))) <= there:
        return sealed, share
    say(
        f"note: nothing is sealed, and only bounds are reported: {limits} at {confidence:g} needs at least {least:,} "
        f"sealed images, and of {splits.tune.draws:,} to choose by {there:,} would be"
    )
    return splits, 0.0


def _require_free(path: Path) -> None:
    """Raise `InputError` for a folder in which no study can be created."""
    if (path / ARCHIVE).exists():
        raise InputError(f"{path} already has a study; open it, or give a folder that does not exist or is empty")
    if path.exists() and (not path.is_dir() or not all(_left_by_creation(p) for p in path.iterdir())):
        raise InputError(f"{path} is not a study; allowed for a new one: a folder that does not exist or is empty")


def ladder_of(ladder: LadderLike, settings: Settings, images: int) -> Ladder:
    """Read a ladder for a number of training images."""
    recipe = settings.recipe
    step = min(recipe.batch_size, images)
    return Ladder.auto(images, step) if ladder == AUTO else Ladder.read(ladder, whole=recipe.epochs * images, step=step)


def on_ladder(settings: Settings, ladder: Ladder, images: int) -> Settings:
    """Settings of a study with a ladder: a whole training is its top rung, also for estimates."""
    return settings.updated({"recipe": {"epochs": max(round(ladder.top / images), 1)}})


def _check(path: Path, problem: Problem, data: Dataset, divided: Splits, sample: int | None) -> None:
    """Check that the space fits the images, the device exists, some networks keep the limits, and resources suffice."""
    spec, settings = problem.space.spec, problem.settings
    if not spec.is_for(data.shape.size):
        low, high = spec.image_sizes
        raise InputError(
            f"space {spec.name!r} is for images of {low} to {high} pixels; "
            f"those of {data.name!r} have {data.shape.size}"
        )
    if settings.executor == "processes":  # a cluster may have devices that this machine lacks
        device_here(settings.device)
    require_policy(spec, settings)
    require_gates(spec, settings.recipe)
    require_surrogate(settings)
    require_strategy(settings)
    require_temperature(data.shape.classes, data.name, settings)
    initial_proposals(problem, settings.initial if sample is None else sample, [], 0)
    Plan.of(problem, divided, settings.budget).check(path)


def _left_by_creation(path: Path) -> bool:
    """Whether an interrupted creation may have left this file or folder."""
    if path.name == CHECKPOINTS:
        return path.is_dir() and not any(path.iterdir())
    whole = path.name in (SETTINGS, LOCK, HOLDER, DATA, COSTS, SPLITS)
    return path.is_file() and (whole or any(is_left_of(path, name) for name in WRITTEN))
