"""Local dependence of exits, in the sense of item response theory: they agree more, or less, than the easiness of
samples explains.

Samples that an exit did not let go are harder for the next ones than their easiness says. The logit l, by the curves,
of the share that leaves at an exit, or of that which is right there, becomes

    l max(1 + d log r + e log k, 0) + a + b log r + c log k,

with r the share of all samples that gets there, and k the share that the exit at the position before, if there is one,
has kept of those that got to it. The five numbers of each position are learned from what the curves of all trained
networks leave unexplained.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from surrogate_nas.foundation.arrays import Array, Floats

NUMBERS = 5
PRIOR_SD = 0.3
SMALLEST_SHARE = 1e-9
LEAST_SHARE = 1e-5
LARGEST_UNEXPLAINED = 2.0
"""Largest difference of logits that counts, since those of shares near 0 and 1 vary much."""


def locally_dependent(rates: Tensor, accuracy: Tensor, dependence: Floats) -> tuple[Tensor, Tensor]:
    """(E, …) exit probabilities, and accuracies of the samples that leave, of exits that depend on each other.

    Args:
        rates: (E, …) by curves alone.
        accuracy: (E, …) by curves alone.
        dependence: (2, E, 5) numbers a, b, c, d and e of each position: first of what leaves, then of what is right.
    """
    before, remaining = torch.ones_like(rates[0]), torch.ones_like(rates[0])
    log_reach = log_kept = torch.zeros_like(remaining)
    parts, right, last = list[Tensor](), list[Tensor](), len(rates) - 1
    for e, (of_leaving, of_right) in enumerate(zip(*dependence.tolist(), strict=True)):
        rate = rates[e]
        if e < last and not rate.any():
            parts.append(rate)
            right.append(accuracy[e])
            log_kept = torch.zeros_like(remaining)
            continue
        right.append(_shifted(accuracy[e], log_reach, log_kept, of_right))
        if e < last:
            share = _shifted(rate / before.clamp_min(SMALLEST_SHARE), log_reach, log_kept, of_leaving)
            parts.append(share.mul_(remaining).masked_fill_(rate <= 0, 0))
            before, remaining = before - rate, remaining - parts[-1]
            log_before, log_reach = log_reach, remaining.clamp_min(LEAST_SHARE).log_()
            log_kept = log_reach - log_before
    return torch.stack([*parts, remaining]), torch.stack(right)


def right_of_all(accuracy: Tensor, dependence: Floats) -> Tensor:
    """(…) accuracy of the last exit on all samples, from that by curves alone, with the dependence of all exits."""
    everyone = torch.zeros_like(accuracy)
    return _shifted(accuracy, everyone, everyone, dependence[1, -1].tolist())


def _shifted(share: Tensor, log_reach: Tensor, log_kept: Tensor, numbers: Sequence[float]) -> Tensor:
    a, b, c, d, e = numbers
    sharpness = log_reach.mul(d).add_(log_kept, alpha=e).add_(1).clamp_min_(0)
    logit = share.clamp(LEAST_SHARE, 1 - LEAST_SHARE).logit_().mul_(sharpness)
    return logit.add_(log_reach, alpha=b).add_(log_kept, alpha=c).add_(a).sigmoid_()


def learned_dependence(rates: Floats, accuracy: Floats, counts: Floats) -> Floats:
    """(2, E, 5) dependence of exits, for `locally_dependent`: ridge regressions that a normal prior keeps near 0.

    Args:
        rates: (n, T, E) exit probabilities of n networks at T settings by curves alone.
        accuracy: (n, T, E) accuracies of the samples that leave, by curves alone.
        counts: (n, 2, E, T) weights of the samples that left at each exit with a right answer, and with a wrong one.
    """
    right, left = counts[:, 0].swapaxes(1, 2), counts.sum(axis=1).swapaxes(1, 2)  # (n, T, E)
    reached, reaching = _from_here(left), _from_here(rates)
    log_reach = np.log(np.maximum(reached / reached[..., :1], LEAST_SHARE))
    log_kept = np.diff(log_reach, axis=-1, prepend=0.0)
    terms = np.stack([np.ones_like(log_reach), log_reach, log_kept], axis=-1)
    of_leaving = _regressions(_share(left, reached), _share(rates, reaching), reached, terms)
    return np.stack([of_leaving, _regressions(_share(right, left), accuracy, left, terms)])


def _from_here(values: Floats) -> Floats:
    return np.cumsum(values[..., ::-1], axis=-1)[..., ::-1]


def _share(part: Array, whole: Array) -> Floats:
    return np.asarray(part / np.maximum(whole, SMALLEST_SHARE))


def _regressions(measured: Floats, by_curves: Floats, weight: Floats, terms: Floats) -> Floats:
    """(E, 5) numbers of each position, from (n, T, E) shares, the weights of the samples that they are shares of, and
    the (n, T, E, 3) terms 1, log r and log k. A share of 0 or 1 says nothing of its logit."""
    measured, by_curves = (np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE) for share in (measured, by_curves))
    expected = logit(by_curves)
    off = np.clip(logit(measured) - expected, -LARGEST_UNEXPLAINED, LARGEST_UNEXPLAINED)
    features = np.concatenate([terms, terms[..., 1:] * expected[..., None]], axis=-1)
    weighted = features * (weight * measured * (1 - measured))[..., None]
    matrix = np.einsum("ntef,nteg->efg", weighted, features) + np.eye(NUMBERS) / PRIOR_SD**2
    return np.asarray(np.linalg.solve(matrix, np.einsum("ntef,nte->ef", weighted, off)[..., None])[..., 0])
