"""Trained networks at operating points: the front, the closest solution to the limits, and any other thresholds."""

from collections.abc import Sequence

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import SPLITS, Split, SplitOutputs
from surrogate_nas.archive.record import Group, Record
from surrogate_nas.archive.views import Views, exits_of
from surrogate_nas.certificates.evidence import exact_part, implies
from surrogate_nas.exits.best import wants_cheapest_network
from surrogate_nas.exits.choosing import METHODS, MethodName
from surrogate_nas.exits.digits import shortest
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import Front, pareto_order
from surrogate_nas.exits.intervals import CONFIDENCE, bootstrap
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import GATE_POLICIES, POLICY_NAMES, PolicyName
from surrogate_nas.exits.tiers import tiers_of
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.study.home import Home
from surrogate_nas.study.results import Certificate, Measured, Solution, Tier


class Solutions:
    """Measurements of the trained networks of one study, at any thresholds. See `Study` for each method.

    On a ladder they are all of one rung, so that like is compared with like.
    """

    def __init__(self, home: Home, rung: int | None = None) -> None:
        """Build for one rung, numbered from 1; by default the highest that a network was trained to."""
        self.home = home
        self._rung = rung

    @property
    def passes(self) -> int | None:
        """Rung of all measurements, in image passes; `None` without a ladder."""
        problem = self.home.problem
        if problem.ladder is None:
            return None
        if self._rung is not None:
            return problem.ladder.passes(self._rung)
        return self.home.archive.highest_rung() or problem.passes

    def fixed(self) -> "Solutions":
        """These solutions at the rung that they have now, also after networks are trained further, or the archive is
        closed."""
        ladder, passes = self.home.problem.ladder, self.passes
        return self if ladder is None or passes is None else Solutions(self.home, ladder.number(passes))

    @property
    def rung_name(self) -> str | None:
        """The rung in words, such as "rung 2 of 4 (54k passes)"; `None` without a ladder."""
        ladder, passes = self.home.problem.ladder, self.passes
        return None if ladder is None or passes is None else ladder.name(passes)

    @property
    def views(self) -> Views:
        """Exits of trained networks, cached."""
        return self.home.problem.views

    @property
    def limits(self) -> Limits:
        """Limits of the study."""
        return self.home.settings.limits

    def records(self, group: Group = "search") -> list[Record]:
        """Records of a group at the rung, with their outputs, in the order of their proposals; promoted networks belong
        to the search."""
        archive, passes = self.home.archive, self.passes
        records = archive.studied() if group == "search" else archive.records(group)
        return self.views.with_outputs([r for r in records if r.proposal.passes == passes])

    # ------------------------------------------------------------------ one network

    def operating_point(self, record: Record, thresholds: Floats) -> OperatingPoint:
        """Operating point with (E − 1,) thresholds, the study's policy and the network's temperatures."""
        return OperatingPoint.from_array(thresholds, self.home.problem.policy, self.views.temperatures(record))

    def solution(self, record: Record, operating_point: OperatingPoint) -> Solution:
        """A trained network at an operating point, on both splits, with its certificate if there is one."""
        tune, test = (self.measured(record, split, operating_point) for split in SPLITS)
        certificate = self.certificate(record, operating_point)
        printed = self._printed(record, operating_point) if certificate is None else operating_point
        return Solution(record, operating_point, printed, tune, test, certificate)

    def certificate(self, record: Record, operating_point: OperatingPoint) -> Certificate | None:
        """Certificate of a network at an operating point, if there is one."""
        return self._certificates().get((record.id, operating_point))

    def _certificates(self) -> dict[tuple[str, OperatingPoint], Certificate]:
        """Certificates by network and operating point."""
        archive = self.home.archive
        if (confidence := archive.header.confidence) is None:
            return {}
        return {
            (candidate.network, candidate.point): Certificate(
                Limits(**opening.limits), confidence, opening.number, opening.images, tested
            )
            for opening in archive.openings()
            for candidate, tested in opening.certified()
        }

    def certified(self, limits: Limits, records: Sequence[Record] | None = None) -> list[Solution]:
        """Certified solutions that keep limits, cheapest first: the Pareto front of them on tune.

        Args:
            limits: limits that certificates must imply, and measurements on tune keep where they are exact.
            records: networks to choose from; by default all at the rung.
        """
        of = {r.id: r for r in (self.records() if records is None else records)}
        keys = [key for key, c in self._certificates().items() if key[0] in of and implies(c.limits, limits)]
        solutions = [self.solution(of[id], point) for id, point in keys]
        solutions = [s for s in solutions if not s.tune.broken(exact_part(limits))]
        accuracy = np.array([s.tune.accuracy for s in solutions])
        cost = np.array([s.tune.expected(self.home.settings.objective) for s in solutions])
        return [solutions[i] for i in pareto_order(accuracy, cost)]

    def _printed(self, record: Record, point: OperatingPoint) -> OperatingPoint:
        """The operating point with the fewest digits that have the same figures on both splits."""
        return shortest(point, [self.views.under(record, split, point.policy, point.temperatures) for split in SPLITS])

    def at(self, record: Record, thresholds: Floats) -> Solution:
        """A trained network at (E − 1,) thresholds, on both splits."""
        return self.solution(record, self.operating_point(record, thresholds))

    def measured(self, record: Record, split: Split, operating_point: OperatingPoint) -> Measured:
        """Measurements of a trained network at one operating point, under its policy, on one split."""
        exits = self.views.under(record, split, operating_point.policy, operating_point.temperatures)
        labels = self.views.outputs(record)[split].labels
        return Measured.of(exits, labels, self.home.shape.classes, operating_point)

    def measure_outputs(
        self, architecture: Architecture, outputs: SplitOutputs, operating_point: OperatingPoint
    ) -> Measured:
        """Measurements at one operating point, like `measured`, for outputs that are not in the archive."""
        policy, temperatures = operating_point.policy, operating_point.temperatures
        exits = exits_of(architecture, outputs, self.home.costing, policy, temperatures)
        return Measured.of(exits, outputs.labels, self.home.shape.classes, operating_point)

    def within(self, record: Record, limits: Limits) -> Solution | None:
        """A trained network at its best thresholds on tune within limits; `None` if no thresholds keep them."""
        points = self.views.tune(record).within(limits)
        if not len(points):
            return None
        return self.at(record, points.thresholds[points.best(limits)])

    def tune(self, record: Record, limits: Limits, method: MethodName = "curve") -> Solution:
        """One trained network at its best thresholds on tune within limits; see `Study.tune`."""
        if method not in METHODS:
            raise InputError(f"method {method!r} is not one of {', '.join(METHODS)}")
        return self.at(record, METHODS[method](self.views.tune(record), limits).thresholds[0])

    def tiers(self, record: Record, limits: Limits, tiers: int) -> list[Tier]:
        """Settings of one trained network for several budgets."""
        exits = self.views.tune(record)
        budgets, settings = tiers_of(exits, limits, tiers)
        if not len(settings):
            exits.best(limits)  # raises an error with the reason
        objective, pairs = self.home.settings.objective, zip(budgets.tolist(), settings.thresholds, strict=True)
        return [self._tier(record, b, limits.with_budget(objective, b), t) for b, t in pairs]

    def _tier(self, record: Record, budget: float, limits: Limits, thresholds: Floats) -> Tier:
        exits = self.views.test(record)
        test, cells = exits.measure(thresholds[None]), exits.group_counts(exits.leave(thresholds))
        interval, _ = bootstrap(test.leaving[0], test.correct[0], test.macs[0], CONFIDENCE, cells)
        return Tier(budget, limits, self.at(record, thresholds), interval)

    def compare_policies(self, record: Record, limits: Limits) -> list[Solution]:
        """One trained network under every available exit policy, with and without temperatures."""
        solutions, reasons = list[Solution](), list[JobError]()
        for policy, temperatures in self._policies(record):
            try:
                best = self.views.under(record, "tune", policy, temperatures).best(limits)
            except JobError as error:
                reasons.append(error)
                continue
            solutions.append(self.solution(record, OperatingPoint.from_array(best.thresholds[0], policy, temperatures)))
        if not solutions:
            raise reasons[0]
        return solutions

    def _policies(self, record: Record) -> list[tuple[PolicyName, tuple[float, ...]]]:
        """Every available policy of a network, without and with temperatures."""
        tune = self.views.outputs(record).tune
        own_temperatures = () if tune.logits is None else self.views.fitted_temperatures(record)
        choices = [(), own_temperatures] if own_temperatures else [()]
        gate_policies = () if tune.gates is None else GATE_POLICIES
        return [*((policy, T) for policy in POLICY_NAMES for T in choices), *((policy, ()) for policy in gate_policies)]

    # ------------------------------------------------------------------ all networks

    def _trained(self) -> list[tuple[Record, Exits]]:
        """Trained networks of the search with their outputs, each with its exits on tune."""
        trained = self.views.trained(self.records())
        if not trained:
            raise JobError("no network has been trained yet")
        return trained

    def front(self) -> list[Solution]:
        """Pareto-optimal solutions within the limits on tune, cheapest first."""
        trained = self._trained()
        keeps = [exits.within(self.limits) for _, exits in trained]
        owner = np.repeat(np.arange(len(keeps)), [len(points) for points in keeps])
        points = Measurements.concatenate(keeps)
        order = pareto_order(points.accuracy, points.objective)
        return [self.at(trained[owner[i]][0], points.thresholds[i]) for i in order]

    def preferred(self, front: Sequence[Solution]) -> Solution:
        """The solution that limits and goal ask for, judged on tune: the most accurate, or the cheapest, of those that
        are certified, else of the front; the nearest to the limits where there is no front."""
        front = self.certified(self.limits) or front
        return self.best_of(front) if front else self.nearest()

    def best_of(self, front: Sequence[Solution]) -> Solution:
        """The solution that limits and goal ask for, of Pareto-optimal ones, cheapest first."""
        return front[0] if self.wants_cheapest else front[-1]

    @property
    def wants_cheapest(self) -> bool:
        """Whether the cheapest solution is asked for, by the goal, or by limits on accuracy alone."""
        goal = self.home.settings.goal
        return goal == "cost" or (goal == "front" and wants_cheapest_network(self.limits))

    def nearest(self) -> Solution:
        """The trained network and thresholds with the smallest violation of the limits on tune."""
        curves = [(record, exits.curve) for record, exits in self._trained()]
        violation = [curve.violation(self.limits) for _, curve in curves]
        best = int(np.argmin([v.min() for v in violation]))
        record, curve = curves[best]
        return self.at(record, curve.thresholds[int(violation[best].argmin())])

    def hypervolume(self) -> list[float]:
        """Hypervolume of the front after each training."""
        records, problem = self.records(), self.home.problem
        front = Front.of(np.array([]), np.array([]), *problem.reference(records))
        volumes = []
        for record in records:
            if record.failure is None:
                points = self.views.tune(record).within(self.limits)
                front = front.with_points(np.log10(points.objective), points.accuracy)
            volumes.append(front.hypervolume)
        return volumes
