"""Training of one early-exit network, and the outputs of its exits on held-out images."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from surrogate_nas import datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import FailureKind
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.foundation.errors import InputError, JobError, first_line
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import augmentation as augment
from surrogate_nas.training import checkpoint as unfinished
from surrogate_nas.training.devices import device_here
from surrogate_nas.training.losses import TrainingObjective
from surrogate_nas.training.precision import autocast, repeatable, warn_if_emulated
from surrogate_nas.training.recipe import Nachos, Recipe

WARM_UP_SHARE = 0.3
GRADIENT_NORM = 5.0
PREDICTION_BATCH = 500
ADAM_BETA_2 = 0.999


class TrainingFailure(JobError):
    """Failure of a training; `kind` is stored with the record."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


def resolve_device(name: str) -> torch.device:
    """Resolve a device name on this machine, for use in this process; see `device_here`.

    Raises:
        InputError: if the device does not exist here, or cannot be used.
    """
    device = torch.device(device_here(name))
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used here: {first_line(error)}") from None
    return device


def build(
    architecture: Architecture,
    splits: Splits,
    classes: int,
    seed: int,
    device: torch.device,
    backbone: BackboneSpec | None = None,
) -> EarlyExitNetwork:
    """Create an untrained network for the data; equal seeds give equal weights.

    Args:
        architecture: architecture to build.
        splits: splits of the data, whose training images give the mean and deviation of pixels.
        classes: number of classes.
        seed: seed of the initial weights.
        device: device of the network.
        backbone: specification of the user's backbone, if the space has one.
    """
    images = splits.train.images
    shape = ImageShape(images.shape[1], images.shape[2], classes)
    mean, deviation = datasets.moments(images)
    std = tuple(max(s, 1.0) for s in deviation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EarlyExitNetwork(architecture, shape, mean, std, backbone)
    return network.to(device).to(memory_format=torch.channels_last)


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate at step `step` of `steps`: cosine decay, after a linear warm-up in the one-cycle schedule.

    If exits start to learn in the middle of a training (`Nachos.start`), it rises again from 0 during their warm-up.
    """
    warm_up = WARM_UP_SHARE * steps if recipe.schedule == "one_cycle" else 0.0
    if step < warm_up:
        rate = recipe.learning_rate * (step + 1) / (warm_up + 1)
    else:
        rate = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))
    return rate * _share_while_exits_start(step, steps, recipe)


def _share_while_exits_start(step: int, steps: int, recipe: Recipe) -> float:
    if recipe.loss.kind != "nachos" or recipe.loss.start == "at_once":
        return 1.0
    first, last = (epoch * steps / recipe.epochs for epoch in recipe.loss.warm_up(recipe.epochs))
    return (step - first + 1) / (last - first + 1) if first <= step < last else 1.0


def fit(
    network: EarlyExitNetwork,
    data: LabeledImages,
    recipe: Recipe,
    seed: int,
    *,
    flips: bool,
    charge_heads: ChargeHeads = "all",
    on_epoch: Callable[[int], None] = lambda epoch: None,
    unfinished: Path | None = None,
) -> None:
    """Train in place, calling `on_epoch` with the number of finished epochs; for the other arguments see `epochs`."""
    for done in epochs(network, data, recipe, seed, flips=flips, charge_heads=charge_heads, unfinished=unfinished):
        on_epoch(done)


def epochs(
    network: EarlyExitNetwork,
    data: LabeledImages,
    recipe: Recipe,
    seed: int,
    *,
    flips: bool,
    charge_heads: ChargeHeads = "all",
    unfinished: Path | None = None,
) -> Iterator[int]:
    """Train in place, and yield the number of finished epochs after each.

    Args:
        network: from `build`.
        data: the training split.
        recipe: hyperparameters.
        seed: seed of the order of samples and of augmentation.
        flips: whether mirror images are allowed.
        charge_heads: branches charged to a sample, if the loss depends on MACs.
        unfinished: checkpoint, which is written after each epoch. If it exists, training resumes from it, and the final
            weights equal those of an uninterrupted training bit for bit.

    Raises:
        TrainingFailure: if the loss stops being finite, or the recipe's time limit is exceeded.
    """
    training = Training(network, data, recipe, seed, optimizer_of(network, recipe), flips, charge_heads)
    done, seconds = training.restore(unfinished) if unfinished else (0, 0.0)
    start = time.monotonic() - seconds
    for epoch in range(done, recipe.epochs):
        with torch.random.fork_rng(devices=[]), repeatable():  # a user's backbone may draw from the global generator
            torch.manual_seed(seed + epoch)  # in each epoch, since a resumed training may start with any of them
            for _ in training.epoch(epoch):
                if recipe.max_seconds is not None and time.monotonic() - start > recipe.max_seconds:
                    message = f"took more than {recipe.max_seconds:g} s (max_seconds), stopped in epoch {epoch + 1}"
                    raise TrainingFailure("time", message)
        if unfinished:
            training.keep(unfinished, epoch + 1, time.monotonic() - start)
        yield epoch + 1
    training.finish()


class Training:
    """State of a training: network, data, optimiser, random generator, and the average of the weights."""

    def __init__(
        self,
        network: EarlyExitNetwork,
        data: LabeledImages,
        recipe: Recipe,
        seed: int,
        optimizer: torch.optim.Optimizer,
        flips: bool,
        charge_heads: ChargeHeads,
    ) -> None:
        self.network, self.recipe, self.flips = network, recipe, flips
        self.device = network.mean.device
        warn_if_emulated(self.device, recipe.precision)
        self.images = torch.from_numpy(data.images).to(self.device)
        self.labels = torch.from_numpy(data.labels).to(self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = optimizer
        self.average = _average(network, recipe.ema) if recipe.ema else None
        self.objective = TrainingObjective(recipe, network.exit_macs(charge_heads))

    @property
    def steps(self) -> int:
        """Number of optimiser steps per epoch. Images of an incomplete last batch, different in each epoch, are left
        out."""
        return max(len(self.labels) // self.recipe.batch_size, 1)

    def epoch(self, epoch: int) -> Iterator[None]:
        """Train on every batch once, yielding after each step."""
        recipe, network = self.recipe, self.network
        support = self._support() if self.objective.needs_support(epoch) else None
        network.train()
        for step, (index, drawn) in enumerate(self.draws()):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(epoch * self.steps + step, recipe.epochs * self.steps, recipe)
            self.step(index, drawn, epoch, support)
            if self.average is not None:
                self.average.update_parameters(network)
            yield
        self.require_finite(f"epoch {epoch + 1}")

    def step(self, index: Tensor, drawn: augment.Draw, epoch: int, support: Tensor | None = None) -> None:
        """Take one step of the optimiser; for the arguments see `loss`."""
        loss = self.loss(index, drawn, epoch, support)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self._last = loss.detach(), norm

    def require_finite(self, when: str) -> None:
        """Raise `TrainingFailure` if the loss or the gradient of the last step is not finite."""
        loss, norm = (float(value) for value in self._last)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingFailure("diverged", f"loss {loss:g} in {when}")

    def draws(self) -> list[tuple[Tensor, augment.Draw]]:
        """Indices of the images in each batch of an epoch, and the augmentation of these, on the device."""
        n, size = min(self.recipe.batch_size, len(self.labels)), self.images.shape[-1]
        order = self._order()[: self.steps * n].reshape(self.steps, n)
        draws = [augment.draw(n, size, self.recipe, self.flips, self.generator) for _ in range(self.steps)]
        return list(zip(order.to(self.device), augment.moved(draws, self.device), strict=True))

    def _order(self) -> Tensor:
        """Indices of an epoch's images: all of them, or a draw in which all classes are equally frequent."""
        count = len(self.labels)
        if not self.recipe.balance:
            return torch.randperm(count, generator=self.generator)
        labels = self.labels.cpu()
        weights = 1 / torch.bincount(labels).double()[labels]
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)

    def loss(self, index: Tensor, drawn: augment.Draw, epoch: int, support: Tensor | None = None) -> Tensor:
        """Loss of the training images with these indices, augmented as drawn; `support` as in `losses.nachos`."""
        images, targets, labels = self._batch(index, drawn)
        exit_outputs = self.forward(images)
        return self.objective([_in_float32(s) for s in exit_outputs], targets, labels, epoch, support)

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Outputs of the exits for a batch, in the precision of the recipe."""
        with autocast(self.device, self.recipe.precision):
            return self.network.exit_outputs(images.contiguous(memory_format=torch.channels_last))

    def see(self, index: Tensor, drawn: augment.Draw) -> None:
        """Pass the training images with these indices forward, augmented as drawn, without a step."""
        self.forward(self._batch(index, drawn)[0])

    def _batch(self, index: Tensor, drawn: augment.Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Images, targets, and the class with the largest share in each image."""
        images, labels = self.images[index], self.labels[index]
        if drawn.offset is not None:
            images = augment.shift(images, drawn.offset, drawn.mirrored)
        if drawn.corner is not None:
            images = augment.cutout(images, drawn.corner, self.recipe.cutout, self.network.mean.round())
        if drawn.other is not None:
            return augment.mixup(images, labels, self.network.shape.classes, drawn.share, drawn.other)
        return images, labels, labels

    @torch.no_grad()
    def _support(self) -> Tensor:
        """(C, X − 1) accuracy of each early exit on each class, on a class-balanced draw of the training images."""
        assert isinstance(self.recipe.loss, Nachos)
        classes, share = self.network.shape.classes, self.recipe.loss.support_share
        order = torch.randperm(len(self.labels), generator=self.generator)
        of_class = [order[self.labels[order].cpu() == k] for k in range(classes)]
        each = max(round(share * len(order) / classes), 1)
        index = torch.cat([rows[:each] for rows in of_class]).to(self.device)
        labels, matches = self.labels[index], []
        self.network.eval()
        for at in range(0, len(index), PREDICTION_BATCH):
            batch = self.images[index[at : at + PREDICTION_BATCH]].contiguous(memory_format=torch.channels_last)
            exit_outputs = self.network.exit_outputs(batch)[:-1]
            matches.append(
                torch.stack([z.argmax(1) == labels[at : at + PREDICTION_BATCH] for z, _ in exit_outputs], dim=1)
            )
        correct = torch.cat(matches).float()
        return torch.stack([correct[labels == k].mean(dim=0) for k in range(classes)])

    def finish(self) -> None:
        """Copy the average of the weights into the network, if the recipe has one."""
        if self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())

    def keep(self, path: Path, epochs: int, seconds: float) -> None:
        """Write the state after a number of epochs and seconds."""
        unfinished.keep(path, self.network, self.average, self.optimizer, self.generator, epochs, seconds)

    def restore(self, path: Path) -> tuple[int, float]:
        """Load the state in the file, if it exists; returns the number of finished epochs, and seconds."""
        return unfinished.restore(path, self.network, self.average, self.optimizer, self.generator)


def _in_float32(exit_outputs: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    logits, gate = exit_outputs
    return logits.float(), None if gate is None else gate.float()


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Optimiser of a recipe. Biases and batch-norm parameters are not decayed; frozen parameters are left out."""
    groups = parameter_groups(network, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, ADAM_BETA_2))
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices, which are decayed, and vectors, which are not."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _average(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and of batch-norm statistics."""
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)


@torch.inference_mode()
def held_out_outputs(network: EarlyExitNetwork, splits: Splits) -> Outputs:
    """Outputs of every exit on the tune and test splits.

    Raises:
        TrainingFailure: if a logit is not finite.
    """
    network.eval()
    return Outputs(predict_split(network, splits.tune), predict_split(network, splits.test))


@repeatable()
@torch.inference_mode()
def predict_split(network: EarlyExitNetwork, data: LabeledImages) -> SplitOutputs:
    """Outputs of every exit of a network in evaluation mode on labelled images; raises like `held_out_outputs`."""
    batches, gates = [], []
    for at in range(0, len(data), PREDICTION_BATCH):
        images = torch.from_numpy(data.images[at : at + PREDICTION_BATCH])
        exit_outputs = network.exit_outputs(
            images.to(network.mean.device).contiguous(memory_format=torch.channels_last)
        )
        batches.append(torch.stack([logits for logits, _ in exit_outputs]).cpu().numpy())
        gates.append(
            torch.stack([exit_outputs[-1][0].new_zeros(len(images)) if g is None else g for _, g in exit_outputs])
        )
    logits, gate = np.concatenate(batches, axis=1), torch.cat(gates, dim=1).cpu().numpy()
    if not np.isfinite(logits).all() or not np.isfinite(gate).all():
        raise TrainingFailure("diverged", "the trained network's logits are not finite")
    has_gates = any(g is not None for _, g in exit_outputs)
    return SplitOutputs.of(logits, data.labels, gate if has_gates else None, data.groups)
