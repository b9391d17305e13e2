"""Networks at full fidelity: what is trained, what is said of it, and that it never mixes with the search."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from surrogate_nas import InputError, Study
from surrogate_nas.cli.print_solutions import print_finals
from surrogate_nas.documents import finals_document
from surrogate_nas.exits.limits import Limits
from surrogate_nas.report.finals import finals_section
from surrogate_nas.study.finals import Final, RankAgreement, to_finalize
from surrogate_nas.study.fitting import fit
from surrogate_nas.training.recipe import Recipe
from tests.helpers.reports import contents_of
from tests.helpers.spaces import table_of

pytestmark = pytest.mark.usefixtures("quick_fits")

FULL = Recipe(epochs=3)


@pytest.fixture(scope="module")
def finalized(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two networks of the front with two seeds each."""
    study = Study.open(shutil.copytree(study_path, tmp_path_factory.mktemp("finals") / "study"))
    front = study.front()
    study.finalize([front[0].record.id, front[-1].record.id], seeds=2, recipe=FULL)
    return study


def test_each_network_is_trained_once_per_seed_and_an_answer_is_its_mean(finalized: Study) -> None:
    finals = finalized.finals()
    records = finalized.archive.records("final", outputs=True)
    architectures = {finalized.front()[i].record.architecture for i in (0, -1)}
    assert len(records) == 2 * len(architectures)
    assert {r.architecture for r in records} == architectures
    assert len({r.proposal.seed for r in records}) == 2
    for final in finals:
        assert final.test_accuracy == mean(s.test.accuracy for s in final.solutions)
        if len(final.solutions) > 1:
            assert final.test_deviation == stdev(s.test.accuracy for s in final.solutions)
        low, high = final.test_interval
        assert 0 <= low <= final.test_accuracy <= high <= 1
        assert final.best.tune.accuracy == max(s.tune.accuracy for s in final.solutions)
        assert len(final.solutions) + final.beyond == 2
        assert all(s.tune.expected_macs <= 2e5 for s in final.solutions)


def test_what_was_trained_is_not_trained_again_and_another_seed_is_added(finalized: Study) -> None:
    copy = Study.open(shutil.copytree(finalized.path, finalized.path.parent / "again"))
    ids = [copy.front()[0].record.id]
    before = {r.id for r in copy.archive.records("final")}
    copy.finalize(ids, seeds=2)
    assert {r.id for r in copy.archive.records("final")} == before
    copy.finalize(ids, seeds=3)
    assert len({r.id for r in copy.archive.records("final")} - before) == 1


def test_finals_are_outside_everything_that_the_search_sees(study_path: Path, finalized: Study) -> None:
    plain = Study.open(study_path)
    assert [r.id for r in finalized.records()] == [r.id for r in plain.records()]
    assert [s.record.id for s in finalized.front()] == [s.record.id for s in plain.front()]
    assert finalized.hypervolume() == plain.hypervolume()
    assert len(finalized.archive.proposals()) == 12
    assert {r.proposal.fidelity for r in finalized.archive.records("final")} == {FULL.fidelity}


def test_a_design_of_mixed_fidelities_is_refused(finalized: Study) -> None:
    with pytest.raises(InputError, match="surrogates need records of a single fidelity, got 2"):
        fit(finalized.home, [*finalized.archive.records(), *finalized.archive.records("final")])


def test_the_best_seed_of_each_network_keeps_its_weights(finalized: Study) -> None:
    copy = Study.open(shutil.copytree(finalized.path, finalized.path.parent / "pruned"))
    copy.home.update({"keep": "none"})
    kept_ids = {path.stem for path in (copy.path / "checkpoints").glob("*.safetensors")}
    assert kept_ids
    assert len(kept_ids) == len({r.architecture for r in copy.archive.records("final")})
    for id in kept_ids:
        record = copy.archive.find(id)
        assert record.proposal.origin == "final"
        assert copy.network(id).architecture == record.architecture


def test_other_limits_choose_other_thresholds_of_the_same_trainings(finalized: Study) -> None:
    unlimited = finalized.finals(Limits())
    cap = min(s.tune.expected_macs for f in unlimited for s in f.solutions) * 1.01
    tight = finalized.finals(Limits(max_macs=cap))
    assert all(s.tune.expected_macs <= cap for f in tight for s in f.solutions)
    assert max(f.tune_accuracy for f in tight) <= max(f.tune_accuracy for f in unlimited)


def test_the_report_shows_them(finalized: Study) -> None:
    page = finalized.report().read_text(encoding="utf-8")
    assert "At full fidelity" in page
    for final in finalized.finals():
        assert final.best.record.id in page


def test_a_budget_means_the_most_accurate_network_within_it(study_path: Path, tmp_path: Path) -> None:
    study = Study.open(shutil.copytree(study_path, tmp_path / "copy"))
    front = study.front()
    at = front[-1].tune.expected_macs * 1.01
    assert to_finalize(study.solutions, [], [at], 1, FULL) == [front[-1].record.architecture]
    assert to_finalize(study.solutions, [], [front[0].tune.expected_macs * 1.0001], 1, FULL) == [
        front[0].record.architecture
    ]
    assert set(to_finalize(study.solutions, [], [], 1, FULL)) == {s.record.architecture for s in front}
    with pytest.raises(InputError, match="budget 1 is below the cheapest solution's expected MACs"):
        study.finalize(at=[1.0])
    with pytest.raises(InputError, match="the final recipe equals that of the search"):
        study.finalize(recipe=study.settings.recipe)
    with pytest.raises(InputError, match="loss nachos needs branches with gates; those of space 'tiny' have none"):
        study.finalize(recipe=Recipe(epochs=3, loss={"kind": "nachos", "max_macs": 1e5}))  # type: ignore[arg-type]
    assert study.settings.final is None
    assert study.archive.records("final") == []


def test_budgets_are_of_the_expected_cost_where_that_is_minimised(
    finalized: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost has nothing to do with MACs, so the cheapest by it need not be the one with the fewest."""
    study = Study.open(shutil.copytree(finalized.path, tmp_path / "copy"))
    table_of(study.space, study.home.shape, seed=4).write(tmp_path / "costs.csv")
    study.home.update({"cost_table": tmp_path / "costs.csv", "objective": "cost", "limits": {"max_macs": None}})
    front = study.front()
    macs = [s.tune.expected_macs for s in front]
    costs = [s.tune.expected("cost") for s in front]
    assert costs == sorted(costs)
    assert macs != sorted(macs)
    with monkeypatch.context() as patched:
        patched.setattr(study.solutions, "front", lambda: front)  # which takes long to find for each of its members
        for solution, cost in zip(front, costs, strict=True):  # each keeps the budget that equals its own cost
            assert to_finalize(study.solutions, [], [cost], 1, FULL) == [solution.record.architecture]
    with pytest.raises(InputError, match=r"budget 0\.01 is below the cheapest solution's expected cost, \d"):
        to_finalize(study.solutions, [], [0.01], 1, FULL)
    at = [max(f.best.tune.expected("cost") for f in study.finals())]
    within = {b: study.finals(study.settings.limits.with_budget("cost", b)) for b in (*at, 0.01)}
    document = finals_document(study.solutions, study.finals(), None, within, None)
    assert [float(budget) for budget in document["within_max_cost"]] == [*at, 0.01]
    assert "within_max_macs" not in document
    assert document["within_max_cost"]["0.01"] is None
    assert document["finals"][0]["test_expected_cost"] == study.finals()[0].test_cost
    print_finals(document)
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("At full fidelity max cost on tune best seed")
    assert "expected test MACs expected test cost" in out
    assert "No network keeps expected cost ≤ 0.01 on tune." in out
    page = finals_section(contents_of(study))
    assert "expected test cost</th>" in page
    assert f"{study.finals()[0].test_cost:,.1f}</td>" in page


def test_how_the_ranking_held_is_kendalls_tau(finalized: Study) -> None:
    like = finalized.finals()[0]
    assert like.low is not None

    def final(low: float, full: float) -> Final:
        assert like.low is not None
        searched = replace(like.low, tune=replace(like.low.tune, accuracy=low))
        best = replace(like.best, tune=replace(like.best.tune, accuracy=full))
        return Final(like.architecture, searched, (best,), 0)

    agreement = RankAgreement.of([final(0.1, 0.5), final(0.2, 0.6), final(0.3, 0.8), final(0.4, 0.7)])
    assert agreement is not None
    assert (agreement.tau, agreement.n) == (pytest.approx(4 / 6), 4)
    assert RankAgreement.of([final(0.1, 0.5), final(0.2, 0.6)]) is None
    assert RankAgreement.of([final(0.1, 0.5)] * 3) is None
    assert math.isnan(final(0.1, 0.5).test_deviation)
    np.testing.assert_allclose(final(0.1, 0.5).test_interval, like.best.test.accuracy_interval)
