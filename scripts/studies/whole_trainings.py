"""How many image passes a whole training needs, by the number of training images: the rule of `--ladder auto`.

    python scripts/studies/whole_trainings.py STUDIES --data-root FOLDER --ledger data/whole-trainings.jsonl
        [--data fashion-mnist cifar10 photographs] [--images 500 2000 8000 32000] [--networks 2]
    python scripts/studies/whole_trainings.py STUDIES --ledger data/whole-trainings.jsonl --report

Networks of `compact` within 1 M MACs are trained on so many images through rungs of c √n passes, for n images and c
from 460 to 7,400, each twice the one before. Accuracy is that of the last exit on tune and test together, and what a
rung lacks is counted from the best rung of the same network. `photographs` are patches of 48 pixels of grey pictures
of scikit-image (`pip install scikit-image`), at any scale from a half to two, brightness and contrast: the class is the
picture, the left of which trains and the right of which tests. A line of the ledger is one rung of one training; the
same command continues.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ledger import Ledger, Line
from PIL import Image
from rung_schedules import interval, networks

from surrogate_nas import Study, datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.dataset import Dataset, LabeledImages

FACTORS = (460, 925, 1_850, 3_700, 7_400)
"""Image passes for each √n."""
BATCH = 64
NETWORK_SEED = 3
PICTURES = ("astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "moon", "rocket")
SIDE, TRAINED, TESTED = 48, 0.6, 400
"""Pixels of a patch; share of a picture that trains; patches of each picture that test."""


def photographs(most: int) -> Dataset:
    """Patches of pictures, so many in all for training."""
    from skimage import color, data

    rng, train, test = np.random.default_rng(0), list[np.ndarray](), list[np.ndarray]()
    for name in PICTURES:
        picture = getattr(data, name)()
        grey = picture if picture.ndim == 2 else np.uint8(255 * color.rgb2gray(picture))
        cut = round(TRAINED * grey.shape[1])
        train.append(_patches(grey[:, :cut], most // len(PICTURES), rng))
        test.append(_patches(grey[:, cut:], TESTED, rng))
    parts = [
        LabeledImages(np.concatenate(p)[..., None].transpose(0, 3, 1, 2), np.repeat(np.arange(len(p)), len(p[0])))
        for p in (train, test)
    ]
    return Dataset("photographs", parts[0], parts[1], PICTURES, flips=True)


def _patches(picture: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, SIDE, SIDE) patches."""
    patches = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    for patch in patches:
        side = int(min(SIDE * 2 ** rng.uniform(-1, 1), *picture.shape))
        y, x = (rng.integers(extent - side + 1) for extent in picture.shape)
        piece = Image.fromarray(picture[y : y + side, x : x + side]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        values = (np.asarray(piece, dtype=np.float64) - 128) * rng.uniform(0.5, 1.2) + 128 + rng.uniform(-40, 40)
        patch[:] = np.clip(values, 0, 255)
    return patches


def images_of(name: str, count: int, data_root: Path) -> Dataset:
    """So many training images of each class in equal numbers; all test images."""
    if name == "photographs":
        return replace(photographs(count), name=f"{name}-{count}")
    whole = datasets.load(name, data_root)
    index = np.concatenate(
        [np.flatnonzero(whole.train.labels == c)[: count // len(whole.classes)] for c in range(len(whole.classes))]
    )
    return replace(whole, name=f"{name}-{count}", train=whole.train[index])


def train(folder: Path, name: str, count: int, data_root: Path, architectures: Sequence[Architecture]) -> list[Record]:
    """Records at every rung; what the study has already is not trained again."""
    path, ladder = folder / f"{name}-{count}", [factor * np.sqrt(count) for factor in FACTORS]
    if path.exists():
        study = Study.open(path)
    else:
        data = images_of(name, count, data_root)
        study = Study.create(path, data=data, space="compact", ladder=ladder, recipe={"batch_size": BATCH}, keep="none")
    with study:
        study.trainer.finish_pending()
        if not study.records():
            study.collect(encodings=architectures)
        for rung in range(2, len(FACTORS) + 1):
            rungs = study.archive.header.ladder
            assert rungs is not None
            there = {r.proposal.training for r in study.archive.studied() if r.proposal.passes == rungs.passes(rung)}
            below = [r for r in study.archive.records() if r.failure is None and r.proposal.training not in there]
            if below:
                study.promote(below, rung=rung)
        return study.solutions.views.with_outputs(study.archive.studied())


def lines_of(name: str, count: int, records: Sequence[Record]) -> list[Line]:
    """Accuracy of each training at each rung."""
    passes = sorted({r.proposal.passes for r in records if r.proposal.passes is not None})
    lines = list[Line]()
    for record in records:
        if record.outputs is None or record.proposal.passes is None:
            continue
        right = np.concatenate([record.outputs[split].right[-1] for split in ("tune", "test")])
        lines.append(
            {
                "data": name,
                "images": count,
                "network": str(record.architecture),
                "factor": FACTORS[passes.index(record.proposal.passes)],
                "passes": record.proposal.passes,
                "accuracy": round(float(right.mean()), 5),
            }
        )
    return lines


def report(ledger: Ledger) -> None:
    """Points that each rung lacks to the best of the same network."""
    lines = ledger.lines()
    print("| data | images | networks | " + " | ".join(f"{c:,} √n" for c in FACTORS) + " | best |")
    print("|---" * (len(FACTORS) + 4) + "|")
    lacks: dict[int, list[float]] = {c: [] for c in FACTORS}
    for name, count in sorted({(line["data"], line["images"]) for line in lines}):
        of: dict[str, dict[int, float]] = {}
        for line in ledger.lines(data=name, images=count):
            of.setdefault(line["network"], {})[line["factor"]] = line["accuracy"]
        best = [max(accuracies.values()) for accuracies in of.values()]
        cells = []
        for c in FACTORS:
            lack = [100 * (max(a.values()) - a[c]) for a in of.values() if c in a]
            lacks[c] += lack
            cells.append(f"{np.mean(lack):.1f} ({passes_text(round(c * np.sqrt(count)))})" if lack else "")
        print(f"| {name} | {count:,} | {len(of)} | " + " | ".join(cells) + f" | {100 * np.mean(best):.1f} % |")
    print("| all | | | " + " | ".join(interval(np.array(lacks[c]) / 100) for c in FACTORS) + " | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="folder of the studies")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=["photographs", "fashion-mnist", "cifar10"])
    parser.add_argument("--images", nargs="+", type=int, default=[500, 2_000, 8_000, 32_000])
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.ledger)
    architectures = [Architecture.parse(text) for text in networks(arguments.networks, NETWORK_SEED)]
    for count in [] if arguments.report else arguments.images:
        for name in arguments.data:
            if len(ledger.lines(data=name, images=count)) >= arguments.networks * len(FACTORS):
                continue
            for line in lines_of(
                name, count, train(arguments.studies, name, count, arguments.data_root, architectures)
            ):
                if not ledger.lines(**line):
                    ledger.add(line)
    report(ledger)


if __name__ == "__main__":
    main()
