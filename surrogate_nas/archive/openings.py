"""Openings of a study's sealed images: what was tested, at what part of δ, and what came out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import JobError, one_line


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of the test of one candidate."""

    p_value: float
    right: int
    """Number of sealed images that it classifies correctly."""
    worse: int
    """Number of sealed images that only the last exit classifies correctly."""
    better: int
    """Number of sealed images that only the last exit classifies wrong."""
    answers: str
    """Digest of what it answered to each of them; see `Evidence.answers`."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained network at thresholds, whose limits are to be certified."""

    network: str
    """Id of its record."""
    point: OperatingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One look at the sealed images.

    It is stored before the images are looked at, with its candidates in the order of their tests, and once more with
    the results; so a command that was killed in between goes on with the same candidates, and spends nothing anew.
    """

    number: int
    """From 1."""
    at: str
    """Time, as ISO 8601."""
    delta: float
    """Part of the study's δ that it spends."""
    images: int
    """Number of sealed images, or of their groups."""
    limits: Mapping[str, float]
    weights: tuple[float, ...]
    """Share of δ of each strand of candidates; see `certificates.sequence`."""
    candidates: tuple[tuple[Candidate, ...], ...]
    """Candidates of each strand, in order."""
    results: tuple[tuple[Outcome, ...], ...] | None = None
    """Results in the same order, up to the first that did not pass in each strand; `None` before the tests."""

    def certified(self) -> list[tuple[Candidate, Outcome]]:
        """Candidates that passed, with their results."""
        strands = zip(self.candidates, self.results or (), strict=False)
        return [(c, t) for of, results in strands for c, t in zip(of, results, strict=False) if t.passed]

    def to_json(self) -> str:
        """JSON text, as stored in the archive."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Opening":
        """Read the text of `to_json`; raises `JobError` if it is damaged."""
        try:
            values = json.loads(text)
            results = values["results"]
            opening = cls(
                **{
                    **values,
                    "weights": tuple(values["weights"]),
                    "candidates": tuple(tuple(map(_candidate, strand)) for strand in values["candidates"]),
                    "results": None if results is None else tuple(tuple(Outcome(**t) for t in of) for of in results),
                }
            )
            opening._require_sound()
            return opening
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise JobError(f"an opening of the sealed images is damaged: {one_line(error)}") from None

    def _require_sound(self) -> None:
        for name, number in (("number", self.number), ("images", self.images)):
            if type(number) is not int or number < 1:
                raise ValueError(f"{name} {number!r}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta {self.delta!r}")
        if len(self.weights) != len(self.candidates):
            raise ValueError(f"{len(self.weights)} weights for {len(self.candidates)} strands")


def _candidate(values: Mapping[str, Any]) -> Candidate:
    point = values["point"]
    thresholds, temperatures = tuple(point["thresholds"]), tuple(point["temperatures"])
    return Candidate(values["network"], OperatingPoint(thresholds, point["policy"], temperatures))


def spent_by(openings: Sequence[Opening]) -> float:
    """δ that these openings spend together."""
    return sum(opening.delta for opening in openings)
