"""Proposals that need no surrogate: the initial sample, architectures requested by the user, baselines and finals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Origin, Proposal
from surrogate_nas.search.problem import Problem
from surrogate_nas.space.candidates import taken_rows
from surrogate_nas.space.sampling import sample_within

BASELINE_ROUND, FINAL_ROUND = 1_000_000, 2_000_000
"""Round numbers of baselines and of the first finals, above every round of a search."""


def next_round(taken: Sequence[Proposal]) -> int:
    """Number of the round after these proposals."""
    return max((p.round for p in taken), default=-1) + 1


def initial_proposals(problem: Problem, n: int, taken: Sequence[Proposal], round: int) -> list[Proposal]:
    """Proposals of n sampled architectures within the exact limits, none of them proposed before.

    The k-th architecture of a round does not depend on n.
    """
    rng = np.random.default_rng(problem.seed_of(round))
    rows = taken_rows(problem.space, [p.architecture for p in taken])
    settings = problem.settings
    architectures = sample_within(problem.space, n, problem.costing, problem.bounds, rng, rows, settings.sampling)
    return [make_proposal(problem, a, round, rank, "initial") for rank, a in enumerate(architectures)]


def user_proposals(
    problem: Problem, architectures: Sequence[Architecture], round: int, passes: int | None = None
) -> list[Proposal]:
    """Proposals of architectures that the user requested; for `passes` see `make_proposal`."""
    return [make_proposal(problem, a, round, rank, "user", passes=passes) for rank, a in enumerate(architectures)]


def promotions(trainings: Sequence[Proposal], passes: int, round: int) -> list[Proposal]:
    """Proposals to train networks on to a higher rung, in image passes, each with its own seed."""
    return [
        replace(p, round=round, rank=rank, origin="promoted", passes=passes, prediction=None)
        for rank, p in enumerate(trainings)
    ]


def baseline_proposals(
    problem: Problem, architectures: Sequence[Architecture], passes: int | None = None
) -> list[Proposal]:
    """Proposals of networks for comparison. They do not influence the rounds and seeds of the search; for `passes` see
    `make_proposal`."""
    return [
        make_proposal(problem, a, BASELINE_ROUND, rank, "baseline", passes=passes)
        for rank, a in enumerate(architectures)
    ]


def final_proposals(problem: Problem, architectures: Sequence[Architecture], seeds: int) -> list[Proposal]:
    """Proposals of each architecture with several seeds, at full fidelity, sorted by seed."""
    fidelity = problem.settings.full_recipe.fidelity
    return [
        Proposal(
            round=FINAL_ROUND + k,
            rank=rank,
            origin="final",
            architecture=architecture,
            seed=problem.seed_of(FINAL_ROUND, k),
            fidelity=fidelity,
        )
        for k in range(seeds)
        for rank, architecture in enumerate(architectures)
    ]


def top_proposals(
    problem: Problem,
    architectures: Sequence[Architecture],
    seeds: int,
    trainings: Sequence[Proposal],
    round: int,
) -> list[Proposal]:
    """Proposals of each architecture at the top rung with several seeds: its trainings so far go on, then new ones.

    Args:
        problem: the search problem, of a study with a ladder.
        architectures: architectures to train.
        seeds: number of trainings of each.
        trainings: proposals of the study, in order, at any rung.
        round: round of the proposals.
    """
    assert problem.ladder is not None
    of_training = {p.training: p for p in reversed(trainings)}
    proposals = list[Proposal]()
    for architecture in architectures:
        own = [p for p in reversed(of_training.values()) if p.architecture == architecture][:seeds]
        for k in range(seeds - len(own)):
            seed = problem.seed_of(FINAL_ROUND, k)
            own.append(replace(make_proposal(problem, architecture, round, 0, "promoted"), seed=seed))
        proposals += own
    return promotions(proposals, problem.ladder.top, round)


def make_proposal(
    problem: Problem,
    architecture: Architecture,
    round: int,
    rank: int,
    origin: Origin,
    prediction: Mapping[str, Any] | None = None,
    passes: int | None = None,
) -> Proposal:
    """Proposal with the study's recipe, and the seed of its round and rank.

    On a ladder it is to the rung of so many image passes, by default that of new networks.
    """
    return Proposal(
        round=round,
        rank=rank,
        origin=origin,
        architecture=architecture,
        seed=problem.seed_of(round, rank),
        fidelity=problem.fidelity,
        passes=passes or problem.passes,
        prediction=prediction,
    )
