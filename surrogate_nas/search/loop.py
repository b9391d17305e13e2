"""The search loop: propose and train, until the budget is spent.

Training is an argument: a tabular benchmark passes the look-up in its table.
"""

from collections.abc import Callable, Iterator, Sequence

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import next_round
from surrogate_nas.search.strategy import History, Strategy, propose

Evaluate = Callable[[Sequence[Proposal]], Sequence[Record]]
"""Function that trains proposals and returns the records, in the order of the proposals; some may be missing at a
deadline."""
TrainContinuously = Callable[[Iterator[Proposal]], Iterator[Record]]
"""Function that takes the next proposal whenever a worker is free, trains it, and yields records as they finish."""


def search(
    problem: Problem,
    records: Sequence[Record],
    taken: Sequence[Proposal],
    evaluate: Evaluate,
    strategy: Strategy,
    *,
    rounds: int | None = None,
    in_time: Callable[[], bool] = lambda: True,
    listed: Ints | None = None,
) -> list[Record]:
    """Run rounds of proposing and training.

    Args:
        problem: the search problem.
        records: records of the trainings so far.
        taken: all proposals so far, trained or not; they count against the budget.
        evaluate: function that trains a round's proposals. Fewer records than proposals end the search.
        strategy: the search strategy; see `registry`.
        rounds: largest number of rounds; `None` for no limit but the budget.
        in_time: called before each round; the search ends if it returns false.
        listed: (k, G) rows of the only architectures that can be trained; `None` for the whole space.

    Returns:
        All records, earlier ones first.

    Raises:
        JobError: if the strategy violates its contract; see `strategy.propose`.
    """
    records, taken, settings, done = list(records), list(taken), problem.settings, 0
    while len(taken) < settings.budget and (rounds is None or done < rounds) and in_time():
        q = min(settings.batch, settings.budget - len(taken))
        history = History(problem, tuple(records), tuple(taken), next_round(taken), listed)
        proposals = propose(strategy, history, q)
        new = evaluate(proposals)
        records += new
        taken += proposals
        done += 1
        if len(new) < q:
            break
    return records


def search_asynchronously(
    problem: Problem,
    records: Sequence[Record],
    taken: Sequence[Proposal],
    train: TrainContinuously,
    strategy: Strategy,
    *,
    most: int | None = None,
) -> list[Record]:
    """Search without rounds: a free worker immediately gets a proposal conditioned on the trainings in flight.

    Proposals depend on the order in which trainings finish.

    Args:
        problem, records, taken, strategy: see `search`.
        train: function that trains the proposals.
        most: largest number of new proposals; `None` for no limit but the budget.

    Returns:
        All records: earlier ones first, new ones in the order they finished.
    """
    records, taken, budget = list(records), list(taken), problem.settings.budget
    budget = budget if most is None else min(budget, len(taken) + most)

    def proposals() -> Iterator[Proposal]:
        while len(taken) < budget:
            new = propose(strategy, History(problem, tuple(records), tuple(taken), next_round(taken)), 1)
            if not new:
                return
            taken.append(new[0])
            yield new[0]

    for record in train(proposals()):
        records.append(record)
    return records
