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
    architectures = sample_within(problem.space, n, problem.costing, settings.limits, rng, rows, settings.sampling)
    return [make_proposal(problem, a, round, rank, "initial") for rank, a in enumerate(architectures)]


def user_proposals(problem: Problem, architectures: Sequence[Architecture], round: int) -> list[Proposal]:
    """Proposals of architectures that the user requested."""
    return [make_proposal(problem, a, round, rank, "user") for rank, a in enumerate(architectures)]


def promotions(trainings: Sequence[Proposal], passes: int, round: int) -> list[Proposal]:
    """Proposals to train networks on to a higher rung, in image passes, each with its own seed."""
    return [
        replace(p, round=round, rank=rank, origin="promoted", passes=passes, prediction=None)
        for rank, p in enumerate(trainings)
    ]


def baseline_proposals(problem: Problem, architectures: Sequence[Architecture]) -> list[Proposal]:
    """Proposals of networks for comparison. They do not influence the rounds and seeds of the search."""
    return [make_proposal(problem, a, BASELINE_ROUND, rank, "baseline") for rank, a in enumerate(architectures)]


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


def make_proposal(
    problem: Problem,
    architecture: Architecture,
    round: int,
    rank: int,
    origin: Origin,
    prediction: Mapping[str, Any] | None = None,
) -> Proposal:
    """Proposal with the study's recipe, and the seed of its round and rank."""
    return Proposal(
        round=round,
        rank=rank,
        origin=origin,
        architecture=architecture,
        seed=problem.seed_of(round, rank),
        fidelity=problem.fidelity,
        passes=problem.passes,
        prediction=prediction,
    )
