"""Random changes to images: what they keep, and that they follow from their generator."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from surrogate_nas.training import augmentation as augment
from surrogate_nas.training.recipe import Recipe


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shift(images: Tensor, generator: torch.Generator, flips: bool) -> Tensor:
    return augment.shift(images, *augment.draw_shift(len(images), images.shape[-1], flips, generator))


def cutout(images: Tensor, generator: torch.Generator, share: float, fill: Tensor) -> Tensor:
    corner = augment.draw_corner(len(images), images.shape[-1], share, generator)
    return augment.cutout(images, corner, share, fill)


def mixup(
    images: Tensor, labels: Tensor, classes: int, generator: torch.Generator, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    return augment.mixup(images, labels, classes, *augment.draw_mixture(len(images), alpha, generator))


def ramps(n: int, channels: int = 1, size: int = 16) -> Tensor:
    """Every pixel holds its column, so a row ascends exactly if it is not mirrored."""
    return torch.arange(size, dtype=torch.uint8).expand(n, channels, size, size).contiguous()


@given(size=st.integers(1, 20), channels=st.integers(1, 3), seed=st.integers(0, 99), flips=st.booleans())
def test_augmented_images_keep_their_shape_and_have_no_other_pixels(
    size: int, channels: int, seed: int, flips: bool
) -> None:
    images = torch.randint(0, 256, (5, channels, size, size), dtype=torch.uint8, generator=generator(seed))
    augmented = shift(images, generator(seed + 1), flips)
    assert (augmented.shape, augmented.dtype) == (images.shape, images.dtype)
    for before, after in zip(images.flatten(0, 1), augmented.flatten(0, 1), strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())


def test_images_are_never_mirrored_where_that_is_not_allowed_and_half_of_them_where_it_is() -> None:
    images = ramps(400)
    rises = (shift(images, generator(0), flips=False)[..., -1] > images[..., 0]).all(dim=(1, 2))
    assert rises.all()
    mirrored = (shift(images, generator(0), flips=True).int().diff(dim=-1) <= 0).all(dim=(1, 2, 3))
    assert 0.4 < float(mirrored.float().mean()) < 0.6


def test_images_shift_by_up_to_an_eighth_of_their_side_and_repeat_their_edge() -> None:
    shifted = shift(ramps(400), generator(0), flips=False)[:, 0, 0].int()
    rows = {tuple(row) for row in shifted.tolist()}
    assert rows == {tuple(np.clip(np.arange(16) + by, 0, 15).tolist()) for by in (-2, -1, 0, 1, 2)}


def test_augmentation_follows_from_its_generator() -> None:
    first, again, other = (shift(ramps(50), generator(seed), flips=True) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_channels_move_together() -> None:
    augmented = shift(ramps(50, channels=3), generator(0), flips=True)
    assert torch.equal(augmented[:, 0], augmented[:, 1])
    assert torch.equal(augmented[:, 0], augmented[:, 2])


# ---------------------------------------------------------------------- cutout and mixup


@given(size=st.integers(2, 20), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_cutout_blanks_one_rectangle_no_larger_than_asked_and_leaves_the_rest(
    size: int, share: float, seed: int
) -> None:
    images = torch.full((6, 2, size, size), 9, dtype=torch.uint8)
    fill = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    cut = cutout(images, generator(seed), share, fill)
    assert cut.dtype == torch.uint8
    width = max(round(share * size), 1)
    for channel, value in ((0, 1), (1, 2)):
        blank = cut[:, channel] == value
        assert torch.equal(~blank, cut[:, channel] == 9)
        rows, columns = blank.any(dim=2), blank.any(dim=1)
        assert torch.equal(blank, rows[:, :, None] & columns[:, None, :])  # a rectangle: its rows times its columns
        assert (rows.sum(dim=1) <= width).all()
        assert (columns.sum(dim=1) <= width).all()
    assert (cut[:, 0] == 1).flatten(1).any(dim=1).all() or width == 1


def test_squares_that_are_not_cut_by_the_edge_have_the_side_that_was_asked_for() -> None:
    cut = cutout(torch.ones(500, 1, 16, 16), generator(0), 0.25, torch.zeros(1, 1, 1, 1))
    blanked = (cut == 0).sum(dim=(1, 2, 3))
    assert int(blanked.max()) == 16
    assert 0.4 < float((blanked == 16).float().mean()) < 0.9


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixtures_have_the_shares_of_classes_that_they_have_of_images(alpha: float) -> None:
    images = torch.eye(4).reshape(4, 4, 1, 1).expand(-1, -1, 3, 3) * 200  # an image's channel tells who it is
    labels = torch.arange(4)
    for seed in range(20):
        mixed, targets, most = mixup(images, labels, 4, generator(seed), alpha)
        torch.testing.assert_close(mixed[:, :, 0, 0] / 200, targets)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
        torch.testing.assert_close(targets[range(4), most], targets.max(dim=1).values)


def test_mixing_shares_are_spread_as_a_beta_distribution_has_it() -> None:
    labels = torch.tensor([0, 1])
    shares = []
    for seed in range(2000):
        _, targets, _ = mixup(torch.zeros(2, 1, 1, 1), labels, 2, generator(seed), 0.5)
        shares.append(float(targets[0, 0]))
    mixing_shares = [s for s in shares if s != 1.0]  # half of the time an image is mixed with itself
    assert 0.4 < len(mixing_shares) / 2000 < 0.6
    assert np.mean(mixing_shares) == pytest.approx(0.5, abs=0.04)
    assert np.var(mixing_shares) == pytest.approx(1 / 8, rel=0.15)  # 1 / (4 (2α + 1))


def test_mixing_follows_from_its_generator() -> None:
    images, labels = torch.rand(8, 1, 2, 2), torch.arange(8)
    one, again, other = (mixup(images, labels, 8, generator(seed), 1.0)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


# ---------------------------------------------------------------------- draws of an epoch


@given(augmented=st.booleans(), flips=st.booleans(), share=st.sampled_from([0, 0.3]), alpha=st.sampled_from([0, 0.4]))
def test_draws_that_are_moved_together_are_those_of_each_batch(
    augmented: bool, flips: bool, share: float, alpha: float
) -> None:
    recipe, source = Recipe(augment=augmented, cutout=share, mixup=alpha), generator(3)
    draws = [augment.draw(5, 8, recipe, flips, source) for _ in range(4)]
    moved = augment.moved(draws, torch.device("cpu"))
    assert len(moved) == 4
    for one, other in zip(draws, moved, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
    present = [value is not None for value in moved[0][:4]]
    assert present == [augmented, augmented and flips, share > 0, alpha > 0]
