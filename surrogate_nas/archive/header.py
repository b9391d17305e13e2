"""The immutable facts of a study, as the archive stores them."""

import json
from dataclasses import asdict, dataclass

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.space.spec import SpaceSpec, parse_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The immutable facts of a study: space, data, seed and splits."""

    space: SpaceSpec
    data: str
    """Name of the data set."""
    fingerprint: str
    """Digest of its images and labels."""
    shape: ImageShape
    seed: int
    """Seed of the splits, and of all other random draws."""
    tune_share: float
    """Share of the training data held out for tune."""
    test_share: float
    """Share of all data held out for test, before tune; 0 if there is an official test split."""
    source_stamp: str | None = None
    """Stamp of the source files, which shows that they are unchanged without reading them; see `source_stamp`."""
    resize: str = "crop"
    """How pictures that were not square became square; studies of older versions took the central square."""

    def to_json(self) -> str:
        """Text as stored."""
        return json.dumps({**asdict(self), "space": self.space.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """Read the text of `to_json`; raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        values = json.loads(text)
        header = cls(**{**values, "space": parse_spec(values["space"]), "shape": ImageShape(**values["shape"])})
        header._require_sound()
        return header

    def _require_sound(self) -> None:
        """Raise `ValueError` for a value of another type or out of range."""
        shape = self.shape
        least = (("seed", self.seed, 0), ("channels", shape.channels, 1), ("size", shape.size, 1))
        for name, number, smallest in (*least, ("classes", shape.classes, 2)):
            if type(number) is not int or number < smallest:
                raise ValueError(f"{name} {number!r} is no whole number from {smallest} on")
        for name in ("tune_share", "test_share"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0 <= share < 1:
                raise ValueError(f"{name} {share!r} is no share")
        for name in ("data", "fingerprint", "resize"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} {getattr(self, name)!r} is no text")
