"""The search loop: propose and train, until the budget is spent.

Training is an argument: a tabular benchmark passes the look-up in its table.
"""

from collections.abc import Callable, Iterator, Sequence

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import next_round
from surrogate_nas.search.strategy import History, Strategy, propose

Evaluate = Callable[[Sequence[Proposal]], Sequence[Record]]
"""Trains proposals and returns a record for each that was carried out, in their order."""
TrainContinuously = Callable[[Iterator[Proposal]], Iterator[Record]]
"""Trains proposals, taking the next one whenever a worker is free, and yields records as they finish."""


def search(
    problem: Problem,
    records: Sequence[Record],
    taken: Sequence[Proposal],
    evaluate: Evaluate,
    strategy: Strategy,
    *,
    rounds: int | None = None,
    in_time: Callable[[], bool] = lambda: True,
    excluded: frozenset[bytes] = frozenset(),
) -> list[Record]:
    """Run rounds of proposing and training.

    Args:
        problem: the search problem.
        records: of the trainings so far.
        taken: every proposal so far, carried out or not; they count against the budget.
        evaluate: trains a round's proposals. A round that comes back incomplete ends the search.
        strategy: proposes architectures; see `registry`.
        rounds: at most; `None` for no limit but the budget.
        in_time: asked before each round, whether there is time for one.
        excluded: rows of architectures that cannot be trained.

    Returns:
        All records, earlier ones first.

    Raises:
        JobError: if the strategy violates its contract; see `strategy.propose`.
    """
    records, taken, settings, done = list(records), list(taken), problem.settings, 0
    while len(taken) < settings.budget and (rounds is None or done < rounds) and in_time():
        q = min(settings.batch, settings.budget - len(taken))
        history = History(problem, tuple(records), tuple(taken), next_round(taken), excluded)
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
        problem, records, taken, strategy: as of `search`.
        train: trains the proposals.
        most: proposals at most; `None` for no limit but the budget.

    Returns:
        All records, earlier ones first, others as they finished.
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
