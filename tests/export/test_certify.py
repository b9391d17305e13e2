"""Certifying an exported network: on the sealed images at export, and on new ones that keep coming."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surrogate_nas.api import Study
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.certify import STATE, Counted, certify, chosen, count_images, order_of
from surrogate_nas.export.runtime import ExportedNetwork, read_examples
from surrogate_nas.foundation.errors import InputError
from tests.conftest import Command
from tests.helpers.outputs import SMALL_STUDY


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "network"))


def low(network: ExportedNetwork) -> Limits:
    """A floor that the most accurate setting keeps by far."""
    return Limits(min_accuracy=max(s.accuracy for s in network.settings) / 2)


@pytest.fixture
def images(folder: Path, tmp_path: Path) -> Path:
    """New images of each class: here, those of the export."""
    pixels, labels, _ = read_examples(folder)
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (tmp_path / "new" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(tmp_path / "new" / str(label) / f"{i}.png")
    return tmp_path / "new"


def test_images_are_counted_as_the_network_runs_them(folder: Path, images: Path) -> None:
    network = ExportedNetwork.load(folder)
    counted = count_images(network, folder, images, Counted.read(folder, network))
    pixels, labels, _ = read_examples(folder)
    distinct = np.unique(pixels.reshape(len(pixels), -1), axis=0, return_index=True)[1]
    assert counted.images == len(distinct) == len(counted.hashes)
    last = network.everything(pixels[distinct])[0][-1].argmax(axis=1) == labels[distinct]
    for number in range(len(network.settings)):
        answer = network.run(pixels[distinct], number)
        right = answer.classes == labels[distinct]
        for x, stage in enumerate(network.stages):
            here = answer.exits == stage.exit
            expected = [[np.sum(here & (right == r) & (last == la)) for la in (False, True)] for r in (False, True)]
            np.testing.assert_array_equal(counted.counts[number, x], expected)


def test_no_image_counts_twice_and_more_may_come(folder: Path, images: Path) -> None:
    network = ExportedNetwork.load(folder)
    some = images.with_name("some")
    shutil.copytree(images, some, ignore=lambda path, names: [n for n in names if n.endswith(("1.png", "7.png"))])
    first = count_images(network, folder, some, Counted.read(folder, network))
    assert Counted.read(folder, network).hashes == first.hashes
    np.testing.assert_array_equal(Counted.read(folder, network).counts, first.counts)
    both = count_images(network, folder, images, Counted.read(folder, network))
    again = count_images(network, folder, images, Counted.read(folder, network))
    assert first.images < both.images == again.images
    fresh = count_images(network, folder, images, Counted(frozenset(), np.zeros_like(both.counts)))
    np.testing.assert_array_equal(both.counts, fresh.counts)


def test_settings_are_certified_safest_first_until_one_fails(folder: Path, images: Path) -> None:
    network = ExportedNetwork.load(folder)
    counted = count_images(network, folder, images, Counted.read(folder, network))
    settings = certify(network, counted, low(network), 0.9)
    assert [s.setting for s in settings] == order_of(network.manifest)
    tune = [network.manifest["settings"][s.setting]["tune"]["accuracy"] for s in settings]
    assert tune == sorted(tune, reverse=True)
    passed = [s.certified for s in settings]
    assert passed == sorted(passed, reverse=True)
    best = chosen(settings)
    assert best is not None
    assert best.expected_macs == min(s.expected_macs for s in settings if s.certified)
    hard = certify(network, counted, Limits(min_accuracy=0.999), 0.9)
    assert not any(s.certified for s in hard)
    assert [s.p_value is None for s in hard] == [False] + [True] * (len(hard) - 1)
    assert chosen(hard) is None


def test_without_images_nothing_is_certified(folder: Path) -> None:
    network = ExportedNetwork.load(folder)
    settings = certify(network, Counted.read(folder, network), low(network), 0.9)
    assert not any(s.certified for s in settings)
    assert settings[0].p_value == pytest.approx(1)


def test_what_cannot_be_counted_or_certified_is_refused(folder: Path, images: Path) -> None:
    network = ExportedNetwork.load(folder)
    nothing = Counted.read(folder, network)
    with pytest.raises(InputError, match="nothing to certify: no limits"):
        certify(network, nothing, Limits(), 0.9)
    with pytest.raises(InputError, match="has no costs by a table"):
        certify(network, nothing, Limits(max_cost=3), 0.9)
    with pytest.raises(InputError, match="is not a folder"):
        count_images(network, folder, images / "none", nothing)
    (images / "eleven").mkdir()
    with pytest.raises(InputError, match=r"class 'eleven' in .* is not one of 0, 1"):
        count_images(network, folder, images, nothing)
    (folder / STATE).write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        Counted.read(folder, network)


def test_the_command_certifies_and_goes_on(command: Command, folder: Path, images: Path) -> None:
    floor = low(ExportedNetwork.load(folder)).min_accuracy
    words = ("certify", folder, "--images", images, "--min-accuracy", floor)
    code, out, _ = command(*words, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["new_images"] == document["images"] > 0
    assert document["certified_setting"] is not None
    code, out, _ = command(*words)
    assert code == 0
    assert "0 of them new" in " ".join(out.split())
    assert "Certified at 90 %: accuracy ≥ 0." in out
    code, _, err = command(*words, "--confidence", 0.2)
    assert code == 2
    assert "confidence 0.2 is not between 0.5 and 0.9999" in err


@pytest.mark.slow
def test_an_export_carries_the_certificates_of_its_study(tmp_path: Path) -> None:
    study = Study.create(
        tmp_path / "study", confidence=0.9, **{**SMALL_STUDY, "workers": 0, "limits": {}, "recipe": {"epochs": 20}}
    )
    study.update(keep="all")
    study.collect(2)
    certified = study.certify(min_accuracy=0.6)
    assert certified
    best = study.solutions.best_of(certified)
    export = study.export(best, min_accuracy=0.6)
    settings = export.manifest["settings"]
    entries = [s["certificate"] for s in settings if "certificate" in s]
    of_network = [s for s in certified if s.id == best.id]
    assert len(entries) == len(of_network)
    assert {e["limits"]["min_accuracy"] for e in entries} == {0.6}
    assert "certificate" in settings[export.manifest["default_setting"]]
    assert "certified at 90 %" in (export.folder / "README.md").read_text()
