"""Check that an existing study has the requested data, space and seed."""

from pathlib import Path

from surrogate_nas.archive.ladder import AUTO, Ladder, LadderLike
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.backbone import Mount
from surrogate_nas.space.yaml_files import load_space
from surrogate_nas.study.images import StudyImages


def require_same(
    images: StudyImages,
    *,
    data: str | Path | Dataset | None,
    space: str | Path | Mount | None,
    seed: int | None,
    image_size: int | None,
    flips: bool | None,
    splits: Path | None,
    resize: str | None,
    tune_share: float | None,
    confidence: float | None = None,
    ladder: LadderLike | None = None,
) -> None:
    """Check that a study has the given space, seed, images and splits; `None` is not checked.

    Raises:
        InputError: for the first that differs; the message names the study's value and the one got.
    """
    path, header = images.home.path, images.home.archive.header
    if space is not None:
        is_same = space.is_that_of(header.space) if isinstance(space, Mount) else load_space(space) == header.space
        if not is_same:
            wanted = f"--backbone {space.reference}" if isinstance(space, Mount) else f"--space {space}"
            reason = "another space needs a new study"
            raise InputError(f"study {path} has space {header.space.name}, got {wanted}; {reason}")
    if seed not in (None, header.seed):
        raise InputError(f"study {path} has seed {header.seed}, got --seed {seed}; another seed needs a new study")
    if ladder is not None:
        _require_ladder(images, ladder)
    images.require_data(data, image_size, flips, splits, resize, tune_share, confidence)


def _require_ladder(images: StudyImages, ladder: LadderLike) -> None:
    """Raise `InputError` for another ladder than the study's; ratios are those of its top rung."""
    path, own = images.home.path, images.home.archive.header.ladder
    if own is None:
        raise InputError(f"study {path} has no ladder, got --ladder {ladder}; a ladder needs a new study")
    count = len(images.splits().train)
    step = min(images.home.settings.recipe.batch_size, count)
    if (Ladder.auto(count, step) if ladder == AUTO else Ladder.read(ladder, whole=own.top, step=step)) != own:
        raise InputError(f"study {path} has ladder {own}, got --ladder {ladder}; another ladder needs a new study")
