"""Confidence of certificates, and the images that are sealed for them. Nothing heavy is imported here."""

from dataclasses import dataclass

from surrogate_nas.foundation.errors import InputError

CONFIDENCE = 0.9
"""Usual probability with which certificates hold."""
LEAST, MOST = 0.5, 0.9999


@dataclass(frozen=True, slots=True)
class Seal:
    """Sealed images of a study."""

    draws: int
    """Number of images, or of their groups."""
    delta: float
    """δ of all certificates of the study together."""


def require_confidence(confidence: float | None) -> None:
    """Raise `InputError` for a confidence that says nothing, or that no number of images could give."""
    if confidence is not None and not LEAST <= confidence <= MOST:
        raise InputError(f"confidence {confidence:g} is not between {LEAST} and {MOST}, such as 0.9 or 0.95")
