"""Data that takes up memory which is there for so many trainings alone."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from surrogate_nas.training.executors.jobs import DataSource

TIME_TO_MEET = 0.5


@dataclass(frozen=True)
class CrowdedSource:
    """In place of a `DataSource`: to read it beside too many other training processes is to run out of memory."""

    source: DataSource
    room: int
    """Processes that there is memory for."""

    @property
    def path(self) -> Path:
        """The data's, for those who find room."""
        time.sleep(TIME_TO_MEET)  # those that start together are all there
        if len(psutil.Process(os.getppid()).children()) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self.source.path

    @property
    def seed(self) -> int:
        """Seed of the splits."""
        return self.source.seed

    @property
    def tune_share(self) -> float:
        """Share of the training images."""
        return self.source.tune_share

    @property
    def sealed_share(self) -> float:
        return self.source.sealed_share
