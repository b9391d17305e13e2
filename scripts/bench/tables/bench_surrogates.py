"""How well surrogates predict a table of networks from few of its rows.

    python scripts/bench/tables/bench_surrogates.py --table networks.csv --inputs depth,width,kind \\
        --kinds ordinal,ordinal,nominal --target accuracy --costs macs,params --train 50,100 --seeds 10

Every surrogate, the one that held-out rows select (`selected`), five plain boosters (`plain-boosters`: depth 4, η 0.05,
400 rounds, subsample 0.7, column share 0.4, averaged; inputs are numbers, names their places in sorted order), and
XGBoost as it comes (`default-xgboost`: depth 6, η 0.3, 500 rounds, one-hot; with and without the costs) learn from the
same random rows and predict the same 500 others. A row of the answer is
{surrogate, n, seed, tau, r2, coverage90, fit_s, rows_per_s}; medians over seeds are printed as a table, and then how
far `selected` is behind the best of all, in the median and in its worst run.
"""

import argparse
import csv
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xgboost
from botorch.models.model import Model

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.surrogates.cross_validation import FittedMember, HeldOutPredictions, combine, whole
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.registry import AUTO, SURROGATES, preferred
from surrogate_nas.surrogates.spread import INTERVAL
from surrogate_nas.surrogates.training_set import InputKind, TrainingSet

HELD_OUT = 500
PLAIN = {"max_depth": 4, "eta": 0.05, "subsample": 0.7, "colsample_bytree": 0.4, "nthread": 1}
PLAIN_ROUNDS = 400
PLAIN_MEMBERS = 5
DEFAULT = {"max_depth": 6, "eta": 0.3, "nthread": 1}
DEFAULT_ROUNDS = 500
KINDS: tuple[InputKind, ...] = ("ordinal", "nominal")
SELECTED = "selected"


@dataclass(frozen=True)
class Table:
    """The complete rows of a CSV file, as numbers."""

    X: Floats
    """(n, d): inputs, then log₁₀ costs."""
    kinds: tuple[InputKind, ...]
    y: Floats
    number: Ints
    """(n,) of each row in the file, from 0."""

    @classmethod
    def read(
        cls, path: Path, inputs: Sequence[str], kinds: Sequence[str], target: str, costs: Sequence[str]
    ) -> tuple["Table", list[str]]:
        """The table, and notes on what was left out and why.

        Raises:
            InputError: for columns that are not there, kinds that are not known, or too few complete rows.
        """
        if len(kinds) == 1:
            kinds = list(kinds) * len(inputs)
        if len(kinds) != len(inputs) or not set(kinds) <= set(KINDS):
            raise InputError(f"--kinds {','.join(kinds)}: allowed are {' or '.join(KINDS)}, one or as many as --inputs")
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        there = list(rows[0]) if rows else []
        if missing := [name for name in (*inputs, target, *costs) if name not in there]:
            raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(there) or 'no rows'}")
        notes, columns = list[str](), dict[str, Floats]()
        for name, kind in zip(inputs, kinds, strict=True):
            columns[name] = _numbers([row[name] for row in rows], name, nominal=kind == "nominal", notes=notes)
        columns[target] = _numbers([row[target] for row in rows], target, nominal=False, notes=notes)
        for name in costs:
            column = _numbers([row[name] for row in rows], name, nominal=False, notes=notes)
            columns[name] = np.log10(np.where(column > 0, column, np.nan))
        whole = np.isfinite(np.stack(list(columns.values()))).all(axis=0)
        if not whole.all():
            gaps = [name for name, column in columns.items() if not np.isfinite(column).all()]
            notes.append(
                f"{(~whole).sum()} of {len(rows)} rows left out: gaps, or no number above 0, in {', '.join(gaps)}"
            )
        varies = {name: whole.any() and np.ptp(column[whole]) > 0 for name, column in columns.items()}
        if still := [name for name in (*inputs, *costs) if not varies[name]]:
            notes.append(f"constant, so left out: {', '.join(still)}")
        if not varies[target]:
            raise InputError(f"target {target} is the same in all {int(whole.sum())} complete rows: nothing to predict")
        if not any(varies[name] for name in (*inputs, *costs)):
            raise InputError(f"no input varies over the {int(whole.sum())} complete rows")
        used: list[tuple[str, InputKind]] = [
            (name, "nominal" if kind == "nominal" else "ordinal") for name, kind in zip(inputs, kinds, strict=True)
        ]
        used += [(name, "cost") for name in costs]
        used = [(name, kind) for name, kind in used if varies[name]]
        X = np.stack([columns[name][whole] for name, _ in used], axis=1)
        return cls(X, tuple(kind for _, kind in used), columns[target][whole], np.flatnonzero(whole)), notes

    def training_set(self, rows: Ints) -> tuple[TrainingSet, Floats, Floats]:
        """Some rows to learn from, all inputs and targets in the same scale."""
        low, high = self.X[rows].min(axis=0), self.X[rows].max(axis=0)
        X = (self.X - low) / np.where(high > low, high - low, 1.0)
        center, scale = self.y[rows].mean(), self.y[rows].std() or 1.0
        y = (self.y - center) / scale
        training = TrainingSet(X[rows], self.kinds, y[rows, None], np.zeros((len(rows), 1)), np.arange(len(rows)))
        return training, X, y


def _numbers(texts: Sequence[str | None], name: str, *, nominal: bool, notes: list[str]) -> Floats:
    """A column as numbers, NaN where there is none; names as their numbers in sorted order."""
    cells = [(text or "").strip() for text in texts]
    if nominal:
        number = {text: i for i, text in enumerate(sorted(set(cells) - {""}))}
        return np.array([number.get(text, np.nan) for text in cells], dtype=np.float64)
    values, bad = [], set()
    for text in cells:
        try:
            values.append(float(text) if text else np.nan)
        except ValueError:
            bad.add(text)
            values.append(np.nan)
    if bad:
        notes.append(f"{name} is not a number in {sum(t in bad for t in cells)} rows, such as {sorted(bad)[0]!r}")
    return np.array(values, dtype=np.float64)


class PlainBoosters:
    """Mean of five boosters on the inputs as they are."""

    def __init__(self, training: TrainingSet) -> None:
        rows = xgboost.DMatrix(training.X, training.Y[:, 0], nthread=1)
        seeds = range(PLAIN_MEMBERS)
        self.boosters = [xgboost.train({**PLAIN, "seed": seed}, rows, PLAIN_ROUNDS) for seed in seeds]

    def predict(self, X: Floats) -> Floats:
        """(n,) predicted targets."""
        rows = xgboost.DMatrix(X, nthread=1)
        return np.mean([booster.predict(rows) for booster in self.boosters], axis=0, dtype=np.float64)


class DefaultXGBoost:
    """XGBoost with default settings on one-hot inputs, optionally with costs."""

    def __init__(self, training: TrainingSet, X: Floats, *, costs: bool) -> None:
        genes = training.columns("ordinal", "nominal")
        values = [(j, v) for j in genes for v in np.unique(X[:, j])]
        self.columns, self.values = [j for j, _ in values], np.array([v for _, v in values])
        self.costs = training.columns("cost") if costs else []
        rows = xgboost.DMatrix(self._inputs(training.X), training.Y[:, 0], nthread=1)
        self.booster = xgboost.train(DEFAULT, rows, DEFAULT_ROUNDS)

    def _inputs(self, X: Floats) -> Floats:
        return np.concatenate([X[:, self.columns] == self.values, X[:, self.costs]], axis=1).astype(np.float64)

    def predict(self, X: Floats) -> Floats:
        """(n,) predicted targets."""
        return np.asarray(self.booster.predict(xgboost.DMatrix(self._inputs(X), nthread=1)), dtype=np.float64)


def bench(table: Table, n: int, seed: int) -> list[dict[str, Any]]:
    """One row per surrogate."""
    order = np.random.default_rng(seed).permutation(len(table.y))
    train, test = order[:n], order[n : n + HELD_OUT]
    training, X, y = table.training_set(train)
    fold, rows = folds(training.group, seed), list[dict[str, Any]]()
    members, seconds = dict[str, FittedMember](), dict[str, float]()
    for name in dict.fromkeys(m for s in SURROGATES.values() for m in s.members):
        start = time.perf_counter()
        members[name] = FittedMember.of(training, fold, name, seed)
        seconds[name] = time.perf_counter() - start
    held_out_tau = dict[str, float]()
    for kind, surrogate in SURROGATES.items():
        predictions = combine(training, fold, surrogate, members)
        held_out_tau[kind] = kendall(predictions.mean[:, 0], training.Y[:, 0])
        start = time.perf_counter()
        model = whole(training, surrogate, members)
        fit_s = time.perf_counter() - start
        widening = _widening(predictions, training)
        mean, sd, rate = _predict(model, X[test])
        inside = np.abs(y[test] - mean) <= widening * sd
        validated = sum(seconds[name] for name in surrogate.members)
        scores = {**_scores(mean, y[test]), "coverage90": float(inside.mean())}
        speed = {"fit_s": fit_s + validated, "rows_per_s": rate}
        rows.append({"surrogate": kind, "n": n, "seed": seed, **scores, **speed})
    best = preferred({kind: held_out_tau[kind] for kind in AUTO})
    best_row = next(row for row in rows if row["surrogate"] == best)
    everything = sum(seconds[m] for m in {m for kind in AUTO for m in SURROGATES[kind].members})
    own = sum(seconds[m] for m in SURROGATES[best].members)
    rows.append({**best_row, "surrogate": SELECTED, "fit_s": best_row["fit_s"] - own + everything})
    others: dict[str, Callable[[], PlainBoosters | DefaultXGBoost]] = {
        "plain-boosters": lambda: PlainBoosters(training),
        "default-xgboost": lambda: DefaultXGBoost(training, X, costs=False),
    }
    if training.columns("cost"):
        others["default-xgboost+costs"] = lambda: DefaultXGBoost(training, X, costs=True)
    for name, fitted in others.items():
        start = time.perf_counter()
        booster = fitted()
        fit_s = time.perf_counter() - start
        start = time.perf_counter()
        mean = booster.predict(X[test])
        rate = len(test) / (time.perf_counter() - start)
        scores = {**_scores(mean, y[test]), "coverage90": None}
        rows.append({"surrogate": name, "n": n, "seed": seed, **scores, "fit_s": fit_s, "rows_per_s": rate})
    return rows


def _widening(predictions: HeldOutPredictions, training: TrainingSet) -> float:
    """Standard deviations that cover nine in ten held-out rows, and the share of one more."""
    off = np.abs(training.Y - predictions.mean)[:, 0] / np.sqrt(predictions.variance[:, 0])
    return float(np.quantile(off, min(INTERVAL * (1 + 1 / len(off)), 1.0)))


def _predict(model: Model, X: Floats) -> tuple[Floats, Floats, float]:
    rows = torch.from_numpy(X)
    marginals(model, rows[:2])  # what a first call prepares
    start = time.perf_counter()
    mean, variance = marginals(model, rows)
    return mean[:, 0].numpy(), variance[:, 0].sqrt().numpy(), len(X) / (time.perf_counter() - start)


def _scores(mean: Floats, y: Floats) -> dict[str, float]:
    return {"tau": kendall(mean, y), "r2": float(1 - np.mean((mean - y) ** 2) / y.var())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV with a header")
    parser.add_argument("--inputs", required=True, help="columns, separated by commas")
    parser.add_argument("--kinds", default="ordinal", help="ordinal or nominal: one for all, or one for each input")
    parser.add_argument("--target", required=True)
    parser.add_argument("--costs", default="", help="columns known of every network, such as MACs")
    parser.add_argument("--train", default="50,100,200", help="numbers of rows to learn from")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for all rows")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except InputError as error:
        sys.exit(f"error: {error}")


@one_thread()
def run(arguments: argparse.Namespace) -> None:
    def listed(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    try:
        sizes = [int(n) for n in listed(arguments.train)]
    except ValueError:
        raise InputError(f"--train {arguments.train} is not numbers separated by commas") from None
    table, notes = Table.read(
        arguments.table, listed(arguments.inputs), listed(arguments.kinds), arguments.target, listed(arguments.costs)
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if arguments.seeds < 1 or not sizes or min(sizes) < 10 or max(sizes) >= len(table.y):
        raise InputError(
            f"--train {arguments.train} --seeds {arguments.seeds}: allowed are at least 10 rows, fewer than the "
            f"{len(table.y)} complete ones, and at least one seed"
        )
    if max(sizes) + HELD_OUT > len(table.y):
        print(f"note: fewer than {HELD_OUT} rows are left to predict for the largest --train", file=sys.stderr)
    warnings.simplefilter("ignore")
    rows, countdown, total = list[dict[str, Any]](), Countdown("runs"), len(sizes) * arguments.seeds
    for n in sizes:
        for seed in range(arguments.seeds):
            rows += bench(table, n, seed)
            countdown.at(len({(r["n"], r["seed"]) for r in rows}), total)
            if arguments.json:
                arguments.json.write_text(json.dumps({"notes": notes, "rows": rows}, indent=1), encoding="utf-8")
    print("| n | surrogate | τ | worst seed | R² | 90 % covers | fit s | rows/s |\n|---|---|---|---|---|---|---|---|")
    for n in sizes:
        names = list(dict.fromkeys(r["surrogate"] for r in rows))
        for name in names:
            mine = [r for r in rows if r["n"] == n and r["surrogate"] == name]
            tau, r2, fit_s, rate = (np.median([r[key] for r in mine]) for key in ("tau", "r2", "fit_s", "rows_per_s"))
            covered = [r["coverage90"] for r in mine if r["coverage90"] is not None]
            covers = f"{np.median(covered):.0%}" if covered else "–"
            worst = min(r["tau"] for r in mine)
            print(f"| {n} | {name} | {tau:.3f} | {worst:.3f} | {r2:.3f} | {covers} | {fit_s:.1f} | {rate:,.0f} |")
    for n in sizes:
        print(behind([r for r in rows if r["n"] == n]))


def behind(rows: Sequence[Mapping[str, Any]]) -> str:
    """Line that says how far `selected` is behind the best of the others, in the medians and in its worst run."""
    tau: dict[str, dict[int, float]] = {}
    for row in rows:
        tau.setdefault(row["surrogate"], {})[row["seed"]] = row["tau"]
    selected = tau.pop(SELECTED)
    median = {name: float(np.median(list(by_seed.values()))) for name, by_seed in tau.items()}
    best = max(median, key=lambda name: median[name])
    short = median[best] - float(np.median(list(selected.values())))
    worst = max(max(by_seed[seed] for by_seed in tau.values()) - selected[seed] for seed in selected)
    return (
        f"n = {rows[0]['n']}: selected is {short:.3f} behind {best} in the median, {worst:.3f} behind the best at worst"
    )


if __name__ == "__main__":
    main()
