"""Every space that the schema admits goes all the way through the package."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.any_space import go_through, small_searches

pytestmark = pytest.mark.usefixtures("quick_regressors")


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with small_searches():
        yield


def chain(positions: int) -> dict[str, Any]:
    """As many stages, each of which may have an exit after it; the first have a choice of kernels."""
    stage = {"block": "residual", "depth": 1, "width": 4, "kernel": 1, "stride": 1}
    stages = [{**stage, "kernel": [1, 3, 5], "stride": 2}, *[stage] * (positions - 1)]
    branch = {"depth": [0, 1], "layer": "separable", "channels": 4}
    return {
        "name": "chain",
        "image_sizes": [8, 8],
        "stem": {"width": [4, 6, 8]},
        "stages": stages,
        "branch": branch,
    }


@pytest.mark.parametrize("positions", [1, 2, 9, 16])
def test_a_space_of_any_number_of_exits_goes_through(positions: int, tmp_path: Path) -> None:
    go_through(tmp_path / "one", chain(positions))
