"""Limits that the images that certify must show for the wanted ones to be certified."""

import math

from scipy.special import ndtri

from surrogate_nas.certificates.bounds import enough
from surrogate_nas.certificates.evidence import learned
from surrogate_nas.exits.limits import Limits

DIFFERENT = 3.0
"""Share of images that are assumed to be answered differently by early exits and by the last one, relative to a limit
on the drop."""


def to_pass(limits: Limits, images: int, delta: float) -> Limits:
    """The limits, tightened to what a number of images must show for a certificate at δ.

    A floor becomes the least share of right answers that is refuted to come from below it. A limit on the drop becomes
    smaller by z √(d / n), by the normal approximation. Where so few images cannot certify a limit at all it stays as it
    is, and so do limits on costs, whose means are known far better.

    Args:
        limits: limits to certify.
        images: number n of images that certify.
        delta: level of the test.

    >>> str(to_pass(Limits(min_accuracy=0.9, max_drop=0.02), 500, 0.075))
    'accuracy ≥ 0.922, drop ≤ 0.004230722822568301'
    """
    tighter = dict[str, float]()
    for limit, cap in learned(limits):
        if limit.quantity == "accuracy":
            share = enough(images, cap, delta) / images
            tighter |= {limit.name: share} if share <= 1 else {}
        elif limit.quantity == "drop":
            most = cap - float(-ndtri(delta)) * math.sqrt(DIFFERENT * cap / images)
            tighter |= {limit.name: most} if most > 0 else {}
    return limits.model_copy(update=tighter)
