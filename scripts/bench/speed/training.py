"""Images per second of two workers of this engine, against the usual loop: a DataLoader with two workers, torchvision's
transforms, one process on two threads. Same networks, batches, augmentation, loss and optimiser, in one run. The usual
loop is in float32; this engine is also timed in bfloat16."""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from surrogate_nas import datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.datasets.splitting import split
from surrogate_nas.training import training as train
from surrogate_nas.training.executors.jobs import DataSource, Job
from surrogate_nas.training.executors.processes import LocalProcesses
from surrogate_nas.training.recipe import Recipe

WORKERS = 2
EPOCHS = 3
"""The first of them is not timed."""
NETWORKS = (
    "stem-w8-s2/inv-d1-w8-k3-e2-s1@linear/inv-d1-w24-k5-e2-s2@sep-d1-c32-p2/inv-d1-w48-k3-e4-s2/res-d1-w48-k5-s2",
    "stem-w16-s2/res-d1-w16-k3-s1@conv-d1-c16-p2/res-d1-w24-k3-s2@conv-d1-c32-p1/res-d2-w48-k3-s2@conv-d1-c32-p1/"
    "res-d1-w64-k3-s2",
    "stem-w16-s1/res-d2-w16-k3-s1@conv-d1-c16-p2/res-d2-w24-k3-s2@conv-d1-c32-p1/res-d3-w48-k3-s2@conv-d1-c32-p1/"
    "res-d2-w64-k3-s2",
)


class Pictures(Dataset[Any]):
    """A data set like torchvision's: one PIL image at a time, through transforms."""

    def __init__(self, data: LabeledImages) -> None:
        self.images, self.labels = data.images.transpose(0, 2, 3, 1), data.labels.tolist()
        mean, std = (f(data.images / 255.0, axis=(0, 2, 3)).tolist() for f in (np.mean, np.std))
        steps = [
            transforms.RandomCrop(self.images.shape[1], padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def usual(architecture: Architecture, data: LabeledImages, splits: datasets.Splits, recipe: Recipe) -> float:
    """Images per second of the usual loop."""
    network = train.build(architecture, splits, 10, 0, torch.device("cpu")).to(memory_format=torch.contiguous_format)
    network.mean.zero_()  # the transforms have normalised
    network.std.fill_(1)
    loader = DataLoader(
        Pictures(data), recipe.batch_size, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    torch.set_num_threads(WORKERS)
    network.train()
    start = seconds = 0.0
    for _ in range(EPOCHS - 1):
        start = time.perf_counter()
        for images, labels in loader:
            losses = [
                functional.cross_entropy(z, labels, label_smoothing=recipe.label_smoothing) for z in network(images)
            ]
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
        seconds = time.perf_counter() - start
    return len(data) / seconds


def job(architecture: Architecture, source: DataSource, folder: Path, recipe: Recipe, seed: int) -> Job:
    proposal = Proposal(
        round=0, rank=seed, origin="initial", architecture=architecture, seed=seed, fidelity=recipe.fidelity
    )
    weights, unfinished = folder / f"{proposal.id}.safetensors", folder / proposal.id
    return Job(proposal=proposal, source=source, recipe=recipe, device="cpu", checkpoint=weights, unfinished=unfinished)


def ours(architecture: Architecture, source: DataSource, folder: Path, recipe: Recipe, images: int) -> float:
    """Images per second of two workers together."""
    jobs = [job(architecture, source, folder, recipe, seed) for seed in range(WORKERS)]
    ends: dict[int, list[float]] = {seed: [] for seed in range(WORKERS)}
    for record in LocalProcesses(WORKERS).run(jobs, lambda p, share: ends[p.seed].append(time.perf_counter())):
        assert record.failure is None, record.failure
    return sum(images * (EPOCHS - 1) / (times[-1] - times[0]) for times in ends.values())


class Watch:
    """Context manager that records the peak memory of any child process."""

    def __init__(self) -> None:
        self.peak, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.over.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    self.peak = max(self.peak, child.memory_info().rss)
                except psutil.Error:
                    continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="where CIFAR-10 is; without, noise of its shape")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--timed-images", type=int, default=9_000, help="training images of the usual loop's epochs")
    arguments = parser.parse_args()
    data = datasets.load("cifar10", arguments.data_root) if arguments.data_root else noise()
    splits = split(data, seed=0)
    recipe = Recipe(epochs=EPOCHS, batch_size=arguments.batch_size)
    some = splits.train[np.arange(min(arguments.timed_images, len(splits.train)))]
    few = datasets.Dataset(data.name, some, splits.tune, data.classes, data.flips)
    print(
        "| MACs to the end | usual loop, images/s | this engine, images/s | ratio | in bfloat16, images/s | ratio | "
        "memory per worker, GiB |"
    )
    print("|---" * 7 + "|")
    for text in arguments.networks:
        architecture = Architecture.parse(text)
        with tempfile.TemporaryDirectory() as folder:
            # its memory is that of all the images, its time that of an epoch of the same ones as the usual loop's
            whole, part = (Path(folder) / name for name in ("all.safetensors", "part.safetensors"))
            store.save(few, part)
            store.save(data, whole)
            rates = [
                ours(
                    architecture,
                    DataSource(part, 0, 0.1),
                    Path(folder),
                    recipe.model_copy(update={"precision": precision}),
                    round(0.9 * len(some)),
                )
                for precision in ("float32", "bfloat16")
            ]
            once = recipe.model_copy(update={"epochs": 1, "max_seconds": 20.0})
            peak = memory(architecture, DataSource(whole, 0, 0.1), Path(folder), once)
        other = usual(architecture, some, splits, recipe)
        macs = train.build(architecture, splits, 10, 0, torch.device("cpu")).exit_macs("all")[-1]
        cells = " | ".join(f"{rate:,.0f} | {rate / other:.1f}" for rate in rates)
        print(f"| {int(macs):,} | {other:,.0f} | {cells} | {peak / 2**30:.2f} |", flush=True)


def memory(architecture: Architecture, source: DataSource, folder: Path, recipe: Recipe) -> int:
    """Bytes of a worker that trains on all images; it need not finish."""
    with Watch() as watch:
        list(LocalProcesses(1).run([job(architecture, source, folder, recipe, 0)], lambda *_: None))
    return watch.peak


def noise() -> datasets.Dataset:
    rng = np.random.default_rng(0)
    parts = [LabeledImages(rng.integers(0, 256, (n, 3, 32, 32), np.uint8), np.arange(n) % 10) for n in (50_000, 10_000)]
    return datasets.Dataset("noise", *parts, tuple("0123456789"), True)


if __name__ == "__main__":
    main()
