"""Whether a study that exists is the one that somebody asks for."""

from pathlib import Path

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
) -> None:
    """Check that a study has this space, this seed, these images and splits; `None` is any.

    Raises:
        InputError: naming the first that differs, the study's and the one asked for.
    """
    path, header = images.home.path, images.home.archive.header
    if space is not None:
        is_same = space.is_that_of(header.space) if isinstance(space, Mount) else load_space(space) == header.space
        if not is_same:
            wanted = f"--backbone {space.reference}" if isinstance(space, Mount) else f"--space {space}"
            raise InputError(f"study {path} has space {header.space.name}, got {wanted}; that needs a study of its own")
    if seed not in (None, header.seed):
        raise InputError(f"study {path} has seed {header.seed}, got --seed {seed}; that needs a study of its own")
    images.require_data(data, image_size, flips, splits, resize)
