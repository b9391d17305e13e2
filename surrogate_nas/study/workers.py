"""Construction of the executor named in the settings."""

from surrogate_nas.foundation.machine import available_cores
from surrogate_nas.settings import Settings
from surrogate_nas.training.devices import kind_of
from surrogate_nas.training.executors.jobs import Executor
from surrogate_nas.training.executors.processes import InProcess, LocalProcesses
from surrogate_nas.training.executors.ray import RayCluster


def make_executor(settings: Settings, workers: int | None = None) -> Executor:
    """Make the executor of the settings.

    Args:
        settings: settings of the study. Without `workers` it has one process per core, or as many as Ray has room for;
            with 0 it trains in this process.
        workers: number of workers in place of that of the settings.
    """
    workers = settings.workers if workers is None else workers
    limit = None if settings.max_memory_gb is None else round(settings.max_memory_gb * 1e9)
    if settings.executor == "ray":
        by_device = {"auto": None, "cuda": 1.0}.get(kind_of(settings.device), 0.0)
        gpus = by_device if settings.gpus_per_trial is None else settings.gpus_per_trial
        return RayCluster(workers, settings.ray_address, gpus, limit)
    return InProcess() if workers == 0 else LocalProcesses(workers or available_cores(), limit)
