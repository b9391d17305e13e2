"""Train every network of a small space, so that searches can be compared without training: the table of EENNs.

    python scripts/train_eenn_table.py STUDY --data-root FOLDER   # hours; the same command continues
    python scripts/train_eenn_table.py STUDY --export data/eenn-cifar10

Images: 2,000 of each class of CIFAR-10's training data, of which the study cuts a tenth as its tune split, and 200 of
each class of its test data. Networks are trained in a random order, so that what is done so far is a fair sample; at
last some are trained twice again with other seeds, which shows how much is chance.
"""

import argparse
from pathlib import Path

import numpy as np
from surrogate_nas import Study, datasets
from surrogate_nas.config import Settings
from surrogate_nas.datasets import Dataset, LabeledImages
from surrogate_nas.problem import make_proposal
from surrogate_nas.record import Proposal

SPACE = Path(__file__).parents[1] / "data" / "eenn-cifar10" / "space.yaml"
EACH_TRAIN, EACH_TEST = 2000, 200
REPEATED, SEEDS = 32, 3
RECIPE = {"epochs": 3, "batch_size": 128}


def part_of(data: LabeledImages, each: int) -> LabeledImages:
    """The first `each` images of each class, in their order."""
    keep = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[:each] for k in np.unique(data.labels)]))
    return LabeledImages(data.images[keep], data.labels[keep])


def create(path: Path, data_root: Path) -> Study:
    """The study whose archive becomes the table, with all trainings proposed."""
    whole = datasets.load("cifar10", data_root)
    assert whole.test is not None
    data = Dataset(
        "cifar10-22000", part_of(whole.train, EACH_TRAIN), part_of(whole.test, EACH_TEST), whole.classes, whole.flips
    )
    study = Study.create(path, data=data, space=SPACE, seed=0, recipe=RECIPE, keep="none", budget=1000, workers=2)
    study.folder.archive.propose(trainings(study))
    return study


def trainings(study: Study) -> list[Proposal]:
    """Every network once in a random order, then the first few of them with other seeds."""
    problem = study.folder.problem
    space = problem.space
    rng = np.random.default_rng(problem.seed)
    rows = np.unique(np.concatenate(list(space.distinct_indices(space.size, rng, draw=space.size))), axis=0)
    architectures = space.architectures(rng.permutation(rows))
    once = [make_proposal(problem, a, 0, rank, "user") for rank, a in enumerate(architectures)]
    again = [
        make_proposal(problem, a, round, rank, "user")
        for round in range(1, SEEDS)
        for rank, a in enumerate(architectures[:REPEATED])
    ]
    return [*once, *again]


def main() -> None:
    """Create or continue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data-root", type=Path, help="folder with cifar-10-batches-py")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write the table of what has been trained")
    args = parser.parse_args()
    study = Study.open(args.study) if args.study.exists() else create(args.study, args.data_root)
    study.folder.finish_pending()


if __name__ == "__main__":
    main()
