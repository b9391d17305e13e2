"""Predictions for any number of architectures, computed in blocks."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from surrogate_nas.archive.outputs import SPLITS
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.bayesian.curve_value import threshold_grid
from surrogate_nas.search.best_predicted import EVEN, evolve, ranking
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.wanted import wanted_limits
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study.checks import require_rung
from surrogate_nas.study.fitting import fit
from surrogate_nas.study.results import Answer, Interval, Measured
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.surrogates.applicability import ApplicabilityDomain
from surrogate_nas.surrogates.predictor import Prediction, Predictor
from surrogate_nas.surrogates.spread import Spread

MOST_BEST = 5000
"""Largest number of best architectures in one query."""
BLOCK = 2048
"""Number of architectures that are predicted together."""
SHORTLIST = 4
"""Number of architectures in the final ranking, per requested architecture."""


@dataclass(frozen=True, slots=True)
class Question:
    """One architecture to predict, with an operating point or without."""

    encoding: str
    row: Sequence[int]
    """(G,) choice indices."""
    point: OperatingPoint | None = None
    """Operating point to predict at; `None` for the thresholds with the best prediction."""


def about(space: SearchSpace, rows: Ints, point: OperatingPoint | None = None) -> Iterator[Question]:
    """Questions about (n, G) rows of choice indices, generated lazily.

    Raises:
        InputError: for a wrong number of thresholds.
    """
    require_thresholds(space, point)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        for architecture, row in zip(space.architectures(part), part.tolist(), strict=True):
            yield Question(str(architecture), row, point)


def require_thresholds(space: SearchSpace, point: OperatingPoint | None) -> None:
    """Raise `InputError` for a wrong number of thresholds."""
    if point is not None and len(point.thresholds) != space.positions - 1:
        got = len(point.thresholds)
        raise InputError(f"{space.positions} exits need {space.positions - 1} thresholds, got {got}")


def require_cost_table(problem: Problem, limits: Limits) -> None:
    """Raise `InputError` for limits on a cost that needs a cost table, if the study has none."""
    if limits.limits_cost and problem.model is None:
        raise InputError(f"{limits}: this study has no cost table, which a limit on cost needs")


@dataclass(frozen=True)
class Respondent:
    """Source of answers about the architectures of one study."""

    problem: Problem
    predictor: Predictor
    limits: Limits
    trained: Mapping[str, Sequence[Record]]
    """Records of trained networks, by encoding; on a ladder, those at the rung that is predicted."""
    below: Mapping[str, Sequence[Record]]
    """Records of the highest rung of each training that has not reached the predicted one, by encoding."""
    measure: Callable[[Record, Floats], dict[str, Any]]
    """Function that measures a trained network at (E − 1,) thresholds."""

    @classmethod
    def of(cls, solutions: Solutions, records: Sequence[Record], predictor: Predictor, limits: Limits) -> "Respondent":
        """Build for one study, from a fitted surrogate and records."""
        rung = predictor.design.rung
        succeeded = [record for record in records if record.failure is None]
        trained = _by_encoding([r for r in succeeded if r.proposal.passes == rung])
        below = {} if rung is None else _by_encoding(_highest_below(succeeded, rung))

        def measure(record: Record, thresholds: Floats) -> dict[str, Any]:
            point = solutions.operating_point(record, thresholds)
            tune, test = (solutions.measured(record, split, point) for split in SPLITS)
            certificate = solutions.certificate(record, point)
            return {
                **{name: getattr(tune, name) for name in Measured.__slots__},
                "test_accuracy": test.accuracy,
                "test_accuracy_bound": test.accuracy_bound,
                "certificate": None if certificate is None else certificate.document(),
            }

        return cls(solutions.home.problem, predictor, limits, trained, below, measure)

    def answer(self, questions: Iterable[Question]) -> Iterator[list[Answer]]:
        """Blocks of answers, in the order of the questions; at most one block of questions is read ahead."""
        source = iter(questions)
        while block := list(islice(source, BLOCK)):
            candidates = Candidates.of_indices(
                self.problem.space, np.array([q.row for q in block], dtype=np.int64), self.problem.costing
            )
            prediction = self.predictor.predict(candidates, self._thresholds(block, candidates), self.limits)
            yield self._rows([q.encoding for q in block], candidates, prediction)

    def best(self, n: int, point: OperatingPoint | None) -> list[Answer]:
        """The n architectures with the best predictions, the best first; see `Study.best`.

        The evolutionary search compares predictions without the sampling noise of held-out images, which answers
        include. So more than n of its results are ranked again by their answers.
        """
        if not 1 <= n <= MOST_BEST:
            raise InputError(f"best {n} is not between 1 and {MOST_BEST:,}")
        space, start = self.problem.space, time.monotonic()
        require_thresholds(space, point)
        trained = space.indices([records[0].architecture for records in self.trained.values()])
        evaluations = evolve(self.problem, self.predictor, self.limits, trained, n, point)
        shortlist = evaluations[: SHORTLIST * n]
        points = (OperatingPoint.from_array(t, self.problem.policy) for t in shortlist.thresholds)
        questions = (replace(q, point=p) for q, p in zip(about(space, shortlist.rows), points, strict=True))
        answers = [answer for block in self.answer(questions) for answer in block]
        say(f"the surrogate evaluated {len(evaluations):,} architectures in {time.monotonic() - start:.1f} s")
        order = self.order(answers)
        if answers[order[0]].feasible_probability < EVEN:
            say(f"no architecture keeps {self.limits} with a probability of at least {EVEN:g}; showing the closest")
        return [answers[i] for i in order[:n]]

    def order(self, answers: Sequence[Answer]) -> Ints:
        """(n,) indices of the answers, the best first; see `best_predicted.ranking`."""
        merits = zip(*[self._merits(answer) for answer in answers], strict=True)
        feasible, accuracy, objective = (np.array(column) for column in merits)
        return ranking(self.limits, feasible, accuracy, objective)

    def _merits(self, answer: Answer) -> tuple[float, float, float]:
        """Arguments of `ranking`: feasibility, accuracy and objective."""
        objective = answer.cost if self.problem.settings.objective == "cost" else answer.expected_macs
        assert objective is not None
        return answer.feasible_probability, answer.accuracy[0], objective[0]

    def _thresholds(self, block: Sequence[Question], candidates: Candidates) -> Floats:
        """(n, E − 1) thresholds of the questions, else those predicted best; ∞ for off and for missing exits."""
        has_point = np.array([q.point is not None for q in block])
        thresholds = np.full((len(block), self.problem.space.positions - 1), np.inf)
        points = [q.point.array() for q in block if q.point is not None]
        if points:
            thresholds[has_point] = np.where(candidates.present[has_point, :-1], np.stack(points), np.inf)
        if not has_point.all():
            without_point, grid = candidates[np.flatnonzero(~has_point)], threshold_grid(self.predictor.design.basis)
            thresholds[~has_point] = self.predictor.best_thresholds(without_point, self.limits, grid)
        return thresholds

    def _rows(self, encodings: list[str], candidates: Candidates, prediction: Prediction) -> list[Answer]:
        """Answers, computed column by column for speed."""
        cost, present = candidates.cost, candidates.present
        on = np.concatenate([np.isfinite(prediction.thresholds) & present[:, :-1], present[:, -1:]], axis=1)
        taken = on & (prediction.rates.mean > 0)
        exit_accuracies = [
            [a if is_taken else None for a, is_taken in zip(accuracies, taken_, strict=True)]
            for accuracies, taken_ in zip(_triples(prediction.exit_accuracy), taken.tolist(), strict=True)
        ]
        trainings = [
            [{"id": r.id, "seed": r.proposal.seed, **self.measure(r, prediction.thresholds[i])} for r in records]
            for i, records in enumerate(self.trained.get(encoding, ()) for encoding in encodings)
        ]
        columns = {
            "encoding": encodings,
            "thresholds": self._texts(prediction.thresholds),
            "accuracy": _triples(prediction.accuracy),
            "expected_macs": _triples(prediction.expected_macs),
            "exit_probabilities": _triples(prediction.rates),
            "exit_accuracies": exit_accuracies,
            "feasible_probability": prediction.feasible.tolist(),
            "macs": prediction.macs.tolist(),
            "worst_macs": prediction.macs.max(axis=1).tolist(),
            "parameters": cost.parameters.tolist(),
            "weight_bytes": cost.weight_bytes.tolist(),
            "activation_bytes": cost.memory(on[:, :-1]).tolist(),
            "cost": [None] * len(encodings) if prediction.cost is None else _triples(prediction.cost),
            "trained": trainings,
            "cautions": [[*texts, *self._of_the_rung] for texts in self._domain.cautions(candidates)],
            "passes": [self.predictor.design.rung] * len(encodings),
            "going_on": self._going_on(encodings, candidates, prediction.thresholds),
        }
        return [Answer(*row) for row in zip(*(columns[name] for name in Answer.__slots__), strict=True)]

    def _going_on(
        self, encodings: list[str], candidates: Candidates, thresholds: Floats
    ) -> list[list[dict[str, Any]] | None]:
        """Predictions of trainings below the rung, for each architecture; `None` without a ladder."""
        if self.predictor.design.rung is None:
            return [None] * len(encodings)
        going_on: list[list[dict[str, Any]] | None] = [[] for _ in encodings]
        pairs = [(i, record) for i, encoding in enumerate(encodings) for record in self.below.get(encoding, ())]
        if not pairs:
            return going_on
        rows = np.array([i for i, _ in pairs])
        predictor = self.predictor.of_trainings([record.proposal.training for _, record in pairs])
        predicted = predictor.predict(candidates[rows], thresholds[rows], self.limits)
        accuracies, macs = _triples(predicted.accuracy), _triples(predicted.expected_macs)
        for (i, record), accuracy, expected_macs in zip(pairs, accuracies, macs, strict=True):
            of_network = going_on[i]
            assert of_network is not None
            of_network.append(
                {
                    "id": record.id,
                    "seed": record.proposal.seed,
                    "passes": record.proposal.passes,
                    "accuracy": accuracy,
                    "expected_macs": expected_macs,
                }
            )
        return going_on

    @property
    def _of_the_rung(self) -> list[str]:
        """Caution about a rung that no network was trained to."""
        design, ladder = self.predictor.design, self.problem.ladder
        if ladder is None or design.rung is None or design.rung in (design.passes or ()):
            return []
        return [f"no network was trained to {ladder.name(design.rung)}"]

    @cached_property
    def _domain(self) -> ApplicabilityDomain:
        return ApplicabilityDomain(self.problem.space.genes, self.predictor.design.candidates)

    def _texts(self, thresholds: Floats) -> list[str]:
        """Texts of thresholds; each distinct row is formatted once, since most architectures share theirs."""
        different, inverse = np.unique(thresholds, axis=0, return_inverse=True)
        texts = [str(OperatingPoint.from_array(t, self.problem.policy)) for t in different]
        return [texts[i] for i in inverse.reshape(-1)]


def respondent_of(solutions: Solutions, limits: Limits, rung: int | None = None) -> Respondent:
    """Respondent of a study within limits, with the stored surrogate, or a new one if there is none.

    Args:
        solutions: solutions of the study.
        limits: limits whose probability of being kept is `feasible_probability`; with sealed images, of being
            certified.
        rung: number of the rung to predict, from 1; by default the top. Without a ladder there is none.

    Raises:
        InputError: for limits on cost, if the study has no cost table, or a rung that there is not.
        JobError: if fewer than four networks have been trained.
    """
    home = solutions.home
    require_cost_table(home.problem, limits)
    ladder = home.problem.ladder
    passes = None if ladder is None else ladder.top
    if rung is not None:
        passes = require_rung(ladder, rung)
    records = home.archive.studied()
    predictor = fit(home, records).predictor.at(passes)
    return Respondent.of(solutions, records, predictor, wanted_limits(home.problem, limits))


def _by_encoding(records: Iterable[Record]) -> dict[str, list[Record]]:
    by_encoding: dict[str, list[Record]] = {}
    for record in records:
        by_encoding.setdefault(str(record.architecture), []).append(record)
    return by_encoding


def _highest_below(records: Sequence[Record], rung: int) -> list[Record]:
    """The record of the highest rung of each training that has not reached a rung, in image passes."""
    reached = {r.proposal.training for r in records if (r.proposal.passes or 0) >= rung}
    highest: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: r.proposal.passes or 0):
        if record.proposal.training not in reached:
            highest[record.proposal.training] = record
    return list(highest.values())


def _triples(estimate: Spread) -> list[Any]:
    """Interval of each architecture, or a list of them over its exits."""
    triples = np.stack([estimate.mean, estimate.low, estimate.high], axis=-1)
    rows = triples.tolist()
    return [Interval._make(row) if triples.ndim == 2 else [Interval._make(e) for e in row] for row in rows]
