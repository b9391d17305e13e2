"""Augmentation: random changes that preserve classes, for all images of a batch at once.

Random numbers are drawn on the CPU, for a whole epoch, so that they depend on the seed alone and are moved only once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from surrogate_nas.training.recipe import Recipe

SHIFT_SHARE = 1 / 8  # of the image's side: 4 pixels at 32, as usual for CIFAR; 1 at 8


class Draw(NamedTuple):
    """Random choices for a batch of n images; `None` for changes that the recipe does not make."""

    offset: Tensor | None = None
    """(2, n, 1) rows and columns by which images are shifted."""
    mirrored: Tensor | None = None
    """(n, 1) whether each image is mirrored."""
    corner: Tensor | None = None
    """(2, n, 1) first row and column of the blanked squares."""
    other: Tensor | None = None
    """(n,) index of the image with which each is mixed."""
    share: float = 1.0
    """Share λ of each image in its mixture."""


def draw(n: int, size: int, recipe: Recipe, flips: bool, generator: torch.Generator) -> Draw:
    """Draw the changes of a recipe for n images of a size."""
    offset, mirrored = draw_shift(n, size, flips, generator) if recipe.augment else (None, None)
    corner = draw_corner(n, size, recipe.cutout, generator) if recipe.cutout else None
    share, other = draw_mixture(n, recipe.mixup, generator) if recipe.mixup else (1.0, None)
    return Draw(offset, mirrored, corner, other, share)


def moved(draws: Sequence[Draw], device: torch.device) -> list[Draw]:
    """Move the draws of several batches of one size to a device, by one copy for all of them."""
    fields = [_moved([d[i] for d in draws], device) for i in range(4)]
    return [
        Draw(offset, mirrored, corner, other, d.share)
        for d, offset, mirrored, corner, other in zip(draws, *fields, strict=True)
    ]


def _moved(tensors: Sequence[Tensor | float | None], device: torch.device) -> Sequence[Tensor | None]:
    present = [t for t in tensors if isinstance(t, Tensor)]
    return torch.stack(present).to(device).unbind() if present else [None] * len(tensors)


def draw_shift(n: int, size: int, flips: bool, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Draw `offset`, up to ⅛ of the side, and `mirrored`, for half of the images; see `Draw`."""
    reach = max(round(size * SHIFT_SHARE), 1)
    offset = torch.randint(-reach, reach + 1, (2, n, 1), generator=generator)
    return offset, torch.rand(n, 1, generator=generator) < 0.5 if flips else None


def shift(images: Tensor, offset: Tensor, mirrored: Tensor | None) -> Tensor:
    """Shift every image of an (N, C, size, size) batch, edges repeated, and mirror some; see `Draw`."""
    n, _, size, _ = images.shape
    rows, columns = (torch.arange(size, device=images.device) + offset).clamp_(0, size - 1)  # (n, size) each
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = (rows[:, :, None] * size + columns[:, None, :]).reshape(n, 1, -1)
    return images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).reshape(images.shape)


def draw_corner(n: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw `corner` of squares with sides of `share` of the image's, centred anywhere in the image; see `Draw`."""
    return torch.randint(0, size, (2, n, 1), generator=generator) - _width(size, share) // 2


def cutout(images: Tensor, corner: Tensor, share: float, fill: Tensor) -> Tensor:
    """Blank a square in every image, which may lie partly outside (arXiv 1708.04552).

    Args:
        images: (N, C, size, size).
        corner: see `Draw`.
        share: side of the square, as a share of the image's.
        fill: (1, C, 1, 1) pixel of the square.
    """
    size = images.shape[-1]
    at = torch.arange(size, device=images.device)
    rows, columns = (at >= corner) & (at < corner + _width(size, share))  # (n, size) each
    blank = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(blank, fill.to(images.dtype), images)


def _width(size: int, share: float) -> int:
    return max(round(share * size), 1)


def draw_mixture(n: int, alpha: float, generator: torch.Generator) -> tuple[float, Tensor]:
    """Draw `share`, λ ~ Beta(α, α) for the batch, and `other`; see `Draw`."""
    seed = int(torch.randint(2**31, (), generator=generator))  # torch.Beta takes no generator
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return share, torch.randperm(n, generator=generator)


def mixup(images: Tensor, labels: Tensor, classes: int, share: float, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every image with another of the batch, λ : 1 − λ (arXiv 1710.09412); for `share` and `other` see `Draw`.

    Returns:
        Mixed images as float32, (N, C) shares of classes, and (N,) the class with the largest share.
    """
    mixed = share * images.float() + (1 - share) * images[other].float()
    one_hot = functional.one_hot(labels, classes).to(mixed.dtype)
    return mixed, share * one_hot + (1 - share) * one_hot[other], labels if share >= 0.5 else labels[other]
