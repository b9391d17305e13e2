"""JSON documents printed by commands with `--json` and returned by the server."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.outputs import SPLITS, Outputs, Split
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limit_table import on_expected
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.study.baselines import name_of

if TYPE_CHECKING:
    from surrogate_nas.archive.views import ExitCalibration
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.study.finals import Final, RankAgreement
    from surrogate_nas.study.payoff import Comparison, Payoff
    from surrogate_nas.study.preview import Preview
    from surrogate_nas.study.results import Answer, Measured, Solution, Tier
    from surrogate_nas.study.solutions import Solutions
    from surrogate_nas.study.verification import Verification
    from surrogate_nas.surrogates.fit import FittedSurrogate
    from surrogate_nas.surrogates.validation import Validation


def measurement_document(figures: "Measured") -> dict[str, Any]:
    """Measurements on one split, with the names of the fields as keys."""
    return {name: getattr(figures, name) for name in figures.__slots__}


def solution_document(solution: "Solution", limits: "Limits") -> dict[str, Any]:
    """A trained network at an operating point, with measurements on tune and test, and the limits broken on test."""
    return {
        "id": solution.record.id,
        "encoding": str(solution.record.architecture),
        "seed": solution.record.proposal.seed,
        "origin": solution.record.proposal.origin,
        **_rung(solution.record),
        "thresholds": str(solution.operating_point),
        "policy": solution.operating_point.policy,
        "temperatures": list(solution.operating_point.temperatures),
        "parameters": solution.parameters,
        "tune": measurement_document(solution.tune),
        "test": measurement_document(solution.test),
        "broken_on_test": solution.test.broken_names(limits),
        "certificate": None if solution.certificate is None else solution.certificate.document(),
    }


def _rung(record: Record) -> dict[str, Any]:
    """Rung of a record, in image passes; nothing without a ladder."""
    return {} if record.proposal.passes is None else {"passes": record.proposal.passes}


def front_document(solutions: "Solutions", page: Path, early_exits: "Payoff") -> dict[str, Any]:
    """Summary of a study at the end of a run: its limits, numbers of trainings and front."""
    home, front, limits = solutions.home, solutions.front(), solutions.limits
    records = home.archive.records()
    return {
        "study": str(home.path),
        **({} if solutions.passes is None else {"passes": solutions.passes, "rung": solutions.rung_name}),
        "early_exits": payoff_document(early_exits),
        "report": str(page),
        "limits": limits.model_dump(),
        "trainings": len(records),
        "searched": sum(r.proposal.origin == "search" for r in records),
        "failed": sum(r.failure is not None for r in records),
        "hypervolume": solutions.hypervolume()[-1],
        "front": [solution_document(s, limits) for s in front],
        "certified": [solution_document(s, limits) for s in solutions.certified(limits)],
        "nearest": None if front else solution_document(solutions.nearest(), limits),
    }


def payoff_document(payoff: "Payoff") -> dict[str, Any]:
    """Whether early exits pay, against the same networks run to their last exit and against a static network."""
    return {
        "pay": payoff.pays,
        "verdict": payoff.verdict,
        "unit": payoff.unit,
        "to_last_exit": comparison_document(payoff.preferred),
        "front": {
            "solutions": len(payoff.front),
            "paying": len(payoff.paying),
            "median_saving": payoff.median_saving,
        },
        "static": None if payoff.static is None else comparison_document(payoff.static),
    }


def comparison_document(comparison: "Comparison") -> dict[str, Any]:
    """Comparison of a solution with a network run to its last exit, with the names of the fields as keys."""
    return {name: getattr(comparison, name) for name in comparison.__slots__}


def finals_document(
    solutions: "Solutions",
    finals: Sequence["Final"],
    agreement: "RankAgreement | None",
    within: Mapping[float, Sequence["Final"]],
    page: Path | None,
) -> dict[str, Any]:
    """Networks at full fidelity within the study's limits, and the most accurate on tune within each further budget.

    Budgets are of the minimised cost, with the key `within_max_macs`, or `within_max_cost` with a cost table.
    """
    settings, limits, ladder = solutions.home.settings, solutions.limits, solutions.home.problem.ladder
    within_budgets = {}
    for budget, affordable in within.items():
        budget_limits = limits.with_budget(settings.objective, budget)
        within_budgets[_key(budget)] = final_document(affordable[0], budget_limits) if affordable else None
    return {
        "study": str(solutions.home.path),
        "report": None if page is None else str(page),
        "limits": limits.model_dump(),
        "recipe": settings.full_recipe.model_dump(),
        "search_recipe": settings.recipe.model_dump(),
        **({} if ladder is None else {"passes": ladder.top, "rung": ladder.name(ladder.top)}),
        "finals": [final_document(f, limits) for f in finals],
        f"within_{on_expected(settings.objective).name}": within_budgets,
        "ranking": None if agreement is None else {"tau": agreement.tau, "networks": agreement.n},
    }


def _key(budget: float) -> str:
    """A budget as text, without loss of digits.

    >>> _key(3e6), _key(3125709.0), _key(0.01)
    ('3e+06', '3125709.0', '0.01')
    """
    return short if float(short := f"{budget:g}") == budget else repr(float(budget))


def final_document(final: "Final", limits: "Limits") -> dict[str, Any]:
    """One architecture at full fidelity within limits."""
    return {
        "encoding": str(final.architecture),
        "seeds": len(final.solutions),
        "seeds_beyond_limits": final.beyond,
        "test_accuracy": final.test_accuracy,
        "test_interval": list(final.test_interval),
        "test_deviation": None if math.isnan(final.test_deviation) else final.test_deviation,
        "test_expected_macs": final.test_macs,
        "test_expected_cost": final.test_cost,
        "tune_accuracy": final.tune_accuracy,
        "broken_on_test": final.broken_names(limits),
        "low_fidelity": None if final.low is None else solution_document(final.low, limits),
        "best": final.best.record.id,
        "trainings": [solution_document(s, limits) for s in final.solutions],
    }


def verification_document(verifications: Sequence["Verification"], limits: "Limits") -> list[dict[str, Any]]:
    """One object per verified architecture of the front within limits."""
    return [
        {
            "encoding": str(v.architecture),
            "trainings": v.trainings,
            "tune_accuracy_claimed": v.claimed("tune"),
            "tune_accuracy_again": v.again("tune"),
            "test_accuracy_claimed": v.claimed("test"),
            "test_accuracy_again": v.again("test"),
            "claims": [
                {
                    "claimed": solution_document(c.solution, limits),
                    "again": [solution_document(s, limits) for s in c.again],
                }
                for c in v.claims
            ],
        }
        for v in verifications
    ]


def tiers_document(tiers: Sequence["Tier"]) -> list[dict[str, Any]]:
    """One object per tier, cheapest first."""
    return [
        {
            "budget": r.budget,
            "test_accuracy_interval": list(r.test_accuracy_interval),
            **solution_document(r.solution, r.limits),
        }
        for r in tiers
    ]


def calibration_document(exits: Sequence["ExitCalibration"]) -> list[dict[str, Any]]:
    """Temperature and calibration errors, one object per exit."""
    return [
        {
            "exit": c.position + 1,
            "temperature": c.temperature,
            "expected_calibration_error": c.error,
            "expected_calibration_error_with_temperature": c.error_with_temperature,
        }
        for c in exits
    ]


def curve_document(solutions: "Solutions", record: Record) -> list[dict[str, Any]]:
    """A network's accuracy–MACs curve on tune, cheapest first."""
    curve = solutions.views.tune(record).curve
    return [
        {
            "thresholds": str(OperatingPoint.from_array(t)),
            "accuracy": float(a),
            "expected_macs": float(m),
            "worst_macs": int(w),
        }
        for t, a, m, w in zip(curve.thresholds, curve.accuracy, curve.expected_macs, curve.worst_macs, strict=True)
    ]


def record_rows(costing: Costing, records: Sequence[Record], *, why: bool = False) -> list[dict[str, Any]]:
    """One row per record; with `why`, failed ones have the failure's message."""
    return [
        {
            "id": r.id,
            "round": r.proposal.round,
            "origin": r.proposal.origin,
            **_rung(r),
            "status": "trained" if r.failure is None else r.failure.kind,
            "seconds": round(r.seconds, 1),
            "last_exit_macs": int(costing.of(r.architecture).macs()[0, -1]),
            "parameters": int(costing.of(r.architecture).parameters[0]),
            **({"message": r.failure.message} if why and r.failure else {}),
            "encoding": str(r.architecture),
        }
        for r in records
    ]


def baseline_rows(costing: Costing, records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row per baseline, like `record_rows`, but with names and without rounds."""
    rows = record_rows(costing, records)
    return [
        {"name": name_of(r.architecture), **{n: v for n, v in row.items() if n != "round"}}
        for r, row in zip(records, rows, strict=True)
    ]


def record_document(costing: Costing, record: Record, outputs: Outputs | None = None) -> dict[str, Any]:
    """A record, with the accuracy of each exit if outputs are given."""
    cost, proposal = costing.of(record.architecture), record.proposal
    return {
        "id": record.id,
        "round": proposal.round,
        "rank": proposal.rank,
        "origin": proposal.origin,
        "encoding": str(record.architecture),
        "seed": proposal.seed,
        "fidelity": proposal.fidelity,
        **_rung(record),
        **({} if proposal.passes is None else {"training": proposal.training}),
        "macs": cost.macs()[0].tolist(),
        "parameters": int(cost.parameters[0]),
        "exits": [e + 1 for e in record.architecture.exit_positions],
        "accuracies": None if outputs is None else _accuracies(outputs),
        "prediction": proposal.prediction,
        "failure": None if record.failure is None else {"kind": record.failure.kind, "message": record.failure.message},
        "seconds": record.seconds,
        "provenance": dict(record.provenance),
    }


def _accuracies(outputs: Outputs) -> dict[Split, list[float]]:
    """Accuracy of each exit on all images of each split, in the order of the exits."""
    return {split: outputs[split].right.mean(axis=1).tolist() for split in SPLITS}


def fit_document(surrogate: "FittedSurrogate") -> dict[str, Any]:
    """Cross-validation scores of each surrogate."""
    return {
        "used": surrogate.predictor.kind,
        "networks": len(surrogate.predictor.design),
        "surrogates": [_validation_document(v) for v in surrogate.validations],
        **({} if surrogate.promotion is None else {"going_on": _validation_document(surrogate.promotion)}),
    }


def _validation_document(validation: "Validation") -> dict[str, Any]:
    return {
        "surrogate": validation.kind,
        "tau_of_sorting_by_macs": validation.cost_tau,
        "targets": [{name: getattr(s, name) for name in s.__slots__} for s in validation.scores],
    }


def answers_document(answers: Sequence["Answer"]) -> list[dict[str, Any]]:
    """One object per answer of a query."""
    return [answer.fields for answer in answers]


def preview_document(preview: "Preview") -> dict[str, Any]:
    """Trainings that a command would do, in bytes and seconds; `None` for unknown amounts."""
    settings, plan = preview.problem.settings, preview.plan
    return {
        "study": str(preview.path),
        "new": preview.new,
        "data": preview.header.data,
        "space": preview.header.space.name,
        "seed": preview.header.seed,
        "stream": settings.stream,
        "limits": settings.limits.model_dump(),
        "budget": None if preview.by_time else settings.budget,
        "done": preview.done,
        "trainings": None if preview.by_time else plan.trainings,
        **({"epochs": preview.recipe.epochs} if preview.passes is None else {"passes": preview.passes}),
        "at_a_time": plan.workers,
        "device": plan.device,
        "seconds": preview.seconds,
        "disk": plan.disk,
        "memory": plan.memory if plan.memory else None,
        "gpu_memory": plan.gpu.memory if plan.gpu else None,
        "networks": [{"encoding": str(a), "trainings": trainings} for a, trainings in preview.networks],
    }
