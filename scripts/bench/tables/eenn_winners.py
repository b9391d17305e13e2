"""Whether predictions hold for the networks that are picked because of them: the winner's curse, on the table of
early-exit networks.

    python scripts/bench/tables/eenn_winners.py data/eenn-cifar10 [--train 10,20,40] [--seeds 6]
        [--surrogates auto,gp,xgb,stack] [--before CHECKOUT] [--jobs 2] [--json winners.jsonl]

Networks are drawn, and each surrogate is fitted to them, as in `eenn_surrogates.py`. Then networks of the table are
picked that were not drawn:

- `best`: the three that `query --best 3` answers with, under each of three limits: a cap on expected MACs of 0.4 and of
  0.8 times the median of the table's worst cases, and a floor of accuracy, the median of the table's last exits;
- `acquisition`: the four that the search would train next, without limits.

Each pick is judged at the thresholds that it was picked with: whether what its training measured on tune lies in the
predicted 90 % interval, and the interval score, (high − low) + 20 × the distance of the measurement from the interval
(Gneiting & Raftery 2007, doi 10.1198/016214506000001437, eq. 43); smaller is better, and widening alone does not help.
MACs are relative to the network's worst case, and those of networks without an exit that is on are left out, as they
are certain. `promised` is the mean of predicted minus measured accuracies.

Shares are pooled over all picks; scores are means over draws of the mean over picks. The same fits are asked of 300
other networks, too, and the tables of `eenn_surrogates.py` follow for each surrogate. `auto` is fitted once: the
surrogate that it chooses is not fitted again. Other options are those of `eenn_surrogates.py`.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from eenn_surrogates import (
    Drawn,
    arguments_for_draws,
    draw_lines,
    drawn_rows,
    floor,
    print_comparison,
    print_figures,
    signed,
    sizes_of,
)
from paired import BEFORE, NEW, Ledger, Line, checkouts, mean_difference, measured, serve

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.strategy import Bayesian
from surrogate_nas.search.best_predicted import evolve, ranking
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.study.query import SHORTLIST
from surrogate_nas.surrogates.fit import FittedSurrogate
from surrogate_nas.surrogates.spread import INTERVAL, Spread

BEST, PROPOSALS = 3, 4
CAPS = (0.4, 0.8)
"""Caps on expected MACs, as shares of the median worst case of the table's networks."""
BY = ("best", "acquisition")
SURROGATES = "auto,gp,xgb,stack"


# ---------------------------------------------------------------------- picks


@dataclass(frozen=True)
class Judged:
    """A prediction with what was measured."""

    mean: float
    low: float
    high: float
    measured: float

    @classmethod
    def of(cls, predicted: Floats, measured: float) -> "Judged":
        """Judge a predicted mean with its two bounds."""
        mean, low, high = predicted.tolist()
        return cls(mean, low, high, measured)

    @property
    def inside(self) -> bool:
        """Whether the interval has the measurement."""
        return self.low <= self.measured <= self.high

    @property
    def score(self) -> float:
        """Interval score."""
        outside = max(self.low - self.measured, self.measured - self.high, 0.0)
        return self.high - self.low + 2 / (1 - INTERVAL) * outside


@dataclass(frozen=True)
class Pick:
    """A network that was picked because of its prediction."""

    by: str
    accuracy: Judged
    macs: Judged | None
    """Expected MACs as a share of the worst case; `None` where they are certain."""

    @classmethod
    def of_line(cls, line: Line) -> "Pick":
        """Read what `asdict` wrote."""
        macs = None if line["macs"] is None else Judged(**line["macs"])
        return cls(line["by"], Judged(**line["accuracy"]), macs)


@dataclass(frozen=True)
class Picker:
    """Networks of the table that one fitted surrogate picks, and what they measured."""

    table: EennTable
    drawn: Drawn
    """Networks that the surrogate is fitted to."""
    fitted: FittedSurrogate

    def picks(self) -> list[Pick]:
        """All picks of this surrogate."""
        best = [pick for limits in limits_of(self.table, self.drawn.problem.policy) for pick in self._best(limits)]
        return [*best, *self._proposed()]

    def _best(self, limits: Limits) -> list[Pick]:
        """Answers of `study.query.Respondent.best`, among the networks of the table that were not drawn."""
        problem, predictor, drawn = self.drawn.problem, self.fitted.predictor, self.drawn.candidates.indices
        evaluations = evolve(problem, predictor, limits, drawn, BEST)
        waiting = {row.tobytes() for row in self.table.trained} - {row.tobytes() for row in drawn}
        index = np.array([i for i, row in enumerate(evaluations.rows) if row.tobytes() in waiting], dtype=np.int64)
        shortlist = evaluations[index[: SHORTLIST * BEST]]
        candidates = Candidates.of_indices(problem.space, shortlist.rows, problem.costing)
        predicted = predictor.predict(candidates, shortlist.thresholds, limits)
        order = ranking(limits, predicted.feasible, predicted.accuracy.mean, predicted.expected_macs.mean)[:BEST]
        accuracy, macs = _triples(predicted.accuracy), _triples(predicted.expected_macs)
        return self._judged(
            "best", candidates.indices[order], shortlist.thresholds[order], accuracy[order], macs[order]
        )

    def _proposed(self) -> list[Pick]:
        """Picks of the search of this package."""
        problem, records = self.drawn.problem, [record for record, _ in self.drawn.views]
        history = History(problem, records, [record.proposal for record in records], 1, self.table.trained)
        proposals = propose(Bayesian(lambda _: self.fitted), history, PROPOSALS)
        predictions = [proposal.prediction or {} for proposal in proposals]
        rows = problem.space.indices([proposal.architecture for proposal in proposals])
        thresholds = [[np.inf if t is None else t for t in p["thresholds"]] for p in predictions]
        accuracy, macs = (np.array([p[name] for p in predictions]) for name in ("accuracy", "expected_macs"))
        return self._judged("acquisition", rows, np.array(thresholds), accuracy, macs)

    def _judged(self, by: str, rows: Ints, thresholds: Floats, accuracy: Floats, macs: Floats) -> list[Pick]:
        """Picks of n (n, G) rows at (n, E − 1) thresholds, with (n, 3) predicted means and bounds."""
        picked = Drawn.of(self.table, rows, self.drawn.problem.policy, self.drawn.problem.seed)
        on = np.any(np.isfinite(thresholds) & picked.candidates.present[:, :-1], axis=1)
        picks = []
        for i, (_, exits) in enumerate(picked.views):
            true = exits.measure(thresholds[i : i + 1])
            worst, spent = float(true.worst_macs[0]), float(true.expected_macs[0])
            relative = Judged.of(macs[i] / worst, spent / worst) if on[i] else None
            picks.append(Pick(by, Judged.of(accuracy[i], float(true.accuracy[0])), relative))
        return picks


def _triples(spread: Spread) -> Floats:
    """(n, 3) mean, lower and upper bound."""
    return np.stack([spread.mean, spread.low, spread.high], axis=1)


@cache
def limits_of(table: EennTable, policy: str) -> tuple[Limits, ...]:
    """Limits under which the best are picked."""
    everything = Drawn.of(table, table.trained, policy, 0)
    last = [exits.measure(np.full((1, exits.positions - 1), np.inf)) for _, exits in everything.views]
    worst, accuracy = (float(np.median([getattr(m, name)[0] for m in last])) for name in ("worst_macs", "accuracy"))
    return *(Limits(max_macs=share * worst) for share in CAPS), Limits(min_accuracy=accuracy)


def winners(table: EennTable, draw: Line) -> dict[str, Line]:
    """Picks of each surrogate that is fitted to a draw, and its figures on networks that are not in it."""
    policy, seed = draw["policy"], draw["seed"]
    learned, asked = drawn_rows(table, draw["n"], draw["rare"], seed)
    drawn, others = Drawn.of(table, learned, policy, seed), Drawn.of(table, asked, policy, seed)
    lines = dict[str, Line]()
    for name in draw["surrogates"]:
        if name not in lines:
            fitted = drawn.fitted(name)
            picks = [asdict(pick) for pick in Picker(table, drawn, fitted).picks()]
            kind = fitted.predictor.kind
            lines[name] = lines[kind] = {"kind": kind, "picks": picks, "held-out": others.figures(fitted.predictor)}
    return {name: lines[name] for name in draw["surrogates"]}


# ---------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Curse:
    """Picks of each draw, all of one kind, by one checkout."""

    draws: Sequence[Sequence[Pick]]

    @property
    def accuracies(self) -> list[Judged]:
        """Accuracies of all picks."""
        return [pick.accuracy for picks in self.draws for pick in picks]

    def cells(self) -> list[str]:
        """Number of picks, shares within the intervals, promise and scores."""
        accuracies, macs = self.accuracies, [p.macs for picks in self.draws for p in picks if p.macs is not None]
        shares = [f"{np.mean([one.inside for one in of]):.1%}" if of else "–" for of in (accuracies, macs)]
        promised = np.mean([one.mean - one.measured for one in accuracies])
        scores = [f"{np.nanmean(self.scores(name)):.4f}" for name in ("accuracy", "macs")]
        return [str(len(accuracies)), *shares, f"{promised:+.4f}", *scores]

    def scores(self, name: str) -> Floats:
        """(S,) mean interval scores of the draws; NaN for a draw in which all are certain."""
        of = [[getattr(pick, name) for pick in picks if getattr(pick, name) is not None] for picks in self.draws]
        return np.array([np.mean([one.score for one in scored]) if scored else np.nan for scored in of])


HEADS = (
    "picked by",
    "surrogate",
    "networks",
    "by",
    "picks",
    "accuracies covered",
    "MACs covered",
    "promised",
    "score of accuracy",
    "score of MACs",
)


def print_curses(curses: Mapping[tuple[str, str, str], Mapping[str, Curse]]) -> None:
    """Print the picks of each way, surrogate and number of networks, and how the new compare with those before."""
    compared = any(BEFORE in by_name for by_name in curses.values())
    heads = [*HEADS, *(("accuracy: new − before", "MACs: new − before") if compared else ())]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for names, by_name in curses.items():
        for label, curse in by_name.items():
            cells = [*names, label, *curse.cells()]
            if compared:
                cells += _differences(by_name) if label == NEW else ["", ""]
            print(f"| {' | '.join(cells)} |")


def _differences(by_name: Mapping[str, Curse]) -> list[str]:
    """Paired mean differences of the scores of draws, with 90 % intervals."""
    cells = []
    for name in ("accuracy", "macs"):
        new, before = (by_name[label].scores(name) for label in (NEW, BEFORE))
        both = np.isfinite(new) & np.isfinite(before)
        cells.append(signed(mean_difference(new[both], before[both])) if both.any() else "–")
    return cells


def curses_of(
    draws: Sequence[Line], by_name: Mapping[str, Sequence[Line]], surrogates: Iterable[str]
) -> dict[tuple[str, str, str], dict[str, Curse]]:
    """Picks by way, surrogate and number of networks, the last row of each being all numbers together."""
    sizes = list(dict.fromkeys(draw["n"] for draw in draws))
    groups = [(str(n), {n}) for n in sizes] + ([("all", set(sizes))] if len(sizes) > 1 else [])
    return {
        (by, surrogate, group): {
            label: Curse(
                [
                    [pick for line in figures[surrogate]["picks"] if (pick := Pick.of_line(line)).by == by]
                    for draw, figures in zip(draws, lines, strict=True)
                    if draw["n"] in members
                ]
            )
            for label, lines in by_name.items()
        }
        for by in BY
        for surrogate in surrogates
        for group, members in groups
    }


def main() -> None:
    parser = arguments_for_draws(__doc__)
    parser.add_argument("--surrogates", default=SURROGATES, help="names separated by commas")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table, surrogates = EennTable.load(arguments.table), arguments.surrogates.split(",")
    if arguments.worker:
        serve(lambda draw: winners(table, draw))
        return
    draws = draw_lines(arguments, table, measure="winners", rare=None, surrogates=surrogates)
    command, ledger = [__file__, arguments.table], Ledger.open(arguments.json)
    by_name = measured(draws, checkouts(arguments.before), command, ledger, arguments.jobs)
    print("Best under", "; ".join(map(str, limits_of(table, arguments.policy))), end="\n\n")
    print_curses(curses_of(draws, by_name, surrogates))
    floors = floor(table, None, arguments.policy)
    for surrogate in surrogates:
        by_size = {
            n: {
                name: [f[surrogate]["held-out"] for d, f in zip(draws, lines, strict=True) if d["n"] == n]
                for name, lines in by_name.items()
            }
            for n in sizes_of(arguments.train)
        }
        print(f"\nHeld-out networks by {surrogate}\n")
        print_figures(by_size, *floors)
        if BEFORE in by_name:
            print_comparison(by_size)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
