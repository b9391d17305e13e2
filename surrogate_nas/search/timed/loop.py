"""The search by time: choose trainings by what they are predicted to take, carry them out, and choose anew.

Training and the clock are arguments: a tabular benchmark passes the look-up in its table, and counts its seconds.
"""

from collections.abc import Callable, Iterator, Sequence

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.search.loop import Evaluate, TrainContinuously
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import next_round
from surrogate_nas.search.strategy import History
from surrogate_nas.search.timed.clock import Clock, Step
from surrogate_nas.search.timed.halving import Schedule

ClockOf = Callable[[History], Clock]
"""Function that returns the time that is left, and what trainings are predicted to take, from the trainings so far."""


def search_in_time(
    problem: Problem,
    records: Sequence[Record],
    taken: Sequence[Proposal],
    evaluate: Evaluate,
    schedule: Schedule,
    clock: ClockOf,
    *,
    listed: Ints | None = None,
) -> list[Record]:
    """Run rounds of trainings until none that is worth it ends in time.

    Args:
        problem: the search problem, with a ladder.
        records: records of the trainings so far, at all rungs.
        taken: all proposals so far, trained or not, at all rungs.
        evaluate: function that carries out a round's trainings. Fewer records than proposals end the search.
        schedule: what to train next; see `registry`.
        clock: the time that is left.
        listed: (k, G) rows of the only architectures that can be trained; `None` for the whole space.

    Returns:
        All records, earlier ones first.
    """
    records, taken = list(records), list(taken)
    while True:
        history = _history(problem, records, taken, listed)
        steps = schedule(history, clock(history))
        proposals = [step.proposal for step in steps]
        new = evaluate(proposals) if proposals else []
        records += new
        taken += proposals
        if not proposals or len(new) < len(proposals):
            return records


def search_in_time_asynchronously(
    problem: Problem,
    records: Sequence[Record],
    taken: Sequence[Proposal],
    train: TrainContinuously,
    schedule: Schedule,
    clock: ClockOf,
) -> list[Record]:
    """Search by time without rounds: a free worker gets the next training at once, chosen beside those in flight.

    Choices depend on the order in which trainings end. For the arguments see `search_in_time`.

    Returns:
        All records: earlier ones first, new ones in the order they finished.
    """
    records, taken = list(records), list(taken)

    def steps() -> Sequence[Step]:
        history = _history(problem, records, taken, None)
        return schedule(history, clock(history))

    def proposals() -> Iterator[Proposal]:
        while chosen := steps():
            taken.append(chosen[0].proposal)
            yield chosen[0].proposal

    for record in train(proposals()):
        records.append(record)
    return records


def _history(problem: Problem, records: list[Record], taken: list[Proposal], listed: Ints | None) -> History:
    return History(problem, tuple(records), tuple(taken), next_round(taken), listed)
