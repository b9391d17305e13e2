"""Verbs that search: the initial sample, then rounds of proposals and trainings, with surrogates fitted in between."""

from collections.abc import Iterator, Sequence
from functools import partial

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.search.loop import search as search_in_rounds
from surrogate_nas.search.loop import search_asynchronously
from surrogate_nas.search.registry import strategy_named
from surrogate_nas.study.checks import require_without_time
from surrogate_nas.study.fitting import fit
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.trainings import Trainer
from surrogate_nas.training.executors.deadline import Deadline


def run(trainer: Trainer, solutions: Solutions) -> list[Record]:
    """Train the initial sample, then search until the budget or the time is spent; see `Study.run`."""
    home = trainer.home
    require_without_time(home.settings)
    with trainer.at_work():
        trainer.finish_pending()
        missing = home.settings.initial - len(home.archive.proposals())
        if missing > 0:
            trainer.collect(missing, home.settings.budget)
        return search(trainer, solutions, None)


def search(trainer: Trainer, solutions: Solutions, rounds: int | None) -> list[Record]:
    """Propose, train and refit, for a number of rounds or until the budget or the time is spent."""
    home = trainer.home
    require_without_time(home.settings)
    with trainer.at_work() as deadline:
        trainer.finish_pending()
        with home.trial("strategy"):  # until its first proposals are trained
            if home.settings.asynchronous:
                _without_rounds(trainer, solutions, rounds)
            else:
                _in_rounds(trainer, solutions, rounds, deadline)
        return solutions.views.with_outputs(home.archive.studied())


def _in_rounds(trainer: Trainer, solutions: Solutions, rounds: int | None, deadline: Deadline) -> None:
    home = trainer.home

    def evaluate(proposals: Sequence[Proposal]) -> list[Record]:
        home.has_worked("strategy")
        return trainer.evaluate(proposals, home.settings.budget)

    search_in_rounds(
        home.problem,
        solutions.views.with_outputs(home.archive.studied()),
        home.archive.proposals(),
        evaluate,
        strategy_named(home.settings.strategy, partial(fit, home)),
        rounds=rounds,
        in_time=deadline.may_start,
    )


def _without_rounds(trainer: Trainer, solutions: Solutions, rounds: int | None) -> None:
    """Search without rounds; trains as many architectures as the rounds would, within the budget."""
    home, taken = trainer.home, trainer.home.archive.proposals()
    most = max(home.settings.budget - len(taken), 0)
    if rounds is not None:
        most = min(rounds * home.settings.batch, most)

    def each(proposals: Iterator[Proposal]) -> Iterator[Proposal]:
        for proposal in proposals:
            home.has_worked("strategy")
            yield proposal

    search_asynchronously(
        home.problem,
        solutions.views.with_outputs(home.archive.studied()),
        taken,
        lambda proposals: trainer.train_as_workers_free(each(proposals), most),
        strategy_named(home.settings.strategy, partial(fit, home)),
        most=most,
    )
