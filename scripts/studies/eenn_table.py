"""Train every network of a small space, so that searches can be compared without training: the table of EENNs.

    python scripts/studies/eenn_table.py STUDY --data-root FOLDER         # hours; the same command continues
    python scripts/studies/eenn_table.py STUDY --export data/eenn-cifar10 # what has been trained so far

Images: 2,000 of each class of CIFAR-10's training data, of which the study cuts a tenth as its tune split, and 200 of
each class of its test data. Networks are trained in a random order, so that what is done so far is a fair sample; at
last some are trained twice again with other seeds, which shows how much is chance.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.archive.record import Proposal
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import make_proposal
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.tabular.writing import export
from surrogate_nas.space import moves
from surrogate_nas.study.home import Home

SPACE = Path(__file__).parents[2] / "data" / "eenn-cifar10" / "space.yaml"
EACH_TRAIN, EACH_TEST = 2000, 200
REPEATED, SEEDS = 32, 3
SETTINGS: dict[str, Any] = {"recipe": {"epochs": 3, "batch_size": 128}, "keep": "none", "budget": 1000, "workers": 2}


def part_of(data: LabeledImages, each: int) -> LabeledImages:
    """The first `each` images of each class, in their order."""
    keep = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[:each] for k in np.unique(data.labels)]))
    return LabeledImages(data.images[keep], data.labels[keep])


def create_study(path: Path, data_root: Path) -> Study:
    """The study whose archive becomes the table, with all trainings proposed."""
    whole = datasets.load("cifar10", data_root)
    assert whole.test is not None
    data = Dataset(
        "cifar10-22000", part_of(whole.train, EACH_TRAIN), part_of(whole.test, EACH_TEST), whole.classes, whole.flips
    )
    study = Study.create(path, data=data, space=SPACE, seed=0, **SETTINGS)
    study.archive.propose(trainings(study.home.problem))
    return study


def trainings(problem: Problem) -> list[Proposal]:
    """Every network once in a random order, then the first few of them with other seeds."""
    space = problem.space
    rng = np.random.default_rng(problem.seed)
    rows = np.unique(np.concatenate(list(moves.distinct(space.genes, space.size, rng, draw=space.size))), axis=0)
    architectures = space.architectures(rng.permutation(rows))
    once = [make_proposal(problem, a, 0, rank, "user") for rank, a in enumerate(architectures)]
    again = [
        make_proposal(problem, a, round, rank, "user")
        for round in range(1, SEEDS)
        for rank, a in enumerate(architectures[:REPEATED])
    ]
    return [*once, *again]


def train(path: Path, data_root: Path | None) -> None:
    """Create the study, or go on with it."""
    if path.exists():
        study = Study.open(path)
    elif data_root is None:
        raise InputError(f"no study at {path}; --data-root, the folder of cifar-10-batches-py, makes one")
    else:
        study = create_study(path, data_root)
    study.trainer.finish_pending()


def write_table(path: Path, folder: Path) -> None:
    """Export what the study has, read it again, and say how far it is."""
    export(Home.open(path).archive, folder)
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
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--data-root", type=Path, help="folder of cifar-10-batches-py, for a new study")
    what.add_argument("--export", type=Path, metavar="FOLDER", help="write the table of what has been trained")
    try:
        arguments = parser.parse_args()
        if arguments.export is None:
            train(arguments.study, arguments.data_root)
        else:
            write_table(arguments.study, arguments.export)
    except (InputError, JobError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
