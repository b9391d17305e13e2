"""The guard of an exported network: rarely wrong while nothing changes, quick where something does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.export.runtime import BINS, ExportedNetwork, ExportError, Guard, Reference, read_examples
from surrogate_nas.report.guards import guards_section, read_guards
from surrogate_nas.serve.copies import copy_study, stamp
from tests.conftest import Command

CLASSES = 5


def probabilities(n: int, rng: np.random.Generator, certain: float = 3.0) -> np.ndarray:
    logits = rng.normal(size=(n, CLASSES)) * certain
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float32)


def reference(n: int = 1000, seed: int = 0) -> Reference:
    rng = np.random.default_rng(seed)
    return Reference.of(rng.choice(3, n, p=[0.5, 0.3, 0.2]), probabilities(n, rng), 3)


def after(
    guard: Guard, n: int, rng: np.random.Generator, certain: float = 3.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> Guard:
    p = probabilities(n, rng, certain)
    for x, row in zip(rng.choice(3, n, p=shares).tolist(), p, strict=True):
        guard.see(x, float(row.max()), int(row.argmax()))
    return guard


def test_a_reference_is_about_uniform_in_uncertainty() -> None:
    of = reference()
    assert of.mean == pytest.approx(0.5, abs=0.01)
    assert of.deviation == pytest.approx(1 / 12**0.5, abs=0.01)
    np.testing.assert_allclose(of.bins, 1 / BINS, atol=0.03)
    assert sum(of.classes) == pytest.approx(1)
    assert Reference.read(json.loads(json.dumps(of.document())), 3) == of


@given(x=st.integers(0, 2), more=st.floats(0, 0.5), p=st.floats(0, 0.5))
def test_who_leaves_later_or_with_a_smaller_probability_is_less_certain(x: int, more: float, p: float) -> None:
    of = reference()
    assert 0 <= of.uncertainty(x, p + more) <= of.uncertainty(x, p) <= 1
    assert x == 0 or of.uncertainty(x - 1, p) <= of.uncertainty(x, p + more)


@pytest.mark.parametrize("answers", [True, False])
def test_alarms_are_rare_while_nothing_changes(answers: bool) -> None:
    runs = [
        after(Guard(reference(seed=i), run_length=500, answers=answers), 1500, np.random.default_rng(100 + i)).alarm_at
        for i in range(40)
    ]
    assert np.mean([1500 if at is None else at for at in runs]) > 500


@pytest.mark.parametrize(
    ("certain", "shares"), [(0.3, (0.5, 0.3, 0.2)), (30.0, (0.5, 0.3, 0.2)), (3.0, (0.05, 0.15, 0.8)), (3.0, (1, 0, 0))]
)
def test_what_changes_is_noticed(certain: float, shares: tuple[float, ...]) -> None:
    guard = after(Guard(reference()), 500, np.random.default_rng(1))
    assert guard.alarm_at is None
    after(guard, 200, np.random.default_rng(2), certain, shares)
    assert guard.alarm_at is not None
    assert 500 < guard.alarm_at <= 700


def test_one_answer_alone_is_noticed_only_where_answers_count() -> None:
    for answers in (True, False):
        guard, rng = Guard(reference(), answers=answers), np.random.default_rng(3)
        for x, row in zip(rng.choice(3, 200, p=[0.5, 0.3, 0.2]).tolist(), probabilities(200, rng), strict=True):
            guard.see(x, float(row.max()), 0)
        assert (guard.alarm_at is not None) == answers


def test_a_guard_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    path, whole = tmp_path / "guard.json", after(Guard(reference()), 300, np.random.default_rng(4))
    first = after(Guard(reference()), 300, np.random.default_rng(4))
    first.save(path)
    again = Guard(reference()).load(path)
    for guard in (whole, again):
        after(guard, 100, np.random.default_rng(5), certain=1.0)
    assert (again.images, again.alarm_at) == (400, whole.alarm_at)
    assert again.evidence == pytest.approx(whole.evidence)
    again.reset()
    assert (again.images, again.alarm_at, again.evidence) == (0, None, 0)
    with pytest.raises(ExportError, match="is of a guard with another reference, run length or drift"):
        Guard(reference(), drift=0.3).load(path)
    for content in (b"{", b"[]", b'{"bets": []}'):
        path.write_bytes(content)
        with pytest.raises(ExportError, match=r"is not the state of a guard|with another reference"):
            Guard(reference()).load(path)


@pytest.mark.parametrize(("run_length", "drift"), [(0, 0.1), (float("nan"), 0.1), (100, -0.1), (100, 0.5)])
def test_a_guard_that_cannot_be_is_refused(run_length: float, drift: float) -> None:
    with pytest.raises(ExportError, match="allowed: at least 1, and 0 to below"):
        Guard(reference(), run_length, drift)


def test_an_exported_network_watches_its_answers(exported: Path) -> None:
    network, (images, _, _) = ExportedNetwork.load(exported), read_examples(exported)
    for number in range(len(network.settings)):
        guard = network.guard(number)
        for at in range(0, len(images), 64):
            assert not network.watch(guard, network.run(images[at : at + 64], number))
        assert guard.images == len(images)
        one_by_one = network.guard(number)
        for i in range(len(images)):
            network.watch(one_by_one, network.run(images[i : i + 1], number))
        assert one_by_one.evidence == pytest.approx(guard.evidence)


def test_black_images_are_noticed(exported: Path) -> None:
    network, (images, _, _) = ExportedNetwork.load(exported), read_examples(exported)
    guard = network.guard()
    network.watch(guard, network.run(np.zeros_like(images[:100])))
    assert guard.alarm_at is not None


def test_infer_says_whether_images_changed_and_keeps_what_it_saw(
    command: Command, exported: Path, tmp_path: Path
) -> None:
    from PIL import Image

    folder = Path(shutil.copytree(exported, tmp_path / "network"))
    images, labels, _ = read_examples(folder)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(tmp_path / "images" / str(label) / f"{i}.png")
    code, out, _ = command("infer", folder, tmp_path / "images")
    assert code == 0
    assert f"No sign that images have changed, in {len(images)} of them" in out
    assert not (folder / "guard.json").exists()
    for times in (1, 2):
        code, out, _ = command("infer", folder, tmp_path / "images", "--watch", "--json")
        assert json.loads(out)["guard"]["images"] == times * len(images)
        assert json.loads(out)["guard"]["alarm_at"] is None
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    code, out, _ = command("infer", folder, *[tmp_path / "black.png"] * 100, "--watch")
    assert code == 0
    assert "The images have changed" in out


def test_the_report_shows_guards_and_a_server_notices_them(exporting: tuple[Path, str], tmp_path: Path) -> None:
    path, id = exporting
    study = Path(shutil.copytree(path, tmp_path / "study"))
    assert list(read_guards(study)) == []
    assert guards_section(()) == ""
    before = stamp(study)
    network = ExportedNetwork.load(study / "exports" / id)
    guard, (images, _, _) = network.guard(), read_examples(study / "exports" / id)
    network.watch(guard, network.run(images))
    guard.save(study / "exports" / id / "guard.json")
    [calm] = read_guards(study)
    assert (calm.network, calm.images, calm.alarm_at) == (id, len(images), None)
    assert "Images have changed" not in guards_section((calm,))
    assert stamp(study) != before
    copy_study(study, tmp_path / "copy")
    assert list(read_guards(tmp_path / "copy")) == [calm]
    network.watch(guard, network.run(np.zeros_like(images)))
    guard.save(study / "exports" / id / "guard.json")
    assert f"Images have changed for {id}" in guards_section(tuple(read_guards(study)))
    (study / "exports" / id / "guard.json").write_text("{")
    assert list(read_guards(study)) == []
