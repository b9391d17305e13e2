"""Compare searches by time on a table with a ladder: the same seconds of training for each, by the table's seconds.

    python scripts/bench/tables/eenn_time.py data/ladder-cifar10 --ledger time.jsonl --jobs 2
    python scripts/bench/tables/eenn_time.py data/ladder-cifar10 --ledger time.jsonl --jobs 2 --goal accuracy

Methods: `time`, the search by time of this package; `asha`, `pasha` and `random` (each network to the top), which are
its rivals by name; `value` and `value-alone`, what promises most, per second or not (`time_by_value.py`); and
`search@R/S`, a search at rung R for a share S of the seconds, whose front is then trained to the top. Networks begin at
rung 2, as on the ladder `auto`, but for `asha@1` and the like; one in Q goes on with `time:Q`, `asha:Q` and so on.
Trainings are charged by the seconds that they took when the table was made, and chosen by predicted ones. The most
accurate network on tune within each cap of expected MACs is measured on test: its regret is what it lacks to the best
of the table. The hypervolume is that of the front at the top, chosen on tune and measured on test. With `--goal
accuracy` there is a search for each cap, which looks for that network alone.

Runs are kept in the ledger, so that a stopped comparison continues. Compared are means over seeds, paired, with 90 %
intervals.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from scipy.stats import t as student
from time_by_value import ByValue

from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.front import Front, pareto_order
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import next_round, promotions
from surrogate_nas.search.registry import schedule_named, strategy_named
from surrogate_nas.search.strategy import History, sampled
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.timed.clock import Clock
from surrogate_nas.search.timed.halving import Schedule
from surrogate_nas.search.timed.loop import search_in_time
from surrogate_nas.search.timed.ranking import Curves
from surrogate_nas.search.timed.seconds import Timing, TrainingSeconds, Work, timings_of
from surrogate_nas.settings import Settings
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate

CAPS = (0.3e6, 0.6e6, 1e6)
"""Expected MACs within which the most accurate network is looked for."""
INITIAL, BATCH = 16, 4
"""Sampled networks, and networks of a round, of a search at one rung."""
FIRST_RUNG = 2
"""Rung at which networks begin: the ladder of `--ladder auto` has none below a ninth of the top."""
PROBE = Timing(Work(macs=1e6, activations=1e5), passes=1_000, seconds=0.2)
"""Assumed timing before the first training: about the speed of the machine of the table."""
VALUE = {"value": 1.0, "value-alone": 0.0}
"""Power of the seconds that improvements are divided by, in `time_by_value`."""
CONFIDENCE = 0.9


@dataclass
class Meter:
    """Trainings of the table, charged by its seconds."""

    table: EennTable
    seconds: float
    used: float = 0.0

    def __call__(self, proposals: Sequence[Proposal]) -> list[Record]:
        """Records of the proposals that end in time."""
        records = list[Record]()
        for proposal in proposals:
            *lower, record = self.table.evaluate([replace(proposal, passes=p) for p in self._computed(proposal)])
            seconds = sum(r.seconds for r in [*lower, record])
            if self.used + seconds > self.seconds:
                self.used = self.seconds
                break
            self.used += seconds
            records.append(record)
        return records

    def _computed(self, proposal: Proposal) -> list[int]:
        """Rungs whose seconds a training takes: of a new network also those below, since the table's are from rung to
        rung."""
        assert self.table.ladder is not None
        assert proposal.passes is not None
        if proposal.origin == "promoted":
            return [proposal.passes]
        return [p for p in self.table.ladder.rungs if p <= proposal.passes]


@dataclass(frozen=True)
class World:
    """A table as a problem: limits, and what its networks are worth."""

    table: EennTable
    surrogate: str

    def problem(self, seed: int, rung: int = 1, cap: float | None = None) -> Problem:
        """The search problem: the front up to the largest cap, or the most accurate network within one."""
        settings = Settings().updated(
            {"limits": {"max_macs": cap or CAPS[-1]}, "goal": "accuracy" if cap else "front", "rung": rung,
             "repeats": False, "initial": INITIAL, "batch": BATCH, "budget": 10_000, "surrogate": self.surrogate}
        )  # fmt: skip
        return self.table.problem(settings, seed)

    def fit(self, problem: Problem) -> Callable[[Sequence[Record]], FittedSurrogate]:
        """Function that fits the surrogate."""

        def fit(records: Sequence[Record]) -> FittedSurrogate:
            views = problem.views.trained([r for r in records if r.failure is None])
            design = DesignMatrix.build(views, problem.space, problem.costing, cache_folder(), problem.ladder)
            return fit_surrogate(design, [exits for _, exits in views], self.surrogate, problem.seed)

        return fit

    @property
    def ladder(self) -> Ladder:
        """Rungs of the table."""
        assert self.table.ladder is not None
        return self.table.ladder

    @cached_property
    def top(self) -> list[Record]:
        """Records at the top rung, one of each network."""
        of = {r.architecture: r for r in reversed(self.table.records()) if r.proposal.passes == self.ladder.top}
        return list(of.values())

    @cached_property
    def best(self) -> Floats:
        """(caps,) highest accuracy on test within each cap, at thresholds chosen on tune."""
        problem = self.problem(0)
        return np.max([_within(problem, [r])[1] for r in self.top], axis=0)

    def worth(self, problem: Problem, records: Sequence[Record]) -> tuple[list[float], float]:
        """Regrets on test within the caps, each of the highest rung that was reached there, and hypervolume on test of
        networks at the top rung."""
        at = [[r for r in records if r.proposal.passes == passes] for passes in self.ladder.rungs]
        test = np.full(len(CAPS), 1 / problem.shape.classes)
        for networks in at:
            reached, accuracy = _within(problem, networks)
            test = np.where(reached > 0, accuracy, test)
        points = [np.zeros((4, 0))]
        for record in at[-1]:
            curve = problem.views.exits(record, "tune").curve
            tested = problem.views.exits(record, "test").measure(curve.thresholds)
            costs = np.log10(curve.expected_macs), np.log10(tested.expected_macs)
            points.append(np.stack([costs[0], curve.accuracy, costs[1], tested.accuracy]))
        cost, accuracy, test_cost, test_accuracy = np.concatenate(points, axis=1)
        chosen = pareto_order(accuracy, cost)
        front = Front.of(test_cost[chosen], test_accuracy[chosen], float(np.log10(CAPS[-1])), 1 / problem.shape.classes)
        return [float(b - a) for b, a in zip(self.best, test, strict=True)], front.hypervolume


def _within(problem: Problem, records: Sequence[Record]) -> tuple[Floats, Floats]:
    """(caps,) accuracies on tune and test of the network that is most accurate on tune within each cap; 0 if there is
    none."""
    best = np.zeros((2, len(CAPS)))
    for record in records:
        curve, test = problem.views.exits(record, "tune").curve, problem.views.exits(record, "test")
        for c, cap in enumerate(CAPS):
            within = np.flatnonzero(curve.expected_macs <= cap)
            if len(within) and curve.accuracy[within].max() > best[0, c]:
                i = within[curve.accuracy[within].argmax()]
                best[:, c] = curve.accuracy[i], test.measure(curve.thresholds[i][None]).accuracy[0]
    return best[0], best[1]


@cache
def world(folder: Path, surrogate: str) -> World:
    """A world, once for each process."""
    return World(EennTable.load(folder), surrogate)


@cache
def cache_folder() -> Path:
    """Folder of fitted curves, which do not depend on the search."""
    return Path(mkdtemp(prefix="curves-"))


def by_time(
    world: World, name: str, seconds: float, seed: int, cap: float | None
) -> tuple[Problem, list[Record], Meter]:
    """The search by time with a strategy."""
    name, _, ratio = name.partition(":")
    name, _, rung = name.partition("@")
    problem, meter = world.problem(seed, int(rung or FIRST_RUNG), cap), Meter(world.table, seconds)
    assert problem.ladder is not None
    held_out = sum(map(len, world.table.labels))

    def clock(history: History) -> Clock:
        timings = timings_of(history.records, problem.costing, held_out) or [PROBE]
        top = len(problem.ladder.rungs) if problem.ladder else 0
        return Clock(seconds - meter.used, seconds, 1, TrainingSeconds.of(timings, held_out), top)

    if name in VALUE:
        schedule: Schedule = ByValue(world.fit(problem), VALUE[name])
    else:
        schedule = schedule_named("bayesian" if name == "time" else name, world.fit(problem), problem.settings.goal)
        schedule = replace(schedule, ratios=(int(ratio), int(ratio))) if ratio else schedule
    records = search_in_time(problem, [], [], meter, schedule, clock, listed=world.table.trained)
    return problem, records, meter


def at_one_rung(
    world: World, rung: int, share: float, seconds: float, seed: int, cap: float | None
) -> tuple[Problem, list[Record], Meter]:
    """A search at one rung for a share of the seconds, whose front is then trained to the top."""
    problem, meter = world.problem(seed, rung, cap), Meter(world.table, seconds)
    assert problem.ladder is not None
    rungs = problem.ladder.rungs

    def to_the_rung(proposals: Sequence[Proposal]) -> list[Record]:
        """Train to the rung for the share of the seconds."""
        done = list[Record]()
        for proposal in proposals:
            if meter.used > share * seconds or not (records := meter([proposal])):
                break
            done += records
        return done

    start = sampled(History(problem, (), (), 0, world.table.trained), INITIAL)
    first = to_the_rung(start)
    records, strategy = first, strategy_named("bayesian", world.fit(problem))
    if len(first) == len(start):
        records = search(
            problem, first, start, to_the_rung, strategy, listed=world.table.trained,
            in_time=lambda: meter.used < share * seconds,
        )  # fmt: skip
    networks = problem.views.trained(records)
    order = Curves(problem, networks, problem.reference(records)).best_first()
    for i in order:
        record = networks[i][0]
        for higher in rungs[rung:]:
            [promoted] = promotions([record.proposal], higher, next_round([r.proposal for r in records]))
            records += (new := meter([promoted]))
            if not new:
                return problem, records, meter
    return problem, records, meter


def run(folder: Path, surrogate: str, goal: str, method: str, seconds: float, seed: int) -> dict[str, Any]:
    """One search, or one for each cap; returns its line in the ledger."""
    here, begun = world(folder, surrogate), time.process_time()
    parts = [_searched(here, method, seconds, seed, cap) for cap in (CAPS if goal == "accuracy" else (None,))]
    line = {
        "method": method, "seconds": seconds, "seed": seed, "surrogate": surrogate, "goal": goal, "used": parts[0][3],
        "reached": np.mean([reached for *_, reached, _ in parts], axis=0).tolist(),
        "deciding": time.process_time() - begun,
    }  # fmt: skip
    if goal == "accuracy":
        return {**line, "regrets": [regrets[c] for c, (regrets, *_) in enumerate(parts)]}
    return {**line, "regrets": parts[0][0], "hypervolume": parts[0][1]}


def _searched(
    here: World, method: str, seconds: float, seed: int, cap: float | None
) -> tuple[list[float], float, list[int], float]:
    """Regrets within the caps, hypervolume, networks at each rung, and seconds used, of a search."""
    with one_thread():
        if method.startswith("search@"):
            rung, share = method.removeprefix("search@").split("/")
            problem, records, meter = at_one_rung(here, int(rung), float(share), seconds, seed, cap)
        else:
            problem, records, meter = by_time(here, method, seconds, seed, cap)
        regrets, volume = here.worth(problem, records)
    reached = [sum(r.proposal.passes == p for r in records) for p in here.ladder.rungs]
    return regrets, volume, reached, meter.used


# ---------------------------------------------------------------------- report


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean, and its 90 % interval by Student's t."""
    mean, n = float(values.mean()), len(values)
    reach = (
        float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * float(values.std(ddof=1)) / np.sqrt(n) if n > 1 else np.nan
    )
    return mean, mean - reach, mean + reach


def _volume(volume: tuple[float, float, float], sign: str = "") -> str:
    """Text of a hypervolume with its interval; a dash where a single network is looked for."""
    return "–" if np.isnan(volume[0]) else "{:{s}.4f} [{:{s}.4f}, {:{s}.4f}]".format(*volume, s=sign)


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Print means by method and seconds, and what half of the seconds of `time` gives against all of the others."""
    of: dict[tuple[str, float], dict[int, dict[str, Any]]] = {}
    for line in lines:
        of.setdefault((line["method"], line["seconds"]), {})[line["seed"]] = line
    print("| seconds | method | n | mean regret (points) | at 0.3, 0.6, 1 M | hypervolume | networks at each rung |")
    print("|---|---|---|---|---|---|---|")
    for (method, seconds), runs in sorted(of.items(), key=lambda item: (item[0][1], item[0][0])):
        regrets = 100 * np.array([r["regrets"] for r in runs.values()])
        mean, low, high = interval(regrets.mean(axis=1))
        volume = interval(np.array([r.get("hypervolume", np.nan) for r in runs.values()]))
        caps = ", ".join(f"{v:.2f}" for v in regrets.mean(axis=0))
        reached = ", ".join(f"{v:.0f}" for v in np.mean([r["reached"] for r in runs.values()], axis=0))
        print(
            f"| {seconds:,.0f} | {method} | {len(runs)} | {mean:.2f} [{low:.2f}, {high:.2f}] | {caps} | "
            f"{_volume(volume)} | {reached} |"
        )
    print("\nDifferences, paired by seed: `time` minus the other (regret below 0 and hypervolume above 0 are good).\n")
    print(
        "| seconds of time | other | seconds of the other | n | mean regret | hypervolume |\n|---|---|---|---|---|---|"
    )
    for (method, seconds), runs in sorted(of.items(), key=lambda item: (item[0][1], item[0][0])):
        for own in (seconds, seconds / 2):
            ours = of.get(("time", own), {})
            seeds = sorted(ours.keys() & runs.keys())
            if method == "time" or len(seeds) < 2:
                continue
            regret = np.array([100 * np.mean(ours[s]["regrets"]) - 100 * np.mean(runs[s]["regrets"]) for s in seeds])
            volume = np.array([ours[s].get("hypervolume", np.nan) - runs[s].get("hypervolume", 0) for s in seeds])
            texts = ["{:+.2f} [{:+.2f}, {:+.2f}]".format(*interval(regret))]
            texts.append(_volume(interval(volume), sign="+"))
            print(f"| {own:,.0f} | {method} | {seconds:,.0f} | {len(seeds)} | {texts[0]} | {texts[1]} |")


def main() -> None:
    """Run what the ledger lacks, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--ledger", type=Path, required=True, help="file of the runs so far")
    parser.add_argument("--methods", default="time,search@2/0.4,search@3/0.6,asha,asha@1,pasha,random")
    parser.add_argument("--seconds", default="900,1800,3600,7200")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--surrogate", default="gp")
    parser.add_argument("--goal", choices=("front", "accuracy"), default="front")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="report what the ledger has, and run nothing")
    args = parser.parse_args()
    lines = [json.loads(line) for line in args.ledger.read_text().splitlines()] if args.ledger.exists() else []
    lines = [{"goal": "front", **line} for line in lines]
    done = {(x["method"], x["seconds"], x["seed"], x["surrogate"], x["goal"]) for x in lines}
    jobs = [
        (method, seconds, seed)
        for seed in range(args.seeds)
        for seconds in map(float, args.seconds.split(","))
        for method in args.methods.split(",")
        if (method, seconds, seed, args.surrogate, args.goal) not in done and not args.report
    ]
    with ProcessPoolExecutor(args.jobs) as pool, args.ledger.open("a") as ledger:
        futures = [pool.submit(run, args.table, args.surrogate, args.goal, *job) for job in jobs]
        for future in futures:
            lines.append(future.result())
            ledger.write(json.dumps(lines[-1]) + "\n")
            ledger.flush()
    report([x for x in lines if x["surrogate"] == args.surrogate and x["goal"] == args.goal])


if __name__ == "__main__":
    main()
