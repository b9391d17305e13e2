"""Speed of trainings: seconds per unit of work, from the durations of records, or else from a few timed steps."""

import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import median

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import COMPUTED, Record
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.timed.seconds import MEASURING
from surrogate_nas.training import training as train
from surrogate_nas.training.devices import kind_of
from surrogate_nas.training.recipe import Recipe

TRIAL_STEPS = 6
LATEST = 32
"""Number of latest records that determine the speed: older ones may be from other conditions or machines."""


def work(problem: Problem, splits: Splits, architecture: Architecture, passes: float) -> float:
    """Work of a training in multiply-accumulates: those of the whole network, times passes of images."""
    held_out = len(splits.tune) + len(splits.test)
    return (passes + MEASURING * held_out) * int(problem.costing.of(architecture).macs()[0, -1])


def measured_speed(problem: Problem, splits: Splits, records: Sequence[Record], device: str | None) -> float | None:
    """Median seconds per multiply-accumulate of the latest trainings on this kind of device.

    Args:
        problem: problem of the study.
        splits: splits of the study.
        records: records of the study.
        device: device in use; `None` for any.

    Returns:
        `None` if no such training has succeeded.
    """
    alike = [r for r in records if r.failure is None and _on(r, device)]
    speeds = [r.seconds / work(problem, splits, r.architecture, _passes(r, splits)) for r in alike[-LATEST:]]
    return median(speeds) if speeds else None


def _passes(record: Record, splits: Splits) -> float:
    """Image passes that a training computed: on a ladder, those since the rung that it went on from."""
    if record.proposal.passes is not None:
        return float(record.provenance.get(COMPUTED, record.proposal.passes))
    return Recipe.of_fidelity(record.proposal.fidelity).epochs * len(splits.train)


def _on(record: Record, device: str | None) -> bool:
    where = str(record.provenance.get("device", "auto"))
    return device is None or where == "auto" or kind_of(where) == kind_of(device)  # older versions recorded `auto`


def timed_speed(problem: Problem, splits: Splits, architecture: Architecture) -> float:
    """Seconds per multiply-accumulate of a few steps on one thread of this machine's processor."""
    return seconds_per_pass(problem, splits, architecture) / int(problem.costing.of(architecture).macs()[0, -1])


def seconds_per_pass(problem: Problem, splits: Splits, architecture: Architecture) -> float:
    """Seconds for each image of a few steps of training a network on one thread of this machine's processor."""
    recipe = problem.settings.recipe.model_copy(update={"epochs": 1, "max_seconds": None})
    network = train.build(
        architecture, splits, problem.shape.classes, 0, train.resolve_device("cpu"), problem.costing.backbone
    )
    images = splits.train[np.arange(min(len(splits.train), TRIAL_STEPS * recipe.batch_size))]
    passes = max(len(images) // recipe.batch_size, 1) * recipe.batch_size
    seconds = min(_time_training(network, images, recipe) for _ in range(2))
    return seconds / passes


def _time_training(network: EarlyExitNetwork, data: LabeledImages, recipe: Recipe) -> float:
    """Seconds that a training takes on one thread."""
    with one_thread():
        start = time.monotonic()
        with suppress(train.TrainingFailure):  # divergence is reported by the real trainings
            train.fit(network, data, recipe, 0, flips=False)
        return time.monotonic() - start
