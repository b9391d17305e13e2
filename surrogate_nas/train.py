"""Train one early-exit network and measure what each of its exits says."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from surrogate_nas.config import Recipe
from surrogate_nas.datasets import LabeledImages, Splits
from surrogate_nas.errors import InputError, JobError
from surrogate_nas.network import EarlyExitNetwork
from surrogate_nas.record import FailureKind, Outputs, SplitOutputs
from surrogate_nas.space import Architecture
from surrogate_nas.space.spec import BackboneSpec
from surrogate_nas.unfinished import keep, restore
from surrogate_nas.units import ImageShape

SHIFT_SHARE = 1 / 8  # of the image's side: 4 pixels at 32, as usual for CIFAR; 1 at 8
WARM_UP_SHARE = 0.3
GRADIENT_NORM = 5.0
MEASURE_BATCH = 500


class TrainingFailure(JobError):
    """A training that gave no network; `kind` is stored with the record."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        InputError: if the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def build(
    architecture: Architecture, splits: Splits, classes: int, seed: int, device: torch.device,
    backbone: BackboneSpec | None = None,
) -> EarlyExitNetwork:  # fmt: skip
    """An untrained network for this data; the same weights for the same seed.

    Args:
        architecture: what to build.
        splits: whose training images say how pixels are spread.
        classes: that there are.
        seed: of the weights.
        device: where it goes.
        backbone: the given backbone of the space, if it has one.
    """
    images = splits.train.images
    shape = ImageShape(images.shape[1], images.shape[2], classes)
    mean = tuple(float(m) for m in images.mean(axis=(0, 2, 3)))
    std = tuple(max(float(s), 1.0) for s in images.std(axis=(0, 2, 3)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EarlyExitNetwork(architecture, shape, mean, std, backbone)
    return network.to(device).to(memory_format=torch.channels_last)


def augment(images: Tensor, generator: torch.Generator, flips: bool) -> Tensor:
    """Shift every image of an (n, C, size, size) batch by up to ⅛ of its side, edges repeated; mirror half of them."""
    n, _, size, _ = images.shape
    reach = max(round(size * SHIFT_SHARE), 1)
    offset = torch.randint(-reach, reach + 1, (2, n, 1), generator=generator)
    rows, columns = (torch.arange(size) + offset).clamp_(0, size - 1)  # (n, size) each
    if flips:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = (rows[:, :, None] * size + columns[:, None, :]).reshape(n, 1, -1).to(images.device)
    return images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).reshape(images.shape)


def joint_loss(said: Sequence[tuple[Tensor, Tensor | None]], labels: Tensor, recipe: Recipe) -> Tensor:
    """Σ_e w_e CE_e / Σ_e w_e, the weighted joint loss of BranchyNet (arXiv 1709.01686, eq. 1).

    Gates add the mean of BCE(c_e, 1[exit e is right]), by which NACHOS (arXiv 2401.13330) makes them confidences.

    Args:
        said: per exit (N, C) logits, and (N,) logits of its gate or `None`.
        labels: (N,).
        recipe: weights and label smoothing.
    """
    weights = [recipe.early_exit_weight] * (len(said) - 1) + [1.0]
    losses = [functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing) for logits, _ in said]
    weighted = torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)])
    total = weighted.sum() / sum(weights)
    gated = [
        functional.binary_cross_entropy_with_logits(gate, (logits.detach().argmax(1) == labels).to(gate.dtype))
        for logits, gate in said
        if gate is not None
    ]
    return total + torch.stack(gated).mean() if gated else total


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Of optimiser step `step` out of `steps`: cosine decay, after a linear warm-up in the one-cycle schedule."""
    warm_up = WARM_UP_SHARE * steps if recipe.schedule == "one_cycle" else 0.0
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / (warm_up + 1)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def fit(
    network: EarlyExitNetwork, data: LabeledImages, recipe: Recipe, seed: int, *, flips: bool,
    on_epoch: Callable[[int], None] = lambda epoch: None, unfinished: Path | None = None,
) -> None:  # fmt: skip
    """Train in place, by stochastic gradient descent with Nesterov momentum.

    Args:
        network: from `build`.
        data: the training split.
        recipe: how.
        seed: of the order of samples and of augmentation.
        flips: whether mirror images are allowed.
        on_epoch: told the number of finished epochs.
        unfinished: file that keeps the state after each epoch. If it is there, training goes on from it, and ends
            with the same weights, to the bit, as if it had never stopped.

    Raises:
        TrainingFailure: if the loss stops being finite or the recipe's time is over.
    """
    device = network.mean.device
    images = torch.from_numpy(data.images).to(device)
    labels = torch.from_numpy(data.labels).to(device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        _parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate, momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )  # fmt: skip
    per_epoch = max(len(data) // recipe.batch_size, 1)
    steps = per_epoch * recipe.epochs
    done, seconds = restore(unfinished, network, optimizer, generator) if unfinished else (0, 0.0)
    start = time.monotonic() - seconds
    network.train()
    with torch.random.fork_rng(devices=[]):  # a given backbone may draw from the global generator
        for step in range(done * per_epoch, steps):
            if step % per_epoch == 0:
                torch.manual_seed(seed + done)  # by epoch, which may be the first of a new life
                order = torch.randperm(len(data), generator=generator)
            at = (step % per_epoch) * recipe.batch_size
            chosen = order[at : at + recipe.batch_size].to(device)
            batch = augment(images[chosen], generator, flips) if recipe.augment else images[chosen]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, recipe)
            loss = joint_loss(network.said(batch.contiguous(memory_format=torch.channels_last)), labels[chosen], recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
            optimizer.step()
            if (step + 1) % per_epoch == 0:
                done += 1
                if not math.isfinite(last := float(loss.detach())) or not math.isfinite(float(norm)):
                    raise TrainingFailure("diverged", f"loss {last:g} in epoch {done}")
                if unfinished:
                    keep(unfinished, network, optimizer, generator, done, time.monotonic() - start)
                on_epoch(done)
            if recipe.max_seconds is not None and time.monotonic() - start > recipe.max_seconds:
                raise TrainingFailure("time", f"more than {recipe.max_seconds:g} s, in epoch {step // per_epoch + 1}")


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Biases and batch-norm parameters are not decayed; what is frozen is left out."""
    trained = [p for p in network.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


@torch.inference_mode()
def measure(network: EarlyExitNetwork, splits: Splits) -> Outputs:
    """What every exit says of the tune and test splits.

    Raises:
        TrainingFailure: if a logit is not finite.
    """
    network.eval()
    return Outputs(_measure(network, splits.tune), _measure(network, splits.test))


def _measure(network: EarlyExitNetwork, data: LabeledImages) -> SplitOutputs:
    batches, gates = [], []
    for at in range(0, len(data), MEASURE_BATCH):
        images = torch.from_numpy(data.images[at : at + MEASURE_BATCH])
        said = network.said(images.to(network.mean.device).contiguous(memory_format=torch.channels_last))
        batches.append(torch.stack([logits for logits, _ in said]).cpu().numpy())
        gates.append(torch.stack([said[-1][0].new_zeros(len(images)) if g is None else g for _, g in said]))
    logits, gate = np.concatenate(batches, axis=1), torch.cat(gates, dim=1).cpu().numpy()
    if not np.isfinite(logits).all() or not np.isfinite(gate).all():
        raise TrainingFailure("diverged", "the trained network's logits are not finite")
    limit, gated = np.finfo(np.float16).max, any(g is not None for _, g in said)
    return SplitOutputs.of(logits.clip(-limit, limit), data.labels, gate.clip(-limit, limit) if gated else None)
