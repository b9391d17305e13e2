"""Settings are kept once what they ask for has worked, and what has no effect is said."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from surrogate_nas.api import Study
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.search.proposals import initial_proposals
from tests.conftest import Command


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Nothing has been trained."""
    return Study.create(tmp_path / "study", workers=0, recipe={"epochs": 1})


def kept(study: Study, name: str) -> Any:
    return yaml.safe_load((study.path / "config.yaml").read_text(encoding="utf-8"))[name]


def test_a_surrogate_that_could_not_be_fitted_is_not_kept(study: Study, command: Command) -> None:
    code, _, err = command("fit", study.path, "--surrogate", "switching")
    assert code == 1
    assert "surrogates need at least 4 trained networks" in err
    assert kept(study, "surrogate") == "auto"


def test_a_strategy_that_fails_is_not_kept_and_one_that_proposes_is(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.home.update({"strategy": "edanas", "budget": 40})
    with pytest.raises(JobError, match="strategy edanas needs at least 4 trained networks, got 0"):
        study.search(rounds=1)
    assert kept(study, "strategy") == study.settings.strategy == "bayesian"
    assert kept(study, "budget") == 40
    study.home.update({"strategy": "random"})

    def fails(*_: object) -> None:
        raise JobError("memory is short")

    monkeypatch.setattr(study.trainer, "evaluate", lambda proposals, total: fails() if proposals else [])
    with pytest.raises(JobError, match="memory is short"):
        study.search(rounds=1)
    assert kept(study, "strategy") == "random"


def test_an_interruption_keeps_a_setting(study: Study) -> None:
    study.home.update({"surrogate": "gp"})
    with pytest.raises(KeyboardInterrupt), study.home.trial("surrogate"):
        raise KeyboardInterrupt
    assert kept(study, "surrogate") == "gp"


def test_a_policy_that_no_network_has_is_refused_and_not_kept(study: Study) -> None:
    with pytest.raises(InputError, match="policy gate needs branches with gates"):
        study.home.update({"policy": "gate"})
    assert kept(study, "policy") is None


def test_a_smaller_initial_sample_has_no_effect_and_that_is_said(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    study.home.update({"initial": 12})
    assert "no effect" not in capsys.readouterr().err
    study.archive.propose(initial_proposals(study.home.problem, 12, [], 0))
    study.home.update({"initial": 12})
    assert "no effect" not in capsys.readouterr().err
    study.home.update({"initial": 9})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["initial 9 has no effect: 12 networks have been proposed already"]


@pytest.mark.parametrize("words", [("--n", "3"), ("--n", "3", "--budget", "4")])
def test_a_small_space_can_be_collected_from(
    words: tuple[str, ...], user_mapping: dict[str, Any], command: Command, tmp_path: Path
) -> None:
    """`collect` asks for no more networks than it trains, and cannot set the size of the initial sample."""
    mapping = {**user_mapping, "branch": {"depth": [0], "layer": ["separable"], "channels": [8], "pool": [2]}}
    mapping["stages"][1] = {**mapping["stages"][2], "depth": [1]}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    code, _, err = command("collect", study, "--space", space, "--epochs", 1, "--workers", 0, *words)
    assert code == 0, err
    assert Study.open(study).space.size < 20
    assert len(Study.open(study).archive.records()) == 3
