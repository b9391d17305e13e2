"""Train the networks of a table of early-exit networks, and export any study as such a table.

    python scripts/studies/eenn_table.py STUDY --data-root FOLDER                           # data/eenn-cifar10
    python scripts/studies/eenn_table.py STUDY --data-root FOLDER --table eenn-fashion-mnist
    python scripts/studies/eenn_table.py STUDY --export FOLDER [--complete]

Training takes hours; the same command continues. Networks are trained in such an order that what is done so far is a
fair sample; at last some are trained twice again with other seeds, which shows how much is chance.

`eenn-cifar10`: every network of a small space, with 2,000 of each class of CIFAR-10's training data, of which the study
cuts a tenth as its tune split, and 200 of each class of its test data. `eenn-fashion-mnist`: 60 networks of `compact`,
spread evenly over log MACs, with all images of Fashion-MNIST.

An export has what the study has trained so far, in full pieces of 100 trainings, which later exports do not change.
With `--complete` nothing may be pending, and the last piece has the rest.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals, user_proposals
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.tabular.writing import export
from surrogate_nas.space import moves
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


def cifar10(path: Path, data_root: Path) -> Study:
    """The study of the table of CIFAR-10, with all trainings proposed."""
    whole = datasets.load("cifar10", data_root)
    assert whole.test is not None
    data = Dataset(
        "cifar10-22000", part_of(whole.train, EACH_TRAIN), part_of(whole.test, EACH_TEST), whole.classes, whole.flips
    )
    study = Study.create(path, data=data, space=CIFAR10_SPACE, seed=0, **CIFAR10)
    study.archive.propose(cifar10_trainings(study.home.problem))
    return study


def fashion_mnist(path: Path, data_root: Path) -> Study:
    """The study of the table of Fashion-MNIST, with all trainings proposed."""
    study = Study.create(path, data="fashion-mnist", space="compact", seed=0, data_root=data_root, **FASHION_MNIST)
    study.archive.propose(fashion_mnist_trainings(study.home.problem))
    return study


TABLES: dict[str, Callable[[Path, Path], Study]] = {"eenn-cifar10": cifar10, "eenn-fashion-mnist": fashion_mnist}


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


def part_of(data: LabeledImages, each: int) -> LabeledImages:
    """The first `each` images of each class, in their order."""
    keep = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[:each] for k in np.unique(data.labels)]))
    return LabeledImages(data.images[keep], data.labels[keep])


def again(problem: Problem, architectures: Sequence[Architecture]) -> list[Proposal]:
    """Trainings of networks with other seeds than their first one, a round for each seed."""
    return [p for round in range(1, SEEDS) for p in user_proposals(problem, architectures, round)]


def train(path: Path, table: str, data_root: Path | None) -> None:
    """Create the study of a table, or go on with it."""
    if path.exists():
        study = Study.open(path)
    elif data_root is None:
        raise InputError(f"no study at {path}; --data-root, the folder of its data set, makes one")
    else:
        study = TABLES[table](path, data_root)
    study.trainer.finish_pending()


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
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--data-root", type=Path, help="folder of the data set, for a new study")
    what.add_argument("--export", type=Path, metavar="FOLDER", help="write the table of what has been trained")
    try:
        arguments = parser.parse_args()
        if arguments.export is None:
            train(arguments.study, arguments.table, arguments.data_root)
        else:
            write_table(arguments.study, arguments.export, complete=arguments.complete)
    except (InputError, JobError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
