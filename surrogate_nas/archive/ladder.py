"""The ladder of a study: how far its networks are trained, in image passes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from surrogate_nas.foundation import numerals
from surrogate_nas.foundation.errors import InputError

RATIOS = (1, 3, 9, 27)
"""Rungs of a ladder by default, as ratios."""
DEFAULT = "default"
"""Text that stands for `RATIOS`."""
AUTO, AUTO_RATIOS = "auto", (1, 3, 9)
"""Text that stands for these ratios of `usual_top`, or for `RATIOS` if the top is beyond `FURTHEST`: lower rungs rank
networks hardly better than by chance."""
PASSES_PER_ROOT = 3_700
"""Image passes of a whole training for each √n of n training images; measured, see docs/results/time.md."""
NEAREST, FURTHEST, FURTHEST_FOR_ONE = 0.5, 2, 4
"""Least and most image passes of a top that follows the time, relative to the usual ones; and the most where a single
network is looked for."""
LEAST_STEPS = 5
"""Optimiser steps of the shortest training that can be measured: a fifth of them is the decay of the learning rate."""
FORMS = "allowed: ratios such as 1:3:9:27 (default), image passes such as 20k,60k,180k, or auto"


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs that networks of a study are trained to, from the first to the top.

    A rung counts all image passes behind the measured weights, those of the decaying learning rate included. It is the
    same number for any number of training images.
    """

    rungs: tuple[int, ...]
    """(R,) image passes, ascending."""

    def __post_init__(self) -> None:
        if len(self.rungs) < 2 or self.rungs[0] < 1 or any(b <= a for a, b in pairwise(self.rungs)):
            raise InputError(f"ladder {self} is not at least two ascending numbers of image passes")

    def __str__(self) -> str:
        """Image passes, such as "18k, 54k"."""
        return ", ".join(map(passes_text, self.rungs))

    @property
    def top(self) -> int:
        """Image passes of the last rung."""
        return self.rungs[-1]

    def passes(self, rung: int) -> int:
        """Image passes of a rung, numbered from 1; raises `InputError` for any other number."""
        if isinstance(rung, bool) or not isinstance(rung, int) or not 1 <= rung <= len(self.rungs):
            raise InputError(f"rung {rung!r} is not on the ladder; allowed: 1 to {len(self.rungs)} ({self})")
        return self.rungs[rung - 1]

    def number(self, passes: int) -> int:
        """Number of the rung with so many image passes, from 1."""
        return self.rungs.index(passes) + 1

    def name(self, passes: int) -> str:
        """A rung in words.

        >>> Ladder((18_000, 54_000)).name(54_000)
        'rung 2 of 2 (54k passes)'
        """
        return f"rung {self.number(passes)} of {len(self.rungs)} ({passes_text(passes)} passes)"

    @classmethod
    def auto(cls, images: int, step: int, passes: float | None = None, furthest: float = FURTHEST) -> "Ladder":
        """The ladder of a number of training images; see `usual_top`.

        Args:
            images: number of training images.
            step: images of one optimiser step.
            passes: image passes of a whole training that there is time for; `None` if that is not known.
            furthest: most image passes of the top, relative to the usual ones.
        """
        top = usual_top(images, passes, furthest)
        ratios = RATIOS if top > FURTHEST * usual_top(images) else AUTO_RATIOS
        return cls.read(":".join(map(str, ratios)), top, step)

    @classmethod
    def read(cls, value: "LadderLike", whole: int, step: int) -> "Ladder":
        """Read a ladder as people write it.

        Args:
            value: ratios such as "1:3:9:27", of which the last stands for `whole`, and which "default" and `True` mean;
                or image passes, as "20k,60k" or as a sequence of numbers.
            whole: image passes of a whole training.
            step: images of one optimiser step: rungs are rounded to whole steps.

        Raises:
            InputError: for anything else, or rungs that are too close or too short to differ in steps.
        """
        passes = _passes(value, whole)
        steps = [round(p / step) for p in passes]
        if len(steps) < 2 or steps[0] < LEAST_STEPS or any(b <= a for a, b in pairwise(steps)):
            raise InputError(
                f"ladder {value!r} has rungs of {', '.join(f'{p:,.0f}' for p in passes)} image passes; allowed: at "
                f"least two, ascending, the first at least {LEAST_STEPS} steps of {step} images"
            )
        return cls(tuple(s * step for s in steps))


def usual_top(images: int, passes: float | None = None, furthest: float = FURTHEST) -> int:
    """Image passes of a whole training, by the number of training images n: `PASSES_PER_ROOT` √n, or as many passes as
    there is time for, from `NEAREST` to `furthest` times that.

    >>> usual_top(2_200), usual_top(18_000), usual_top(54_000), usual_top(54_000, passes=1e5)
    (173545, 496407, 859802, 429901)
    """
    usual = PASSES_PER_ROOT * math.sqrt(images)
    return round(usual if passes is None else min(max(passes, NEAREST * usual), furthest * usual))


LadderLike = str | bool | Sequence[float]
"""A ladder as people write it; see `Ladder.read`."""


def _passes(value: LadderLike, whole: int) -> list[float]:
    if value is True or value == DEFAULT:
        value = ":".join(map(str, RATIOS))
    parts: Sequence[object] = value if isinstance(value, Sequence) else ()
    ratios = isinstance(value, str) and ":" in value
    if isinstance(value, str):
        parts = value.split(":" if ratios else ",")
    try:
        numbers = [numerals.number(part.strip() if isinstance(part, str) else part) for part in parts]
    except ValueError as error:
        raise InputError(f"ladder {value!r}: {error}; {FORMS}") from None
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int | float) or n <= 0 for n in numbers):
        raise InputError(f"ladder {value!r} is not a ladder; {FORMS}")
    rungs = [float(n) for n in numbers if isinstance(n, int | float)]
    return [whole * r / rungs[-1] for r in rungs] if ratios else rungs


def passes_text(passes: int) -> str:
    """A number of image passes, short.

    >>> passes_text(18_000), passes_text(18_048), passes_text(1_500_000), passes_text(640)
    ('18k', '18k', '1.5M', '640')
    """
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if passes >= size:
            return f"{passes / size:.3g}{unit}"
    return str(passes)
