"""The executor that the settings name."""

from surrogate_nas.foundation.machine import available_cores
from surrogate_nas.settings import Settings
from surrogate_nas.training.devices import kind_of
from surrogate_nas.training.executors.jobs import Executor
from surrogate_nas.training.executors.processes import InProcess, LocalProcesses
from surrogate_nas.training.executors.ray import RayCluster


def make_executor(settings: Settings, workers: int | None = None) -> Executor:
    """The executor of the settings.

    Args:
        settings: of the study; no `workers` are one process per core, or what Ray has room for, and 0 is this process.
        workers: overrides that of the settings.
    """
    workers = settings.workers if workers is None else workers
    limit = None if settings.max_memory_gb is None else round(settings.max_memory_gb * 1e9)
    if settings.executor == "ray":
        by_device = {"auto": None, "cuda": 1.0}.get(kind_of(settings.device), 0.0)
        gpus = by_device if settings.gpus_per_trial is None else settings.gpus_per_trial
        return RayCluster(workers, settings.ray_address, gpus, limit)
    return InProcess() if workers == 0 else LocalProcesses(workers or available_cores(), limit)
