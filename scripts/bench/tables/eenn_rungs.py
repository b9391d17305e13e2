"""How well each rung of a ladder ranks the top one, and what surrogates add, on a table of trainings at several rungs.

    python scripts/bench/tables/eenn_rungs.py data/ladder-cifar10 [--networks 16,32,64] [--draws 20]
        [--surrogate stack] [--input trend] [--jobs 2] [--json figures.jsonl]

First, for each rung: Kendall's τ between the accuracies there, on tune, and at the top, on test, of all networks, with
a 90 % bootstrap interval over networks, and the top-5 regret: how much less accurate, on test, the best of the five
that lead at the rung is than the best of all. Beside them: MACs, one more seed at the top, for the networks that have
several, and the mean of two seeds.

Then, for draws of so many networks at the first rung, of which a quarter are trained on to each further rung, a
surrogate predicts the top: of architectures that it never saw, and of networks of which it knows lower rungs. And of
half of the networks at the first two rungs and an eighth at the top, the rest of that half: its τ beside that of the
rung that is known of each. Accuracies are at thresholds 0.5, 0.8 and 0.95, the same at each exit, and τ is the mean
over these; judged are all networks of the table, not those that a search would promote. Rows are means over draws with
90 % intervals of the mean over draws, by bootstrap.

`--input` is what surrogates know of a rung: `trend`, as in the package, the logarithm of its passes, with a trend and
smoothly; `smooth`, without the trend; `effect`, each rung with an effect of its own, added to what all share; `top`,
records at the top alone.
"""

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.archive.ladder import Ladder, passes_text
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.metrics import bootstrap_tau, kendall
from surrogate_nas.surrogates.places import Places
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.training_set import InputKind

THRESHOLDS = (0.5, 0.8, 0.95)
TOP, LEVEL, RESAMPLES = 5, 0.9, 2000
INPUTS: dict[str, InputKind] = {"trend": "passes", "smooth": "number", "effect": "additive", "top": "passes"}
"""Kinds of input that rungs may be taken for."""
Figures = dict[str, float]


@dataclass(frozen=True)
class Rungs:
    """The trainings of a table, one row for each training that has all rungs."""

    problem: Problem
    ladder: Ladder
    records: Sequence[Sequence[Record]]
    """(n, R) records of each training."""
    first: Ints
    """(k,) rows of the first training of each architecture."""

    @classmethod
    def load(cls, path: Path) -> "Rungs":
        table = EennTable.load(path)
        assert table.ladder is not None, f"{path} has no ladder"
        of: dict[str, dict[int, Record]] = {}
        for record in table.records():
            of.setdefault(record.proposal.training, {})[record.proposal.passes or 0] = record
        whole = [
            [rungs[p] for p in table.ladder.rungs] for rungs in of.values() if len(rungs) == len(table.ladder.rungs)
        ]
        seen: dict[str, int] = {}
        for row, records in enumerate(whole):
            seen.setdefault(str(records[0].architecture), row)
        return cls(table.problem(Settings(), 0), table.ladder, whole, np.array(list(seen.values())))

    def accuracy(self, rung: int, split: str) -> Floats:
        """(T, n) accuracies at the thresholds."""
        grid = np.repeat(np.array(THRESHOLDS)[:, None], self.problem.space.positions - 1, axis=1)
        views = self.problem.views
        parts = [views.exits(records[rung], split).measure(grid).accuracy for records in self.records]  # type: ignore[arg-type]
        return np.array(parts).T

    @property
    def macs(self) -> Floats:
        """(n,) MACs to the last exit."""
        return np.array([self.problem.costing.of(r[0].architecture).macs()[0, -1] for r in self.records], float)


@cache
def rungs_of(path: Path) -> Rungs:
    return Rungs.load(path)


# ---------------------------------------------------------------------- each rung by itself


def rankings(rungs: Rungs) -> Iterator[str]:
    """Lines of the table of how each rung ranks the top one."""
    rows, top = rungs.first, len(rungs.ladder.rungs) - 1
    test = rungs.accuracy(top, "test")[:, rows]
    yield f"{len(rows)} networks; accuracy on test at the top: {test[1].min():.3f} to {test[1].max():.3f} at 0.8"
    yield "| ranked by | networks | τ with the top [90 %] | top-5 regret, points |"
    yield "|---|---|---|---|"
    sources: list[tuple[str, Floats]] = [("MACs", np.tile(rungs.macs[rows], (len(THRESHOLDS), 1)))]
    for k, passes in enumerate(rungs.ladder.rungs):
        sources.append((f"rung {k + 1}: {passes_text(passes)} passes", rungs.accuracy(k, "tune")[:, rows]))
    for name, values in sources:
        yield _ranking(name, values, test)
    pairs = _seeds(rungs)
    if len(pairs) > TOP:
        (one, two), tune = pairs.T, rungs.accuracy(top, "tune")
        other = rungs.accuracy(top, "test")[:, two]
        for k, passes in enumerate(rungs.ladder.rungs):
            yield _ranking(f"another seed at {passes_text(passes)}", rungs.accuracy(k, "tune")[:, one], other)
        yield _ranking("the same seed at the top", tune[:, two], other)
        yield _ranking("the mean of both seeds at the top", (tune[:, one] + tune[:, two]) / 2, other)


def _ranking(name: str, values: Floats, test: Floats) -> str:
    group = np.arange(values.shape[1])
    taus = np.mean([bootstrap_tau(v, t, group) for v, t in zip(values, test, strict=True)], axis=0)
    low, high = np.quantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tau = np.mean([kendall(v, t) for v, t in zip(values, test, strict=True)])
    regret = np.mean([_regret(v, t) for v, t in zip(values, test, strict=True)])
    return f"| {name} | {values.shape[1]} | {tau:.3f} [{low:.3f}, {high:.3f}] | {100 * regret:.2f} |"


def _regret(values: Floats, test: Floats) -> float:
    return float(test.max() - test[np.argsort(-values, kind="stable")[:TOP]].max())


def _seeds(rungs: Rungs) -> Ints:
    """(p, 2) rows of the first and the second training of networks that have two."""
    of: dict[str, list[int]] = {}
    for row, records in enumerate(rungs.records):
        of.setdefault(str(records[0].architecture), []).append(row)
    return np.array([rows[:2] for rows in of.values() if len(rows) > 1]).reshape(-1, 2)


# ---------------------------------------------------------------------- surrogates


@dataclass(frozen=True)
class Task:
    """One draw: which networks are known at which rungs."""

    path: Path
    name: str
    surrogate: str
    input: str
    draw: int
    known: tuple[tuple[int, ...], ...]
    """(R,) rows known at each rung."""

    @property
    def key(self) -> dict[str, Any]:
        of = len(rungs_of(self.path).first)
        return {"of": of, "name": self.name, "surrogate": self.surrogate, "input": self.input, "draw": self.draw}


def figures(task: Task) -> dict[str, Any]:
    """Figures of one draw."""
    warnings.simplefilter("ignore")
    with one_thread(), patched(task.input):
        return {**task.key, **_figures(rungs_of(task.path), task)}


@contextmanager
def patched(name: str) -> Iterator[None]:
    """Take rungs for another kind of input inside the block."""
    own = Places.__dict__["kinds"]

    def kinds(places: Places) -> tuple[InputKind, ...]:
        return tuple(INPUTS[name] if kind == "passes" else kind for kind in own.func(places))

    changed = cached_property(kinds)
    changed.__set_name__(Places, "kinds")
    type.__setattr__(Places, "kinds", changed)
    try:
        yield
    finally:
        type.__setattr__(Places, "kinds", own)


def _figures(rungs: Rungs, task: Task) -> Figures:
    problem, last = rungs.problem, len(rungs.ladder.rungs) - 1
    used = [(k, row) for k, rows in enumerate(task.known) for row in rows if task.input != "top" or k == last]
    records = [rungs.records[row][k] for k, row in used]
    views = problem.views.trained(records)
    design = DesignMatrix.build(views, problem.space, problem.costing, ladder=rungs.ladder)
    fitted = fit_surrogate(design, [exits for _, exits in views], task.surrogate, task.draw)
    seen = {row for rows in task.known for row in rows}
    never = np.array([row for row in rungs.first if row not in seen])
    below = np.array(sorted(seen - set(task.known[last])))
    reached = np.array([max(k for k, rows in enumerate(task.known) if row in rows) for row in below])
    predictor = fitted.predictor
    trainings = [rungs.records[row][0].proposal.training for row in below]
    known = [training in set(design.trainings or ()) for training in trainings]
    going_on = predictor.of_trainings(trainings) if all(known) else predictor
    return {
        **_judged("never seen", rungs, predictor, never),
        **_judged("going on", rungs, going_on, below),
        **_judged("as fresh", rungs, predictor, below),
        **_own(rungs, below, reached),
    }


def _judged(name: str, rungs: Rungs, predictor: Predictor, rows: Ints) -> Figures:
    """Predictions of the top against what was measured there: on tune, which they are of, and the ranking on test."""
    last = len(rungs.ladder.rungs) - 1
    tune, test = (rungs.accuracy(last, split)[:, rows] for split in ("tune", "test"))
    architectures = [rungs.records[row][0].architecture for row in rows]
    candidates = Candidates.of(rungs.problem.space, architectures, rungs.problem.costing)
    present = candidates.present[:, :-1]
    spreads = [predictor.predict(candidates, np.where(present, t, np.inf), Limits()).accuracy for t in THRESHOLDS]
    mean, low, high = (np.array([getattr(s, part) for s in spreads]) for part in ("mean", "low", "high"))
    return {
        f"{name}: networks": len(rows),
        f"{name}: τ tune": float(np.mean([kendall(m, t) for m, t in zip(mean, tune, strict=True)])),
        f"{name}: τ test": float(np.mean([kendall(m, t) for m, t in zip(mean, test, strict=True)])),
        f"{name}: RMSE": float(np.sqrt(np.mean((mean - tune) ** 2))),
        f"{name}: coverage": float(np.mean((low <= tune) & (tune <= high))),
        f"{name}: width": float(np.mean(high - low)),
        f"{name}: regret": float(np.mean([_regret(m, t) for m, t in zip(mean, test, strict=True)])),
    }


def _own(rungs: Rungs, rows: Ints, reached: Ints) -> Figures:
    """Ranking of networks by the accuracy at the highest rung that is known of each; only of those with the same."""
    last = len(rungs.ladder.rungs) - 1
    tune, test = (rungs.accuracy(last, split)[:, rows] for split in ("tune", "test"))
    every = np.array([rungs.accuracy(k, "tune")[:, rows] for k in range(last)])
    own = every[reached, :, np.arange(len(rows))].T
    result = {}
    for name, top in (("tune", tune), ("test", test)):
        result[f"own rung: τ {name}"] = float(np.mean([kendall(v, t, reached) for v, t in zip(own, top, strict=True)]))
    return result


def tasks(path: Path, sizes: Sequence[int], draws: int, surrogate: str, input: str) -> Iterator[Task]:
    rungs = rungs_of(path)
    count, beyond = len(rungs.first), len(rungs.ladder.rungs) - 1
    for n in [size for size in sizes if size < count]:
        for draw in range(draws):
            order = np.random.default_rng([n, draw]).permutation(rungs.first)[:n]
            known = (tuple(order), *[tuple(order[: max(n // 4, 1)])] * beyond)
            yield Task(path, f"{n} networks, a quarter beyond", surrogate, input, draw, known)
    for draw in range(draws):
        order = np.random.default_rng([0, draw]).permutation(rungs.first)
        half, eighth = tuple(order[: count // 2]), tuple(order[: count // 8])
        yield Task(path, "half at two rungs, an eighth at the top", surrogate, input, draw, (half, half, (), eighth))


def printed(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = dict.fromkeys(line["name"] for line in lines)
    for name in names:
        own = [line for line in lines if line["name"] == name]
        yield f"\n{name}: {own[0]['surrogate']}, input {own[0]['input']}, {len(own)} draws"
        yield "| | networks | τ tune | τ test | RMSE | coverage | width | top-5 regret |"
        yield "|---|---|---|---|---|---|---|---|"
        for kind in ("never seen", "as fresh", "going on"):
            cells = [_mean([line[f"{kind}: {f}"] for line in own]) for f in ("τ tune", "τ test", "RMSE", "coverage")]
            cells += [_mean([line[f"{kind}: {f}"] for line in own]) for f in ("width", "regret")]
            yield f"| {kind} | {own[0][f'{kind}: networks']} | " + " | ".join(cells) + " |"
        taus = [_mean([line[f"own rung: τ {split}"] for line in own]) for split in ("tune", "test")]
        yield "| by their own rung | | " + " | ".join(taus) + " | | | | |"
        gain = [line["going on: τ tune"] - line["own rung: τ tune"] for line in own]
        yield f"going on − own rung, τ on tune: {_mean(gain)}"


def _mean(values: Sequence[float]) -> str:
    rng, array = np.random.default_rng(0), np.array(values)
    means = array[rng.integers(len(array), size=(RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{array.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--networks", default="16,32,64", help="those as large as the table are left out")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--surrogate", default="stack")
    parser.add_argument("--input", choices=INPUTS, default="trend")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print("\n".join(rankings(rungs_of(arguments.table))), flush=True)
    sizes = [int(n) for n in arguments.networks.split(",")]
    todo = list(tasks(arguments.table, sizes, arguments.draws, arguments.surrogate, arguments.input))
    lines = [json.loads(text) for text in arguments.json.read_text().splitlines()] if _exists(arguments.json) else []
    keys = [task.key for task in todo]
    done = [{name: line.get(name) for name in keys[0]} for line in lines]
    lines = [line for line, key in zip(lines, done, strict=True) if key in keys]
    left, countdown = [task for task in todo if task.key not in done], Countdown("draws")
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for i, line in enumerate(pool.map(figures, left), 1):
            lines.append(line)
            if arguments.json is not None:
                with arguments.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            countdown.at(i, len(left))
    print("\n".join(printed(lines)))


def _exists(path: Path | None) -> bool:
    return path is not None and path.is_file()


if __name__ == "__main__":
    main()
