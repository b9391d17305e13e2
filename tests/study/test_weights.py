"""Weights: which are kept, and what is said of those that are not what they should be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save

from surrogate_nas.api import Study
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from surrogate_nas.study.paths import CHECKPOINTS
from surrogate_nas.study.pruning import HEADER, weights_size

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


def weights(study: Study) -> set[str]:
    return {path.stem for path in (study.path / CHECKPOINTS).glob("*.safetensors")}


def test_weights_of_the_front_are_kept_whatever_the_limits(copy: Study) -> None:
    before = weights(copy)
    copy.home.update({"keep": "front", "keep_gb": 0})
    kept_ids = weights(copy)
    assert {s.record.id for s in copy.front()} <= kept_ids < before
    copy.home.update({"limits": {"max_macs": None, "min_accuracy": None}})
    assert {s.record.id for s in copy.front()} <= kept_ids
    pruned_id = sorted(before - kept_ids)[0]
    with pytest.raises(JobError) as error:
        copy.network(pruned_id)
    assert str(error.value) == (
        f"the weights of {pruned_id} are not at {copy.home.checkpoint(pruned_id)} (weights kept: front); "
        f"train it again: surrogate-nas collect {copy.path} --keep all --encoding "
        f"'{copy.archive.find(pruned_id).architecture}'"
    )


def kept_with(study: Study, gb: float) -> set[str]:
    """Ids of the weights that are left when a study in which all are kept is given so much room."""
    folder = shutil.copytree(study.path, study.path.parent / f"room {gb:g}")
    with Study.open(folder) as roomy:
        roomy.home.update({"keep": "front", "keep_gb": gb})
        return weights(roomy)


def test_room_is_for_the_most_accurate_networks_beside_the_front(copy: Study) -> None:
    sizes = {path.stem: path.stat().st_size for path in (copy.path / CHECKPOINTS).glob("*.safetensors")}
    accuracy = {r.id: copy.exits(r, "tune").curve.accuracy.max() for r in copy.records()}
    rooms = [0, *np.linspace(0, 1.5e-9 * sum(sizes.values()), 6)[1:], 1]
    kept = [kept_with(copy, room) for room in rooms]
    front = kept[0]
    assert front < kept[2] < kept[-1] == sizes.keys()
    for room, less, ids in zip(rooms[1:], kept[:-1], kept[1:], strict=True):
        beside, dropped = ids - front, sizes.keys() - ids
        assert less <= ids
        assert sum(sizes[id] for id in beside) <= room * 1e9
        assert min((accuracy[id] for id in beside), default=1) >= max((accuracy[id] for id in dropped), default=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_weights_are_kept_whichever_training_ends_first(copy: Study, tmp_path: Path, seed: int) -> None:
    """And however often weights were removed meanwhile."""
    settings = copy.settings.updated({"keep": "front", "keep_gb": 3e-4}).model_dump(exclude={"workers"})
    study = Study.create(tmp_path / "grown", **settings, workers=0)
    records = copy.records()
    study.archive.propose([r.proposal for r in records])
    for i in np.random.default_rng(seed).permutation(len(records)):
        shutil.copy(copy.home.checkpoint(records[i].id), study.home.checkpoint(records[i].id))
        study.archive.add(records[i])
        study.home.prune()
    assert weights(study) == kept_with(copy, 3e-4) < weights(copy)


@pytest.mark.parametrize("name", ["tiny", "compact", "nachos"])
def test_a_file_of_weights_is_no_larger_than_was_computed(name: str) -> None:
    shape, space = ImageShape(3, 32, 10), SearchSpace(preset(name))
    for architecture in space.sample(3, np.random.default_rng(0)):
        size = len(save(EarlyExitNetwork(architecture, shape).state_dict()))
        computed = weights_size(int(Costing(shape).of(architecture).parameters[0]))
        assert size <= computed <= 1.02 * size + HEADER


def test_a_run_says_how_much_room_weights_have(copy: Study, capsys: pytest.CaptureFixture[str]) -> None:
    copy.home.update({"keep": "front", "keep_gb": 2.5})
    copy.trainer.announce()
    assert "more (weights kept: front and up to 2.5 GB of the most accurate others)" in capsys.readouterr().err


@pytest.mark.parametrize("gb", [-1, float("nan"), float("inf")])
def test_room_is_a_number_from_0_on(gb: float) -> None:
    with pytest.raises(InputError, match="keep_gb"):
        Settings().updated({"keep_gb": gb})


def test_none_are_kept_where_none_are_asked_for(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", keep="none", **QUICK)
    study.collect(2)
    assert list((study.path / CHECKPOINTS).iterdir()) == []
    assert len(study.records()) == 2


def test_what_an_interrupted_command_left_half_written_is_removed(copy: Study) -> None:
    (copy.path / CHECKPOINTS / "0123.77.partial").touch()
    (copy.path / CHECKPOINTS / "mine.partial").mkdir()
    (copy.path / CHECKPOINTS / "0123.unfinished").touch()
    before = weights(copy)
    assert before
    copy.home.prune()
    (copy.path / CHECKPOINTS / "mine.partial").rmdir()  # which was the user's, and still there
    assert {path.stem for path in (copy.path / CHECKPOINTS).iterdir()} == before


def test_weights_of_another_architecture_are_said(copy: Study) -> None:
    """Files moved by hand: whose they are is in the file, else it shows by their shapes."""
    one, *others = [r for r in copy.records() if copy.home.checkpoint(r.id).is_file()]
    other = next(r for r in others if r.architecture != one.architecture)
    shutil.copy(copy.home.checkpoint(other.id), copy.home.checkpoint(one.id))
    with pytest.raises(JobError) as error:
        copy.network(one.id)
    path = copy.home.checkpoint(one.id)
    message = f"{path} has weights of {other.architecture}; expected those of {one.id}, {one.architecture}"
    assert str(error.value) == message


def test_damaged_weights_are_said(copy: Study) -> None:
    id = copy.records()[0].id
    copy.home.checkpoint(id).write_bytes(b"")  # as an unlucky power cut leaves a file
    with pytest.raises(JobError, match=f"the weights of {id} at .* are damaged"):
        copy.network(id)
