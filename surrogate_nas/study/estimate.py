"""Estimate the time, memory and disk of the remaining trainings, and check the machine."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import MOST_CLASSES_WITH_LOGITS
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.machine import amount, available_cores, available_memory, free_disk
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.search.problem import Problem
from surrogate_nas.space.sampling import sample_within
from surrogate_nas.study.workers import make_executor
from surrogate_nas.training import training as train
from surrogate_nas.training.recipe import Recipe

TRIAL_STEPS = 6
SECONDS_PER_FIT_AND_ROUND = 0.25  # per trained network, both surrogates cross-validated, on a slow core
SAMPLED = 64
BASE_MEMORY = 600_000_000  # of a process with torch that trains digits, measured: 540 MB
COPIES_OF_DATA = 2  # the file while it is split, and the splits
COPIES_IN_TRAINING = 2  # what layers keep for the gradient, and the gradient
COPIES_IN_MEASURING = 3  # of one layer: what it is given, what it gives, and its work space
COPIES_OF_WEIGHTS = 3  # in the state of a training between two epochs: weights, momentum, and a partial file
BYTES_OF_SCORES = 13  # three policies in 32 bits, and whether the answer is right


@dataclass(frozen=True, slots=True)
class Plan:
    """Resources of a number of trainings."""

    trainings: int
    workers: int
    """Trainings at a time."""
    memory: int
    """Bytes of memory of this machine that each training uses, approximately."""
    disk: int
    """Bytes on disk, at most."""

    @classmethod
    def of(cls, problem: Problem, splits: Splits, trainings: int) -> "Plan":
        """Estimate; if the settings name no workers, there are as many as cores, or as fit into memory."""
        typical, settings = _sample(problem), problem.settings
        memory, is_local = _memory(problem, splits, typical), settings.executor == "processes"
        if is_local and settings.workers is None:
            workers = max(min(available_cores(), available_memory() // memory), 1)
        else:
            workers = make_executor(settings).workers
        return cls(trainings, workers, memory if is_local else 0, _disk(problem, splits, typical, trainings, workers))

    def check(self, path: Path) -> None:
        """Check that the machine has enough disk and memory.

        Raises:
            InputError: with the need, the available amount, and a remedy.
        """
        free, memory = free_disk(path), available_memory()
        if self.disk > free:
            raise InputError(
                f"{self.trainings} trainings write up to {amount(self.disk)} at {path}, where {amount(free)} are free"
            )
        at_a_time = min(self.workers, self.trainings)
        if self.memory * at_a_time > memory:
            fitting = memory // self.memory
            cure = f"allowed: --workers up to {fitting}" if fitting else "not even one fits: free some"
            raise InputError(
                f"{at_a_time} trainings at a time need about {amount(self.memory)} of memory each, and "
                f"{amount(memory)} are free; {cure}, or use smaller batches"
            )


def _sample(problem: Problem) -> list[Architecture]:
    """Sampled architectures within the limits, the costliest last."""
    n = min(problem.space.size, SAMPLED)
    with suppress(InputError):
        architectures = sample_within(
            problem.space, n, problem.costing, problem.settings.limits, np.random.default_rng(0), set()
        )
        return sorted(architectures, key=lambda a: int(problem.costing.of(a).macs()[0, -1]))
    return problem.space.sample(1, np.random.default_rng(0))


def _memory(problem: Problem, splits: Splits, typical: list[Architecture]) -> int:
    """Bytes of one training process."""
    data = sum(part.images.nbytes for part in (splits.train, splits.tune, splits.test))
    network = train.build(typical[-1], splits, problem.shape.classes, 0, torch.device("cpu"), problem.costing.backbone)
    layers = _activations(network, splits.train[np.arange(1)])
    training = problem.settings.recipe.batch_size * COPIES_IN_TRAINING * sum(layers)
    measuring = train.PREDICTION_BATCH * COPIES_IN_MEASURING * max(layers)
    return BASE_MEMORY + COPIES_OF_DATA * data + max(training, measuring)


@torch.inference_mode()
def _activations(network: nn.Module, image: LabeledImages) -> list[int]:
    """Bytes of each layer's output for one image."""
    sizes: list[int] = []

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        sizes.append(output.nbytes if isinstance(output, Tensor) else 0)

    hooks = [m.register_forward_hook(count) for m in network.modules() if not list(m.children())]
    network.eval()(torch.from_numpy(image.images))
    for hook in hooks:
        hook.remove()
    return sizes


def _disk(problem: Problem, splits: Splits, typical: list[Architecture], trainings: int, workers: int) -> int:
    classes, held_out = problem.shape.classes, len(splits.tune) + len(splits.test)
    per_answer = 2 * classes if classes <= MOST_CLASSES_WITH_LOGITS else BYTES_OF_SCORES
    outputs = held_out * (problem.space.positions * per_answer + splits.tune.labels.itemsize)
    weights = 4 * max(int(problem.costing.of(a).parameters[0]) for a in typical)
    kept_weights = 0 if problem.settings.keep == "none" else weights
    return trainings * (outputs + kept_weights) + workers * COPIES_OF_WEIGHTS * weights


def estimated_seconds(problem: Problem, splits: Splits, plan: Plan, done: int) -> float:
    """Seconds of the trainings and the fits between them, from a few timed steps of one network.

    Args:
        problem: the search problem.
        splits: the study's.
        plan: number of trainings and workers.
        done: number of earlier trainings.
    """
    if plan.trainings <= 0:
        return 0.0
    settings, sample = problem.settings, _sample(problem)
    recipe, middle = settings.recipe, sample[len(sample) // 2]
    macs = np.array([int(problem.costing.of(a).macs()[0, -1]) for a in sample])
    device = train.resolve_device(settings.device)
    network = train.build(middle, splits, problem.shape.classes, 0, device, problem.costing.backbone)
    trial_images = splits.train[np.arange(min(len(splits.train), TRIAL_STEPS * recipe.batch_size))]
    steps = max(len(trial_images) // recipe.batch_size, 1)
    trial = recipe.model_copy(update={"epochs": 1, "max_seconds": None})
    per_step = (
        min(_time_training(network, trial_images, trial) for _ in range(2))
        / steps
        * float(macs.mean() / np.median(macs))
    )
    held_out = (len(splits.tune) + len(splits.test)) / 3  # measuring is a third of training
    training = (len(splits.train) * recipe.epochs + held_out) / recipe.batch_size * per_step
    rounds = -(-max(settings.budget - max(settings.initial, done), 0) // settings.batch) + 1
    fits = rounds * SECONDS_PER_FIT_AND_ROUND * settings.budget
    return plan.trainings * training / min(plan.workers, plan.trainings) + fits


def _time_training(network: EarlyExitNetwork, data: LabeledImages, recipe: Recipe) -> float:
    """Seconds that a training takes on one thread."""
    with one_thread():
        start = time.monotonic()
        with suppress(train.TrainingFailure):  # a recipe that diverges is for the records to say
            train.fit(network, data, recipe, 0, flips=False)
        return time.monotonic() - start
