"""The immutable facts of a study, as the archive stores them."""

import json
from dataclasses import asdict, dataclass

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.certificates.levels import Seal
from surrogate_nas.space.spec import SpaceSpec, parse_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The immutable facts of a study: space, data, seed and splits."""

    space: SpaceSpec
    data: str
    """Name of the data set."""
    fingerprint: str
    """Digest of the images and labels."""
    shape: ImageShape
    seed: int
    """Seed of the splits, and of all other random draws."""
    tune_share: float
    """Share of the training data held out for tune; 0 if there is a given tune split."""
    test_share: float
    """Share of all data held out for test, before tune; 0 if there is a given test split."""
    source_stamp: str | None = None
    """Stamp of the source files, by which changes are detected without reading them; see `source_stamp`."""
    splits: str | None = None
    """Digest of the file of splits or groups; `None` without one."""
    resize: str = "crop"
    """Way in which pictures that are not square became square; studies of older versions took the central square."""
    confidence: float | None = None
    """Probability with which all certificates of the study hold together; `None` without a sealed part of tune."""
    sealed_share: float = 0.0
    """Share of the tune split that is sealed, to certify by."""
    sealed_draws: int = 0
    """Number of sealed images, or of their groups."""
    ladder: Ladder | None = None
    """Rungs that networks are trained to; `None` for trainings of whole epochs, by the recipe."""

    def to_json(self) -> str:
        """JSON text, as stored in the archive."""
        ladder = None if self.ladder is None else self.ladder.rungs
        return json.dumps({**asdict(self), "space": self.space.model_dump(mode="json"), "ladder": ladder})

    @property
    def seal(self) -> Seal | None:
        """The sealed images; `None` without a confidence, and where there were too few images to seal any."""
        return Seal(self.sealed_draws, 1 - self.confidence) if self.confidence and self.sealed_draws else None

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """Read the text of `to_json`; raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        values = json.loads(text)
        header = cls(
            **{
                **values,
                "space": parse_spec(values["space"]),
                "shape": ImageShape(**values["shape"]),
                "ladder": _ladder(values.get("ladder")),
            }
        )
        header._require_sound()
        return header

    def _require_sound(self) -> None:
        """Raise `ValueError` for a value of a wrong type or out of range."""
        shape = self.shape
        least = (("seed", self.seed, 0), ("channels", shape.channels, 1), ("size", shape.size, 1))
        for name, number, smallest in (*least, ("classes", shape.classes, 2)):
            if type(number) is not int or number < smallest:
                raise ValueError(f"{name} {number!r} is not an integer ≥ {smallest}")
        for name in ("tune_share", "test_share", "sealed_share"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0 <= share < 1:
                raise ValueError(f"{name} {share!r} is not a share from 0 to below 1")
        for name in ("data", "fingerprint", "resize"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} {getattr(self, name)!r} is not text")
        sealed = self.confidence, self.sealed_share, self.sealed_draws
        if sealed != (None, 0, 0):
            confidence, share, draws = sealed
            if not (
                isinstance(confidence, float)
                and 0 < confidence < 1
                and type(draws) is int
                and (draws > 0) == (share > 0)
            ):
                raise ValueError(f"confidence, sealed share and sealed draws {sealed!r}")
        if not isinstance(self.splits, str | None):
            raise ValueError(f"splits {self.splits!r} is not text")


def _ladder(rungs: object) -> Ladder | None:
    """Read a stored ladder; raises `ValueError` if it is damaged."""
    if rungs is None:
        return None
    if not isinstance(rungs, list) or any(type(passes) is not int for passes in rungs):
        raise ValueError(f"ladder {rungs!r} is not a list of image passes")
    return Ladder(tuple(rungs))
