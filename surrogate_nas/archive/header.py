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

    def to_json(self) -> str:
        """Text as stored."""
        return json.dumps({**asdict(self), "space": self.space.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """Read the text of `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "space": parse_spec(values["space"]), "shape": ImageShape(**values["shape"])})
