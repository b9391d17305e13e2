"""Runs of search strategies: plan, file, summary, printed table and figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced

READ_AT = (40, 60, 80, 100, 120, 180)
"""Trainings after which a hypervolume is reported, besides the initial ones and all."""
BEGINNING = 60
"""Trainings after which the share of feasible proposals is taken."""
Run = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """One search."""

    strategy: str
    seed: int
    initial: int
    budget: int
    """Trainings in all."""
    batch: int

    def is_of(self, run: Run) -> bool:
        """Whether a run is of this plan."""
        return all(run[name] == value for name, value in vars(self).items())


class Benchmark(Protocol):
    """A search problem that strategies are compared on."""

    strategies: Sequence[str]
    description: Mapping[str, Any]
    """Description of the problem; runs with equal descriptions are comparable."""
    curve_meanings: Mapping[str, str]
    """Names of the curves over trainings that a run has, with their meanings."""
    most: int
    """Networks that may be trained."""

    def run(self, plan: Plan) -> Run:
        """The plan, the number of every network in the order of training, each named curve, CPU seconds per
        proposal; with limits, figures of how they were kept."""


def summary_of(runs: Sequence[Run], curve_name: str) -> dict[str, Run]:
    """Summary of one curve for each strategy, over its seeds."""
    of: dict[str, list[Run]] = {}
    for run in runs:
        of.setdefault(run["strategy"], []).append(run)
    curves = {name: np.array([run[curve_name] for run in mine]) for name, mine in of.items()}
    summary = {}
    for name, curve in curves.items():
        mean, sd = curve.mean(axis=0), curve.std(axis=0, ddof=1) if len(curve) > 1 else np.zeros(curve.shape[1])
        initial, budget = of[name][0]["initial"], curve.shape[1]
        trainings = [initial, *(n for n in READ_AT if initial < n < budget), budget]
        summary[name] = {
            "seeds": len(curve),
            "at": {str(n): [float(mean[n - 1]), float(sd[n - 1])] for n in trainings},
            "seconds_per_proposal": float(np.mean([run["seconds_per_proposal"] for run in of[name]])),
            "trainings_to_reach": {
                rival: _first(mean, float(other.mean(axis=0)[-1])) for rival, other in curves.items() if rival != name
            },
            **_summary_of_limits(of[name]),
        }
    return summary


def _first(mean: Any, level: float) -> int | None:
    """Trainings after which a mean curve is at a level."""
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
    }


def print_summary(summary: Mapping[str, Run]) -> None:
    """Print a summary as Markdown."""
    trainings = sorted({int(n) for one in summary.values() for n in one["at"]})
    limited = any("above_cap" in one for one in summary.values())
    heads = ["strategy", "seeds", *map(str, trainings), "CPU s per proposal"]
    heads += ["above cap", f"feasible after {BEGINNING}"] if limited else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, one in summary.items():
        figures = [one["at"].get(str(n)) for n in trainings]
        cells = [name, str(one["seeds"]), *("{:.3f} ± {:.3f}".format(*f) if f else "" for f in figures)]
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


def draw(path: Path, runs: Sequence[Run], curve_meanings: Mapping[str, str]) -> None:
    """Mean ± standard deviation against trainings, a panel per curve."""
    figure = Figure(figsize=(6.4 * len(curve_meanings), 4.4), layout="constrained")
    panels = figure.subplots(1, len(curve_meanings), squeeze=False)[0]
    names = list(dict.fromkeys(run["strategy"] for run in runs))
    for axes, (curve_name, meaning) in zip(panels, curve_meanings.items(), strict=True):
        for name in names:
            mine = [run for run in runs if run["strategy"] == name]
            curve, initial = np.array([run[curve_name] for run in mine]), mine[0]["initial"]
            mean, sd = curve.mean(axis=0)[initial - 1 :], curve.std(axis=0)[initial - 1 :]
            n = np.arange(initial, initial + len(mean))
            (line,) = axes.plot(n, mean, label=name, linewidth=2.4 if name.startswith("ours") else 1.2)
            axes.fill_between(n, mean - sd, mean + sd, color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(xlabel="trainings", ylabel="hypervolume, share of the table's", title=meaning)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)


def runs_in(path: Path | None, description: Mapping[str, Any]) -> list[Run]:
    """The runs in a file, which must be of the same problem.

    Raises:
        InputError: for a file that is something else.
    """
    if path is None or not path.exists():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        same, runs = document["problem"] == json.loads(json.dumps(description)), list(document["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--json {path} is not a file of this script: {error!r}") from None
    if not same:
        raise InputError(f"--json {path} has runs of another problem; allowed is a new file, or the same problem")
    return runs


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file atomically."""
    with replaced(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
