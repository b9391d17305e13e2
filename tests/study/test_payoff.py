"""Whether early exits pay: laws of the comparison with the same networks run to their last exit, and of the verdict."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from surrogate_nas.api import Study
from surrogate_nas.documents import front_document
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.study.baselines import without_exits
from surrogate_nas.study.payoff import LEAST_SAVING, MOST_LOSS, Comparison, Payoff, payoff
from surrogate_nas.study.results import Solution
from tests.whole.test_old_study import WRITTEN


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with a front, failures and baselines."""
    return Study.open(shutil.copytree(WRITTEN, tmp_path_factory.mktemp("payoff") / "study"))


def payoff_of(study: Study, front: Sequence[Solution]) -> Payoff:
    return payoff(study.solutions, front)


def off(study: Study, solution: Solution) -> Solution:
    """A solution's network with every early exit off."""
    point = OperatingPoint((None,) * len(solution.operating_point.thresholds), solution.operating_point.policy)
    return study.solution(solution.record, point)


def comparison(saved: float = 0.3, change: float = 0.0, high: float = 0.01) -> Comparison:
    return Comparison(
        network="a1",
        against="a1",
        saved=saved,
        saved_interval=(saved - 0.1, saved + 0.1),
        accuracy_change=change,
        accuracy_interval=(change - 0.02, high),
        images=360,
    )


def test_exits_that_are_off_save_nothing_and_change_nothing(study: Study) -> None:
    result = payoff_of(study, [off(study, s) for s in study.front()])
    for one in result.front:
        assert (one.saved, one.accuracy_change) == (0, 0)
        assert one.saved_interval == one.accuracy_interval == (0, 0)
    assert not result.pays
    assert result.paying == ()
    assert result.median_saving is None
    assert "gains nothing from early exits" in result.verdict


def test_a_network_without_early_exits_pays_nothing(study: Study) -> None:
    without = without_exits(study.front()[-1].record.architecture)
    (static,) = [r for r in study.records("baseline") if r.architecture == without]
    for thresholds in ((0.0, 0.0), (None, None)):
        result = payoff_of(study, [study.solution(static, OperatingPoint(thresholds))])
        assert result.preferred.saved == result.preferred.accuracy_change == 0
        assert not result.pays
        assert result.static is None  # there is nothing to compare it with but itself


def test_savings_and_changes_are_those_of_the_test_figures(study: Study) -> None:
    front = study.front()
    for one, solution in zip(payoff_of(study, front).front, front, strict=True):
        end = off(study, solution).test
        assert one.network == one.against == solution.record.id
        assert one.saved == pytest.approx(1 - solution.test.expected_macs / end.expected_macs)
        assert one.accuracy_change == pytest.approx(solution.test.accuracy - end.accuracy, abs=1e-12)
        assert one.images == solution.test.n
        assert one.saved_interval[0] <= one.saved <= one.saved_interval[1]
        assert one.accuracy_interval[0] <= one.accuracy_change + 1e-12
        assert one.accuracy_change - 1e-12 <= one.accuracy_interval[1]


def test_the_static_network_is_the_same_backbone_trained_without_exits(study: Study) -> None:
    result = payoff_of(study, study.front())
    assert result.static is not None
    solution, static = study.front()[-1], study.archive.find(result.static.against)
    assert result.static.network == solution.record.id
    assert static.proposal.origin == "baseline"
    assert static.architecture == without_exits(solution.record.architecture)
    test = study.solution(static, OperatingPoint((None, None))).test
    assert result.static.saved == pytest.approx(1 - solution.test.expected_macs / test.expected_macs)
    assert result.static.accuracy_change == pytest.approx(solution.test.accuracy - test.accuracy)
    assert len(result.sentences) == 3


def test_the_verdict_is_about_the_solution_that_the_limits_ask_for(study: Study) -> None:
    front, solutions = study.front(), study.solutions
    before = study.home.settings
    for limits, expected in ((Limits(max_macs=4e4), front[-1]), (Limits(min_accuracy=0.4), front[0])):
        study.home.settings = before.model_copy(update={"limits": limits})
        assert solutions.preferred(front) is expected
        assert payoff_of(study, front).preferred.network == expected.record.id
    study.home.settings = before.model_copy(update={"limits": Limits(max_macs=1)})
    result = payoff_of(study, study.front())
    study.home.settings = before
    assert result.front == ()
    assert "the closest to the limits" in result.verdict
    assert "On the front" not in " ".join(result.sentences)


@pytest.mark.parametrize(
    ("one", "pays"),
    [
        (comparison(), True),
        (comparison(saved=LEAST_SAVING), True),
        (comparison(saved=LEAST_SAVING - 1e-9), False),
        (comparison(saved=-0.1), False),
        (comparison(saved=0.0, change=0.1, high=0.12), True),  # accuracy is gained at no more cost
        (comparison(saved=-0.01, change=0.1, high=0.12), False),
        (comparison(change=-MOST_LOSS), True),
        (comparison(change=-MOST_LOSS - 1e-9), False),  # a loss that so few images cannot prove
        (comparison(change=-0.005, high=-0.001), False),  # a small loss that many images prove
    ],
)
def test_exits_pay_if_they_save_and_lose_no_accuracy(one: Comparison, pays: bool) -> None:
    result = Payoff(unit="MACs", words="the best", preferred=one, front=(one, one), static=None)
    assert one.pays == result.pays == pays
    assert result.verdict.startswith(f"Early exits {'pay' if pays else 'do not pay'} here: network a1, the best,")
    assert len(result.paying) == (2 if pays else 0)


def test_the_sentences_tell_the_figures() -> None:
    one = comparison(saved=0.413, change=0.0031, high=0.011)
    losing = replace(one, accuracy_change=-0.0231)
    assert Payoff(unit="MACs", words="the best", preferred=one, front=(one, losing), static=losing).sentences == [
        "Early exits pay here: network a1, the best, answers with 41 % fewer MACs than when run to its last exit, at "
        "+0.3 points of accuracy [−1.7, +1.1] (360 test images).",
        "On the front they pay for 1 of 2 solutions; their median saving is 41 % of the MACs.",
        "Against the backbone of a1 trained without exits: 41 % fewer MACs, −2.3 points of accuracy [−1.7, +1.1] "
        "(360 test images).",
    ]
    assert "but at −2.3 points" in Payoff(unit="cost", words="", preferred=losing, front=(), static=None).verdict


def test_the_document_of_a_run_has_the_figures(study: Study) -> None:
    result = payoff_of(study, study.front())
    document = front_document(study.solutions, Path("x"), result)["early_exits"]
    assert document["verdict"] == result.verdict
    assert document["pay"] == result.pays
    assert document["to_last_exit"]["accuracy_interval"] == result.preferred.accuracy_interval
    assert document["front"] == {"solutions": 7, "paying": len(result.paying), "median_saving": result.median_saving}
    assert document["static"]["against"] == result.static.against  # type: ignore[union-attr]
