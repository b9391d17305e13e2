"""Work on one thread, and the settings restored after it."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from surrogate_nas.foundation.threads import one_thread, side_by_side


def pools() -> list[int]:
    """Threads of each library that has some."""
    return [library["num_threads"] for library in threadpool_info()]


@pytest.fixture
def several() -> Iterator[int]:
    """More threads than one; how many of torch's."""
    before = torch.get_num_threads()
    with threadpool_limits(2):
        torch.set_num_threads(2)
        try:
            yield torch.get_num_threads()
        finally:
            torch.set_num_threads(before)


def test_there_is_one_thread_within_and_as_many_as_before_after(several: int) -> None:
    before = pools()
    assert before
    with one_thread():
        assert torch.get_num_threads() == 1
        assert set(pools()) == {1}
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == several
    assert pools() == before


def test_threads_are_as_they_were_after_an_error(several: int) -> None:
    with pytest.raises(KeyboardInterrupt), one_thread():
        raise KeyboardInterrupt
    assert torch.get_num_threads() == several


def test_what_has_no_torch_needs_none() -> None:
    program = "import sys; from surrogate_nas.foundation.threads import one_thread\nwith one_thread(): pass\n"
    program += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_results_side_by_side_keep_their_order() -> None:
    def slow(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    delays = [0.02, 0.0, 0.01, 0.0]
    assert side_by_side(slow, delays) == delays
    assert side_by_side(slow, []) == []


def test_an_error_side_by_side_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda divisor: 1 / divisor, [1, 0, 2])
