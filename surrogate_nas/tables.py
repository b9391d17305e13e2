"""What commands print: JSON documents, and the same as tables for people."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from surrogate_nas.baselines import name_of
from surrogate_nas.config import Limits
from surrogate_nas.cost import cost_of_indices, costing_for
from surrogate_nas.exits import OperatingPoint
from surrogate_nas.machine import amount
from surrogate_nas.record import Record
from surrogate_nas.space import SearchSpace, SpaceSpec, preset, preset_names
from surrogate_nas.units import ImageShape

if TYPE_CHECKING:
    from surrogate_nas.answers import Answer, Calibration, Measured, Rung, Solution
    from surrogate_nas.datasets import DataCard
    from surrogate_nas.finals import Final, Held
    from surrogate_nas.folder import StudyFolder
    from surrogate_nas.study import Study
    from surrogate_nas.surrogates.validation import Fitted
    from surrogate_nas.verification import Verification

MOST_ROWS = 12
SPACE_SAMPLE = 20_000
CHECK_SAMPLE = 2000
WIDTH_OF_FILES = 180
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """Numbers are aligned to the right; all columns but the first may wrap."""
    table = Table(
        title=title, title_justify="left", caption=note or None, caption_justify="left", box=None, pad_edge=False
    )
    for i, column in enumerate(columns):
        numeric = all(str(row[i])[:1].isdigit() or str(row[i]) in ("", "–") for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


def spread(n: int, most: int = MOST_ROWS) -> list[int]:
    """At most so many of n indices, evenly, the first and the last among them.

    >>> spread(3), spread(100, 4)
    ([0, 1, 2], [0, 33, 66, 99])
    """
    return list(range(n)) if n <= most else sorted({round(i) for i in np.linspace(0, n - 1, most)})


# ---------------------------------------------------------------------- solutions


def measured_document(measured: "Measured") -> dict[str, Any]:
    """One split's figures."""
    return {name: getattr(measured, name) for name in measured.__slots__}


def solution_document(solution: "Solution") -> dict[str, Any]:
    """A network with thresholds."""
    return {
        "id": solution.record.id, "encoding": str(solution.record.architecture), "seed": solution.record.proposal.seed,
        "origin": solution.record.proposal.origin, "thresholds": str(solution.operating_point),
        "policy": solution.operating_point.policy, "temperatures": list(solution.operating_point.temperatures),
        "parameters": solution.parameters,
        "tune": measured_document(solution.tune), "test": measured_document(solution.test),
    }  # fmt: skip


def front_document(study: "Study", page: Path) -> dict[str, Any]:
    """The end of a run."""
    records, front = study.folder.archive.records(), study.front()
    return {
        "study": str(study.path), "report": str(page), "limits": study.settings.limits.model_dump(),
        "trainings": len(records), "searched": sum(r.proposal.origin == "search" for r in records),
        "failed": sum(r.failure is not None for r in records),
        "hypervolume": study.hypervolume()[-1], "front": [solution_document(s) for s in front],
        "nearest": None if front else solution_document(study.nearest()),
    }  # fmt: skip


def print_front(study: "Study", page: Path) -> None:
    """The verified front on the test split."""
    records, front = study.folder.archive.records(), study.front()
    searched = sum(r.proposal.origin == "search" for r in records)
    failed = sum(r.failure is not None for r in records)
    why = f" (surrogate-nas archive list {study.path} --failed says why)" if failed else ""
    console.print(f"{len(records)} networks trained, {searched} of them proposed by the search, {failed} failed{why}")
    if front:
        shown = [front[i] for i in spread(len(front))]
        print_solutions(shown, f"Front within {study.settings.limits}: {len(shown)} of {len(front)} solutions")
    else:
        console.print(f"No trained network keeps {study.settings.limits}.")
        print_solutions([study.nearest()], "The nearest")
    console.print(f"report: {page}", soft_wrap=True)


def print_solutions(solutions: Sequence["Solution"], title: str) -> None:
    """Test figures of networks with thresholds."""
    rows: list[tuple[object, ...]] = []
    for s in solutions:
        low, high = s.test.accuracy_interval
        rows.append((
            s.record.id, s.record.proposal.origin, f"{s.test.accuracy:.3f} [{low:.3f}, {high:.3f}]",
            f"{s.test.expected_macs:,.0f}", f"{s.test.worst_macs:,}", f"{s.parameters:,}", percentages(s.test.rates),
            s.operating_point,
        ))  # fmt: skip
    columns = ["network", "origin", "test accuracy [95 %]", "expected MACs", "worst MACs", "parameters",
               "exit rates %", "thresholds"]  # fmt: skip
    if costs := [s.test.cost for s in solutions if s.test.cost]:
        columns.insert(4, "expected cost")
        rows = [(*row[:4], f"{cost[0]:,.1f}", *row[4:]) for row, cost in zip(rows, costs, strict=True)]
    note = f"thresholds were chosen on the tune split; all figures are of the {solutions[0].test.n} test images"
    print_table(title, columns, rows, note)


def finals_document(
    study: "Study", finals: Sequence["Final"], held: "Held | None", at: Sequence[float], page: Path | None
) -> dict[str, Any]:
    """Networks at full fidelity within the study's limits, and the most accurate on tune within each further budget."""
    limits = study.settings.limits
    budgets = {}
    for budget in at:
        within = study.finals(limits.model_copy(update={"max_macs": budget}))
        budgets[f"{budget:g}"] = final_document(within[0]) if within else None
    return {
        "study": str(study.path), "report": None if page is None else str(page), "limits": limits.model_dump(),
        "recipe": study.settings.full_recipe.model_dump(), "search_recipe": study.settings.recipe.model_dump(),
        "finals": [final_document(f) for f in finals], "within_max_macs": budgets,
        "ranking": None if held is None else {"tau": held.tau, "networks": held.n},
    }  # fmt: skip


def final_document(final: "Final") -> dict[str, Any]:
    """One architecture at full fidelity."""
    return {
        "encoding": str(final.architecture), "seeds": len(final.solutions), "seeds_beyond_limits": final.beyond,
        "test_accuracy": final.test_accuracy, "test_interval": list(final.test_interval),
        "test_deviation": None if math.isnan(final.test_deviation) else final.test_deviation,
        "test_expected_macs": final.test_macs, "tune_accuracy": final.tune_accuracy,
        "low_fidelity": None if final.low is None else solution_document(final.low), "best": final.best.record.id,
        "trainings": [solution_document(s) for s in final.solutions],
    }  # fmt: skip


def print_finals(document: dict[str, Any]) -> None:
    """The same as a table."""
    shown = [(f"{float(b):,.0f}", f) for b, f in document["within_max_macs"].items()]
    shown = shown or [("of the study", f) for f in document["finals"]]
    rows = [(budget, f["best"], f["seeds"], f"{f['test_accuracy']:.4f}",
             f"[{f['test_interval'][0]:.4f}, {f['test_interval'][1]:.4f}]", f"{f['test_expected_macs']:,.0f}",
             "–" if f["low_fidelity"] is None else f"{f['low_fidelity']['test']['accuracy']:.4f}", f["encoding"])
            for budget, f in shown if f is not None]  # fmt: skip
    columns = ("max MACs", "best seed", "seeds", "test accuracy", "95 % interval", "expected MACs", "in the search",
               "encoding")  # fmt: skip
    note = "means over seeds; thresholds and the choice of networks are of the tune split, figures of the test split"
    print_table("At full fidelity", columns, rows, note)
    missing = [budget for budget, f in shown if f is None]
    if missing:
        console.print(f"No network keeps {' or '.join(missing)} expected MACs.")
    if document["ranking"] is not None:
        console.print(f"ranking of {document['ranking']['networks']} networks, search against full fidelity: "
                      f"τ {document['ranking']['tau']:.2f}")  # fmt: skip
    if document["report"] is not None:
        console.print(f"report: {document['report']}", soft_wrap=True)


def verification_document(found: Sequence["Verification"]) -> list[dict[str, Any]]:
    """One object per architecture of the front."""
    return [
        {"encoding": str(v.architecture), "trainings": v.trainings,
         "tune_accuracy_claimed": v.claimed("tune"), "tune_accuracy_again": v.again("tune"),
         "test_accuracy_claimed": v.claimed("test"), "test_accuracy_again": v.again("test"),
         "claims": [{"claimed": solution_document(c.solution), "again": [solution_document(s) for s in c.again]}
                    for c in v.claims]}
        for v in found
    ]  # fmt: skip


def print_verification(document: Sequence[dict[str, Any]]) -> None:
    """The same as a table."""
    rows = []
    for v in document:
        macs = [c["claimed"]["tune"]["expected_macs"] for c in v["claims"]]
        claimed, again = v["tune_accuracy_claimed"], v["tune_accuracy_again"]
        rows.append((v["claims"][0]["claimed"]["id"], v["trainings"], f"{min(macs):,.0f} – {max(macs):,.0f}",
                     f"{claimed:.4f}", f"{again:.4f}", f"{100 * (again - claimed):+.2f}",
                     f"{v['test_accuracy_claimed']:.4f}", f"{v['test_accuracy_again']:.4f}"))  # fmt: skip
    columns = ("network", "trainings", "expected MACs", "tune, claimed", "tune, again", "points", "test, claimed",
               "test, again")  # fmt: skip
    note = "means over the network's solutions on the front, within the same expected cost; again: with other seeds"
    print_table("The front trained again", columns, rows, note)
    if document:
        points = [100 * (v["tune_accuracy_again"] - v["tune_accuracy_claimed"]) for v in document]
        console.print(f"on average {sum(points) / len(points):+.2f} points on tune")
    else:
        console.print("Nothing that is on the front keeps its cost with another seed.")


def ladder_document(rungs: Sequence["Rung"]) -> list[dict[str, Any]]:
    """One object per setting, cheapest first."""
    return [
        {"budget": r.budget, "test_accuracy_interval": list(r.test_accuracy_interval), **solution_document(r.solution)}
        for r in rungs
    ]


def print_ladder(rungs: Sequence["Rung"], title: str) -> None:
    """Test figures of a ladder."""
    rows = []
    for r in rungs:
        test = r.solution.test
        rows.append((
            f"{r.budget:,.0f}", r.solution.operating_point, f"{r.solution.tune.accuracy:.4f}",
            f"{test.accuracy:.4f} [{r.test_accuracy_interval[0]:.4f}, {r.test_accuracy_interval[1]:.4f}]",
            f"{test.expected_macs:,.0f} [{test.expected_macs_interval[0]:,.0f}, {test.expected_macs_interval[1]:,.0f}]",
            percentages(test.rates),
        ))  # fmt: skip
    columns = ("budget", "thresholds", "tune accuracy", "test accuracy [95 %]", "expected MACs [95 %]", "exit rates %")
    print_table(title, columns, rows, "thresholds were chosen on tune; intervals are over test images drawn anew")


def print_policies(solutions: Sequence["Solution"], title: str) -> None:
    """Test figures of one network under several policies."""
    rows = []
    for s in solutions:
        point, test = s.operating_point, s.test
        rows.append((
            point.policy, " ".join(f"{T:.2f}" for T in point.temperatures) or "–", f"{s.tune.accuracy:.4f}",
            f"{test.accuracy:.4f} [{test.accuracy_interval[0]:.4f}, {test.accuracy_interval[1]:.4f}]",
            f"{test.expected_macs:,.0f}", percentages(test.rates), point,
        ))  # fmt: skip
    columns = ("policy", "temperatures", "tune accuracy", "test accuracy [95 %]", "expected MACs", "exit rates %",
               "thresholds")  # fmt: skip
    print_table(title, columns, rows, "each at the thresholds that are best on tune; all other figures are of test")


def calibration_document(exits: Sequence["Calibration"]) -> list[dict[str, Any]]:
    """One object per exit."""
    return [
        {"exit": c.position + 1, "temperature": c.temperature, "expected_calibration_error": c.error,
         "expected_calibration_error_with_temperature": c.error_with_temperature}
        for c in exits
    ]  # fmt: skip


def percentages(rates: Sequence[float]) -> str:
    """Whole numbers, in a row."""
    return " ".join(f"{100 * rate:.0f}" for rate in rates)


def curve_document(study: "Study", id: str) -> list[dict[str, Any]]:
    """A network's accuracy–MACs curve on tune, cheapest first."""
    curve = study.exits(study.folder.archive.find(id), "tune").curve
    return [
        {
            "thresholds": str(OperatingPoint.from_array(t)),
            "accuracy": float(a),
            "expected_macs": float(m),
            "worst_macs": int(w),
        }
        for t, a, m, w in zip(curve.thresholds, curve.accuracy, curve.expected_macs, curve.worst_macs, strict=True)
    ]


# ---------------------------------------------------------------------- records


def record_rows(folder: "StudyFolder", records: Sequence[Record], *, why: bool = False) -> list[dict[str, Any]]:
    """A line per record, with why it failed if that is asked for."""
    return [
        {
            "id": r.id, "round": r.proposal.round, "origin": r.proposal.origin,
            "status": "trained" if r.failure is None else r.failure.kind, "seconds": round(r.seconds, 1),
            "last_exit_macs": int(folder.costing.of(r.architecture).macs()[0, -1]),
            "parameters": int(folder.costing.of(r.architecture).parameters[0]),
            **({"message": r.failure.message} if why and r.failure else {}), "encoding": str(r.architecture),
        }
        for r in records
    ]  # fmt: skip


def baseline_rows(folder: "StudyFolder", records: Sequence[Record]) -> list[dict[str, Any]]:
    """The same for baselines, with their names."""
    rows = record_rows(folder, records)
    return [
        {"name": name_of(r.architecture), **{n: v for n, v in row.items() if n != "round"}}
        for r, row in zip(records, rows, strict=True)
    ]


RECORD_COLUMNS = {
    "name": "baseline", "id": "network", "round": "round", "origin": "origin", "status": "status",
    "seconds": "seconds", "last_exit_macs": "MACs to the end", "parameters": "parameters", "message": "why",
    "encoding": "encoding",
}  # fmt: skip


def print_records(rows: Sequence[dict[str, Any]]) -> None:
    """A table of records, with the columns that its rows have."""
    title = f"{len(rows)} record{'' if len(rows) == 1 else 's'}"
    names = [name for name in RECORD_COLUMNS if rows and name in rows[0]]
    cells = [[f"{r[n]:,}" if n in ("last_exit_macs", "parameters") else r[n] for n in names] for r in rows]
    print_table(title, [RECORD_COLUMNS[name] for name in names], cells)


def record_document(folder: "StudyFolder", record: Record) -> dict[str, Any]:
    """All that is known of a record but its outputs."""
    cost, proposal = folder.costing.of(record.architecture), record.proposal
    return {
        "id": record.id, "round": proposal.round, "rank": proposal.rank, "origin": proposal.origin,
        "encoding": str(record.architecture), "seed": proposal.seed, "fidelity": proposal.fidelity,
        "macs": cost.macs()[0].tolist(), "parameters": int(cost.parameters[0]),
        "exits": [e + 1 for e in record.architecture.exit_positions], "prediction": proposal.prediction,
        "failure": None if record.failure is None else {"kind": record.failure.kind, "message": record.failure.message},
        "seconds": record.seconds, "provenance": dict(record.provenance),
    }  # fmt: skip


# ---------------------------------------------------------------------- surrogates


def fit_document(fitted: "Fitted") -> dict[str, Any]:
    """How each surrogate did on networks that it never saw."""
    return {
        "used": fitted.predictor.kind, "networks": len(fitted.predictor.design),
        "surrogates": [
            {"surrogate": v.kind, "tau_of_sorting_by_macs": v.cost_tau,
             "targets": [{name: getattr(s, name) for name in s.__slots__} for s in v.scores]}
            for v in fitted.validations
        ],
    }  # fmt: skip


def print_fit(fitted: "Fitted") -> None:
    """The same as a table."""
    rows = [(v.kind + (" (used)" if v.kind == fitted.predictor.kind else ""), s.target, s.n,
             f"{s.tau:.2f} [{s.tau_low:.2f}, {s.tau_high:.2f}]", f"{s.rmse:.4f}", f"{s.coverage:.0%}", f"{s.nll:.2f}",
             f"{s.regret:.4f}") for v in fitted.validations for s in v.scores]  # fmt: skip
    *most, last = [f"{t:g}" for t in fitted.judged_at]
    note = (
        f"5-fold cross-validation over architectures, at thresholds {', '.join(most)} and {last}. NLL in nats; regret: "
        "what the best of the predicted top 5 lacks to the best. Errors of MACs are relative. size: a linear trend on "
        f"MACs and parameters; sorting by MACs ranks accuracy with τ {fitted.used.cost_tau:.2f}"
    )
    columns = ("surrogate", "target", "n", "τ [90 %]", "RMSE", "90 % covers", "NLL", "regret")
    print_table("Surrogates on networks they never saw", columns, rows, note)
    for caution in fitted.used.cautions:
        console.print(f"warning: {caution}", soft_wrap=True)


def answers_document(answers: Sequence["Answer"]) -> list[dict[str, Any]]:
    """One object per architecture."""
    return [{name: getattr(a, name) for name in a.__slots__} for a in answers]


def print_answers(answers: Sequence["Answer"]) -> None:
    """One architecture in full, or a table of the first ones."""
    if len(answers) == 1:
        _print_answer(answers[0])
        return
    rows = [(_interval(a.accuracy, ".3f"), _interval(a.expected_macs, ",.0f"), f"{a.worst_macs:,}", f"{a.parameters:,}",
             f"{a.feasible_probability:.2f}", a.thresholds, "yes" if a.trained else "", a.encoding)
            for a in answers[:MOST_ROWS]]  # fmt: skip
    columns = ("accuracy [90 %]", "expected MACs [90 %]", "worst MACs", "parameters", "P(feasible)", "thresholds",
               "trained", "encoding")  # fmt: skip
    print_table(f"{len(rows)} of {len(answers)} architectures; --json gives all", columns, rows)


def _print_answer(answer: "Answer") -> None:
    console.print(f"{answer.encoding}\nthresholds {answer.thresholds}", soft_wrap=True)
    console.print(
        f"predicted: accuracy {_interval(answer.accuracy, '.3f')}, "
        f"expected MACs {_interval(answer.expected_macs, ',.0f')}, P(feasible) {answer.feasible_probability:.2f}; "
        f"exact: worst-case MACs {answer.worst_macs:,}, parameters {answer.parameters:,}, "
        f"bytes of weights {answer.weight_bytes:,} and of activations {answer.activation_bytes:,}",
        soft_wrap=True,
    )
    if answer.cost is not None:
        console.print(f"expected cost by the table {_interval(answer.cost, ',.1f')}")
    exits = zip(answer.macs, answer.exit_probabilities, answer.exit_accuracies, strict=True)
    rows = [
        (e, f"{macs:,}", _interval(p, ".3f"), "–" if a is None else _interval(a, ".3f"))
        for e, (macs, p, a) in enumerate(exits, 1)
    ]
    print_table("", ("exit", "MACs", "probability [90 %]", "accuracy of those who leave [90 %]"), rows)
    for known in answer.trained:
        rates = " ".join(f"{rate:.3f}" for rate in known["rates"])
        console.print(
            f"trained as {known['id']} with seed {known['seed']}: accuracy {known['accuracy']:.4f}, expected MACs "
            f"{known['expected_macs']:,.0f}, exit rates {rates} on {known['n']} tune images", soft_wrap=True,
        )  # fmt: skip


def _interval(values: tuple[float, float, float], form: str) -> str:
    mean, low, high = values
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


# ---------------------------------------------------------------------- what there is


def space_rows() -> list[dict[str, Any]]:
    """The presets, with ranges of MACs over 20,000 random architectures at the smallest and largest images."""
    rows = []
    for name in preset_names():
        spec = preset(name)
        space = SearchSpace(spec)
        indices = space.sample_indices(SPACE_SAMPLE, np.random.default_rng(0))
        low, high = (cost_of_indices(space, indices, costing_for(space, ImageShape(3, size, 10))).macs()[:, -1]
                     for size in spec.image_sizes)  # fmt: skip
        rows.append({
            "space": name, "about": spec.about, "networks": space.size, "genes": space.dimension,
            "exits": space.positions, "image_sizes": list(spec.image_sizes),
            "macs": [int(low.min()), int(high.max())], "sample": str(space.sample(1, np.random.default_rng(0))[0]),
        })  # fmt: skip
    return rows


def gene_rows(space: SearchSpace) -> list[dict[str, Any]]:
    """What can be chosen, and what each choice hangs on."""
    rows = []
    for g in space.encoded_genes:
        gene = space.genes[g]
        needs = [
            f"{space.genes[parent].name} {' or '.join(str(space.genes[parent].values[i]) for i in allowed)}"
            for parent, allowed in gene.needs if len(allowed) < len(space.genes[parent].values)
        ]  # fmt: skip
        rows.append({"gene": gene.name, "choices": ", ".join(map(str, gene.values)), "only_with": "; ".join(needs)})
    return rows


def checked_space(spec: SpaceSpec, samples: int, channels: int, classes: int) -> dict[str, Any]:
    """The laws tried, and what networks cost at the smallest and the largest images."""
    from surrogate_nas.laws import check_laws
    from surrogate_nas.sampling import sample_within

    space, rng = SearchSpace(spec), np.random.default_rng(0)
    sizes = {}
    for size in sorted({*spec.image_sizes}):
        costing = costing_for(space, ImageShape(channels, size, classes))
        n = min(space.size, CHECK_SAMPLE)
        drawn = sample_within(space, n, costing, Limits(), rng, set(), "uniform" if n < CHECK_SAMPLE else "stratified")
        cost = cost_of_indices(space, space.indices(drawn), costing)
        amounts = {"macs": cost.macs()[:, -1], "parameters": cost.parameters, "weight_bytes": cost.weight_bytes,
                   "activation_bytes": cost.memory()}  # fmt: skip
        sizes[str(size)] = {name: [int(values.min()), int(values.max())] for name, values in amounts.items()}
    smallest = costing_for(space, ImageShape(channels, spec.image_sizes[0], classes))
    return {
        "space": spec.name, "about": spec.about, "networks": space.size, "genes": space.dimension,
        "exits": space.positions, "costs": sizes,
        "laws": [{"law": r.law, "holds": r.holds, "tried": r.tried, "counterexample": r.counterexample}
                 for r in check_laws(space, smallest, rng, samples)],
        "sample": [str(a) for a in space.sample(min(3, space.size), rng)],
    }  # fmt: skip


def print_checked(document: dict[str, Any]) -> None:
    """The same for people."""
    console.print(f"{document['space']}: {document['networks']:,} networks, {document['genes']} genes, "
                  f"{document['exits']} exit positions", soft_wrap=True)  # fmt: skip
    rows = [(size, *(f"{low:,} to {high:,}" for low, high in amounts.values()))
            for size, amounts in document["costs"].items()]  # fmt: skip
    columns = ("images", "MACs to the end", "parameters", "bytes of weights", "bytes of activations")
    print_table("", columns, rows, f"of {CHECK_SAMPLE:,} networks spread over the costs, or of all")
    for law in document["laws"]:
        verdict = "ok  " if law["holds"] else "FAIL"
        against = "" if law["holds"] else f"; not for {law['counterexample']}"
        console.print(f"{verdict}  {law['law']} ({law['tried']} tried){against}", soft_wrap=True, markup=False)
    for encoding in document["sample"]:
        console.print(encoding, soft_wrap=True, markup=False)


def dataset_rows() -> list[dict[str, Any]]:
    """The data sets that can be named."""
    return [
        {"data": "digits", "images": "1,797 grey 8×8", "classes": 10, "needs": "nothing: embedded"},
        {"data": "fashion-mnist", "images": "70,000 grey 28×28", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "cifar10", "images": "60,000 colour 32×32", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "cifar100", "images": "60,000 colour 32×32", "classes": 100, "needs": "--data-root, torchvision"},
        {"data": "svhn", "images": "99,289 colour 32×32", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "DIR", "images": "a folder of images by class", "classes": "its folders", "needs": "--image-size"},
        {"data": "FILE.npz", "images": "arrays images, labels", "classes": "the labels", "needs": "nothing"},
    ]


def print_card(card: "DataCard") -> None:
    """A data set on one screen."""
    channels = " and ".join(f"{m:.0f} ± {d:.0f}" for m, d in zip(card.mean, card.deviation, strict=True))
    even = "the same for every class" if card.balance == 1 else f"smallest class / largest: {card.balance:.2f}"
    lines = {
        "images": f"train {card.train:,}, tune {card.tune:,}, test {card.test:,}",
        "pixels": f"{card.size} × {card.size}, {'grey' if card.channels == 1 else 'colour'}; mean ± sd {channels}",
        "classes": f"{len(card.classes)}; {even}", "memory": amount(card.bytes),
        "mirrored": "in training, half of them" if card.flips else "never (--no-flips)",
        "fingerprint": card.fingerprint, **{f"note {i}": note for i, note in enumerate(card.notes, 1)},
    }  # fmt: skip
    for name, value in lines.items():
        console.print(f"{name:<12} {value}", markup=False, soft_wrap=True)
    rows = [(c.name, f"{c.images:,}", f"{c.test:,}") for c in card.classes]
    print_table(card.name, ("class", "train and tune", "test"), rows)


def print_rows(rows: Sequence[dict[str, Any]], title: str) -> None:
    """Any rows as a table."""
    cells = [[f"{v:,}" if isinstance(v, int) else "–".join(f"{x:,}" for x in v) if isinstance(v, list) else v
              for v in row.values()] for row in rows]  # fmt: skip
    print_table(title, [name.replace("_", " ") for name in rows[0]], cells)
