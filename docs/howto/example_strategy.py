"""A search strategy of one's own: `--strategy example_strategy:mutants_of_the_front`, with this file in the folder that
the command is run in.

Networks are changed a little that nothing trained beats in both accuracy and expected cost, at any thresholds.
"""

from collections.abc import Sequence

import numpy as np

from surrogate_nas.exits.front import pareto_order
from surrogate_nas.search.strategy import History, Suggestion
from surrogate_nas.space import moves

TRIES = 10


def mutants_of_the_front(history: History, q: int) -> Sequence[Suggestion]:
    """Up to q mutants of the front, else samples; all chance is the history's own, so the same history has the same."""
    space, rng = history.problem.space, np.random.default_rng(history.seed)
    curves = [exits.within(history.problem.settings.limits) for _, exits in history.trained]
    owner = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    found = history.sample(q, rng).indices[:0]
    if len(owner):
        accuracy = np.concatenate([curve.accuracy for curve in curves])
        cost = np.concatenate([curve.objective for curve in curves])
        front = history.networks.indices[np.unique(owner[pareto_order(accuracy, cost)])]
        for _ in range(TRIES):
            mutants = moves.mutate(space.genes, front[rng.integers(len(front), size=4 * q)], rng)
            found = history.new(np.concatenate([found, mutants])).indices  # distinct, not taken, within exact limits
    found = history.new(np.concatenate([rng.permutation(found)[:q], history.sample(2 * q, rng).indices])).indices[:q]
    return [Suggestion(a) for a in space.architectures(found)]
