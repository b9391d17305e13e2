"""Random changes to a batch of images that leave their class as it is, all images of a batch at once."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SHIFT_SHARE = 1 / 8  # of the image's side: 4 pixels at 32, as usual for CIFAR; 1 at 8


def shift(images: Tensor, generator: torch.Generator, flips: bool) -> Tensor:
    """Shift every image of an (N, C, size, size) batch by up to ⅛ of its side, edges repeated; mirror half of them."""
    n, _, size, _ = images.shape
    reach = max(round(size * SHIFT_SHARE), 1)
    offset = torch.randint(-reach, reach + 1, (2, n, 1), generator=generator)
    rows, columns = (torch.arange(size) + offset).clamp_(0, size - 1)  # (n, size) each
    if flips:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = (rows[:, :, None] * size + columns[:, None, :]).reshape(n, 1, -1).to(images.device)
    return images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).reshape(images.shape)


def cutout(images: Tensor, generator: torch.Generator, share: float, fill: Tensor) -> Tensor:
    """Blank a square of every image, `share` of its side wide and partly outside perhaps (arXiv 1708.04552).

    Args:
        images: (N, C, size, size).
        generator: of the squares' centres.
        share: of the side.
        fill: (1, C, 1, 1) what the square is filled with.
    """
    n, _, size, _ = images.shape
    width = max(round(share * size), 1)
    start = torch.randint(0, size, (2, n, 1), generator=generator) - width // 2
    at = torch.arange(size)
    rows, columns = (at >= start) & (at < start + width)  # (n, size) each
    blank = (rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
    return torch.where(blank, fill.to(images.dtype), images)


def mixup(
    images: Tensor, labels: Tensor, classes: int, generator: torch.Generator, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every image with another of the batch, λ : 1 − λ, λ ~ Beta(α, α) per batch (arXiv 1710.09412).

    Returns:
        Mixed images as float32, (N, C) shares of classes, and (N,) the class with the greater share.
    """
    seed = int(torch.randint(2**31, (), generator=generator))  # torch.Beta takes no generator
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(images), generator=generator).to(images.device)
    mixed = share * images.float() + (1 - share) * images[other].float()
    one_hot = functional.one_hot(labels, classes).to(mixed.dtype)
    return mixed, share * one_hot + (1 - share) * one_hot[other], labels if share >= 0.5 else labels[other]
