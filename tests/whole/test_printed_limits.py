"""Limits that commands print, or the values nearest to one, are feasible when they are given back."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from surrogate_nas import Study
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("quick_fits")

LADDER_ROW = re.compile(r"^ *([\d,.]+) +(?:off|[\d.]+)(?:,(?:off|[\d.]+))* ", re.MULTILINE)
NEAREST = re.compile(r"expected MACs ([\d,.]+) > ")
NEAREST_ACCURACY = re.compile(r"accuracy ([\d.]+) < ")


@pytest.fixture(scope="module")
def dearest(study_path: Path) -> str:
    """Id of the network with the longest accuracy–cost curve."""
    with Study.open(study_path) as study:
        trained = [r for r in study.records() if r.failure is None]
        return max(trained, key=lambda r: len(study.exits(r, "tune").curve)).id


def tuned(command: Command, study_path: Path, network: str, *limits: str) -> dict[str, Any]:
    """The solution of `tune` within limits, which have to be feasible."""
    code, out, err = command("tune", study_path, network, *limits, "--json")
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_every_budget_of_a_tier_can_be_tuned_to(command: Command, study_path: Path, dearest: str) -> None:
    code, out, err = command("tiers", study_path, dearest, "--no-limits", "--tiers", "8")
    assert code == 0, err
    budgets = [text.replace(",", "") for text in LADDER_ROW.findall(out)]
    assert len(budgets) > 1
    for budget in budgets:
        assert tuned(command, study_path, dearest, "--max-macs", budget)


def test_the_cost_named_as_nearest_is_feasible(command: Command, study_path: Path, dearest: str) -> None:
    code, _, err = command("tune", study_path, dearest, "--max-macs", "1")
    assert code == 1
    (nearest,) = NEAREST.findall(err)
    assert tuned(command, study_path, dearest, "--max-macs", nearest.replace(",", ""))


def test_the_accuracy_named_as_nearest_is_feasible(command: Command, study_path: Path, dearest: str) -> None:
    code, _, err = command("tune", study_path, dearest, "--min-accuracy", "1")
    assert code == 1
    (nearest,) = NEAREST_ACCURACY.findall(err)
    assert tuned(command, study_path, dearest, "--min-accuracy", nearest)
