"""An exported network is the trained one: the same logits, the same routes, and figures that it really has."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.resizing import RESIZES, ResizeName
from surrogate_nas.datasets.source import load
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICIES, PolicyName, gate_scores, scores
from surrogate_nas.export import folder as exporting_module
from surrogate_nas.export.images import classify, image_files, read_image, resize_of
from surrogate_nas.export.latency import LATENCY, time_network
from surrogate_nas.export.parity import clear_of, predictions_of, require_equal, require_same_answers
from surrogate_nas.export.pieces import TWINS, BranchPiece, pieces_of
from surrogate_nas.export.runtime import (
    MANIFEST,
    ExportedNetwork,
    ExportError,
    Predictions,
    difference,
    digest_of,
    read_examples,
    read_manifest,
)
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.network.backbone import mount
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.network.predictions import ExitPredictions
from surrogate_nas.report.latency import latency_section, read_latencies
from surrogate_nas.space import moves
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.conftest import Command

GATED = "stem-w8-s1/res-d1-w8-k3-s1@gated-c4/res-d1-w8-k3-s2@gated-c4/res-d1-w8-k3-s2"


def alone(network: EarlyExitNetwork, folder: Path, policy: PolicyName) -> ExportedNetwork:
    """Just the pieces of a network, without a study: at no thresholds."""
    import hashlib

    files, exits = dict[str, str](), list[dict[str, Any]]()
    for segment, branch in pieces_of(network, policy):
        for piece in (segment, branch):
            if piece is not None:
                content = piece.onnx()
                (folder / piece.name).write_bytes(content)
                files[piece.name] = hashlib.sha256(content).hexdigest()
        exit = int(segment.name.removeprefix("segment_").removesuffix(".onnx"))
        exits.append({"segment": segment.name, "branch": branch and branch.name, "exit": exit, "temperature": 1.0})
    shape, X = network.shape, len(exits)
    measured = {"expected_macs": 1.0, "accuracy": 0.0}
    setting = {"thresholds": [None] * (X - 1), "macs": [1] * X, "tune": measured, "test": measured}
    manifest = {
        "format": "surrogate_nas early-exit network",
        "version": 1,
        "network": "alone",
        "quantized": network.architecture.bits is not None,
        "exits": exits,
        "settings": [setting],
        "default_setting": 0,
        "labels": list(map(str, range(shape.classes))),
        "policy": policy,
        "files": files,
        "input": {"shape": [shape.channels, shape.size, shape.size]},
    }
    (folder / MANIFEST).write_text(json.dumps({**manifest, "sha256": digest_of(manifest)}))
    return ExportedNetwork.load(folder)


def warmed(network: EarlyExitNetwork, images: npt.NDArray[np.uint8]) -> EarlyExitNetwork:
    """Batch statistics, ranges of activations and logits as training would leave them, without the training."""
    with torch.no_grad():
        network.train()
        for _ in range(3):
            network.exit_outputs(torch.from_numpy(images))
    return network.eval()


def differences(
    network: EarlyExitNetwork, folder: Path, n: int, policy: PolicyName = "max_softmax"
) -> tuple[ExitPredictions, ExitPredictions]:
    shape = network.shape
    images = np.random.default_rng(1).integers(256, size=(n, shape.channels, shape.size, shape.size), dtype=np.uint8)
    warmed(network, images)
    exported = alone(network, folder, policy)
    return ExitPredictions.by_network(network, policy, (), images), predictions_of(exported, images)


@pytest.mark.slow
def test_pieces_say_what_a_network_with_gates_says(tmp_path: Path) -> None:
    network = EarlyExitNetwork(Architecture.parse(GATED), ImageShape(1, 8, 10))
    expected, actual = differences(network, tmp_path, 300, "cumulative_gate")
    assert require_equal(expected, actual, quantized=False) < 1e-4
    assert np.abs(expected.confidence - actual.confidence).max() < 1e-5
    assert np.ptp(expected.confidence) > 0.01


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("temperature", [1.0, 0.6, 3.0])
def test_branches_are_as_sure_as_the_policy_says(policy: PolicyName, temperature: float) -> None:
    network = EarlyExitNetwork(Architecture.parse(GATED), ImageShape(1, 8, 10))
    rng = np.random.default_rng(0)
    logits, gate = (8 * rng.normal(size=(500, 10))).astype(np.float32), rng.normal(size=500).astype(np.float32)
    assert POLICIES.keys() == TWINS.keys()
    gated = POLICIES[policy].needs_gates
    with torch.no_grad():
        branch = BranchPiece(network, 0, policy, temperature)
        sure = branch.confidence(torch.from_numpy(logits), torch.from_numpy(gate) if gated else None).numpy()
    expected = gate_scores(gate) if gated else scores(policy, logits, temperature)
    assert np.abs(sure - expected).max() < 1e-6


def test_a_network_without_early_exits_is_a_single_piece(tmp_path: Path) -> None:
    network = EarlyExitNetwork(Architecture.parse("stem-w4-s2/res-d1-w8-k3-s1/res-d1-w8-k3-s2"), ImageShape(1, 8, 10))
    images = np.random.default_rng(1).integers(256, size=(5, 1, 8, 8), dtype=np.uint8)
    exported = alone(warmed(network, images), tmp_path, "max_softmax")
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["segment_2.onnx"]
    expected, actual = (
        ExitPredictions.by_network(network, "max_softmax", (), images),
        predictions_of(exported, images),
    )
    assert require_equal(expected, actual, quantized=False) < 1e-4
    for n in (1, 5):
        answer = exported.run(images[:n])
        assert answer.exits.tolist() == [2] * n
        assert np.array_equal(answer.classes, expected.logits[0, :n].argmax(axis=1))


def test_of_quantised_networks_the_typical_image_counts() -> None:
    """A step of an activation that falls on the other side for one image is no other network."""
    logits = np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32)
    other = logits.copy()
    other[0, 4] += 0.01
    assert difference(logits, other, quantized=True) == pytest.approx(0.01, rel=1e-3)
    for changed, quantized in ((other, False), (logits + np.float32(0.01), True)):
        with pytest.raises(ExportError, match=r"logits differ by 0\.01"):
            difference(logits, changed, quantized=quantized)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "compact", "edanas", "nachos", "aebnas"])
def test_pieces_of_any_space_say_the_same(name: str, tmp_path: Path) -> None:
    space = SearchSpace(preset(name))
    shape = ImageShape(1, 8, 10) if name == "tiny" else ImageShape(3, 32, 10)
    rows = moves.sample(space.genes, 3, np.random.default_rng(4))
    for i, architecture in enumerate(space.architectures(rows)):
        (here := tmp_path / str(i)).mkdir()
        expected, actual = differences(EarlyExitNetwork(architecture, shape), here, 20)
        require_equal(expected, actual, quantized=architecture.bits is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "exits", "side"),
    [
        ("tests.helpers.networks:Shortcut", ["first", "middle"], 16),
        ("torchvision.models:resnet18", ["layer1", "layer3"], 32),
    ],
)
def test_pieces_of_a_given_backbone_say_the_same(
    reference: str, exits: list[str], side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a shortcut goes around an exit, so that two values cross it."""
    monkeypatch.chdir(Path(__file__).parents[2])
    shape = ImageShape(3, side, 10)
    space = SearchSpace(mount(reference, exits).space(shape))
    architectures = space.architectures(moves.sample(space.genes, 20, np.random.default_rng(0)))
    with_all = max(architectures, key=lambda a: len(a.exit_positions))
    network = EarlyExitNetwork(with_all, shape, backbone=space.spec.backbone)
    expected, actual = differences(network, tmp_path, 8)
    assert len(expected.logits) == len(exits) + 1
    require_equal(expected, actual, quantized=False)


# ---------------------------------------------------------------------- thresholds


unit = st.floats(0, 1, width=32)


@given(st.floats(0, 1), st.lists(st.tuples(unit, st.floats(-1e-6, 1e-6)), min_size=1, max_size=40))
def test_rounding_decides_about_no_image(threshold: float, pairs: list[tuple[float, float]]) -> None:
    one = np.array([score for score, _ in pairs], dtype=np.float32)
    other = np.clip(one + np.array([noise for _, noise in pairs]), 0, 1).astype(np.float32)
    clear = clear_of(threshold, one, other)
    assert 0 <= clear <= 1
    assert np.array_equal(one >= clear, other >= clear)
    assert clear_of(clear, one, other) == pytest.approx(clear, abs=1e-9)
    apart = np.abs(np.concatenate([one, other]).astype(np.float64) - clear).min()
    assert apart >= 2.0**-23 - 1e-12 or clear == 0
    crossed = np.abs(one.astype(np.float64) - threshold) <= abs(clear - threshold) + 1e-5
    assert ((one >= clear) == (one >= threshold))[~crossed].all()


def test_thresholds_that_are_clear_stay() -> None:
    scores = np.array([0.2, 0.4, 0.9], dtype=np.float32)
    assert clear_of(0.5, scores, scores) == 0.5
    assert clear_of(0.0, np.zeros(3, np.float32), np.zeros(3, np.float32)) == 0
    assert clear_of(1.0, np.ones(3, np.float32), np.float32([1, 1, 1 - 1e-7])) < 1 - 1e-7  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the folder


def test_what_is_exported_is_the_trained_network_to_the_sample(exported: Path, exporting: tuple[Path, str]) -> None:
    path, id = exporting
    study, network = Study.open(path), ExportedNetwork.load(exported)
    trained, test = study.network(id), study.splits().test
    where = trained.architecture.exit_positions
    for i, setting in enumerate(network.settings):
        thresholds: list[float | None] = [None] * (trained.architecture.positions - 1)
        for x, e in enumerate(where[:-1]):
            thresholds[e] = setting.thresholds[x]
        expected = trained.predict(torch.from_numpy(test.images), OperatingPoint(tuple(thresholds), study.policy))
        answers = network.run(test.images, i)
        assert np.array_equal(answers.exits, expected.positions + 1)
        assert np.array_equal(answers.classes, expected.logits.argmax(dim=1).numpy())
        assert np.abs(answers.logits - expected.logits.numpy()).max() < 1e-4
        assert (answers.classes == test.labels).mean() == pytest.approx(setting.accuracy, abs=1e-12)
        assert answers.macs.mean() == pytest.approx(setting.expected_macs)


def test_the_manifest_says_what_things_cost(exported: Path, exporting: tuple[Path, str]) -> None:
    study, manifest = Study.open(exporting[0]), read_manifest(exported)
    architecture = study.archive.find(exporting[1]).architecture
    cost = Costing(study.home.shape).of(architecture)
    assert [one["exit"] for one in manifest["exits"]] == [e + 1 for e in architecture.exit_positions]
    segments = [one["segment_macs"] for one in manifest["exits"]]
    branches = [one["branch_macs"] for one in manifest["exits"]]
    assert sum(segments) + sum(branches) == cost.macs()[0, -1]
    for setting in manifest["settings"]:
        on = [t is not None for t in setting["thresholds"]] + [True]
        spent = np.cumsum(segments) + np.cumsum(np.where(on, branches, 0))
        assert np.array_equal(spent, setting["macs"])
        for split in ("tune", "test"):
            one = setting[split]
            assert sum(one["exit_rates"]) == pytest.approx(1)
            assert np.dot(one["exit_rates"], setting["macs"]) == pytest.approx(one["expected_macs"])
            reach = 1 - np.cumsum([0, *one["exit_rates"]])[:-1]
            assert one["reach"] == pytest.approx(reach)
            assert all(
                low <= r + 1e-12 and r - 1e-12 <= high
                for r, (low, high) in zip(one["reach"], one["reach_interval"], strict=True)
            )
    assert manifest["data"]["fingerprint"] == study.archive.header.fingerprint
    assert manifest["labels"] == list(study.images.dataset.classes)
    card = (exported / "README.md").read_text()
    best = manifest["settings"][manifest["default_setting"]]["test"]
    assert f"{100 * best['accuracy']:.2f} % of {best['images']} test images" in card
    budget = re.search(r"network\.within\((\d+)\)", card)
    assert budget is not None
    assert ExportedNetwork.load(exported).within(float(budget[1])) == 0


@dataclasses.dataclass
class Stored:
    """A piece that has been exported: exporting it again takes seconds."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def onnx(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def stored_pieces(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports take the pieces of the one that there is."""
    pairs = [
        (Stored(exported / one["segment"]), one["branch"] and Stored(exported / one["branch"]))
        for one in read_manifest(exported)["exits"]
    ]
    monkeypatch.setattr(exporting_module, "pieces_of", lambda *network: iter(pairs))


@pytest.mark.usefixtures("stored_pieces")
def test_the_default_setting_is_the_best_within_the_limits(exporting: tuple[Path, str], tmp_path: Path) -> None:
    path, id = exporting
    study = Study.open(path)
    curve = study.exits(study.archive.find(id), "tune").curve
    cap = float(np.median(curve.expected_macs))
    export = study.export(id, tmp_path / "out", max_macs=cap, tiers=3)
    settings, default = export.manifest["settings"], export.manifest["default_setting"]
    assert settings[default]["tune"]["expected_macs"] <= cap * 1.001
    assert default < len(settings) - 1  # tiers go on above the budget
    assert ExportedNetwork.load(export.folder).within(cap * 1.001) == default
    assert list(tmp_path.iterdir()) == [export.folder]


@pytest.mark.usefixtures("stored_pieces")
def test_files_of_another_network_refuse_to_export(exporting: tuple[Path, str], tmp_path: Path) -> None:
    """Weights that differ by a little in one layer are found, and nothing is left."""
    path = Path(shutil.copytree(exporting[0], tmp_path / "study"))
    weights = Study.open(path).home.checkpoint(exporting[1])
    with safe_open(weights, framework="pt") as file:
        tensors, described = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    name = next(name for name in tensors if name.startswith("segments.2") and tensors[name].ndim == 4)
    save_file({**tensors, name: 1.01 * tensors[name]}, weights, described)
    with pytest.raises(JobError, match="the exported files give other results: logits differ by"):
        Study.open(path).export(exporting[1], tmp_path / "out", limits=Limits())
    assert list(tmp_path.iterdir()) == [path]


def test_other_routes_or_classes_are_noticed() -> None:
    exits, classes, none = np.array([1, 2, 2]), np.array([3, 4, 5]), np.zeros(3)
    same = Predictions(none, none, classes, exits, none)  # type: ignore[arg-type]
    require_same_answers((exits, classes), same, "")
    for other in (dataclasses.replace(same, exits=exits[::-1]), dataclasses.replace(same, classes=classes + 1)):
        with pytest.raises(JobError, match="of 3 test images differently"):
            require_same_answers((exits, classes), other, "than before")


def test_nothing_is_overwritten_and_nothing_impossible_begun(exporting: tuple[Path, str], tmp_path: Path) -> None:
    path, id = exporting
    study = Study.open(path)
    (tmp_path / "file").write_text("mine")
    for there in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="already exists; allowed: a folder that does not exist or is empty"):
            study.export(id, there, limits=Limits())
    with pytest.raises(JobError, match="no thresholds keep"):
        study.export(id, tmp_path / "out", max_macs=1)
    with pytest.raises(InputError, match="0 records have an id"):
        study.export("zzzz", tmp_path / "out", limits=Limits())
    copy = Path(shutil.copytree(path, tmp_path / "copy"))
    Study.open(copy).home.checkpoint(id).unlink()
    with pytest.raises(JobError, match="the weights of"):
        Study.open(copy).export(id, tmp_path / "out", limits=Limits())
    assert not (tmp_path / "out").exists()


def test_the_same_network_gives_the_same_bytes(exported: Path, exporting: tuple[Path, str]) -> None:
    trained = Study.open(exporting[0]).network(exporting[1])
    segment, branch = next(iter(pieces_of(trained)))
    assert branch is not None
    assert branch.onnx() == (exported / branch.name).read_bytes()
    for piece in (segment, branch):
        content = (exported / piece.name).read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in content
        assert b".py" not in content


# ---------------------------------------------------------------------- image files


@pytest.fixture
def photos(exported: Path, tmp_path: Path) -> Path:
    """The examples of the export as PNG files."""
    images, _, _ = read_examples(exported)
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(images[:40]):
        Image.fromarray(image[0]).save(tmp_path / "photos" / f"{i:03}.png")
    return tmp_path / "photos"


def test_image_files_are_classified_as_their_pixels_are(exported: Path, photos: Path) -> None:
    network, (images, _, _) = ExportedNetwork.load(exported), read_examples(exported)
    rows, expected = list(classify(network, image_files([photos]))), network.run(images[:40])
    assert [row.label for row in rows] == [network.labels[c] for c in expected.classes]
    assert [row.macs for row in rows] == expected.macs.tolist()
    assert [row.exit for row in rows] == expected.exits.tolist()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_becomes_one_of_the_networks_shape(mode: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / f"image.{'tiff' if mode == 'CMYK' else 'png'}"
    grey = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(path)
    values = read_image(path, (channels, 8, 8))
    assert values.shape == (channels, 8, 8)
    assert values.dtype == np.uint8
    assert np.ptp(values) > 50


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(12, 20), (20, 12), (1, 30), (16, 16)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_file_gives_the_pixels_that_training_reads(
    tmp_path: Path, resize: ResizeName, size: tuple[int, int], mode: str
) -> None:
    values = np.random.default_rng(0).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    for i, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.roll(values, i)).convert(mode).save(tmp_path / name / "image.png")
    trained = load(str(tmp_path), image_size=8, resize=resize).train.images
    for i, path in enumerate(image_files([tmp_path])):
        shape = (trained.shape[1], 8, 8)
        np.testing.assert_array_equal(read_image(path, shape, resize), trained[i])


def test_an_exported_network_makes_files_square_as_its_study_did(tmp_path: Path, command: Command) -> None:
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    for i in range(60):
        path = photos / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(100 * (i % 2), 100 * (i % 2) + 150, (21, 12), np.uint8)).save(path)
    settings: dict[str, Any] = {"recipe": {"epochs": 1}, "workers": 0}
    study = Study.create(tmp_path / "study", data=photos, image_size=8, resize="pad", **settings)
    plain = next(a for a in study.space.sample(500, np.random.default_rng(0)) if len(a.exit_positions) == 1)
    [record] = study.trainer.collect_architectures([plain])
    folder = study.export(record, limits=Limits()).folder
    exported_input = read_manifest(folder)["input"]
    assert exported_input["resize"] == "pad"
    assert exported_input["preprocessing"][-2] == "centred on a black square"
    text = " ".join((folder / "README.md").read_text().split())
    assert "made square by `pad`, as for training: turned upright, scaled until their longer side has 8 pixels" in text
    network = ExportedNetwork.load(folder)
    assert resize_of(network) == "pad"
    expected = network.run(study.images.dataset.train.images)
    rows = json.loads(command("infer", folder, photos, "--json")[1])["images"]
    assert [row["label"] for row in rows] == [network.labels[c] for c in expected.classes]
    probabilities = [row["probability"] for row in rows]
    np.testing.assert_array_equal(probabilities, expected.probabilities.max(axis=1).astype(float))
    cropped = network.run(load(str(photos), image_size=8).train.images).probabilities.max(axis=1)
    assert not np.allclose(probabilities, cropped)


def test_a_network_exported_by_an_older_version_takes_the_central_square(exported: Path, tmp_path: Path) -> None:
    network = ExportedNetwork.load(exported)
    inputs = {name: value for name, value in network.manifest["input"].items() if name != "resize"}
    older = dataclasses.replace(network, manifest={**network.manifest, "input": inputs})
    assert resize_of(older) == resize_of(network) == "crop"
    Image.fromarray(np.arange(160, dtype=np.uint8).reshape(16, 10)).save(tmp_path / "a.png")
    [row], [expected] = list(classify(older, [tmp_path / "a.png"])), list(classify(network, [tmp_path / "a.png"]))
    assert row == expected
    unknown = dataclasses.replace(network, manifest={**network.manifest, "input": {**inputs, "resize": "fill"}})
    with pytest.raises(InputError, match="resize 'fill' is not one of crop, pad, squash"):
        next(classify(unknown, [tmp_path / "a.png"]))


def test_files_that_are_no_images_are_named_and_the_rest_is_answered(
    exported: Path, photos: Path, command: Command
) -> None:
    (photos / "020x.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    code, out, err = command("infer", exported, photos, "--json")
    rows = json.loads(out)["images"]
    assert code == 2
    unread = f"error: 1 of 41 files could not be read; the first: {photos}/020x.png is not a readable image"
    assert err.splitlines()[-1] == unread
    assert [row["image"] for row in rows if row["error"]] == [f"{photos}/020x.png"]
    assert sum(row["label"] is not None for row in rows) == 40


def test_what_is_no_image_in_a_folder_is_left_out_and_named_by_itself_refused(
    exported: Path, photos: Path, command: Command
) -> None:
    (photos / "LICENSE").write_text("CC BY")
    code, out, err = command("infer", exported, photos, "--json")
    assert code == 0
    assert len(json.loads(out)["images"]) == 40
    assert "1 file that is not an image was left out (LICENSE)" in err.splitlines()
    code, _, err = command("infer", exported, photos / "LICENSE")
    assert code == 2
    assert err.splitlines()[-1].endswith(f"{photos}/LICENSE is not a readable image")
    for path in photos.glob("*.png"):
        path.unlink()
    assert command("infer", exported, photos)[2].startswith(f"error: no images at {photos}; allowed: image files")


@pytest.mark.parametrize("n", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fuzzed_image_files_are_refused_or_answered(exported: Path, photos: Path, tmp_path: Path, n: int) -> None:
    rng, network = np.random.default_rng(0), ExportedNetwork.load(exported)
    seeds = []
    for name, form in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.gif", "GIF"), ("a.bmp", "BMP"), ("a.webp", "WEBP")):
        Image.open(photos / "000.png").resize((24, 24)).save(tmp_path / name, form)
        seeds.append((tmp_path / name).read_bytes())
    files = [tmp_path / f"fuzz{i}" for i in range(n)]
    for path in files:
        spoilt = bytearray(seeds[rng.integers(len(seeds))])
        for at in rng.integers(len(spoilt), size=rng.integers(1, 20)):
            spoilt[at] = rng.integers(256)
        path.write_bytes(spoilt[: rng.integers(1, len(spoilt) + 1)] if rng.random() < 0.3 else spoilt)
    rows = list(classify(network, files))
    assert [row.image for row in rows] == list(map(str, files))
    for row in rows:
        assert (row.label in network.labels) != (row.error is not None)
        assert row.error is None or "\n" not in row.error
    assert n // 20 < sum(row.error is None for row in rows) < n - n // 20


# ---------------------------------------------------------------------- latency


def test_latency_is_measured_piece_by_piece(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    shares: list[tuple[int, int]] = []
    document = time_network(folder, seconds=0.2, on_share=lambda done, of: shares.append((done, of)))
    assert shares[-1][0] == shares[-1][1]
    manifest = read_manifest(folder)
    setting = manifest["settings"][document["setting"]]
    for size, one in document["batch"].items():
        assert set(one["pieces"]) == {"segment 1", "branch 1", "segment 2", "branch 2", "segment 3"}
        assert all(0 < t["median"] <= t["p95"] for t in one["pieces"].values())
        assert one["exits"] == sorted(one["exits"])
        assert one["composed"] == pytest.approx(float(np.dot(one["exit_rates"], one["exits"])))
        assert one["images"] >= int(size)
    assert document["macs"]["exits"] == setting["macs"]
    assert json.loads((folder / LATENCY).read_text()) == document
    ExportedNetwork.load(folder)  # which the new file does not disturb


# ---------------------------------------------------------------------- commands


@pytest.mark.usefixtures("stored_pieces")
def test_commands(exporting: tuple[Path, str], tmp_path: Path, command: Command) -> None:
    path, id = exporting
    target = tmp_path / "network"
    code, out, err = command("export", path, id, "-o", target, "--tiers", 2, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["folder"] == str(target)
    assert document["manifest"] == read_manifest(target)
    assert "pieces exported" in err
    code, out, err = command("measure", target, "--seconds", 0.1, "--json")
    assert code == 0
    assert json.loads(out)["network"] == id
    code, out, err = command("measure", target, "--seconds", 0.1)
    assert "to the last" in out
    assert "of the MACs" in out
    study = Study.open(shutil.copytree(path, tmp_path / "study"))
    assert list(read_latencies(study.path)) == []
    shutil.copy(target / LATENCY, study.path / "exports" / id)
    (study.path / "exports" / "other").mkdir()
    (study.path / "exports" / "other" / LATENCY).write_text("{}")  # which the report leaves out
    section = latency_section(tuple(read_latencies(study.path)))
    assert section.count(f"{id}, setting") == 2
    code, out, err = command("export", path, id, "-o", target)
    assert (code, err) == (2, f"error: {target} already exists; allowed: a folder that does not exist or is empty\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["infer", "DIR", "nothing"], "no images at nothing"),
        (["infer", "nothing", "nothing"], "no exported network at nothing: No such file"),
        (["infer", "DIR", "DIR", "--setting", "77"], "--setting 77 is not one of 0 to"),
        (["infer", "DIR", "DIR", "--max-macs", "3"], "no setting needs at most 3 expected MACs"),
        (["infer", "DIR", "DIR", "--max-macs", "3", "--setting", "0"], "give either --max-macs or --setting"),
        (["infer", "DIR", "DIR", "--threads", "0"], "--threads 0 is not a positive number"),
        (["measure", "nothing"], "no exported network at nothing"),
        (["measure", "DIR", "--seconds", "-1"], "--seconds -1 is not a positive number"),
        (["measure", "DIR", "--setting", "-1"], "--setting -1 is not one of 0 to"),
    ],
)
def test_bad_input_is_one_line(exported: Path, words: list[str], message: str, command: Command) -> None:
    code, out, err = command(*(str(exported) if word == "DIR" else word for word in words))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
