"""How soon a guard notices that images have changed, and how rarely it is wrong, for the trained networks of a study.

    python scripts/bench/guard.py STUDY [--networks 20] [--orders 100]
    python scripts/bench/guard.py --export EXPORT

Each network is run at its cheapest thresholds that lose at most 1 point on tune. The reference is what an export has:
tune and test images. False alarms: clean test images in random orders, drawn with replacement beyond their number
(for at most two run lengths). Delays: corrupted test images, drawn with replacement; a shift is noticed if
at least half of the orders raise the alarm within 200 images.
"""

import argparse
import timeit
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surrogate_nas import Study
from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS, corrupt
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.export.runtime import RUN_LENGTH, ExportedNetwork, Guard, Reference, read_examples, softmax
from surrogate_nas.foundation.arrays import Array, Floats32, Ints
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.network.predictions import ExitPredictions

DROP = 0.01
IN_TIME = 200
MOST_IMAGES = int(2 * RUN_LENGTH)
ORDERS = 20
"""Orders of corrupted images."""
REPEATED = 200
"""Images of a timing, of which the fastest of nine counts."""


def run(
    study: Study, network: EarlyExitNetwork, point: OperatingPoint, images: Array, labels: Ints
) -> tuple[Ints, Floats32, float]:
    """(N,) places of exits, (N, C) probabilities of the answers, and accuracy."""
    predictions = ExitPredictions.by_network(network, point.policy, point.temperatures, images)
    architecture = network.architecture
    exits = predictions.exits(architecture, study.home.costing.of(architecture), point.policy, labels)
    leaving = exits.route(point)
    x = np.searchsorted(architecture.exit_positions, leaving)
    temperatures = np.array([point.temperature(e) for e in leaving], dtype=np.float32)
    probabilities = softmax(predictions.logits[x, np.arange(len(images))] / temperatures[:, None])
    return x, probabilities, float(exits.right(leaving).mean())


def times_of(folder: Path) -> tuple[float, float]:
    """Seconds of the guard for an image, and of a pass of single images, of an exported network."""
    network, (images, _, _) = ExportedNetwork.load(folder), read_examples(folder)
    guard, order = network.guard(), np.random.default_rng(0).permutation(np.resize(np.arange(len(images)), REPEATED))
    singles = [images[i : i + 1] for i in order]
    answers = [network.run(single) for single in singles]
    seen = timeit.repeat(lambda: [network.watch(guard, answer) for answer in answers], guard.reset, number=1, repeat=9)
    assert guard.alarm_at is None, "the guard was not at work"
    passed = timeit.repeat(lambda: [network.run(single) for single in singles], number=1, repeat=9)
    return min(seen) / REPEATED, min(passed) / REPEATED


def run_length(reference: Reference, x: Ints, p: Floats32, rng: np.random.Generator, most: int) -> int | None:
    """Images until an alarm; `None` if there is none."""
    guard, once = Guard(reference), rng.permutation(len(x))
    largest, answers = p.max(axis=1).tolist(), p.argmax(axis=1).tolist()
    while guard.images < most:
        for i in once[: most - guard.images].tolist():
            if guard.see(int(x[i]), largest[i], answers[i]):
                return guard.alarm_at
        once = rng.integers(0, len(x), len(x))
    return None


def guarded(study: Study, networks: int) -> Iterator[tuple[EarlyExitNetwork, OperatingPoint]]:
    """Networks with weights, each at its cheapest thresholds within the drop."""
    count = 0
    for record in study.solutions.records():
        if record.failure is not None or not study.home.checkpoint(record.id).is_file() or count == networks:
            continue
        try:
            point = study.solutions.tune(record, Limits(max_drop=DROP)).operating_point
        except JobError:
            continue
        count += 1
        yield study.network(record.id), point


def main() -> None:
    """Print run lengths, delays by what shifts cost, and what is not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--export", type=Path, help="exported network: print how much of a pass its guard takes")
    arguments = parser.parse_args()
    if arguments.export is not None:
        seen, passed = times_of(arguments.export)
        print(f"guard {1e6 * seen:.1f} µs, pass {1e6 * passed:.0f} µs of one image: {seen / passed:.2%}")
        return
    lengths, shifts = list[float](), list[tuple[str, float, float, float]]()
    with Study.open(arguments.study) as study, one_thread():
        splits = study.images.splits()
        countdown = Countdown("networks")
        for number, (network, point) in enumerate(guarded(study, arguments.networks)):
            rng = np.random.default_rng(number)
            tune, test = (run(study, network, point, part.images, part.labels) for part in (splits.tune, splits.test))
            both = [np.concatenate(pair) for pair in zip(tune[:2], test[:2], strict=True)]
            reference = Reference.of(both[0], both[1], len(network.architecture.exit_positions))
            lengths_here = [run_length(reference, *test[:2], rng, MOST_IMAGES) for _ in range(arguments.orders)]
            lengths += [MOST_IMAGES if n is None else n for n in lengths_here]
            for name in CORRUPTIONS:
                for level in LEVELS:
                    images = corrupt(splits.test.images, name, level, number)
                    x, answers, accuracy = run(study, network, point, images, splits.test.labels)
                    delays = [run_length(reference, x, answers, rng, 2000) for _ in range(ORDERS)]
                    within = float(np.mean([n is not None and n <= IN_TIME for n in delays]))
                    median = float(np.median([np.inf if n is None else n for n in delays]))
                    shifts.append((f"{name} {level}", test[2] - accuracy, within, median))
            countdown.at(number + 1, arguments.networks)
    print(f"images until a false alarm, at most {MOST_IMAGES:,}: mean {np.mean(lengths):,.0f}, n = {len(lengths)}")
    for low, high in ((0.10, np.inf), (0.05, 0.10), (0.02, 0.05), (-np.inf, 0.02)):
        of = [s for s in shifts if low < s[1] <= high]
        if of:
            noticed = np.mean([within >= 0.5 for _, _, within, _ in of])
            delay = np.median([median for *_, median in of])
            print(
                f"shifts that cost {100 * low:.0f} to {100 * high:.0f} points: {len(of)}, noticed {noticed:.0%}", end=""
            )
            print(f", median delay {delay:.0f}")
    missed = [s for s in shifts if s[1] > 0.10 and s[2] < 0.5]
    for name in sorted({name for name, *_ in missed}):
        of = [s for s in missed if s[0] == name]
        print(f"not noticed: {name}, {len(of)} networks, {100 * np.mean([cost for _, cost, *_ in of]):.0f} points lost")


if __name__ == "__main__":
    main()
