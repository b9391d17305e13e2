"""One command at a time changes a study."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.lock import HOLDER, StudyLock

HOLD = """
import sys, time
from pathlib import Path
from surrogate_nas.foundation.lock import StudyLock
sys.argv[1:] = ["run"]
with StudyLock(Path({folder!r})).hold():
    print("held", flush=True)
    time.sleep({seconds})
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    program = HOLD.format(folder=str(folder), seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = holder(tmp_path, 60)
    assert process.stdout is not None
    with process.stdout:
        yield process
        process.kill()
        process.wait()


def test_the_second_is_told_who_works_and_what_to_do(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    message = rf"another command is working on study {tmp_path} \(process {other.pid}, run since .*--wait"
    with pytest.raises(InputError, match=message), StudyLock(tmp_path).hold():
        pass


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    with StudyLock(tmp_path).hold():
        assert (tmp_path / HOLDER).exists()


def test_who_waits_gets_it_once_the_other_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process, start = holder(tmp_path, 1), time.monotonic()
    with StudyLock(tmp_path).hold(wait=True):
        assert time.monotonic() - start > 0.5
    process.communicate()
    assert "waiting for it to end" in capsys.readouterr().err


def test_a_block_within_a_block_holds_it_still(tmp_path: Path) -> None:
    lock = StudyLock(tmp_path)
    with lock.hold():
        with lock.hold():
            pass
        with pytest.raises(InputError), StudyLock(tmp_path).hold():
            pass
    assert not (tmp_path / HOLDER).exists()
    with StudyLock(tmp_path).hold():
        pass


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="cannot be changed: "), StudyLock(tmp_path / "file").hold():
        pass


def test_who_cannot_say_that_it_has_it_does_not_keep_it(tmp_path: Path) -> None:
    """A folder in place of the file fails like a full disk."""
    (tmp_path / HOLDER).mkdir()
    lock = StudyLock(tmp_path)
    with pytest.raises(JobError, match="cannot be changed"), lock.hold():
        pass
    (tmp_path / HOLDER).rmdir()
    with StudyLock(tmp_path).hold():  # while the first one is still there
        pass
