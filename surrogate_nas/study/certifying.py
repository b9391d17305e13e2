"""Certificates: limits tested on images that were sealed when the study began, and that nothing was chosen by."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from surrogate_nas.archive.openings import Candidate, Opening, Outcome
from surrogate_nas.archive.record import Record
from surrogate_nas.certificates import needed
from surrogate_nas.certificates.candidates import candidates_of, in_order
from surrogate_nas.certificates.evidence import Evidence, learned
from surrogate_nas.certificates.sequence import Strand, refuted, spent
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limit_table import Limit, exact_text, kept_text
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import Countdown, say
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.predictions import ExitPredictions
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.results import Solution
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.weights import load_network

OWN = 0.5
"""Share of δ of the first network, where each is tested by itself; the others have equal shares of the rest."""


def open_seal(
    solutions: Solutions, images: StudyImages, limits: Limits, networks: Sequence[Record] = ()
) -> Opening | None:
    """Test on the sealed images whether networks keep limits; for the same candidates again, the earlier result.

    An opening that was interrupted is ended first.

    Args:
        solutions: trained networks of the study.
        images: images of the study.
        limits: limits to certify.
        networks: networks to test; by default all of the solutions' rung whose weights are there.

    Returns:
        the opening, which is stored; `None` where no candidate may keep the limits.

    Raises:
        InputError: for a study without sealed images, or without a limit on what images do.
        JobError: if no network has its weights, or they are damaged.
    """
    home, delta = solutions.home, delta_of(solutions.home)
    if not learned(limits):
        raise InputError(f"nothing to certify: {limits}; allowed: limits that images keep, such as min_accuracy")
    with home.changing():
        sealed = _Sealed(home, images)
        for interrupted in (o for o in home.archive.openings() if o.results is None):
            sealed.test(interrupted)
        strands = _strands(solutions, limits, networks, sealed.images.draws)
        if not any(strands):
            return None
        openings, document = home.archive.openings(), limits.model_dump(exclude_none=True)
        for before in openings:
            if before.candidates == strands and before.limits == document:
                return before
        number = len(openings) + 1
        opening = Opening(
            number=number,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            delta=spent(delta, number),
            images=sealed.images.draws,
            limits=document,
            weights=_weights(len(strands)),
            candidates=strands,
        )
        home.archive.store_opening(opening)  # before anything is seen: δ is spent by looking
        return sealed.test(opening)


def certify_at_the_end(solutions: Solutions, images: StudyImages) -> None:
    """Certify the study's limits, if images were sealed for it and there is something to certify."""
    home = solutions.home
    if home.archive.header.seal is None or not learned(home.settings.limits):
        return
    if any(home.checkpoint(r.id).is_file() for r in solutions.records() if r.failure is None):
        open_seal(solutions, images, home.settings.limits)
    else:
        say("note: nothing was certified: no network has its weights (see the setting keep)")


def delta_of(home: Home) -> float:
    """δ of all certificates of a study together.

    Raises:
        InputError: for a study without sealed images.
    """
    header = home.archive.header
    if header.seal is None:
        remedy = "a new study with --confidence 0.9 seals part of tune"
        if header.confidence is not None:
            remedy = (
                "there were too few to certify its limits; a new study of more images, or with looser limits, has some"
            )
        raise InputError(f"study {home.path} has no sealed images; {remedy}")
    return header.seal.delta


def shortfall(solutions: Solutions, limits: Limits) -> list[str]:
    """Sentences on why nothing is certified: for each limit, the number of sealed images that would do for the solution
    that limits and goal ask for, judged on tune, and the number that there are.

    Raises:
        InputError: for a study without sealed images.
    """
    archive, delta = solutions.home.archive, delta_of(solutions.home)
    front, level = solutions.front(), spent(delta, len(archive.openings()) + 1)
    best = solutions.best_of(front) if front else solutions.nearest()
    return [_shortfall(solutions, best, limit, cap, level) for limit, cap in learned(limits)]


def _shortfall(solutions: Solutions, best: Solution, limit: Limit, cap: float, level: float) -> str:
    point, what = best.operating_point, f"{limit.words} {limit.sign} {exact_text(cap)}"
    if limit.quantity == "accuracy":
        images, value = needed.for_floor(best.tune.accuracy, cap, level), kept_text(best.tune.accuracy, floor=True)
    elif limit.quantity == "drop":
        evidence = Evidence(solutions.views.under(best.record, "tune", point.policy, point.temperatures), point)
        different, drop = (evidence.worse + evidence.better) / best.tune.n, max(best.tune.drop, 0.0)
        images, value = needed.for_drop(drop, different, cap, level), kept_text(drop)
    else:
        return f"{what} was not shown by the sealed images"
    if images is None:
        return f"{what} is not kept by {value} on tune"
    there = solutions.home.archive.header.sealed_draws
    return f"{what} at {value} on tune needs about {images:,} images; there are {there:,}"


# ---------------------------------------------------------------------- candidates, by the images that choose


def _strands(
    solutions: Solutions, limits: Limits, networks: Sequence[Record], images: int
) -> tuple[tuple[Candidate, ...], ...]:
    """Candidates of each strand, the surest first.

    With a floor, or a limit on what images cost, they are one strand of all networks. A limit on the drop alone does
    not compare networks: each of the front has its own strand.
    """
    records = [r for r in networks or solutions.records() if r.failure is None]
    there = [r for r in records if solutions.home.checkpoint(r.id).is_file()]
    if not there:
        raise JobError("nothing to certify: no network has its weights (see the setting keep)")
    if [limit.quantity for limit, _ in learned(limits)] == ["drop"]:
        if not networks:
            front = solutions.front()
            ids = dict.fromkeys(s.id for s in ([solutions.best_of(front), *front] if front else []))
            there = [r for id in ids for r in there if r.id == id]
        strands = [_in_order(solutions, [r], limits, images) for r in there]
        return tuple(strand for strand in strands if strand)
    return (_in_order(solutions, there, limits, images),)


def _in_order(solutions: Solutions, records: Sequence[Record], limits: Limits, images: int) -> tuple[Candidate, ...]:
    views = solutions.views
    all_candidates = [candidates_of(views.tune(record), limits, images) for record in records]
    return tuple(
        Candidate(records[i].id, solutions.operating_point(records[i], all_candidates[i].points.thresholds[t]))
        for i, t in in_order(all_candidates)
    )


def _weights(strands: int) -> tuple[float, ...]:
    """Share of δ of each strand."""
    return (1.0,) if strands == 1 else (OWN, *[(1 - OWN) / (strands - 1)] * (strands - 1))


# ---------------------------------------------------------------------- tests, by the sealed images


class _Sealed:
    """The sealed images of a study."""

    def __init__(self, home: Home, images: StudyImages) -> None:
        self.home, certify = home, images.splits().certify
        assert certify is not None
        self.images: LabeledImages = certify
        self._exits: dict[tuple[object, ...], Exits] = {}

    def test(self, opening: Opening) -> Opening:
        """Test the candidates of a stored opening, and store the results."""
        limits = Limits(**opening.limits)
        strands = [Strand(len(of), weight) for of, weight in zip(opening.candidates, opening.weights, strict=True)]
        tests: list[list[tuple[float, Evidence]]] = [[] for _ in strands]
        countdown, most = Countdown("candidates tested on sealed images"), sum(s.count for s in strands)

        def p_value(strand: int, place: int) -> float:
            candidate = opening.candidates[strand][place]
            evidence = Evidence(self._exits_of(candidate), candidate.point)
            p = evidence.p_value(limits)
            tests[strand].append((p, evidence))
            countdown.at(sum(map(len, tests)), most)
            return p

        with one_thread():
            counts = refuted(strands, p_value, opening.delta)
        results = tuple(
            tuple(_tested(p, evidence, place < count) for place, (p, evidence) in enumerate(of))
            for of, count in zip(tests, counts, strict=True)
        )
        ended = replace(opening, results=results)
        self.home.archive.store_opening(ended)
        return ended

    def _exits_of(self, candidate: Candidate) -> Exits:
        """Exits of a network on the sealed images, in the precision of its export."""
        point, record = candidate.point, self.home.archive.find(candidate.network)
        key = record.id, point.policy, point.temperatures
        if key not in self._exits:
            network = load_network(self.home, record)
            predictions = ExitPredictions.by_network(network, point.policy, point.temperatures, self.images.images)
            cost = self.home.costing.of(record.architecture)
            labels, groups = self.images.labels, self.images.groups
            self._exits[key] = predictions.exits(record.architecture, cost, point.policy, labels, groups)
        return self._exits[key]


def _tested(p: float, evidence: Evidence, passed: bool) -> Outcome:
    right = int(np.count_nonzero(evidence.right))
    return Outcome(p, right, evidence.worse, evidence.better, evidence.answers, passed)
