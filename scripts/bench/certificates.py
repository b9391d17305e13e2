"""Whether certificates hold, and what they cost: a table of early-exit networks, whose images are taken as the world.

    python scripts/bench/certificates.py data/eenn-cifar10 --ledger certificates.jsonl --jobs 2
    python scripts/bench/certificates.py data/eenn-cifar10 --ledger certificates.jsonl --report

Tune sets of 144, 500 and 2,000 images are drawn with replacement from all held-out images of a network, on which its
true accuracy is known. Floors are kept by the cheapest solution among 1, 20 and 60 networks, drops below the last exit
by the cheapest thresholds of every network. `today` chooses on the whole tune set. `certified` chooses on one half, and
tests its candidates on the other. A line of the ledger is one choice.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest

from surrogate_nas.archive.views import exits_of
from surrogate_nas.certificates.candidates import candidates_of, in_order
from surrogate_nas.certificates.evidence import Evidence
from surrogate_nas.certificates.sequence import Strand, refuted, spent
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings

CONFIDENCE = 0.9
SEALED = 0.5
FLOORS, DROPS = (0.52, 0.54, 0.56), (0.005, 0.01, 0.02)
IMAGES, NETWORKS = (144, 500, 2000), (1, 20, 60)
DRAWS = 200
"""Tune sets, each with networks of its own, that floors are judged on."""


@cache
def worlds(folder: Path) -> list[Exits]:
    """Exits of the first training of every network on all held-out images."""
    table = EennTable.load(folder)
    problem = table.problem(Settings(), 0)
    first = {record.architecture: record for record in reversed(table.records())}
    return [
        _joined([exits_of(a, r.outputs[split], problem.costing, problem.policy, ()) for split in ("tune", "test")])
        for a, r in first.items()
    ]


def _joined(splits: Sequence[Exits]) -> Exits:
    scores, correct = (np.concatenate([getattr(s, name) for s in splits], axis=1) for name in ("scores", "correct"))
    return replace(splits[0], scores=scores, correct=correct)


def drawn(exits: Exits, images: Ints) -> Exits:
    """A network on images with these numbers."""
    return replace(exits, scores=exits.scores[:, images], correct=exits.correct[:, images])


@dataclass(frozen=True)
class Draw:
    """Networks on one drawn tune set: on the whole of it, and on its two halves."""

    worlds: Sequence[Exits]
    everything: Sequence[Exits]
    choosing: Sequence[Exits]
    sealed: Sequence[Exits]

    @classmethod
    def of(cls, worlds: Sequence[Exits], images: int, rng: np.random.Generator) -> "Draw":
        """Draw images with replacement, the same for all networks."""
        numbers = rng.integers(0, worlds[0].samples, images)
        sealed, choosing = np.split(numbers, [round(SEALED * images)])
        return cls(worlds, *([drawn(world, part) for world in worlds] for part in (numbers, choosing, sealed)))

    def __getitem__(self, some: slice) -> "Draw":
        return Draw(self.worlds[some], self.everything[some], self.choosing[some], self.sealed[some])


# ---------------------------------------------------------------------- choices

Choice = tuple[int, Floats]
"""A network and its thresholds."""


def today(draw: Draw, limits: Limits) -> Choice | None:
    """The cheapest solution that keeps the limits on all images."""
    best = [(i, points) for i, exits in enumerate(draw.everything) if len(points := exits.within(limits))]
    if not best:
        return None
    network, points = min(best, key=lambda pair: float(pair[1].objective[0]))
    return network, points.thresholds[0]


def certified(draw: Draw, limits: Limits) -> Choice | None:
    """The cheapest solution that passes on the sealed half, of those chosen on the other."""
    candidates = [candidates_of(exits, limits, draw.sealed[0].samples) for exits in draw.choosing]
    order = in_order(candidates)

    def chosen(place: int) -> Choice:
        network, row = order[place]
        return network, candidates[network].points.thresholds[row]

    def p_value(_: int, place: int) -> float:
        network, thresholds = chosen(place)
        return Evidence(draw.sealed[network], OperatingPoint.from_array(thresholds)).p_value(limits)

    [passed] = refuted([Strand(len(order), 1.0)], p_value, spent(1 - CONFIDENCE, 1))
    costs = [candidates[network].points.objective[row] for network, row in order[:passed]]
    return chosen(int(np.argmin(costs))) if passed else None


def lines_of(draw: Draw, limits: Limits, **labels: Any) -> list[dict[str, Any]]:
    """True figures of both choices; without any, of the last exit alone where there is one network."""
    lines = []
    for method, choose in (("today", today), ("certified", certified)):
        choice = choose(draw, limits)
        given = choice is not None
        off = (0, np.full(draw.worlds[0].positions - 1, OFF)) if len(draw.worlds) == 1 else None
        line = {**labels, **limits.model_dump(exclude_none=True), "method": method, "given": given}
        if (choice := choice or off) is not None:
            network, thresholds = choice
            point = draw.worlds[network].measure(thresholds[None])
            line["macs"] = point.expected_macs.item()
            line["broken"] = given and not point.feasible(limits).item()
            line["off"] = bool(np.isinf(thresholds).all())
        lines.append(line)
    return lines


def of_floors(folder: Path, number: int) -> list[dict[str, Any]]:
    """Both choices at every floor, number of networks and of images, of one draw."""
    rng, table = np.random.default_rng([0, number]), worlds(folder)
    networks = [table[i] for i in rng.permutation(len(table))[: max(NETWORKS)]]
    return [
        line
        for draw in [Draw.of(networks, images, rng) for images in IMAGES]
        for count in NETWORKS
        for floor in FLOORS
        for line in lines_of(
            draw[:count], Limits(min_accuracy=floor), images=draw.everything[0].samples, networks=count, number=number
        )
    ]


def of_drops(folder: Path, number: int) -> list[dict[str, Any]]:
    """Both choices at every drop and number of images, of the network with a number."""
    rng, world = np.random.default_rng([1, number]), worlds(folder)[number]
    return [
        line
        for images in IMAGES
        for draw in [Draw.of([world], images, rng)]
        for drop in DROPS
        for line in lines_of(draw, Limits(max_drop=drop), images=images, networks=1, number=number)
    ]


# ---------------------------------------------------------------------- report


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Print a row for each limit, number of networks and of images."""
    heads = [
        "limit",
        "networks",
        "images",
        "n",
        "broken today",
        "certified: given",
        "broken",
        "lower end",
        "of those given",
    ]
    print("| " + " | ".join([*heads, "MACs, certified / today", "all exits off"]) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for (name, cap, networks, images), cell in _cells(lines):
        pairs = [(x, y) for x, y in zip(*(_of(cell, m) for m in ("today", "certified")), strict=True)]
        n, given = len(pairs), [y for _, y in pairs if y["given"]]
        broken = sum(y["broken"] for y in given)
        both = [(x["macs"], y["macs"]) for x, y in pairs if x["given"] and "macs" in y]
        ratio = sum(y for _, y in both) / sum(x for x, _ in both) if both else np.nan
        low = binomtest(broken, n).proportion_ci(0.95, "exact").low
        row = [
            *(f"{name} {cap:g}", networks, images, n),
            f"{sum(x.get('broken', False) for x, _ in pairs) / n:.1%}",
            *(f"{len(given) / n:.1%}", f"{broken / n:.1%}", f"{low:.1%}"),
            f"{broken / len(given):.1%}" if given else "",
            f"{ratio:.3f}",
            f"{sum(y.get('off', False) for _, y in pairs) / n:.1%}",
        ]
        print("| " + " | ".join(map(str, row)) + " |")


def _cells(lines: Sequence[dict[str, Any]]) -> Iterator[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        name = "min_accuracy" if "min_accuracy" in line else "max_drop"
        cells.setdefault((name, line[name], line["networks"], line["images"]), []).append(line)
    yield from sorted(cells.items())


def _of(cell: Sequence[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    return sorted((line for line in cell if line["method"] == method), key=lambda line: int(line["number"]))


def main() -> None:
    """Judge what the ledger lacks, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of floors")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    ledger = arguments.ledger
    lines = [json.loads(text) for text in ledger.read_text().splitlines()] if ledger.is_file() else []
    done = {("min_accuracy" in line, line["number"]) for line in lines}
    drops = [
        delayed(of_drops)(arguments.table, i) for i in range(len(worlds(arguments.table))) if (False, i) not in done
    ]
    floors = [delayed(of_floors)(arguments.table, i) for i in range(arguments.draws) if (True, i) not in done]
    tasks = [] if arguments.report else drops + floors
    countdown = Countdown("draws")
    results = Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(tasks)
    for done_now, new in enumerate(results, start=1):
        with ledger.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in new)
        lines += new
        countdown.at(done_now, len(tasks))
    report(lines)


if __name__ == "__main__":
    main()
