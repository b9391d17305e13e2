"""Where trainings run: in this process, in processes of this machine, or on a Ray cluster."""

from surrogate_nas.config import Settings
from surrogate_nas.executors.jobs import ARCHITECTURE, DataSource, Executor, Job
from surrogate_nas.executors.processes import InProcess, LocalProcesses, start_and_end_a_process
from surrogate_nas.executors.ray import RayCluster
from surrogate_nas.machine import available_cores

__all__ = [
    "ARCHITECTURE", "DataSource", "Executor", "InProcess", "Job", "LocalProcesses", "RayCluster", "make_executor",
    "start_and_end_a_process",
]  # fmt: skip


def make_executor(settings: Settings, workers: int | None = None) -> Executor:
    """The one that the settings name.

    Args:
        settings: of the study; no `workers` are one process per core, or what Ray has room for, and 0 is this process.
        workers: instead of theirs.
    """
    workers = settings.workers if workers is None else workers
    limit = None if settings.max_memory_gb is None else round(settings.max_memory_gb * 1e9)
    if settings.executor == "ray":
        gpus = settings.gpus_per_trial
        whole = 1.0 if settings.device.startswith("cuda") else 0.0
        return RayCluster(workers, settings.ray_address, whole if gpus is None else gpus, limit)
    return InProcess() if workers == 0 else LocalProcesses(workers or available_cores(), limit)
