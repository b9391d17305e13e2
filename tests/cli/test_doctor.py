"""The doctor finds what is wrong with an installation, and says what to do."""

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from surrogate_nas.cli import doctor
from surrogate_nas.foundation import machine

Finding = dict[str, Any]


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One check takes seconds; one test has it."""
    if "sound" not in request.node.name:
        monkeypatch.setattr(doctor, "_process", lambda: "not asked for")


def finding_of(what: str) -> Finding:
    return next(c for c in doctor.check() if c["what"] == what)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Versions that libraries are said to have; `None` for not installed."""
    versions: dict[str, str | None] = {}
    really = importlib.metadata.version

    def version(name: str) -> str:
        if name not in versions:
            return really(name)
        if versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return str(versions[name])

    monkeypatch.setattr(importlib.metadata, "version", version)
    return versions


def test_this_installation_is_sound() -> None:
    of_the_machine = {"memory", "disk here", "file system here"}  # which may be short of something without being wrong
    assert [c for c in doctor.check() if not c["ok"] and c["what"] not in of_the_machine] == []


def test_every_library_that_the_package_needs_is_checked() -> None:
    checked = {c["what"] for c in doctor.check()}
    assert {"torch", "torchvision", "botorch", "gpytorch", "xgboost", "psutil", "pillow", "matplotlib"} <= checked


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"xgboost": None, "xgboost-cpu": None}, "not installed; pip install 'xgboost"),
        ({"xgboost": "3.1", "xgboost-cpu": "3.1"}, "overwrite each other; pip uninstall xgboost xgboost-cpu"),
        ({"xgboost": "1.7"}, "1.7 is not >="),
    ],
)
def test_a_library_that_is_missing_double_or_old_is_named_with_the_cure(
    versions: dict[str, str | None], expected: str, installed: dict[str, str | None]
) -> None:
    installed.update(versions)
    assert finding_of("xgboost")["ok"] is False
    assert expected in finding_of("xgboost")["found"]


def test_the_smaller_xgboost_serves_as_well(installed: dict[str, str | None]) -> None:
    installed.update({"xgboost": None, "xgboost-cpu": "3.2.0"})
    assert finding_of("xgboost") == {"what": "xgboost", "ok": True, "found": "xgboost-cpu 3.2.0"}


def test_a_missing_extra_is_said_and_is_no_failure(installed: dict[str, str | None]) -> None:
    installed["hypothesis"] = None
    extra = finding_of("extra dev")
    assert extra["ok"] is True
    assert "not installed: hypothesis; if needed: pip install 'surrogate-nas[dev]'" in extra["found"]


@pytest.mark.parametrize("error", [ImportError("no module"), RuntimeError("operator torchvision::nms does not exist")])
def test_a_torchvision_that_does_not_fit_torch_is_explained(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *others: object) -> None:
            if name.split(".")[0] == "torchvision":
                raise error

    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    finding = finding_of("torchvision fits torch")
    assert finding["ok"] is False
    assert str(error) in finding["found"]
    assert "both from the same index: pip install" in finding["found"]


def test_a_library_that_cannot_be_loaded_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "surrogate_nas.training.devices", None)
    assert finding_of("device")["ok"] is False
    assert "check failed" in finding_of("device")["found"]


def test_little_disk_and_little_memory_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_disk", lambda path: 5_000_000)
    monkeypatch.setattr(machine, "available_memory", lambda: 5_000_000)
    assert finding_of("disk here")["found"] == "5.0 MB free; studies need at least 1.0 GB: free some disk space"
    assert finding_of("memory")["ok"] is False


def test_a_network_file_system_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path.cwd().resolve()
    mounted = [SimpleNamespace(mountpoint=str(here.parent), fstype="nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounted)
    assert finding_of("file system here")["found"].startswith("nfs4, a network file system")


def test_a_containers_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    for name, text in (("memory.max", "3000"), ("memory.current", "1000"), ("cpu.max", "100000 100000")):
        (tmp_path / name).write_text(text)
    assert (machine.available_memory(), machine.available_cores()) == (2000, 1)
    for name, text in (("memory.max", "max"), ("cpu.max", "max 100000")):
        (tmp_path / name).write_text(text)
    assert machine.available_memory() > 2000
