"""How soon search strategies find the Pareto front of a table of networks.

    python scripts/bench_search.py --table networks.csv --inputs depth,width,kind --kinds ordinal,ordinal,nominal \\
        --target accuracy --cost macs \\
        [--initial 20 --budget 100 --batch 4 --seeds 8 --strategies ours,random --json OUT]

A row is a network. Its target, which is to be large, is known once the row was evaluated; its cost, which is to be
small, is known of all rows. With each seed all strategies begin with the same random rows. After every evaluation the
hypervolume is taken (cost linear, divided by the largest; reference point: the 5th percentile of the target, the
largest cost), as a share of that of the complete table's front.

--max-cost and --min-target are limits, in the table's units or as a percentile of the table (30%); they are then the
reference point, and what violates them counts for nothing. No strategy may propose a row above --max-cost.

Strategies: {strategies}.

--json keeps {{problem, settings, runs, summary}} after every run; runs that are there already, with the same settings,
are not repeated.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_surrogates import Table
from search_by_model import BY_MODEL
from search_rivals import RIVALS
from search_table import Search, TableProblem

from surrogate_nas.errors import InputError
from surrogate_nas.progress import Countdown, say

STRATEGIES: Mapping[str, Callable[[TableProblem, int], Search]] = {**BY_MODEL, **RIVALS}
READ_AT = (40, 60, 80)
"""Evaluations at which the hypervolume is reported, besides the initial ones and all."""
BEGINNING = 60
"""Evaluations after which the share of feasible proposals is taken."""
FEWEST_INITIAL = 8
Run = dict[str, Any]


def search(problem: TableProblem, strategy: str, seed: int, settings: Mapping[str, Any]) -> Run:
    """One strategy with one seed; seconds are the processor's, so that a busy machine does not count."""
    evaluated, seconds = problem.initial(settings["initial"], seed), list[float]()
    torch.manual_seed(seed)
    ask = STRATEGIES[strategy](problem, seed)
    while len(evaluated) < settings["budget"]:
        q = min(settings["batch"], settings["budget"] - len(evaluated))
        start = time.process_time()
        proposed = ask(list(evaluated), q)
        seconds += [(time.process_time() - start) / q] * q
        if len(set(proposed) - set(evaluated)) != q:
            raise RuntimeError(f"{strategy} proposed {proposed}: not {q} new rows")
        evaluated += proposed
    return {
        "strategy": strategy, "seed": seed, "hypervolume": problem.curve(evaluated),
        "seconds_per_proposal": float(np.mean(seconds)), "evaluated": problem.table.number[evaluated].tolist(),
        **_limits_kept(problem, evaluated, settings["initial"]),
    }  # fmt: skip


def _limits_kept(problem: TableProblem, evaluated: list[int], initial: int) -> Run:
    if problem.cap is None and problem.floor is None:
        return {}
    after, feasible = evaluated[max(BEGINNING, initial) :], problem.feasible(evaluated)
    nearest = None
    if not feasible.any():
        short = [max((problem.floor or -np.inf) - problem.table.y[row], 0.0) for row in evaluated]
        closest = evaluated[int(np.argmin(short))]
        nearest = {"row": int(problem.table.number[closest]), "target": float(problem.table.y[closest])}
    return {
        "above_cap": int((~problem.allowed[evaluated[initial:]]).sum()),
        "feasible_after_beginning": float(problem.feasible(after).mean()) if after else None,
        "nearest": nearest,
    }  # fmt: skip


def summarised(runs: Sequence[Run], settings: Mapping[str, Any]) -> dict[str, Run]:
    """Of each strategy, over its seeds."""
    initial, budget = settings["initial"], settings["budget"]
    read = [initial, *(n for n in READ_AT if initial < n < budget), budget]
    curves = {
        name: np.array([run["hypervolume"] for run in runs if run["strategy"] == name])
        for name in dict.fromkeys(run["strategy"] for run in runs)
    }
    summary = {}
    for name, curve in curves.items():
        mean, sd = curve.mean(axis=0), curve.std(axis=0, ddof=1) if len(curve) > 1 else np.zeros(curve.shape[1])
        mine = [run for run in runs if run["strategy"] == name]
        summary[name] = {
            "seeds": len(curve), "at": {str(n): [float(mean[n - 1]), float(sd[n - 1])] for n in read},
            "seconds_per_proposal": float(np.mean([run["seconds_per_proposal"] for run in mine])),
            "trainings_to_reach": {
                rival: _first(mean, float(other.mean(axis=0)[-1])) for rival, other in curves.items() if rival != name
            },
            **_summary_of_limits(mine),
        }  # fmt: skip
    return summary


def _first(mean: Any, level: float) -> int | None:
    """Evaluations after which a mean curve is at a level."""
    reached = np.flatnonzero(mean >= level - 1e-12)
    return int(reached[0]) + 1 if len(reached) else None


def _summary_of_limits(runs: Sequence[Run]) -> Run:
    if "above_cap" not in runs[0]:
        return {}
    shares = [run["feasible_after_beginning"] for run in runs if run["feasible_after_beginning"] is not None]
    return {
        "above_cap": sum(run["above_cap"] for run in runs),
        "feasible_after_beginning": float(np.mean(shares)) if shares else None,
        "nothing_feasible": [run["seed"] for run in runs if run["nearest"]],
    }  # fmt: skip


def printed(runs: Sequence[Run], summary: Mapping[str, Run], problem: TableProblem) -> None:
    """Markdown on stdout."""
    read = list(next(iter(summary.values()))["at"])
    limited = "above_cap" in next(iter(summary.values()))
    heads = ["strategy", "seeds", *read, "CPU s per proposal"]
    heads += ["above cap", f"feasible after {BEGINNING}"] if limited else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, one in summary.items():
        cells = [name, str(one["seeds"]), *("{:.3f} ± {:.3f}".format(*one["at"][n]) for n in read)]
        cells.append(f"{one['seconds_per_proposal']:.3g}")
        if limited:
            share = one["feasible_after_beginning"]
            cells += [str(one["above_cap"]), "–" if share is None else f"{share:.0%}"]
        print(f"| {' | '.join(cells)} |")
    if len(summary) > 1:
        print(f"\nTrainings until the mean is at the final mean of\n\n| | {' | '.join(summary)} |")
        print("|---|" + "---|" * len(summary))
        for name, one in summary.items():
            print(f"| {name} | {' | '.join(str(one['trainings_to_reach'].get(r) or '–') for r in summary)} |")
    for run in runs:
        if near := run.get("nearest"):
            nowhere = "" if problem.feasible(np.arange(len(problem.cost))).any() else ", nor has the table any"
            print(f"\ninfeasible: {run['strategy']}, seed {run['seed']}, found no row that keeps the limits{nowhere}; "
                  f"nearest is row {near['row']} with target {near['target']:.6g}")  # fmt: skip


def kept_runs(path: Path | None, asked: Mapping[str, Any]) -> list[Run]:
    """Runs that a file holds with the same problem and settings.

    Raises:
        InputError: for a file that is something else.
    """
    if path is None or not path.exists():
        return []
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        same, runs = all(held[name] == asked[name] for name in asked), list(held["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--json {path} is not a file of this script: {error!r}") from None
    if not same:
        raise InputError(f"--json {path} has runs with other settings; allowed is a new file, or the same settings")
    return runs


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(part, path)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _problem(arguments: argparse.Namespace) -> TableProblem:
    table, notes = Table.read(
        arguments.table, _listed(arguments.inputs), _listed(arguments.kinds), arguments.target, [arguments.cost]
    )
    for note in notes:
        say(f"note: {note}")
    return TableProblem.of(table, arguments.max_cost, arguments.min_target)


def _checked(arguments: argparse.Namespace, problem: TableProblem) -> list[str]:
    """The strategies."""
    names = list(dict.fromkeys(_listed(arguments.strategies)))
    if not names or (unknown := [name for name in names if name not in STRATEGIES]):
        wrong = ",".join(unknown) if names else repr(arguments.strategies)
        raise InputError(f"--strategies {wrong}: allowed are {', '.join(STRATEGIES)}")
    most = int(problem.allowed.sum())
    for option, value, low, high in (
        ("--budget", arguments.budget, FEWEST_INITIAL, most),
        ("--initial", arguments.initial, FEWEST_INITIAL, arguments.budget),
        ("--batch", arguments.batch, 1, most),
        ("--seeds", arguments.seeds, 1, None),
    ):
        if value < low or (high is not None and value > high):
            within = " (complete rows within the cap)" if high == most else ""
            upto = f"from {low} to {high}{within}" if high is not None else f"at least {low}"
            raise InputError(f"{option} {value}: allowed is {upto}")
    return names


def run(arguments: argparse.Namespace) -> None:
    """All runs that are still to do.

    Raises:
        InputError: for bad arguments.
    """
    problem = _problem(arguments)
    names = _checked(arguments, problem)
    settings = {name: getattr(arguments, name) for name in ("initial", "budget", "batch")}
    described = {"kind": "table", "table": arguments.table.name, "inputs": _listed(arguments.inputs),
                 "kinds": _listed(arguments.kinds), "target": arguments.target, "cost": arguments.cost,
                 **problem.as_asked()}  # fmt: skip
    asked = {"problem": described, "settings": settings}
    runs = kept_runs(arguments.json, asked)
    done = {(run["strategy"], run["seed"]) for run in runs}
    to_do = [(name, seed) for seed in range(arguments.seeds) for name in names if (name, seed) not in done]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    countdown = Countdown("runs")
    for number, (name, seed) in enumerate(to_do, start=1):
        runs.append(search(problem, name, seed, settings))
        if arguments.json:
            write(arguments.json, {**asked, "runs": runs, "summary": summarised(runs, settings)})
        countdown.at(number, len(to_do))
    wanted = [run for name in names for run in runs if run["strategy"] == name and run["seed"] < arguments.seeds]
    printed(wanted, summarised(wanted, settings), problem)


def _parser() -> argparse.ArgumentParser:
    text = str(__doc__).format(strategies=", ".join(STRATEGIES))
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV with a header")
    parser.add_argument("--inputs", required=True, help="columns, separated by commas")
    parser.add_argument("--kinds", default="ordinal", help="ordinal or nominal: one for all, or one for each input")
    parser.add_argument("--target", required=True, help="column to be large")
    parser.add_argument("--cost", required=True, help="column to be small, known of every network, such as MACs")
    parser.add_argument("--max-cost", help="limit: in the table's units, or a percentile such as 30%%")
    parser.add_argument("--min-target", help="limit: in the table's units, or a percentile such as 80%%")
    parser.add_argument("--initial", type=int, default=20, help="random rows to begin with")
    parser.add_argument("--budget", type=int, default=100, help="rows to evaluate in all")
    parser.add_argument("--batch", type=int, default=4, help="rows to propose at a time")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="separated by commas")
    parser.add_argument("--json", type=Path, help="file for all runs, continued if it is there")
    return parser


def main() -> None:
    try:
        run(_parser().parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
