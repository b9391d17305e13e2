"""Which baselines are trained: those that can keep the limits, and the best network without its exits."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.exits.limit_table import LIMITS
from surrogate_nas.exits.limits import Limits
from surrogate_nas.space.candidates import Candidates, exactly_broken, keeps_exact_limits
from surrogate_nas.study.baselines import HAND_MADE, BaselineChoice, choose_baselines, without_exits


def choice(study: Study, limits: Limits, *, everything: bool = False) -> BaselineChoice:
    before = study.home.settings
    study.home.settings = before.model_copy(update={"limits": limits})
    try:
        return choose_baselines(study.solutions, everything=everything)
    finally:
        study.home.settings = before


@pytest.fixture(scope="module")
def study(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.open(shutil.copytree(study_path, tmp_path_factory.mktemp("baselines") / "study"))


def macs(study: Study, name: str) -> int:
    return int(study.home.costing.of(HAND_MADE[name]).backbone[0, -1])


def test_hand_made_networks_are_left_out_just_where_they_cannot_keep_the_limits(study: Study) -> None:
    resnet, branchy = HAND_MADE
    full = macs(study, resnet)
    for limits, expected in (
        (Limits(), [resnet, branchy]),
        (Limits(min_accuracy=1.0), [resnet, branchy]),  # which only a training tells
        (Limits(max_macs=full), [resnet, branchy]),
        (Limits(max_macs=full - 1), [branchy]),  # its exits may take less on average
        (Limits(max_worst_macs=full - 1), []),
        (Limits(max_macs=1000), []),
        (Limits(max_params=1000), []),
    ):
        chosen = choice(study, limits)
        assert list(chosen.architectures[:-1]) == [HAND_MADE[name] for name in expected]
        assert [one.name for one in chosen.skipped] == [name for name in HAND_MADE if name not in expected]
        assert choice(study, limits, everything=True).architectures[:-1] == tuple(HAND_MADE.values())
        assert choice(study, limits, everything=True).skipped == ()


def test_the_best_network_with_early_exits_is_always_trained_without_them(study: Study) -> None:
    for limits in (Limits(), Limits(max_macs=2e5), Limits(max_macs=1), Limits(min_accuracy=0.3)):
        *_, static = choice(study, limits).architectures
        assert static.exit_positions == (static.positions - 1,)
    with_exits = [s.record.architecture for s in study.front() if len(s.record.architecture.exit_positions) > 1]
    *_, static = choose_baselines(study.solutions).architectures
    assert static == without_exits(with_exits[-1])


def test_who_is_left_out_is_told_with_the_limit_in_one_line(study: Study) -> None:
    text = str(choice(study, Limits(max_params=1000)).skipped[0])
    assert "\n" not in text
    assert text.startswith("ResNet-8 is left out: it cannot keep the limits, parameters 77,754 > 1,000")
    assert "--all" in text


def test_limits_are_broken_exactly_where_no_thresholds_keep_them(study: Study) -> None:
    networks = Candidates.of(study.space, study.space.sample(40, np.random.default_rng(0)), study.home.costing)
    middle = Limits(
        max_macs=float(np.median(networks.cost.macs()[:, 0])), max_params=float(np.median(networks.cost.parameters))
    )
    broken = [exactly_broken(networks.cost[i : i + 1], networks.present[i : i + 1], middle) for i in range(40)]
    keeps = keeps_exact_limits(networks.cost, networks.present, middle)
    assert [not b for b in broken] == keeps.tolist()
    assert 0 < keeps.sum() < 40
    assert {b.limit for bs in broken for b in bs} <= set(LIMITS)
