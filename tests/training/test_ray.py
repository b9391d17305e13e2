"""Trainings on a real Ray cluster of two nodes on this machine."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.source import load
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.settings import Settings
from surrogate_nas.training.executors import ray as ray_module
from surrogate_nas.training.executors.jobs import DataSource, Job
from surrogate_nas.training.executors.processes import InProcess
from surrogate_nas.training.executors.ray import RayCluster, Trial
from surrogate_nas.training.recipe import Recipe

ray = pytest.importorskip("ray")
Node = Any


class TwoNodes:
    """A cluster with one core on each of two nodes, the first of which starts the others."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.second = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else they wait for whatever else the machine does
    nodes = TwoNodes()
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    store.save(load("digits"), tmp_path / "data.safetensors")
    return DataSource(tmp_path / "data.safetensors", seed=0, tune_share=0.1)


def jobs(n: int, architecture: Architecture, source: DataSource, folder: Path, recipe: Recipe) -> list[Job]:
    new_jobs = []
    for seed in range(n):
        proposal = Proposal(
            round=0, rank=seed, origin="initial", architecture=architecture, seed=seed, fidelity=recipe.fidelity
        )
        home = folder / proposal.id
        home.parent.mkdir(exist_ok=True)
        weights, unfinished = home.with_suffix(".safetensors"), home.with_suffix(".unfinished")
        new_jobs.append(
            Job(
                proposal=proposal, source=source, recipe=recipe, device="cpu", checkpoint=weights, unfinished=unfinished
            )
        )
    return new_jobs


def quiet(proposal: Proposal, share: float) -> None:
    pass


@pytest.mark.slow
def test_a_training_whose_node_dies_goes_on_elsewhere_and_nothing_is_other_than_it_would_have_been(
    nodes: TwoNodes, architecture: Architecture, source: DataSource, tmp_path: Path
) -> None:
    recipe, shares_by_seed = Recipe(epochs=40, batch_size=32), defaultdict[int, list[float]](list)

    def kill_once(proposal: Proposal, share: float) -> None:
        shares_by_seed[proposal.seed].append(share)
        if nodes.second is not None and sum(len(shares) >= 2 for shares in shares_by_seed.values()) == 2:
            nodes.kill_second()
            nodes.second = None

    there = list(
        RayCluster(address=nodes.address).run(jobs(3, architecture, source, tmp_path / "a", recipe), kill_once)
    )
    here = list(InProcess().run(jobs(3, architecture, source, tmp_path / "b", recipe), quiet))
    assert nodes.second is None
    assert [r.failure for r in there] == [None] * 3
    there.sort(key=lambda r: r.proposal.seed)
    np.testing.assert_equal([asdict(r.outputs) for r in there], [asdict(r.outputs) for r in here])  # type: ignore[call-overload]
    weight_names = {p.name for p in (tmp_path / "b").glob("*.safetensors")}
    assert len(weight_names) == 3
    for name in weight_names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    for shares in shares_by_seed.values():  # no epoch was done twice, but the one that was lost with its message
        assert (np.diff(shares) > 0).all()


@pytest.mark.slow
def test_a_training_that_loses_its_worker_again_and_again_is_a_failure_and_the_others_go_on(
    nodes: TwoNodes, architecture: Architecture, source: DataSource, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=10_000, batch_size=32)
    (endless,) = jobs(1, architecture, source, tmp_path / "a", recipe)
    (short,) = jobs(1, architecture, source, tmp_path / "a", Recipe(epochs=1))

    def kill(proposal: Proposal, share: float) -> None:
        if proposal == endless.proposal:
            for process in psutil.Process(os.getpid()).children(recursive=True):
                if "_work" in process.name() or any("_work" in word for word in process.cmdline()[:1]):
                    process.kill()

    records = {r.id: r for r in RayCluster(1, nodes.address).run([endless, short], kill)}
    failure = records[endless.proposal.id].failure
    assert failure is not None
    assert (failure.kind, failure.message[:14]) == ("crashed", "lost 3 workers")
    assert records[short.proposal.id].failure is None


@pytest.mark.slow
def test_abandoning_the_records_ends_the_trainings_and_the_cluster_stays(
    nodes: TwoNodes, architecture: Architecture, source: DataSource, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(proposal: Proposal, share: float) -> None:
        raise Interrupted

    executor = RayCluster(address=nodes.address)
    assert executor.workers == 2
    with pytest.raises(Interrupted):
        list(executor.run(jobs(2, architecture, source, tmp_path / "a", Recipe(epochs=10_000)), interrupt))
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < deadline, "trainings go on"
        time.sleep(0.2)
    (record,) = executor.run(jobs(1, architecture, source, tmp_path / "b", Recipe(epochs=1)), quiet)
    assert record.failure is None


@pytest.mark.slow
def test_gpus_that_the_cluster_has_not_are_one_line(nodes: TwoNodes) -> None:
    with pytest.raises(InputError, match=r"0\.25 GPUs per training do not fit into the Ray cluster, which has 0 GPUs"):
        _ = RayCluster(address=nodes.address, gpus=0.25).workers


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1: "),
        ("head", "ray_address head is not of the form host:port"),
        ("ray://head:10001", "ray_address ray://head:10001 is not of the form host:port"),
        ("head:6379000", "no Ray cluster answers at head:6379000: "),
    ],
)
def test_an_address_where_nothing_answers_is_one_line(address: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        ray_module.connect(address)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gpus", "has", "room"),
    [
        (0.0, {"CPU": 8.0}, 8),
        (0.25, {"CPU": 16.0, "GPU": 2.0}, 8),
        (0.25, {"CPU": 4.0, "GPU": 2.0}, 4),
        (0.4, {"CPU": 16.0, "GPU": 2.0}, 4),
        (1.0, {"CPU": 16.0, "GPU": 2.0}, 2),
        (2.0, {"CPU": 16.0, "GPU": 5.0}, 2),
        (0.1, {"CPU": 16.0, "GPU": 1.0}, 10),
        (0.5, {"CPU": 16.0}, 0),
        (None, {"CPU": 16.0}, 16),
        (None, {"CPU": 16.0, "GPU": 2.0}, 2),
    ],
)
def test_room_is_cores_and_shares_of_gpus(gpus: float | None, has: dict[str, float], room: int) -> None:
    class Cluster:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return has

    assert RayCluster(gpus=gpus)._room(Cluster) == room


@pytest.mark.parametrize(("gpus", "device"), [(0.0, "cpu"), (None, "cuda"), (0.25, "cuda")])
@pytest.mark.parametrize("asked", ["auto", "cuda:1"])
def test_a_worker_uses_the_device_that_ray_gives_it(
    gpus: float | None, device: str, asked: str, architecture: Architecture, source: DataSource, tmp_path: Path
) -> None:
    """Not that of the same number on the machine, and none where it has no share of a GPU."""
    sent: list[Job] = []

    class Cluster:
        cluster_resources = staticmethod(lambda: {"CPU": 4.0, "GPU": 2.0})
        put = staticmethod(lambda data: data)

    class Task:
        options = staticmethod(lambda **options: Task)
        remote = staticmethod(lambda data, job, state, trunk: sent.append(job))

    (job,) = jobs(1, architecture, source, tmp_path / "a", Recipe(epochs=1))
    RayCluster(gpus=gpus)._start(Cluster, Task, trial := Trial(replace(job, device=asked)), {})
    assert [j.device for j in sent] == [device]
    assert trial.watch.start is None  # until its worker says so: it may wait in a queue


def test_ray_needs_at_least_one_worker() -> None:
    with pytest.raises(InputError, match="workers 0 trains in this process"):
        parse(Settings, {"executor": "ray", "workers": 0}, "settings")
