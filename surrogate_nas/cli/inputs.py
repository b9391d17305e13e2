"""Open the study, limits and architectures that a command's arguments refer to."""

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate_nas.archive.ladder import DEFAULT
from surrogate_nas.cli.options import UserLimits, changes_of
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say

if TYPE_CHECKING:
    from surrogate_nas.api import Study
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.network.backbone import Mount
    from surrogate_nas.settings import Settings
    from surrogate_nas.study.creation import NewStudy
    from surrogate_nas.study.home import Home
    from surrogate_nas.study.query import Question

DEFAULT_DATA = "digits"
DRAW = 32_768
"""Number of architectures sampled at a time, if they are sampled in parts."""


def open_study(path: Path, changes: dict[str, Any], wait: bool = False, dry_run: bool = False) -> "Home":
    """Open a study and change its settings, without importing torch; `opened` returns its `Study`."""
    from surrogate_nas.study.home import Home

    home = Home.open(path)
    home.wait = wait
    change(home, changes, dry_run)
    _say_remarks(home)
    return home


def change(home: "Home", changes: dict[str, Any], dry_run: bool) -> None:
    """Change settings of a study; in a dry run, only those of this object."""
    if dry_run:
        home.preview(changes)
    else:
        home.update(changes)


def _say_remarks(home: "Home") -> None:
    """Print remarks on the archive on stderr, such as data that older versions did not store."""
    for remark in home.archive.remarks():
        say(f"{home.path}: {remark}")


def open_or_prepare(path: Path, options: dict[str, Any], sample: int | None = None) -> "Home | NewStudy":
    """Open the study at a path and change its settings, or check a new one; in a dry run nothing is written.

    `sample` is the number of networks that a command trains instead of the initial sample.
    """
    from surrogate_nas.settings import Settings
    from surrogate_nas.study.creation import prepare
    from surrogate_nas.study.home import Home
    from surrogate_nas.study.images import StudyImages
    from surrogate_nas.study.opening import require_same
    from surrogate_nas.study.paths import ARCHIVE, SETTINGS

    changes = changes_of(options)
    data, space, seed, image_size = (options[name] for name in ("data", "space", "seed", "image_size"))
    mounted_backbone = mount_of(options)
    if not (path / ARCHIVE).is_file():
        start = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        if sample is not None:
            _fit_initial_into_budget(changes, start)
        if options["dry_run"] and changes.pop("download", False):
            say("a dry run downloads nothing")
        return prepare(
            path,
            data=data or DEFAULT_DATA,
            space=mounted_backbone or space,
            seed=seed or 0,
            settings=start.updated(changes),
            image_size=image_size,
            flips=options["flips"],
            sample=sample,
            splits=options["splits"],
            resize=options["resize"],
            tune_share=options["tune_share"],
            confidence=options["confidence"],
            ladder=options["ladder"] or _ladder_of_epochs(options),
        )
    home = Home.open(path)
    if sample is not None:
        _fit_initial_into_budget(changes, home.settings)
    home.wait = options["wait"]
    require_same(
        StudyImages(home, store_copy=not options["dry_run"]),
        data=data,
        space=mounted_backbone or space,
        seed=seed,
        image_size=image_size,
        flips=options["flips"],
        splits=options["splits"],
        resize=options["resize"],
        tune_share=options["tune_share"],
        confidence=options["confidence"],
        ladder=options["ladder"],
    )
    change(home, changes, options["dry_run"])
    _say_remarks(home)
    return home


def _ladder_of_epochs(options: dict[str, Any]) -> str | None:
    """Ladder of a new study that is searched by time, whose top are the --epochs if they are given; else the search
    makes one, by the time that there is."""
    return DEFAULT if options.get("time") is not None and options["epochs"] is not None else None


def opened(study: "Home | NewStudy") -> "Study":
    """The `Study` of an opened or new study; a new one is written first."""
    from surrogate_nas.api import Study
    from surrogate_nas.study.home import Home

    return Study(study if isinstance(study, Home) else study.write())


def _fit_initial_into_budget(changes: dict[str, Any], settings: "Settings") -> None:
    """Reduce the initial sample to a smaller new budget; for commands that cannot set its size."""
    if 0 < changes.get("budget", 0) < changes.get("initial", settings.initial):
        changes["initial"] = changes["budget"]


def mount_of(options: dict[str, Any]) -> "Mount | None":
    """Mount the user's own network named by --backbone; `None` without that option."""
    reference, exits, shape = (options[name] for name in ("backbone", "exits", "backbone_input"))
    if reference is None:
        dependents = [f"--{n.replace('_', '-')}" for n in ("exits", "backbone_input", "freeze") if options[n]]
        if dependents:
            raise InputError(f"{dependents[0]} needs --backbone package.module:function")
        return None
    if options["space"] is not None:
        raise InputError(f"give either --space or --backbone, got --space {options['space']} --backbone {reference}")
    if not exits:
        raise InputError(f"--backbone {reference} needs --exits, the modules after which an exit may be mounted")
    from surrogate_nas.network.backbone import mount

    numbers = None if shape is None else shape.split(",")
    if numbers is not None and (len(numbers) != 3 or not all(n.strip().isdigit() for n in numbers)):
        raise InputError(f"--backbone-input {shape} is not of the form channels,height,width, such as 3,64,64")
    example = None if numbers is None else (int(numbers[0]), int(numbers[1]), int(numbers[2]))
    names = [name.strip() for name in exits.split(",")]
    return mount(reference, names, example=example, frozen=options["freeze"])


def limits_of(user_limits: UserLimits, home: "Home") -> "Limits":
    """Limits from the command line, or else those of the study."""
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.foundation.fields import parse

    return parse(Limits, user_limits, "limits") if user_limits else home.settings.limits


def questions_of(
    home: "Home",
    encoding: list[str] | None,
    file: Path | None,
    sample: int | None,
    point: "OperatingPoint | None",
    *,
    in_parts: bool,
) -> tuple[Iterable["Question"], Callable[[int], float | None]]:
    """Questions of a `query`, and a function from a number of answered questions to their share of all.

    Args:
        home: home of the study.
        encoding: encodings from the command line.
        file: file with one question per row.
        sample: number of random architectures.
        point: operating point of questions without thresholds of their own.
        in_parts: whether to sample in parts, in constant memory.
    """
    import numpy as np

    from surrogate_nas.space import moves
    from surrogate_nas.study.query import about
    from surrogate_nas.study.query_files import QuestionFile

    problem, space = home.problem, home.space
    if sample is not None:
        if sample < 1:
            raise InputError(f"--sample {sample} is not a positive integer")
        rng = np.random.default_rng(home.archive.header.seed)
        parts = moves.distinct(space.genes, sample, rng, draw=DRAW if in_parts else sample)
        return chain.from_iterable(about(space, rows, point) for rows in parts), lambda n: n / sample
    if file is not None:
        source = QuestionFile(file, problem, point)
        return source, lambda n: source.share()
    texts = encoding or []
    rows = space.indices([space.parse(text) for text in texts])
    return about(space, rows, point), lambda n: n / len(texts)
