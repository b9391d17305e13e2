"""Warm start: propose the architectures on the fronts of other studies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.archive.views import front_of
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.search.proposals import next_round, user_proposals
from surrogate_nas.space.candidates import keeps_exact_limits, taken_rows
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.study.home import Home

WARM_START = "warm_start"
"""Key in a proposal's prediction: the record that its architecture was taken from."""


def warm_start(home: Home, others: Sequence[Path], n: int | None = None) -> list[Proposal]:
    """Propose the architectures on other studies' fronts, whatever their data, splits or recipe.

    The next run, search or collect trains them before anything else. Architectures that were proposed before, or break
    this study's exact limits, are left out.

    Args:
        home: the study that will train them.
        others: folders of studies.
        n: largest number of architectures of each study, evenly spaced along its front; by default the whole front.

    Raises:
        InputError: if a folder is not a study, or has architectures on its front that are not in this space.
        JobError: if no network trained in another study keeps its limits.
    """
    if n is not None and n < 1:
        raise InputError(f"n {n} is not a positive integer")
    origins: dict[Architecture, dict[str, Any]] = {}
    for source in [Home.open(path) for path in others]:
        front = _along_front(source, n)
        _require_in_space(home, source, list(front))
        for architecture, record in front.items():
            origins.setdefault(architecture, _taken_from(source, record))
    with home.changing():
        taken = home.archive.proposals()
        new = _worth_training(home, list(origins), taken)
        proposals = [
            replace(p, prediction={WARM_START: origins[p.architecture]})
            for p in user_proposals(home.problem, new, next_round(taken))
        ]
        home.archive.propose(proposals)
    say(f"{len(proposals)} of {len(origins)} networks proposed; they will be trained first")
    return proposals


def _along_front(source: Home, n: int | None) -> dict[Architecture, Record]:
    """Architectures on the front, cheapest first, each with its record."""
    limits = source.settings.limits
    views = source.problem.views.trained(source.archive.records())
    of: dict[Architecture, Record] = {}
    for record in front_of([(r, exits.within(limits)) for r, exits in views]):
        of.setdefault(record.architecture, record)
    if not of:
        raise JobError(f"no trained network of {source.path} keeps {limits}: there is no front to start from")
    architectures = list(of)
    index = evenly(len(architectures), n or len(architectures))
    return {architectures[i]: of[architectures[i]] for i in index}


def _require_in_space(home: Home, source: Home, architectures: Sequence[Architecture]) -> None:
    reasons = []
    for architecture in architectures:
        try:
            home.space.indices([architecture])
        except InputError as error:
            reasons.append(f"{architecture}: {error}")
    if reasons:
        raise InputError(
            f"{len(reasons)} of {len(architectures)} networks on the front of {source.path}, of space "
            f"{source.space.spec.name!r}, are not in space {home.space.spec.name!r} of {home.path}; {reasons[0]}"
        )


def _worth_training(home: Home, architectures: Sequence[Architecture], taken: Sequence[Proposal]) -> list[Architecture]:
    space, limits = home.space, home.settings.limits
    rows = space.indices(architectures)
    keeps = keeps_exact_limits(cost_of_indices(space, rows, home.costing), space.genes.present(rows), limits)
    taken_keys = taken_rows(space, [p.architecture for p in taken])
    if beyond := int((~keeps).sum()):
        say(f"{beyond} of {len(rows)} networks cannot keep the limits and are left out: {limits}")
    return [
        a
        for a, row, keeps_limits in zip(architectures, rows, keeps, strict=True)
        if keeps_limits and row.tobytes() not in taken_keys
    ]


def _taken_from(source: Home, record: Record) -> dict[str, Any]:
    header = source.archive.header
    return {
        "study": str(source.path.resolve()),
        "seed": header.seed,
        "data": header.data,
        "fingerprint": header.fingerprint,
        "record": record.id,
    }
