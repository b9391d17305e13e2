"""Train the networks of a table of early-exit networks, and export any study as such a table.

    python scripts/studies/eenn_table.py STUDY --data-root FOLDER                           # data/eenn-cifar10
    python scripts/studies/eenn_table.py STUDY --data-root FOLDER --table eenn-fashion-mnist
    python scripts/studies/eenn_table.py STUDY --data-root FOLDER --table ladder-cifar10
    python scripts/studies/eenn_table.py STUDY --export FOLDER [--complete]

Training takes hours; the same command continues. Networks are trained in such an order that what is done so far is a
fair sample; at last some are trained twice again with other seeds, which shows how much is chance.

`eenn-cifar10`: every network of a small space, with 2,000 of each class of CIFAR-10's training data, of which the study
cuts a tenth as its tune split, and 200 of each class of its test data. `eenn-fashion-mnist`: 60 networks of `compact`,
spread evenly over log MACs, with all images of Fashion-MNIST. `ladder-cifar10`: 128 networks of `compact` within 1 M
MACs, spread evenly over log MACs, on the images of `eenn-cifar10`, each at the four rungs of a ladder.

An export has what the study has trained so far, in full pieces of 100 trainings, which later exports do not change.
With `--complete` nothing may be pending, and the last piece has the rest.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import STUDIED, Proposal
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals, promotions, user_proposals
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.tabular.writing import export
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages

SEEDS = 3
"""Number of trainings of a network that is trained again."""
CIFAR10_SPACE = Path(__file__).parents[2] / "data" / "eenn-cifar10" / "space.yaml"
EACH_TRAIN, EACH_TEST, REPEATED = 2000, 200, 32
CIFAR10: dict[str, Any] = {"recipe": {"epochs": 3, "batch_size": 128}, "keep": "none", "budget": 1000, "workers": 2}
NETWORKS, EVERY = 60, 5
FASHION_MNIST: dict[str, Any] = {
    "recipe": {"epochs": 3},
    "limits": {"max_worst_macs": 3e6},
    "sampling": "stratified",
    "keep": "none",
    "workers": 2,
}

LADDER = (18_000, 54_000, 162_000, 486_000)
LADDER_NETWORKS, LADDER_REPEATED, BLOCK, MAX_MACS = 128, 24, 25, 1e6
DRAWN, DRAWS, STRATA, EXITS = 4096, 100, 16, (3, 2, 4, 2, 3, 1)
LADDER_CIFAR10: dict[str, Any] = {"recipe": {"batch_size": 125}, "keep": "none", "budget": 152, "workers": 2}


def cifar10(path: Path, data_root: Path) -> Study:
    """The study of the table of CIFAR-10, with all trainings proposed."""
    study = Study.create(path, data=cifar10_images(data_root), space=CIFAR10_SPACE, seed=0, **CIFAR10)
    study.archive.propose(cifar10_trainings(study.home.problem))
    return study


def cifar10_images(data_root: Path) -> Dataset:
    """Part of CIFAR-10 with the same number of images of each class."""
    whole = datasets.load("cifar10", data_root)
    assert whole.test is not None
    return Dataset(
        "cifar10-22000", part_of(whole.train, EACH_TRAIN), part_of(whole.test, EACH_TEST), whole.classes, whole.flips
    )


def fashion_mnist(path: Path, data_root: Path) -> Study:
    """The study of the table of Fashion-MNIST, with all trainings proposed."""
    study = Study.create(path, data="fashion-mnist", space="compact", seed=0, data_root=data_root, **FASHION_MNIST)
    study.archive.propose(fashion_mnist_trainings(study.home.problem))
    return study


def ladder_cifar10(path: Path, data_root: Path) -> Study:
    """The study of the table of rungs, with all trainings proposed."""
    study = Study.create(path, data=cifar10_images(data_root), space="compact", seed=0, ladder=LADDER, **LADDER_CIFAR10)
    study.archive.propose(ladder_trainings(study.home.problem))
    return study


TABLES: dict[str, Callable[[Path, Path], Study]] = {
    "eenn-cifar10": cifar10,
    "eenn-fashion-mnist": fashion_mnist,
    "ladder-cifar10": ladder_cifar10,
}


def cifar10_trainings(problem: Problem) -> list[Proposal]:
    """Every network once in a random order, then the first few again."""
    space, rng = problem.space, np.random.default_rng(problem.seed)
    rows = np.unique(np.concatenate(list(moves.distinct(space.genes, space.size, rng, draw=space.size))), axis=0)
    architectures = space.architectures(rng.permutation(rows))
    return [*user_proposals(problem, architectures, 0), *again(problem, architectures[:REPEATED])]


def fashion_mnist_trainings(problem: Problem) -> list[Proposal]:
    """A stratified sample, then every fifth of its networks again; `surrogate-nas collect` proposes the same."""
    once = initial_proposals(problem, NETWORKS, [], 0)
    return [*once, *again(problem, [p.architecture for p in once[::EVERY]])]


def ladder_trainings(problem: Problem) -> list[Proposal]:
    """Networks once, then some again, at every rung: 25 trainings at the first rung, then these at the next, and so on,
    so that a piece of the table has trainings with all of their rungs."""
    assert problem.ladder is not None
    architectures = within_macs(problem, LADDER_NETWORKS, MAX_MACS)
    order = [*architectures, *architectures[:LADDER_REPEATED]]
    rungs, proposals = problem.ladder.rungs, list[Proposal]()
    for block, start in enumerate(range(0, len(order), BLOCK)):
        first = user_proposals(problem, order[start : start + BLOCK], block * len(rungs))
        proposals += first
        for k, passes in enumerate(rungs[1:], 1):
            proposals += promotions(first, passes, block * len(rungs) + k)
    return proposals


def within_macs(problem: Problem, n: int, most: float) -> list[Architecture]:
    """n networks whose MACs with all of their exits are within a number: evenly over the logarithm of these, and at
    equal MACs with as different numbers of exits as there are."""
    genes, rng = problem.space.genes, np.random.default_rng(problem.seed)
    drawn = np.unique(np.concatenate([moves.sample(genes, DRAWN, rng) for _ in range(DRAWS)]), axis=0)
    macs = cost_of_indices(problem.space, drawn, problem.costing).macs()[:, -1]
    rows = rng.permutation(drawn[macs <= most])
    size = np.log10(cost_of_indices(problem.space, rows, problem.costing).macs()[:, -1])
    stratum = np.minimum((size - size.min()) / np.ptp(size) * STRATA, STRATA - 1).astype(int)
    exits = genes.present(rows).sum(axis=1)
    waiting = [{k: np.flatnonzero((stratum == s) & (exits == k)).tolist() for k in EXITS} for s in range(STRATA)]
    order: list[int] = []
    for turn in range(len(rows)):
        for s in sorted(range(STRATA), key=lambda s: int(f"{s:04b}"[::-1], 2)):  # van der Corput: far strata first
            of = next((k for k in (*EXITS[(turn + s) % len(EXITS) :], *EXITS) if waiting[s][k]), None)
            if of is not None:
                order.append(waiting[s][of].pop(0))
        if len(order) >= n:
            break
    return problem.space.architectures(rows[order[:n]])


def part_of(data: LabeledImages, each: int) -> LabeledImages:
    """The first `each` images of each class, in their order."""
    keep = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[:each] for k in np.unique(data.labels)]))
    return LabeledImages(data.images[keep], data.labels[keep])


def again(problem: Problem, architectures: Sequence[Architecture]) -> list[Proposal]:
    """Trainings of networks with other seeds than their first one, a round for each seed."""
    return [p for round in range(1, SEEDS) for p in user_proposals(problem, architectures, round)]


def train(path: Path, table: str, data_root: Path | None, beside: Path | None) -> None:
    """Create the study of a table, or go on with it; trainings in the table `beside` are not repeated."""
    tabulated = set() if beside is None else {t.id for t in EennTable.load(beside).trainings}
    if path.exists():
        study = Study.open(path)
    elif data_root is None:
        raise InputError(f"no study at {path}; --data-root, the folder of its data set, makes one")
    else:
        study = TABLES[table](path, data_root)
    rounds = itertools.groupby(
        sorted(waiting(study, tabulated), key=lambda p: (p.round, p.rank)), key=lambda p: p.round
    )
    for _, proposals in rounds:
        study.trainer.evaluate(list(proposals))


def waiting(study: Study, tabulated: set[str]) -> list[Proposal]:
    """Proposals without a record, except those that a table has already."""
    return [p for group in STUDIED for p in study.archive.pending(group) if p.id not in tabulated]


def write_table(path: Path, folder: Path, *, complete: bool) -> None:
    """Export what the study has, read it again, and say how far it is."""
    home = Home.open(path)
    images = len(StudyImages(home, store_copy=False).splits().train)
    export(home.archive, folder, images, complete=complete)
    table = EennTable.load(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    say(
        f"{folder}: {len(table.trained)} of {table.space.size} networks, {len(table.trainings)} trainings, "
        f"{size / 1e6:.1f} MB"
    )


class Parser(argparse.ArgumentParser):
    """Raises what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder to work in")
    parser.add_argument("--table", choices=TABLES, default="eenn-cifar10", help="the table that a new study is for")
    parser.add_argument("--complete", action="store_true", help="no training will be added to the exported table")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="a table whose trainings are not repeated")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--data-root", type=Path, help="folder of the data set, for a new study")
    what.add_argument("--export", type=Path, metavar="FOLDER", help="write the table of what has been trained")
    try:
        arguments = parser.parse_args()
        if arguments.export is None:
            train(arguments.study, arguments.table, arguments.data_root, arguments.beside)
        else:
            write_table(arguments.study, arguments.export, complete=arguments.complete)
    except (InputError, JobError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
