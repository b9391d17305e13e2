"""Executors: one contract for all of them, and what only processes of their own can survive."""

import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.datasets.source import load
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.machine import available_cores
from surrogate_nas.settings import Settings
from surrogate_nas.study.workers import make_executor
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import seconds_before, write
from surrogate_nas.training.executors import deadline as deadline_module
from surrogate_nas.training.executors import processes as processes_module
from surrogate_nas.training.executors import watch as watch_module
from surrogate_nas.training.executors.deadline import Deadline
from surrogate_nas.training.executors.jobs import DataSource, Executor, Job
from surrogate_nas.training.executors.processes import InProcess, LocalProcesses
from surrogate_nas.training.executors.ray import RayCluster
from surrogate_nas.training.recipe import Recipe
from tests.helpers.crowded import CrowdedSource

QUICK = Recipe(epochs=1, batch_size=512)
ENDLESS = Recipe(epochs=10_000, batch_size=512)

executors = pytest.mark.parametrize(
    "executor",
    [
        pytest.param(InProcess(), id="in process"),
        pytest.param(LocalProcesses(1), id="one process"),
        pytest.param(LocalProcesses(2), id="two processes"),
        pytest.param(RayCluster(2), id="ray", marks=pytest.mark.slow),
    ],
)
processes = pytest.mark.parametrize("executor", [LocalProcesses(1), LocalProcesses(2)], ids=["one", "two"])


@pytest.fixture(scope="module", autouse=True)
def no_cluster_is_left() -> Iterator[None]:
    os.environ.setdefault("RAY_worker_niceness", "0")  # else they wait for whatever else the machine does
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


class Jobs:
    """Makes jobs of one architecture, each with a seed of its own."""

    def __init__(self, architecture: Architecture, source: DataSource, folder: Path) -> None:
        self.architecture, self.source, self.folder = architecture, source, folder

    def __call__(self, seed: int, recipe: Recipe = QUICK, source: DataSource | None = None) -> Job:
        proposal = Proposal(
            round=0, rank=seed, origin="initial", architecture=self.architecture, seed=seed, fidelity=recipe.fidelity
        )
        home = self.folder / proposal.id
        weights, unfinished = home.with_suffix(".safetensors"), home.with_suffix(".unfinished")
        return Job(
            proposal=proposal,
            source=source or self.source,
            recipe=recipe,
            device="cpu",
            checkpoint=weights,
            unfinished=unfinished,
        )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    path = tmp_path_factory.mktemp("data") / "data.safetensors"
    store.save(load("digits"), path)
    return DataSource(path, seed=0, tune_share=0.1)


@pytest.fixture
def job(architecture: Architecture, source: DataSource, tmp_path: Path) -> Jobs:
    return Jobs(architecture, source, tmp_path)


def quiet(proposal: Proposal, share: float) -> None:
    pass


def by_seed(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.proposal.seed)


# ---------------------------------------------------------------------- the contract


@executors
def test_every_job_becomes_a_record_with_the_outputs_of_training_it_here(
    executor: Executor, job: Jobs, digits: Splits
) -> None:
    jobs = [job(seed) for seed in range(3)]
    records = by_seed(executor.run(jobs, quiet))
    assert [r.proposal for r in records] == [j.proposal for j in jobs]
    for record in records:
        network = train.build(record.architecture, digits, 10, record.proposal.seed, torch.device("cpu"))
        train.fit(network, digits.train, QUICK, record.proposal.seed, flips=False)
        assert record.failure is None
        assert record.outputs is not None
        np.testing.assert_equal(asdict(record.outputs), asdict(train.held_out_outputs(network, digits)))
        assert record.seconds > 0
        assert record.provenance["torch"] == torch.__version__


@executors
def test_a_checkpoint_loads_back_to_a_network_that_says_the_same(
    executor: Executor, job: Jobs, digits: Splits, tmp_path: Path
) -> None:
    (record,) = executor.run([job(0)], quiet)
    network = train.build(record.architecture, digits, 10, 99, torch.device("cpu"))
    network.load_state_dict(load_file(job(0).checkpoint), strict=True)
    assert record.outputs is not None
    np.testing.assert_equal(asdict(train.held_out_outputs(network, digits)), asdict(record.outputs))
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".unfinished"}


@executors
def test_progress_goes_from_epoch_to_epoch_to_the_whole(executor: Executor, job: Jobs) -> None:
    progress: list[tuple[int, float]] = []
    jobs = [job(seed, replace_recipe(epochs=2)) for seed in range(2)]
    list(executor.run(jobs, lambda proposal, share: progress.append((proposal.seed, share))))
    assert sorted(progress) == [(0, 0.5), (0, 1.0), (1, 0.5), (1, 1.0)]


@executors
def test_a_job_that_cannot_be_done_is_a_failed_record_and_the_others_go_on(
    executor: Executor, job: Jobs, tmp_path: Path
) -> None:
    jobs = [
        job(0, source=replace(job.source, path=tmp_path / "nothing")),
        job(1, replace_recipe(learning_rate=1e30)),
        job(2, replace_recipe(epochs=10_000, max_seconds=0.2)),
        job(3),
    ]
    records = by_seed(executor.run(jobs, quiet))
    assert [r.failure and r.failure.kind for r in records] == ["error", "diverged", "time", None]
    assert records[0].failure is not None
    assert "no data at" in records[0].failure.message
    assert [r.outputs is None for r in records] == [True, True, True, False]
    assert [j.checkpoint.exists() for j in jobs] == [False, False, False, True]


@executors
def test_a_checkpoint_that_cannot_be_kept_is_an_error_and_not_a_record(
    executor: Executor, job: Jobs, tmp_path: Path
) -> None:
    homeless = replace(job(0), checkpoint=tmp_path / "missing" / "0.safetensors")
    with pytest.raises(JobError, match=f"the files of training {homeless.proposal.id} cannot be written: .*missing"):
        list(executor.run([homeless], quiet))


class Clock:
    """A clock that goes on by one second for each epoch of any training."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, proposal: Proposal, share: float) -> None:
        self.now += 1.0


@executors
def test_what_cannot_end_by_the_deadline_is_stopped_between_epochs_and_goes_on_to_the_same_outputs(
    executor: Executor, job: Jobs
) -> None:
    clock, recipe = Clock(), replace_recipe(epochs=3)
    jobs = [job(seed, recipe) for seed in range(3)]
    assert list(executor.run(jobs, clock.tick, Deadline(1.5, clock))) == []
    assert clock.now <= 1.5 + executor.workers  # each that runs may end the epoch that it is in
    states = [seconds_before(j.unfinished) > 0 for j in jobs]
    assert any(states)
    assert not states[-1]  # when the first ones stopped, none was started in their place
    assert not any(j.checkpoint.exists() for j in jobs)
    continued = by_seed(executor.run(jobs, quiet))
    elsewhere = [replace(j, unfinished=job.folder / f"{j.proposal.id}.elsewhere") for j in jobs]
    for record, whole in zip(continued, InProcess().run(elsewhere, quiet), strict=True):
        assert record.outputs is not None
        assert whole.outputs is not None
        np.testing.assert_equal(asdict(record.outputs), asdict(whole.outputs))


@executors
def test_a_training_that_has_all_its_epochs_is_measured_though_the_deadline_has_passed(
    executor: Executor, job: Jobs
) -> None:
    clock = Clock()
    records = list(executor.run([job(0)], clock.tick, Deadline(0.5, clock)))
    assert [r.failure for r in records] == [None]


@executors
def test_nothing_starts_after_the_deadline_and_no_job_is_taken(executor: Executor, job: Jobs) -> None:
    jobs = iter([job(0)])
    assert list(executor.run(jobs, quiet, Deadline(-math.inf))) == []
    assert next(jobs).proposal.seed == 0


@executors
def test_no_jobs_are_no_records(executor: Executor) -> None:
    assert list(executor.run([], quiet)) == []


def replace_recipe(**changes: float) -> Recipe:
    return QUICK.model_copy(update=changes)


def test_the_number_of_torch_threads_is_as_it_was_after_training_in_this_process(job: Jobs) -> None:
    torch.set_num_threads(2)
    try:
        list(InProcess().run([job(0)], quiet))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# ---------------------------------------------------------------------- processes that end


def kill_children() -> None:
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()


@processes
def test_a_process_that_is_killed_is_one_crashed_record_and_the_others_finish(executor: Executor, job: Jobs) -> None:
    victim, others = job(0, ENDLESS), [job(1), job(2)]

    def kill_when_alone(proposal: Proposal, share: float) -> None:
        alone = len(multiprocessing.active_children()) == 1
        if proposal == victim.proposal and alone:
            kill_children()

    crashed, *finished = by_seed(executor.run([victim, *others], kill_when_alone))
    assert crashed.failure is not None
    assert (crashed.failure.kind, crashed.outputs) == ("crashed", None)
    assert "exit code -9" in crashed.failure.message
    assert [r.failure for r in finished] == [None, None]


def test_a_process_that_is_killed_while_it_hands_over_its_record_is_a_crashed_record(job: Jobs) -> None:
    """Half of the data held out makes the record larger than a pipe, so that it cannot be handed over unread."""
    large = job(1, replace_recipe(epochs=20), replace(job.source, tune_share=0.5))
    running = LocalProcesses(2).run([job(0), large], quiet)
    assert next(running).proposal == job(0).proposal
    wait_for(large.checkpoint)
    time.sleep(0.5)
    kill_children()
    (record,) = running
    assert record.failure is not None
    assert record.failure.kind == "crashed"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path} after a minute"
        time.sleep(0.01)


@processes
def test_abandoning_the_records_ends_the_trainings_that_run(executor: Executor, job: Jobs) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(proposal: Proposal, share: float) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        list(executor.run([job(seed, ENDLESS) for seed in range(3)], interrupt))
    assert multiprocessing.active_children() == []


@processes
def test_a_training_that_takes_more_memory_than_it_may_is_killed_and_recorded(executor: Executor, job: Jobs) -> None:
    assert isinstance(executor, LocalProcesses)
    records = by_seed(replace(executor, max_memory=1_000_000).run([job(0, ENDLESS), job(1, ENDLESS)], quiet))
    assert [r.failure and r.failure.kind for r in records] == ["memory", "memory"]
    assert records[0].failure is not None
    assert "more than its limit of 1.0 MB" in records[0].failure.message
    assert multiprocessing.active_children() == []


def test_memory_is_shared_by_the_trainings_that_there_are(job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes_module, "available_memory", lambda: 4_000_000_000)
    records = list(LocalProcesses(64).run([job(0), job(1)], quiet))
    assert [r.failure for r in records] == [None, None]


def test_a_training_that_does_not_stop_in_time_is_killed_and_the_others_go_on(
    job: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped, as by a device that does not answer, cannot look at the clock."""
    monkeypatch.setattr(watch_module, "TIME_TO_STOP", 0.5)
    stuck = job(0, ENDLESS.model_copy(update={"max_seconds": 2.0}))

    def stop(proposal: Proposal, share: float) -> None:
        if proposal == stuck.proposal:
            stop_children()

    hung, other = by_seed(LocalProcesses(1).run([stuck, job(1)], stop))
    assert hung.failure is not None
    assert (hung.failure.kind, other.failure) == ("time", None)
    assert "did not stop by itself" in hung.failure.message


def stop_children() -> None:
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)


def test_a_training_that_does_not_stop_at_the_deadline_is_ended_and_pending(
    job: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline_module, "TIME_TO_STOP", 0.5)
    deadline = Deadline(time.monotonic() + 5)
    records = LocalProcesses(1).run([job(0, ENDLESS)], lambda proposal, share: stop_children(), deadline)
    assert list(records) == []
    assert 0 <= time.monotonic() - deadline.end < 5
    assert seconds_before(job(0, ENDLESS).unfinished) > 0
    assert multiprocessing.active_children() == []


def test_trainings_end_with_a_command_that_is_killed(job: Jobs, tmp_path: Path) -> None:
    """Whoever is killed cannot tidy up, and the next command trains the same networks again."""
    program = (
        "import multiprocessing, pickle, sys\n"
        "from surrogate_nas.training.executors.processes import LocalProcesses\n"
        "def show(proposal, share):\n"
        "    print(*[c.pid for c in multiprocessing.active_children()], flush=True)\n"
        "if __name__ == '__main__':\n"
        "    list(LocalProcesses(2).run(pickle.load(sys.stdin.buffer), show))\n"
    )
    (tmp_path / "command.py").write_text(program)
    command = subprocess.Popen(
        [sys.executable, tmp_path / "command.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdin is not None
    assert command.stdout is not None
    command.stdin.write(pickle.dumps([job(0, ENDLESS), job(1, ENDLESS)]))
    command.stdin.close()
    while len(children := [int(word) for word in command.stdout.readline().split()]) < 2:
        assert command.poll() is None
    family = [psutil.Process(pid) for pid in children]
    command.kill()
    command.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    for pipe in (command.stdout, command.stderr):
        assert pipe is not None
        pipe.close()
    assert alive == []


def test_a_training_that_runs_out_of_memory_beside_others_runs_again_and_alone_is_a_failed_record(job: Jobs) -> None:
    jobs = [
        job(seed, source=cast(DataSource, CrowdedSource(job.source, room))) for seed, room in enumerate((1, 1, 0, 2))
    ]
    records = by_seed(LocalProcesses(4).run(jobs, quiet))
    assert [r.failure and r.failure.kind for r in records] == [None, None, "memory", None]
    assert multiprocessing.active_children() == []


def test_a_cuda_context_that_has_failed_is_not_used_again(job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(train, "build", build)
    jobs = iter([job(0), job(1)])
    records = InProcess().run(jobs, quiet)
    failure = next(records).failure
    assert failure is not None
    assert failure.kind == "error"
    message = "this process cannot use its GPU any more: .*device-side assert triggered; run the command again"
    with pytest.raises(JobError, match=message):
        next(records)
    assert next(jobs).proposal.seed == 1


CUDA_STUB = """
import os, torch
def counted(name, answer):
    def call(*arguments):
        with open(os.environ["CUDA_CALLS"], "a") as file:
            file.write(f"{os.getpid()} {name}\\n")
        return answer
    return call
torch.cuda.device_count = lambda: 1  # as of the management library, which is not CUDA
torch.cuda.is_available = counted("is_available", False)
torch._C._cuda_getDeviceCount = counted("_cuda_getDeviceCount", 1)
torch._C._cuda_init = counted("_cuda_init", None)
"""


@pytest.mark.slow
def test_a_script_that_asks_for_cuda_does_not_ask_in_the_server_that_forks_its_trainings(
    job: Jobs, tmp_path: Path
) -> None:
    """A process forked from one that has asked cannot use CUDA."""
    (tmp_path / "sitecustomize.py").write_text(CUDA_STUB)
    (tmp_path / "script.py").write_text(
        "import os, pickle, sys\n"
        "import torch\n"
        "from multiprocessing.forkserver import _forkserver\n"
        "from surrogate_nas.training.executors.processes import LocalProcesses\n"
        "torch.cuda.is_available()\n"
        "if __name__ == '__main__':\n"
        "    (record,) = LocalProcesses(1).run(pickle.load(sys.stdin.buffer), lambda proposal, share: None)\n"
        "    print(os.getpid(), _forkserver._forkserver_pid, record.failure)\n"
    )
    calls = tmp_path / "calls"
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "CUDA_CALLS": str(calls)}
    ended = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        input=pickle.dumps([job(0)]),
        capture_output=True,
        env={**os.environ, **environment},
        check=True,
    )
    parent, server, failure = ended.stdout.decode().split()
    by_process = defaultdict[str, list[str]](list)
    for line in calls.read_text().splitlines():
        by_process[line.split()[0]].append(line.split()[1])
    assert failure == "None"
    assert by_process[parent] == ["is_available"]  # by the script itself
    assert by_process[server] == []


@executors
def test_an_interrupted_training_goes_on_to_the_same_outputs(executor: Executor, job: Jobs) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(proposal: Proposal, share: float) -> None:
        if share >= 0.5:
            raise Interrupted

    recipe, progress = QUICK.model_copy(update={"epochs": 4}), list[float]()
    (whole,) = InProcess().run([replace(job(0, recipe), unfinished=job.folder / "elsewhere")], quiet)
    with pytest.raises(Interrupted):
        list(executor.run([job(0, recipe)], interrupt))
    state = load_file(job(0, recipe).unfinished)
    write(job(0, recipe).unfinished, state, {"epochs": "2", "seconds": "1000", "optimizer": "SGD"})
    (continued,) = executor.run([job(0, recipe)], lambda proposal, share: progress.append(share))
    assert progress[0] > 0.5
    assert continued.seconds > 1000
    assert whole.outputs is not None
    assert continued.outputs is not None
    np.testing.assert_equal(asdict(continued.outputs), asdict(whole.outputs))


# ---------------------------------------------------------------------- which one


@pytest.mark.parametrize(
    ("settings", "executor"),
    [
        ({"workers": 0}, InProcess()),
        ({"workers": 1}, LocalProcesses(1)),
        ({}, LocalProcesses(available_cores())),
        ({"workers": 3, "max_memory_gb": 2}, LocalProcesses(3, 2_000_000_000)),
        ({"executor": "ray"}, RayCluster()),
        ({"executor": "ray", "device": "cuda"}, RayCluster(gpus=1.0)),
        ({"executor": "ray", "device": "cuda:1"}, RayCluster(gpus=1.0)),
        ({"executor": "ray", "device": "cpu"}, RayCluster(gpus=0.0)),
        ({"executor": "ray", "gpus_per_trial": 0}, RayCluster(gpus=0.0)),
        (
            {"executor": "ray", "workers": 8, "ray_address": "head:6379", "gpus_per_trial": 0.25},
            RayCluster(8, "head:6379", 0.25),
        ),
    ],
)
def test_settings_choose_the_executor(settings: dict[str, Any], executor: Executor) -> None:
    assert make_executor(Settings(**settings)) == executor
