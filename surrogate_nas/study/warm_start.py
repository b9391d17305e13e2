"""Warm start: propose the architectures on other studies' fronts."""

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
    """Propose architectures of other studies' fronts here, whatever their data, splits or recipe.

    They are trained before anything else is, by the next run, search or collect. What has been proposed here before, or
    is beyond this study's exact limits, is left out.

    Args:
        home: of the study that is to train them.
        others: folders of studies.
        n: at most so many of each, evenly along the front, which is taken whole by default.

    Raises:
        InputError: if a folder is no study, or has architectures on its front that are not of this space.
        JobError: if nothing that was trained there keeps the limits there.
    """
    if n is not None and n < 1:
        raise InputError(f"n {n} is not a positive number")
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
    say(f"{len(proposals)} of {len(origins)} networks are to be trained here first")
    return proposals


def _along_front(source: Home, n: int | None) -> dict[Architecture, Record]:
    """Architectures, with the training that is on the front, cheapest first."""
    limits = source.settings.limits
    views = source.problem.views.trained(source.archive.records())
    of: dict[Architecture, Record] = {}
    for record in front_of([(r, exits.within(limits)) for r, exits in views]):
        of.setdefault(record.architecture, record)
    if not of:
        raise JobError(f"no trained network of {source.path} keeps {limits}: there is no front to begin with")
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
            f"{len(reasons)} of {len(architectures)} networks of the front of {source.path}, of space "
            f"{source.space.spec.name!r}, are not in space {home.space.spec.name!r} of {home.path}; {reasons[0]}"
        )


def _worth_training(home: Home, architectures: Sequence[Architecture], taken: Sequence[Proposal]) -> list[Architecture]:
    space, limits = home.space, home.settings.limits
    rows = space.indices(architectures)
    keeps = keeps_exact_limits(cost_of_indices(space, rows, home.costing), space.genes.present(rows), limits)
    taken_keys = taken_rows(space, [p.architecture for p in taken])
    if beyond := int((~keeps).sum()):
        say(f"{beyond} of {len(rows)} networks cannot keep {limits}, and are left out")
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
