"""Every space that the schema admits goes all the way through the package."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec
from tests.helpers.any_space import SMALL, go_through
from tests.helpers.constants import patched

FEWEST = 12
"""Networks of a drawn space, more than are trained."""
pytestmark = pytest.mark.usefixtures("quick_regressors")


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with patched(SMALL):
        yield


def chain(positions: int) -> dict[str, Any]:
    """A space of so many stages, each of which may have an exit after it; the first have a choice of kernels."""
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


LONG = pytest.mark.slow


@pytest.mark.parametrize("positions", [1, 12, *(pytest.param(n, marks=LONG) for n in (2, 9, 16))])
def test_a_space_of_any_number_of_exits_goes_through(positions: int, tmp_path: Path) -> None:
    go_through(tmp_path / "one", chain(positions))


def drawn(seed: int) -> dict[str, Any]:
    """A random space that the schema admits, of enough networks to search: any other is drawn again."""
    rng = np.random.default_rng(seed)
    while True:
        space = _some_space(rng)
        with suppress(InputError):
            if SearchSpace(parse_spec(space)).size >= FEWEST:
                return space


def _some_space(rng: np.random.Generator) -> dict[str, Any]:
    positions = int(rng.integers(1, 5))
    side = int(rng.choice([8, 12]))
    early = [s + 1 for s in range(positions - 1) if rng.random() < 0.8]
    gated = bool(rng.random() < 0.25)
    return {
        "name": "drawn",
        "image_sizes": [side, side],
        "resolution": _some(rng, [side // 2, side]) if rng.random() < 0.3 else [],
        "bits": _some(rng, [4, 8, 32]) if rng.random() < 0.3 else [32],
        "stem": {
            "width": _some(rng, [4, 6, 8]),
            "stride": _some(rng, [1, 2]),
            "block": bool(rng.random() < 0.5),
            "activation": str(rng.choice(["relu", "hswish"])),
        },
        "stages": [_some_stage(rng) for _ in range(positions)],
        "branch": {"kind": "gated", "channels": [4]} if gated else _some_branch(rng),
        "exits": {"at": early, "at_least": int(rng.integers(0, len(early) + 1))} if early else {},
        "classifier": str(rng.choice(["linear", "conv-d1-c4-p1"])),
        "policy": str(rng.choice(["gate", "cumulative_gate"] if gated else ["max_softmax", "margin", "entropy"])),
        "charge_heads": str(rng.choice(["all", "own"])),
    }


def _some_stage(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "block": _some(rng, ["residual", "inverted"]),
        "depth": _some(rng, [1, 2]),
        "width": _some(rng, [4, 6, 8]),
        "kernel": _some(rng, [1, 3, 5]),
        "expansion": _some(rng, [1, 2]),
        "stride": int(rng.integers(1, 3)),
        "squeeze": _some(rng, [False, True]),
        "activation": _some(rng, ["relu", "hswish"]),
        "per_block": bool(rng.random() < 0.3),
    }


def _some_branch(rng: np.random.Generator) -> dict[str, Any]:
    conv = {
        "kind": "conv",
        "depth": _some(rng, [0, 1, 2]),
        "layer": _some(rng, ["conv", "separable"]),
        "channels": _some(rng, [4, 6]),
        "pool": _some(rng, [1, 2]),
    }
    mobile = {"kind": "mobile", "expand": _some(rng, [1, 2]), "mix": _some(rng, [4, 8])}
    resize = {"kind": "resize", "modules": [{"side": 4, "kernel": _some(rng, [1, 3])}, {"side": [0, 2], "kernel": [1]}]}
    return (conv, mobile, resize)[rng.integers(3)]


def _some(rng: np.random.Generator, choices: list[Any]) -> list[Any]:
    """One or more of the choices, in their order."""
    kept = rng.random(len(choices)) < 0.5
    kept[rng.integers(len(choices))] = True
    return [choice for choice, keep in zip(choices, kept, strict=True) if keep]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_any_drawn_space_goes_through(seed: int, tmp_path: Path) -> None:
    go_through(tmp_path / "one", drawn(seed))
