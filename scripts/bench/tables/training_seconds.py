"""How well the seconds of a training are predicted from those before it: by multiply-accumulates alone, and with
activations.

    python scripts/bench/tables/training_seconds.py STUDY ...
    python scripts/bench/tables/training_seconds.py data/ladder-cifar10

From the ninth on, each training of a study, or of a table with a ladder, is predicted from those before it, as a search
by time does: a network that goes on is expected to be half as slow as it was. Printed are the errors of the logarithm:
root mean square, mean, and the error that three of four trainings keep below.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surrogate_nas import Study
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.arrays import Bools, Floats
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.timed.seconds import MEASURING, Timing, TrainingSeconds, Work, timings_of
from surrogate_nas.settings import Settings

FIRST = 8
"""Trainings before the first that is predicted."""


def errors(timings: Sequence[Timing], before: Sequence[int | None], held_out: int, *, activations: bool) -> Floats:
    """(n − FIRST,) logarithms of seconds relative to those predicted from the trainings before.

    Args:
        timings: n trainings, in their order.
        before: for each that goes on, the number of the one of the same network before it.
        held_out: images that are measured after each.
        activations: whether activations are known, too.
    """
    if not activations:
        timings = [t._replace(work=Work(t.work.macs, 0.0)) for t in timings]
    logs = np.zeros(len(timings) - FIRST)
    for i, timing in enumerate(timings[FIRST:], FIRST):
        seconds = TrainingSeconds.of(timings[:i], held_out)
        predicted = seconds(np.array(timing.work), np.array(timing.passes - MEASURING * held_out))
        earlier = before[i]
        pace = 1.0 if earlier is None else float(seconds.paces([timings[earlier]])[0])
        logs[i - FIRST] = np.log(timing.seconds / (pace * float(predicted)))
    return logs


def of_records(records: Sequence[Record], costing: Costing, held_out: int) -> tuple[dict[bool, Floats], Bools]:
    """Errors with and without activations, and which are of networks that went on."""
    records = [r for r in records if r.failure is None and r.proposal.passes is not None]
    latest, before = dict[str, int](), list[int | None]()
    for i, record in enumerate(records):
        before.append(latest.get(record.proposal.training))
        latest[record.proposal.training] = i
    timings = timings_of(records, costing, held_out)
    both = {known: errors(timings, before, held_out, activations=known) for known in (False, True)}
    return both, np.array([b is not None for b in before[FIRST:]])


def of_path(path: Path) -> tuple[dict[bool, Floats], Bools]:
    """Errors on a study, or on a table with a ladder."""
    if not (path / "archive.sqlite").exists():
        table = EennTable.load(path)
        records = list(table.records())
        np.random.default_rng(0).shuffle(records)  # type: ignore[arg-type]
        records.sort(key=lambda r: r.proposal.passes or 0)
        return of_records(records, table.problem(Settings(), 0).costing, sum(map(len, table.labels)))
    with Study.open(path) as study:
        splits = study.splits()
        return of_records(study.archive.studied(), study.home.problem.costing, len(splits.tune) + len(splits.test))


def main() -> None:
    """Print errors over all studies together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+")
    parts = [of_path(path) for path in parser.parse_args().paths]
    goes_on = np.concatenate([part for _, part in parts])
    print(
        "| predicted from | trainings | n | root mean square | mean | three of four below |\n|---|---|---|---|---|---|"
    )
    for known, name in ((False, "multiply-accumulates"), (True, "activations too")):
        every = np.concatenate([part[known] for part, _ in parts])
        for of, which in (("new networks", ~goes_on), ("going on", goes_on)):
            if which.any():
                e = every[which]
                rms, quarter = np.sqrt((e**2).mean()), np.quantile(e, 0.75)
                print(f"| {name} | {of} | {len(e)} | {rms:.2f} | {e.mean():+.2f} | {quarter:+.2f} |")


if __name__ == "__main__":
    main()
