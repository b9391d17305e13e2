"""What a study can never change, as the archive stores it."""

import json
from dataclasses import asdict, dataclass

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.space.spec import SpaceSpec, parse_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a study can never change."""

    space: SpaceSpec
    data: str
    """Name of the data set."""
    fingerprint: str
    """Of its images and labels."""
    shape: ImageShape
    seed: int
    """Of the splits, and of everything else that is drawn."""
    tune_share: float
    """Of the training data, held out for choosing."""
    test_share: float
    """Of all data, held out first where there is no official test split; 0 where there is one."""
    source_stamp: str | None = None
    """Of the files that the images came from, by which it is seen that they are the same without reading them."""

    def to_json(self) -> str:
        """As stored."""
        return json.dumps({**asdict(self), "space": self.space.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """As stored by `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "space": parse_spec(values["space"]), "shape": ImageShape(**values["shape"])})
