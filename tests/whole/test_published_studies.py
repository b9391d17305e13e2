"""Miniature studies in every published space, and on a given ResNet-18, with real images, end to end."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas.api import Study
from surrogate_nas.datasets.source import load

pytestmark = pytest.mark.slow
SHARED = Path(__file__).parents[3] / "shared" / "data"
TRAIN, TEST = 600, 200
RESNET = ["--backbone", "torchvision.models:resnet18", "--exits", "layer1,layer2,layer3"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of CIFAR-10's images."""
    program = SHARED / "unpack_cifar10.py"
    if not program.is_file():
        pytest.skip(f"no CIFAR-10: {program} is not there")
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True)
    data, rng = load("cifar10", folder, False), np.random.default_rng(0)
    some, others = (rng.permutation(len(part))[:n] for part, n in ((data.train, TRAIN), (data.test, TEST)))
    path = folder / "few.npz"
    np.savez(
        path,
        images=data.train.images[some].transpose(0, 2, 3, 1),
        labels=data.train.labels[some],
        test_images=data.test.images[others].transpose(0, 2, 3, 1),
        test_labels=data.test.labels[others],
    )
    return path


def command(*words: object) -> str:
    program = [sys.executable, "-m", "surrogate_nas", *map(str, words)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("options", "policy", "charge"),
    [
        (["--space", "edanas"], "margin", "all"),
        (["--space", "edanas-resolution", "--max-worst-macs", "12e6"], "margin", "all"),
        (["--space", "nachos"], "gate", "own"),
        (["--space", "aebnas", "--max-worst-macs", "16e6"], "margin", "all"),
        (RESNET, "max_softmax", "all"),
    ],
    ids=["edanas", "edanas-resolution", "nachos", "aebnas", "resnet18"],
)
def test_a_miniature_study_runs_with_the_ordinary_commands(
    images: Path, tmp_path: Path, options: list[str], policy: str, charge: str
) -> None:
    path = tmp_path / "study"
    small = ["--budget", 9, "--initial", 8, "--batch", 1, "--epochs", 1, "--keep", "all"]
    done = json.loads(command("run", path, "--data", images, *options, *small, "--json"))
    assert (done["trainings"], done["searched"], done["failed"]) == (9, 1, 0)
    assert done["front"]
    (answer,) = json.loads(command("query", path, "--sample", 1, "--json"))
    assert answer["expected_macs"][0] <= answer["worst_macs"]
    study = Study.open(path)
    assert (study.policy, study.home.costing.charge_heads) == (policy, charge)
    solution = study.front()[-1]
    network, test = study.network(solution.record.id), study.splits().test
    predicted = network.predict(torch.from_numpy(test.images), solution.operating_point)
    right = predicted.logits.argmax(1).numpy() == test.labels
    assert right.mean() == pytest.approx(solution.test.accuracy, abs=0.02)
    assert command("archive", "validate", path).endswith("sound\n")
    assert (path / "report.html").is_file()
