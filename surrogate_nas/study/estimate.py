"""Estimate the time, memory and disk of the remaining trainings, and check the machine."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import MOST_CLASSES_WITH_LOGITS
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.machine import (
    amount,
    available_cores,
    available_memory,
    crowding,
    free_disk,
    other_load,
)
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.timed.seconds import Timing, TrainingSeconds, Work, work_of
from surrogate_nas.space.sampling import sample_within
from surrogate_nas.study.pruning import weights_size
from surrogate_nas.study.speed import measured_speed, seconds_per_pass, timed_speed, work
from surrogate_nas.study.workers import make_executor
from surrogate_nas.training import training as train
from surrogate_nas.training.devices import device_here, kind_of
from surrogate_nas.training.executors.processes import free_gpu_memory
from surrogate_nas.training.gpu_memory import RESIDENT_CONTEXT, GpuNeed, gpu_memory
from surrogate_nas.training.recipe import Recipe

SECONDS_PER_FIT_AND_ROUND = 0.15  # per trained network, all surrogates cross-validated, on a slow core
SAMPLED = 64
START = 1.0  # seconds to start a process, read the images and store the outputs
BASE_MEMORY = 600_000_000  # bytes of a process with torch that trains on digits; measured: 540 MB
COPIES_OF_DATA = 2  # the file while it is split, and the splits
COPIES_IN_TRAINING = 2  # activations kept for the gradient, and the gradient
COPIES_IN_MEASURING = 3  # of one layer: its input, its output, and its work space
COPIES_OF_WEIGHTS = 3  # in the state of a training between two epochs: weights, momentum, and a partial file
BYTES_OF_SCORES = 13  # three policies in 32 bits, and one byte for the answer


@dataclass(frozen=True, slots=True)
class Plan:
    """Resources of a number of trainings."""

    trainings: int
    workers: int
    """Number of trainings at a time."""
    memory: int
    """Approximate bytes of this machine's memory that each training uses; 0 if trainings run on other machines."""
    disk: int
    """Upper bound on the bytes written to disk."""
    device: str | None = None
    """Device of the trainings; `None` if they run on other machines."""
    gpu: GpuNeed | None = None
    """Memory needed on this machine's GPU; `None` if the trainings do not run on it."""

    @classmethod
    def of(cls, problem: Problem, splits: Splits, trainings: int) -> "Plan":
        """Estimate the resources; by default with one worker per core, or as many as fit into memory."""
        typical, settings = _sample(problem), problem.settings
        device = device_here(settings.device) if settings.executor == "processes" else None
        memory, gpu = _memory(problem, splits, typical, device)
        if device is not None and settings.workers is None:
            workers = max(min(available_cores(), available_memory() // memory), 1)
            workers = workers if gpu is None else gpu.workers(workers)
        else:
            workers = make_executor(settings).workers
        return cls(
            trainings=trainings,
            workers=workers,
            memory=memory if device is not None else 0,
            disk=_disk(problem, splits, typical, trainings, workers),
            device=device,
            gpu=gpu,
        )

    def check(self, path: Path) -> None:
        """Check that the machine has enough disk and memory.

        Raises:
            InputError: naming the need, the available amount, and a remedy.
        """
        free, memory = free_disk(path), available_memory()
        if self.disk > free:
            raise InputError(
                f"{self.trainings} trainings write up to {amount(self.disk)} to {path}, "
                f"but only {amount(free)} are free"
            )
        at_a_time = min(self.workers, self.trainings)
        if self.memory * at_a_time > memory:
            fitting = memory // self.memory
            cure = f"allowed: --workers up to {fitting}" if fitting else "not even one fits: free some memory"
            raise InputError(
                f"{at_a_time} trainings at a time need about {amount(self.memory)} of memory each, but "
                f"only {amount(memory)} are free; {cure}, or use smaller batches"
            )
        if self.gpu is not None:
            self.gpu.check(at_a_time)


def _sample(problem: Problem) -> list[Architecture]:
    """Sampled architectures within the limits, the costliest last."""
    n = min(problem.space.size, SAMPLED)
    with suppress(InputError):
        architectures = sample_within(
            problem.space, n, problem.costing, problem.bounds, np.random.default_rng(0), set()
        )
        return sorted(architectures, key=lambda a: int(problem.costing.of(a).macs()[0, -1]))
    return problem.space.sample(1, np.random.default_rng(0))


def _memory(
    problem: Problem, splits: Splits, typical: list[Architecture], device: str | None
) -> tuple[int, GpuNeed | None]:
    """Bytes of memory of one training process, and its need of GPU memory if it is a separate process."""
    data = sum(part.images.nbytes for part in (splits.train, splits.tune, splits.test))
    network = train.build(typical[-1], splits, problem.shape.classes, 0, torch.device("cpu"), problem.costing.backbone)
    layers = _activations(network, splits.train[np.arange(1)])
    training = problem.settings.recipe.batch_size * COPIES_IN_TRAINING * sum(layers)
    measuring = train.PREDICTION_BATCH * COPIES_IN_MEASURING * max(layers)
    base, at_work = BASE_MEMORY + COPIES_OF_DATA * data, max(training, measuring)
    if device is None or kind_of(device) != "cuda":
        return base + at_work, None
    weights = sum(p.nbytes for p in network.parameters())
    needed = gpu_memory(splits.train.images.nbytes + splits.train.labels.nbytes, weights, at_work)
    in_own_process = problem.settings.workers != 0
    return base + RESIDENT_CONTEXT, GpuNeed(needed, free_gpu_memory(device)) if in_own_process else None


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
    weights = weights_size(max(int(problem.costing.of(a).parameters[0]) for a in typical))
    kept_weights = 0 if problem.settings.keep == "none" else weights  # all may be on the front, or within `keep_gb`
    trunks = 0 if problem.ladder is None else COPIES_OF_WEIGHTS * weights  # states to go on from, which are always kept
    return trainings * (outputs + kept_weights + trunks) + workers * COPIES_OF_WEIGHTS * weights


def estimated_seconds(problem: Problem, splits: Splits, plan: Plan, records: Sequence[Record]) -> float | None:
    """Estimated seconds of the trainings and the surrogate fits between them.

    The estimate is based on the durations of earlier trainings; before the first, on a few timed steps and the load of
    the machine.

    Args:
        problem: the search problem.
        splits: splits of the study.
        plan: number of trainings and workers.
        records: records of the search so far.

    Returns:
        Seconds; `None` for trainings on a GPU or on other machines, before the first has ended.
    """
    settings = problem.settings
    training = training_seconds(problem, splits, plan, records)
    if training is None or plan.trainings <= 0:
        return training
    rounds = -(-max(settings.budget - max(settings.initial, len(records)), 0) // settings.batch) + 1
    return training + rounds * SECONDS_PER_FIT_AND_ROUND * settings.budget


def training_seconds(
    problem: Problem,
    splits: Splits,
    plan: Plan,
    records: Sequence[Record],
    networks: Sequence[Architecture] = (),
    recipe: Recipe | None = None,
    passes: int | None = None,
) -> float | None:
    """Estimated seconds of the trainings alone; otherwise like `estimated_seconds`.

    Args:
        problem, splits, plan, records: see `estimated_seconds`.
        networks: the networks to train, if they are known.
        recipe: recipe of the trainings; by default that of the search.
        passes: rung of the trainings, in image passes; by default that of new networks. It counts from the start, also
            for networks that go on.
    """
    if plan.trainings <= 0:
        return 0.0
    settings, sample = problem.settings, _sample(problem)
    at_a_time = min(max(plan.workers, 1), plan.trainings)
    speed = measured_speed(problem, splits, records, plan.device)
    if speed is None:
        if plan.device != "cpu":
            return None
        speed = timed_speed(problem, splits, sample[len(sample) // 2]) * _slowdown(at_a_time)
    passes = passes or problem.passes or (recipe or settings.recipe).epochs * len(splits.train)
    training = speed * mean(work(problem, splits, a, passes) for a in networks or sample)
    return plan.trainings * training / at_a_time


def sampled_work(problem: Problem) -> Floats:
    """(n, 2) work of sampled networks within the limits; see `surrogate_nas.search.timed.seconds.Work`."""
    return work_of(_sample(problem), problem.costing)


def probed_seconds(problem: Problem, splits: Splits, workers: int) -> TrainingSeconds:
    """Predicted seconds of trainings before there are any: from a few timed steps on one thread of this machine, and
    its load. The networks are those of fewest and most multiply-accumulates, and activations for each of these."""
    sample = _sample(problem)
    work = work_of(sample, problem.costing)
    macs, density = work[:, 0], work[:, 1] / work[:, 0]
    probed = sorted({int(i) for i in (macs.argmin(), macs.argmax(), density.argmin(), density.argmax())})
    timings = [Timing(Work(*work[i]), 1.0, seconds_per_pass(problem, splits, sample[i])) for i in probed]
    fit, slowdown = TrainingSeconds.of(timings, 0), _slowdown(workers)
    each, of_macs, of_activations = (slowdown * c for c in (fit.begin + fit.each, fit.of_macs, fit.of_activations))
    return TrainingSeconds(START, each, of_macs, of_activations, len(splits.tune) + len(splits.test))


def _slowdown(workers: int) -> float:
    """Factor by which a training among several workers is slower than alone, at the present load of the machine."""
    cores, load = available_cores(), other_load()
    return crowding(workers + load, cores) / crowding(1 + load, cores)
