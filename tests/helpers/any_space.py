"""The path of any space through the package, on images so few and small that it takes seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.exits.choosing import METHODS
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.runtime import ExportedNetwork
from surrogate_nas.search import best_predicted
from surrogate_nas.search.bayesian import curve_value, pool
from surrogate_nas.search.evolutionary import nsga2
from surrogate_nas.search.registry import strategy_named
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.settings import STRATEGY_NAMES, StrategyName
from surrogate_nas.space import moves
from surrogate_nas.study.fitting import fit
from surrogate_nas.surrogates import curve_fit, gp, targets

CLASSES = 3
FEW = 4
"""Positions up to which every strategy is tried, the report is written, and the network with the most exits exported:
these take long."""
SMALL = {
    gp: {"FIT_ITERATIONS": 3},
    curve_fit: {"STEPS": 8},
    targets: {"GRID_SIZE": 8},
    pool: {"POOL_SAMPLES": 16, "POOL_MUTANTS": 8, "POOL_CHILDREN": 8, "MOST_NEIGHBORS": 16, "WHOLE_SPACE": 16},
    curve_value: {"MOST_IN_ALL_SUBSETS": 4, "SUBSETS_OF_MORE": 17, "RANDOM_THRESHOLDS": 8, "CURVE_SAMPLES": 8},
    best_predicted: {"POPULATION": 32, "MUTANTS": 8, "CHILDREN": 8, "GENERATIONS": 2, "SWEEPS": 0, "DRAWS": 16},
    nsga2: {"GENERATIONS": 3},
}
"""Constants that decide how long a search takes, and not whether it can be made."""


def images(side: int) -> Dataset:
    """Three classes that differ in brightness, 30 images to train on and to tune by, 18 to test."""
    rng = np.random.default_rng(0)

    def some(n: int) -> LabeledImages:
        labels = np.arange(n, dtype=np.int64) % CLASSES
        pixels = 60 * labels[:, None, None, None] + rng.integers(0, 120, (n, 1, side, side))
        return LabeledImages(pixels.astype(np.uint8), labels)

    return Dataset("shades", some(60), some(18), tuple("abc"), flips=False)


def go_through(path: Path, space: Mapping[str, Any], **settings: Any) -> None:
    """Sample, train one epoch, curve, fit, predict, search by every strategy, tune, tiers, report, export."""
    path.mkdir()
    (path / "space.yaml").write_text(yaml.safe_dump(dict(space)))
    given = {"budget": 9, "initial": 8, "batch": 1, "workers": 0, "keep": "all", "surrogate": "gp", **settings}
    recipe = {"epochs": 1, "batch_size": 32}
    study = Study.create(
        path / "study", data=images(space["image_sizes"][0]), space=path / "space.yaml", recipe=recipe, **given
    )
    with study:
        if study.space.positions > FEW:
            study.trainer.collect_architectures([_with_one_exit(study)])
        records = study.run()
        assert [r.failure for r in records] == [None] * 9
        _curves_and_predictions(study)
        few = study.space.positions <= FEW
        _strategies(study, STRATEGY_NAMES if few else ("aebnas", "nsga2"))
        fewest, *_, most = sorted(records, key=lambda r: len(r.architecture.exit_positions))
        _thresholds(study, most.id)
        if few:
            study.report()
        exported = study.export((most if few else fewest).id, limits=Limits(), tiers=3)
        _exported(study, exported.folder)


def _with_one_exit(study: Study) -> Architecture:
    """A network of the space with its first exit alone, before the last."""
    drawn = study.space.architectures(moves.sample(study.space.genes, 256, np.random.default_rng(0)))
    some = next(a for a in drawn if a.branches[0] is not None)
    return replace(some, branches=(some.branches[0], *[None] * (study.space.positions - 2)))


def _curves_and_predictions(study: Study) -> None:
    early = study.space.positions - 1
    for record in study.records():
        curve = study.exits(record, "tune").curve
        assert len(curve) >= 1
        assert curve.thresholds.shape[1] == early
    assert study.front()
    architectures = [r.architecture for r in study.records()][:2]
    for answer in [*study.query(architectures), *study.best(2), *study.best(1, Limits(min_accuracy=0.1))]:
        assert 0 <= answer.accuracy[1] <= answer.accuracy[0] <= answer.accuracy[2] <= 1
        assert sum(mean for mean, _, _ in answer.exit_probabilities) == pytest.approx(1)
        assert answer.expected_macs[2] <= answer.worst_macs + 1e-6 or study.home.costing.charge_heads == "own"


def _strategies(study: Study, names: Sequence[StrategyName]) -> None:
    records = study.records()
    with study.home.changing():  # AEBNAS needs a target
        study.home.update({"limits": {"max_macs": float(study.front()[-1].tune.expected_macs)}})
    for name in names:
        history = History(study.home.problem, tuple(records), tuple(study.archive.proposals()), 2)
        assert len(propose(strategy_named(name, partial(fit, study.home)), history, 1)) <= 1


def _thresholds(study: Study, id: str) -> None:
    record = study.archive.find(id)
    everything = float(study.home.costing.of(record.architecture).macs().max())  # which every method keeps
    for method in METHODS:
        assert study.tune(id, Limits(max_macs=everything), method=method).record.id == id
    tiers = study.tiers(id, Limits())
    assert tiers
    assert study.policies(id, Limits())


def _exported(study: Study, folder: Path) -> None:
    test = study.splits().test
    predictions = ExportedNetwork.load(folder).run(test.images)
    assert len(predictions.logits) == len(test.labels)
