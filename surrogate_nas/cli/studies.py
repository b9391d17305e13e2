"""From what a command was given to the study and the architectures that it is about."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate_nas.cli.options import LIMITS, changes_of
from surrogate_nas.errors import InputError

if TYPE_CHECKING:
    from surrogate_nas.backbone import Mount
    from surrogate_nas.config import Limits
    from surrogate_nas.folder import StudyFolder
    from surrogate_nas.space import Architecture

DEFAULT_DATA, DEFAULT_SPACE = "digits", "tiny"


def open_study(path: Path, changes: dict[str, Any], wait: bool = False) -> "StudyFolder":
    from surrogate_nas.folder import StudyFolder

    folder = StudyFolder.open(path)
    folder.wait = wait
    folder.update(changes)
    return folder


def open_or_create(path: Path, options: dict[str, Any]) -> "StudyFolder":
    from surrogate_nas.config import Settings
    from surrogate_nas.creation import ARCHIVE, SETTINGS
    from surrogate_nas.folder import StudyFolder
    from surrogate_nas.space.files import load_space

    changes = changes_of(options)
    data, space, seed, image_size = (options[name] for name in ("data", "space", "seed", "image_size"))
    mounted = mount_of(options)
    if not (path / ARCHIVE).is_file():
        start = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        return StudyFolder.create(
            path, data=data or DEFAULT_DATA, space=mounted or space or DEFAULT_SPACE, seed=seed or 0,
            settings=start.updated(changes), image_size=image_size, flips=options["flips"],
        )  # fmt: skip
    folder = StudyFolder.open(path)
    folder.wait = options["wait"]
    header = folder.archive.header
    got = f"--backbone {mounted.reference}" if mounted else f"--space {space}"
    same = mounted.is_that_of(header.space) if mounted else space is None or load_space(space) == header.space
    if not same:
        raise InputError(f"study {path} has space {header.space.name}, got {got}; that needs a study of its own")
    if seed not in (None, header.seed):
        raise InputError(f"study {path} has seed {header.seed}, got --seed {seed}; that needs a study of its own")
    folder.require_data(data, image_size, options["flips"])
    folder.update(changes)
    return folder


def mount_of(options: dict[str, Any]) -> "Mount | None":
    """The network of the user's own that a command was given."""
    reference, exits, shape = (options[name] for name in ("backbone", "exits", "backbone_input"))
    if reference is None:
        given = [f"--{n.replace('_', '-')}" for n in ("exits", "backbone_input", "freeze") if options[n]]
        if given:
            raise InputError(f"{given[0]} needs --backbone package.module:function")
        return None
    if options["space"] is not None:
        raise InputError(f"give either --space or --backbone, got --space {options['space']} --backbone {reference}")
    if not exits:
        raise InputError(f"--backbone {reference} needs --exits, the modules after which an exit may be mounted")
    from surrogate_nas.backbone import mount

    numbers = None if shape is None else shape.split(",")
    if numbers is not None and (len(numbers) != 3 or not all(n.strip().isdigit() for n in numbers)):
        raise InputError(f"--backbone-input {shape} is not of the form 3,64,64")
    example = None if numbers is None else (int(numbers[0]), int(numbers[1]), int(numbers[2]))
    names = [name.strip() for name in exits.split(",")]
    return mount(reference, names, example=example, frozen=options["freeze"])


def limits_of(options: dict[str, Any]) -> "Limits":
    """Those that a command was given."""
    from surrogate_nas.config import Limits
    from surrogate_nas.parsing import parse

    return parse(Limits, {name: options[name] for name in LIMITS if name in options}, "limits")


def architectures_of(
    folder: "StudyFolder", encoding: list[str] | None, file: Path | None, sample: int | None
) -> list["Architecture"]:
    import numpy as np

    if (encoding is not None) + (file is not None) + (sample is not None) != 1:
        raise InputError("query needs one of --encoding, --file and --sample")
    if sample is not None:
        if sample < 1:
            raise InputError(f"--sample {sample} is not a positive number")
        return folder.space.sample(sample, np.random.default_rng(folder.archive.header.seed))
    if file is not None:
        try:
            encoding = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read: {error}") from None
    if not encoding:
        raise InputError(f"{file} has no encodings")
    return [folder.space.parse(text) for text in encoding]
