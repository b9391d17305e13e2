"""Training to a rung of a ladder, from which it can go on to the next.

Optimiser: schedule-free stochastic gradient descent (Defazio et al., arXiv 2405.15682). No schedule has to know where
the training ends: what is measured is an average of the weights, which is at any time about as good as a decayed
learning rate would have made them. So stopping at a rung is a fair measurement, and going on costs the difference.

The averaged weights never had batch-norm statistics: the last passes of a rung compute them, forward only. They count
as passes of the rung, but the training goes on from before them, so that no rung depends on another one.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from schedulefree import SGDScheduleFree
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import augmentation as augment
from surrogate_nas.training import checkpoint
from surrogate_nas.training.precision import repeatable
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.training import Training, TrainingFailure, parameter_groups

RATE = 60.0
"""Learning rate, in multiples of the recipe's, which is for momentum and a schedule: they multiply it by about ten, and
a schedule has the largest rate only for a while."""
MOMENTUM = 0.95
"""Share of the average in the weights at which gradients are computed; β of the paper."""
WARM_UP = 0.02
"""Share of the top rung's steps in which the learning rate rises."""
FORWARD, MOST_FORWARD = 0.1, 16
"""Share of a rung's steps, and most steps, whose forward passes alone compute batch-norm statistics."""
BEGUN = "begun"
"""Metadata key of a state: steps from which the training to its rung began."""


@dataclass(frozen=True, slots=True)
class Course:
    """Steps of the training to one rung."""

    training: int
    forward: int
    """Steps of forward passes alone, which follow."""
    warm_up: int

    @classmethod
    def of(cls, network: nn.Module, passes: int, top: int, images: int) -> "Course":
        """Steps of a number of image passes, if the top rung has `top` and a step `images` of them."""
        steps = passes // images
        forward = min(max(round(FORWARD * steps), 1), MOST_FORWARD) if _norms(network) else 0
        return cls(steps - forward, forward, max(round(WARM_UP * top / images), 1))


def to_rung(
    network: EarlyExitNetwork,
    data: LabeledImages,
    recipe: Recipe,
    seed: int,
    passes: int,
    top: int,
    *,
    flips: bool,
    charge_heads: ChargeHeads = "all",
    unfinished: Path | None = None,
    trunk: Path | None = None,
) -> Generator[tuple[int, int], None, int]:
    """Train in place to a rung; yields the number of finished steps and of all steps after each part.

    A part is at most an epoch, and its state is stored. Steps that only compute batch-norm statistics do not count. The
    result is the number of image passes computed for this rung, also before an interruption.

    The weights depend neither on the rungs below, nor on whether the training was stopped at them or interrupted.

    Args:
        network: from `build`.
        data: the training split.
        recipe: hyperparameters; epochs, schedule and momentum have no meaning here.
        seed: seed of the order of samples and of augmentation.
        passes: image passes of the rung.
        top: image passes of the top rung.
        flips: whether mirror images are allowed.
        charge_heads: branches charged to a sample, if the loss depends on MACs.
        unfinished: checkpoint of the training to this rung, which is written after each part, and resumed from.
        trunk: state at the last rung that this network was trained to with this seed, to go on from if it is below this
            one. The training to this rung replaces it, unless it is of a higher one.

    Raises:
        TrainingFailure: if the loss stops being finite, or the recipe's time limit is exceeded.
    """
    images = min(recipe.batch_size, len(data))
    course = Course.of(network, passes, top, images)
    training = Training(network, data, recipe, seed, _optimizer(network, recipe, course.warm_up), flips, charge_heads)
    batches = _Batches(training, seed)
    done, begun, seconds = _restore(training, course, unfinished, trunk)
    start = time.monotonic() - seconds
    while done < course.training:
        end = min((done // training.steps + 1) * training.steps, course.training)
        with torch.random.fork_rng(devices=[]), repeatable():
            for step in range(done, end):
                torch.manual_seed(seed + step)  # a user's backbone may draw from the global generator
                training.step(*batches[step], epoch=step // training.steps)
                if recipe.max_seconds is not None and time.monotonic() - start > recipe.max_seconds:
                    message = f"took more than {recipe.max_seconds:g} s (max_seconds), stopped in step {step + 1}"
                    raise TrainingFailure("time", message)
        done = end
        training.require_finite(f"step {done}")
        if unfinished:
            _keep(training, unfinished, done, time.monotonic() - start, begun)
        yield done, course.training
    if trunk and passes < top and _steps(trunk) < done:
        _keep(training, trunk, done, 0.0, done)
    _take_average(training, batches, course)
    return (done + course.forward - begun) * images


def _optimizer(network: nn.Module, recipe: Recipe, warm_up: int) -> SGDScheduleFree:
    optimizer = SGDScheduleFree(
        parameter_groups(network, recipe),
        lr=RATE * recipe.learning_rate,
        momentum=MOMENTUM,
        warmup_steps=warm_up,
    )
    optimizer.train()
    network.train()
    return optimizer


class _Batches:
    """Images and augmentation of each step, from the seed and the number of the step alone."""

    def __init__(self, training: Training, seed: int) -> None:
        self._training, self._seed = training, seed
        self._epoch, self._draws = -1, list[tuple[Tensor, augment.Draw]]()

    def __getitem__(self, step: int) -> tuple[Tensor, augment.Draw]:
        epoch, place = divmod(step, self._training.steps)
        if epoch != self._epoch:
            self._training.generator.manual_seed(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]))
            self._epoch, self._draws = epoch, self._training.draws()
        return self._draws[place]


@torch.no_grad()
def _take_average(training: Training, batches: _Batches, course: Course) -> None:
    """Replace the weights by their average, and compute its batch-norm statistics as plain means over batches."""
    training.optimizer.eval()  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices=[]), repeatable(), _fresh_statistics(training.network):
        for step in range(course.training, course.training + course.forward):
            torch.manual_seed(step)
            training.see(*batches[step])


@contextmanager
def _fresh_statistics(network: nn.Module) -> Iterator[None]:
    """Compute batch-norm statistics anew inside the block, each batch with the same weight."""
    norms = _norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _norms(network: nn.Module) -> list[_BatchNorm]:
    """Batch norms whose statistics are learned: those of a frozen backbone are not."""
    network.train()
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]


def _keep(training: Training, path: Path, steps: int, seconds: float, begun: int) -> None:
    checkpoint.keep(
        path,
        training.network,
        None,
        training.optimizer,
        training.generator,
        steps,
        seconds,
        checkpoint.STEPS,
        {BEGUN: str(begun)},
    )


def _restore(training: Training, course: Course, unfinished: Path | None, trunk: Path | None) -> tuple[int, int, float]:
    """Load the state to go on from.

    Returns:
        Steps behind it, steps from which the training to this rung began, and its seconds.
    """
    for path in (unfinished, trunk):
        if path is not None and 0 < _steps(path) <= course.training:
            parts = training.network, None, training.optimizer, training.generator
            done, seconds = checkpoint.restore(path, *parts, checkpoint.STEPS)
            if done:
                return done, checkpoint.count_in(path, BEGUN), seconds
    return 0, 0, 0.0


def _steps(path: Path) -> int:
    """Steps behind a stored state; 0 if there is none."""
    return checkpoint.count_in(path, checkpoint.STEPS)
