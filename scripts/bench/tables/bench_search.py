"""How soon search strategies find the Pareto front of a table of networks.

    python scripts/bench/tables/bench_search.py --eenn-table data/eenn-cifar10 --budget 180 --batch 8 \\
        --strategies ours:60:4,edanas,nachos,aebnas,nsga2,random [--initial 20 --seeds 8 --json OUT --figure OUT.png]
    python scripts/bench/tables/bench_search.py --table networks.csv --inputs depth,width,kind \\
        --kinds ordinal,ordinal,nominal --target accuracy --cost macs \\
        [--initial 20 --budget 100 --batch 4 --seeds 8 --strategies ours,random]

With each seed all strategies begin with the same networks. NAME:BUDGET:BATCH gives a strategy its own budget and batch.
After every training the hypervolume is taken, as a share of that of the complete table's front.

A CSV: a row is a network. Its target, which is to be large, is known once the row was evaluated; its cost, which is to
be small, is known of all rows. Cost is linear, divided by the largest; reference point: the 5th percentile of the
target, the largest cost. --max-cost and --min-target are limits, in the table's units or as a percentile of the table
(30%); they are then the reference point, and what violates them counts for nothing. No strategy may propose a row above
--max-cost. Strategies: {strategies}.

The table of early-exit networks: log₁₀ expected MACs against accuracy; reference point: the largest worst-case MACs,
and chance. `hypervolume` is of whole curves: every trained network counts with all its thresholds, whatever the
strategy knows of them. `delivered` counts what the strategy itself has: the published ones a single setting for each
training. `test_hypervolume` is the first, chosen on tune and measured on test. --max-cost is then a cap on worst-case
MACs, and --min-target a floor of accuracy. Strategies: {eenn}.

--json keeps {{problem, runs, summary}} after every run; runs that are there already are not repeated.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from bench_surrogates import Table
from eenn_problem import EENN_STRATEGIES, EennProblem
from search_by_model import BY_MODEL
from search_rivals import RIVALS
from search_runs import BEGINNING, Benchmark, Plan, Run, draw, print_summary, runs_in, summary_of, write
from search_table import Search, TableProblem

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import Countdown, say
from surrogate_nas.foundation.threads import one_thread

STRATEGIES: Mapping[str, Callable[[TableProblem, int], Search]] = {**BY_MODEL, **RIVALS}
FEWEST_INITIAL = 8


@dataclass(frozen=True)
class CsvProblem:
    """See `Benchmark`."""

    problem: TableProblem
    specification: Mapping[str, Any]
    strategies = tuple(STRATEGIES)
    curve_meanings: ClassVar = {"hypervolume": "hypervolume"}

    @property
    def most(self) -> int:
        """Complete rows within the cap."""
        return int(self.problem.allowed.sum())

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The specification, and figures of the table that follow from it."""
        return {"kind": "table", **self.specification, **self.problem.document()}

    def run(self, plan: Plan) -> Run:
        """Seconds are the processor's, so that a busy machine does not count."""
        evaluated, seconds = self.problem.initial(plan.initial, plan.seed), list[float]()
        torch.manual_seed(plan.seed)
        ask = STRATEGIES[plan.strategy](self.problem, plan.seed)
        while len(evaluated) < plan.budget:
            q = min(plan.batch, plan.budget - len(evaluated))
            start = time.process_time()
            proposed = ask(list(evaluated), q)
            seconds += [(time.process_time() - start) / q] * q
            if len(set(proposed) - set(evaluated)) != q:
                raise RuntimeError(f"{plan.strategy} proposed {proposed}: not {q} new rows")
            evaluated += proposed
        return {
            **vars(plan),
            "hypervolume": self.problem.curve(evaluated),
            "seconds_per_proposal": float(np.mean(seconds or [0.0])),
            "evaluated": self.problem.table.number[evaluated].tolist(),
            **self._limit_figures(evaluated, plan.initial),
        }

    def _limit_figures(self, evaluated: list[int], initial: int) -> Run:
        problem = self.problem
        if problem.cap is None and problem.floor is None:
            return {}
        after, feasible = evaluated[max(BEGINNING, initial) :], problem.feasible(evaluated)
        nearest = None
        if not feasible.any():
            short = [max((problem.floor or -np.inf) - problem.table.y[row], 0.0) for row in evaluated]
            closest = evaluated[int(np.argmin(short))]
            exists = bool(problem.feasible(np.arange(len(problem.cost))).any())
            nearest = {
                "network": f"row {problem.table.number[closest]}",
                "target": float(problem.table.y[closest]),
                "the_table_has_any": exists,
            }
        return {
            "above_cap": int((~problem.allowed[evaluated[initial:]]).sum()),
            "feasible_after_beginning": float(problem.feasible(after).mean()) if after else None,
            "nearest": nearest,
        }


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _problem(arguments: argparse.Namespace) -> Benchmark:
    if arguments.eenn_table:
        return EennProblem.load(arguments.eenn_table, arguments.max_cost, arguments.min_target)
    if missing := [name for name in ("inputs", "target", "cost") if getattr(arguments, name) is None]:
        raise InputError(f"--table needs --{' and --'.join(missing)}")
    inputs, kinds = _listed(arguments.inputs), _listed(arguments.kinds)
    table, notes = Table.read(arguments.table, inputs, kinds, arguments.target, [arguments.cost])
    for note in notes:
        say(f"note: {note}")
    specification = {
        "table": arguments.table.name,
        "inputs": inputs,
        "kinds": kinds,
        "target": arguments.target,
        "cost": arguments.cost,
    }
    return CsvProblem(TableProblem.of(table, arguments.max_cost, arguments.min_target), specification)


def _plans(arguments: argparse.Namespace, problem: Benchmark) -> list[Plan]:
    """Everything asked for, all strategies of one seed first."""
    specified = _listed(arguments.strategies or ",".join(problem.strategies))
    sizes = dict[str, tuple[int, int]]()
    for text in specified:
        name, *own = text.split(":")
        if name not in problem.strategies:
            raise InputError(f"--strategies {name}: allowed are {', '.join(problem.strategies)}")
        try:
            numbers = [int(part) for part in own]
        except ValueError:
            numbers = [0, 0, 0]
        if len(numbers) > 2:
            raise InputError(f"--strategies {text}: allowed is NAME, NAME:BUDGET or NAME:BUDGET:BATCH")
        budget, batch = [*numbers, *(arguments.budget, arguments.batch)[len(numbers) :]]
        sizes[name] = budget, batch
    if not sizes:
        raise InputError(f"--strategies {arguments.strategies!r}: allowed are {', '.join(problem.strategies)}")
    _within("--seeds", arguments.seeds, 1, None)
    for budget, batch in sizes.values():
        _within("--budget", budget, FEWEST_INITIAL, problem.most, " (networks within the cap)")
        _within("--initial", arguments.initial, FEWEST_INITIAL, budget)
        _within("--batch", batch, 1, problem.most, " (networks within the cap)")
    return [
        Plan(name, seed, arguments.initial, *numbers)
        for seed in range(arguments.seeds)
        for name, numbers in sizes.items()
    ]


def _within(option: str, value: int, low: int, high: int | None, what: str = "") -> None:
    if value < low or (high is not None and value > high):
        raise InputError(f"{option} {value}: allowed is {f'from {low} to {high}{what}' if high else f'at least {low}'}")


@one_thread()
def run(arguments: argparse.Namespace) -> None:
    """Do all runs that the file lacks, and print a summary.

    Raises:
        InputError: for bad arguments.
    """
    problem = _problem(arguments)
    plans = _plans(arguments, problem)
    runs = runs_in(arguments.json, problem.description)
    warnings.simplefilter("ignore")
    countdown, to_do = Countdown("runs"), [p for p in plans if not any(p.is_of(run) for run in runs)]
    for number, plan in enumerate(to_do, start=1):
        runs.append(problem.run(plan))
        if arguments.json:
            write(arguments.json, {"problem": problem.description, "runs": runs})
        countdown.at(number, len(to_do))
    planned_runs = [next(run for run in runs if plan.is_of(run)) for plan in plans]
    summary = {curve_name: summary_of(planned_runs, curve_name) for curve_name in problem.curve_meanings}
    if arguments.json:
        write(arguments.json, {"problem": problem.description, "runs": runs, "summary": summary})
    for curve_name, meaning in problem.curve_meanings.items():
        print(f"\n{meaning}\n")
        print_summary(summary[curve_name])
    for one in planned_runs:
        if near := one.get("nearest"):
            nowhere = "" if near["the_table_has_any"] else ", nor has the table any"
            print(
                f"\ninfeasible: {one['strategy']}, seed {one['seed']}, found nothing that keeps the limits{nowhere}; "
                f"nearest is {near['network']} with target {near['target']:.6g}"
            )
    if arguments.figure:
        draw(arguments.figure, planned_runs, problem.curve_meanings)


def _parser() -> argparse.ArgumentParser:
    text = str(__doc__).format(strategies=", ".join(STRATEGIES), eenn=", ".join(EENN_STRATEGIES))
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--table", type=Path, help="CSV with a header")
    which.add_argument("--eenn-table", type=Path, help="folder of a table of early-exit networks")
    parser.add_argument("--inputs", help="columns of the CSV, separated by commas")
    parser.add_argument("--kinds", default="ordinal", help="ordinal or nominal: one for all, or one for each input")
    parser.add_argument("--target", help="column to be large")
    parser.add_argument("--cost", help="column to be small, known of every network, such as MACs")
    parser.add_argument("--max-cost", help="limit: in the table's units, or a percentile such as 30%%")
    parser.add_argument("--min-target", help="limit: in the table's units, or a percentile such as 80%%")
    parser.add_argument("--initial", type=int, default=20, help="networks to begin with")
    parser.add_argument("--budget", type=int, default=100, help="networks to train in all")
    parser.add_argument("--batch", type=int, default=4, help="networks to propose at a time")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--strategies", help="separated by commas, each with its own :BUDGET:BATCH if need be; all")
    parser.add_argument("--json", type=Path, help="file for all runs, continued if it is there")
    parser.add_argument("--figure", type=Path, help="picture of hypervolume against trainings")
    return parser


def main() -> None:
    try:
        run(_parser().parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
