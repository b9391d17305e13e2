"""The commands that do the work, in the order of the path."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import DEFAULT_SPACE, limits_given, limits_of, open_or_create, open_study, questions_of
from surrogate_nas.cli.options import (
    Asynchronous,
    Backbone,
    BackboneInput,
    Batch,
    Budget,
    ChargeHeads,
    Config,
    CostTable,
    Data,
    DataRoot,
    Device,
    Download,
    Encodings,
    Epochs,
    Executor,
    Exits,
    Flips,
    Freeze,
    FrontNetworks,
    GpusPerTrial,
    ImageSize,
    Initial,
    Json,
    Keep,
    Loss,
    MaxActivationBytes,
    MaxCost,
    MaxHours,
    MaxMacs,
    MaxMemory,
    MaxP95Cost,
    MaxP95Macs,
    MaxParams,
    MaxSeconds,
    MaxWeightBytes,
    MaxWorstCost,
    MaxWorstMacs,
    MinAccuracy,
    Network,
    Objective,
    Policy,
    RayAddress,
    Repeats,
    Sampling,
    Seed,
    Space,
    Strategy,
    Stream,
    StudyPath,
    Surrogate,
    Wait,
    Workers,
    changes_of,
)
from surrogate_nas.foundation.errors import InputError

app = typer.Typer()


@app.command()
def run(
    study: StudyPath,
    data: Data = None,
    space: Space = None,
    backbone: Backbone = None,
    exits: Exits = None,
    backbone_input: BackboneInput = None,
    freeze: Freeze = False,
    seed: Seed = None,
    budget: Budget = None,
    initial: Initial = None,
    batch: Batch = None,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    epochs: Epochs = None,
    surrogate: Surrogate = None,
    policy: Policy = None,
    workers: Workers = None,
    device: Device = None,
    data_root: DataRoot = None,
    download: Download = None,
    image_size: ImageSize = None,
    flips: Flips = None,
    max_hours: MaxHours = None,
    max_seconds: MaxSeconds = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    sampling: Sampling = None,
    loss: Loss = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    charge_heads: ChargeHeads = None,
    cost_table: CostTable = None,
    objective: Objective = None,
    strategy: Strategy = None,
    repeats: Repeats = None,
    asynchronous: Asynchronous = None,
    stream: Stream = None,
    config: Config = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Do the whole path: collect, search until the budget is spent, report. Continues an interrupted run."""
    whole = open_or_create(study, locals())
    from surrogate_nas.cli.print_solutions import print_front
    from surrogate_nas.documents import front_document
    from surrogate_nas.report.writing import write_report

    with whole.home.changing():
        whole.trainer.announce()
        whole.run()
        page = write_report(whole)
    answer(front_document(whole, page), as_json, lambda: print_front(whole, page))


@app.command()
def collect(
    study: StudyPath,
    n: Annotated[int | None, typer.Option(help="Networks to sample and train.")] = None,
    encoding: Encodings = None,
    data: Data = None,
    space: Space = None,
    backbone: Backbone = None,
    exits: Exits = None,
    backbone_input: BackboneInput = None,
    freeze: Freeze = False,
    seed: Seed = None,
    budget: Budget = None,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    epochs: Epochs = None,
    policy: Policy = None,
    workers: Workers = None,
    device: Device = None,
    data_root: DataRoot = None,
    download: Download = None,
    image_size: ImageSize = None,
    flips: Flips = None,
    max_hours: MaxHours = None,
    max_seconds: MaxSeconds = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    sampling: Sampling = None,
    loss: Loss = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    charge_heads: ChargeHeads = None,
    cost_table: CostTable = None,
    objective: Objective = None,
    stream: Stream = None,
    config: Config = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train sampled networks, or those of given encodings, into the archive."""
    if (n is None) == (encoding is None):
        raise InputError("collect needs either --n or --encoding")
    if n is not None and n < 1:
        raise InputError(f"--n {n} is not a positive number")
    options = locals()
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.space.space import SearchSpace
    from surrogate_nas.space.yaml_files import load_space
    from surrogate_nas.study.paths import ARCHIVE

    if not (study / ARCHIVE).is_file() and backbone is None:  # a wrong encoding must not leave an empty study behind
        _ = [SearchSpace(load_space(space or DEFAULT_SPACE)).parse(text) for text in encoding or []]
    whole = open_or_create(study, options)
    architectures, trainer = [whole.space.parse(text) for text in encoding or []], whole.trainer
    with whole.home.changing():
        trainer.set_deadline()
        trainer.finish_pending()
        records = trainer.collect_architectures(architectures) if architectures else trainer.collect(n or 0)
    rows = record_rows(whole.home.costing, records)
    answer(rows, as_json, lambda: print_records(rows))


@app.command()
def fit(
    study: StudyPath,
    surrogate: Surrogate = None,
    again: Annotated[bool, typer.Option("--again", help="Fit anew even if the stored surrogate is current.")] = False,
    as_json: Json = False,
) -> None:
    """Fit surrogates to the archive and judge them on networks they never saw."""
    folder = open_study(study, changes_of(locals()))
    from surrogate_nas.cli.print_predictions import print_fit
    from surrogate_nas.documents import fit_document
    from surrogate_nas.study.study import Study

    fitted = Study(folder).fit(again=again)
    answer(fit_document(fitted), as_json, lambda: print_fit(fitted))


@app.command()
def search(
    study: StudyPath,
    rounds: Annotated[int | None, typer.Option(help="Rounds; until the budget is spent by default.")] = None,
    budget: Budget = None,
    batch: Batch = None,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    surrogate: Surrogate = None,
    workers: Workers = None,
    device: Device = None,
    data_root: DataRoot = None,
    max_hours: MaxHours = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    strategy: Strategy = None,
    repeats: Repeats = None,
    asynchronous: Asynchronous = None,
    stream: Stream = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Propose, train and refit: for some rounds, or until the budget is spent."""
    if rounds is not None and rounds < 1:
        raise InputError(f"--rounds {rounds} is not a positive number")
    changes = changes_of(locals())
    folder = open_study(study, {}, wait)
    if budget is not None and 0 < budget < folder.settings.initial:
        changes["initial"] = budget  # a setting of `run`; here what has been collected is the initial sample
    folder.update(changes)
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.study.study import Study

    whole = Study(folder)
    whole.trainer.set_deadline()
    before = {r.id for r in folder.archive.records()}
    if len(before) >= folder.settings.budget:
        raise InputError(f"the budget of {folder.settings.budget} trainings is spent; give a larger --budget")
    new = [r for r in whole.search(rounds) if r.id not in before]
    rows = record_rows(folder.costing, new)
    answer(rows, as_json, lambda: print_records(rows))


@app.command()
def query(
    study: StudyPath,
    encoding: Encodings = None,
    file: Annotated[Path | None, typer.Option(help="One encoding a line; .jsonl, .csv; - is standard input.")] = None,
    sample: Annotated[int | None, typer.Option(help="So many random architectures of the space.")] = None,
    best: Annotated[int | None, typer.Option(help="So many architectures that are predicted best in limits.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Such as 0.8,off; the best for the limits by default.")] = None,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write .jsonl or .csv, however many rows, in little memory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict accuracy, exit probabilities and MACs of any encodings, with 90 % intervals, or find the best ones.

    Limits replace the study's for this query.
    """
    options = locals()
    if sum(given is not None for given in (encoding, file, sample, best)) != 1:
        raise InputError("query needs one of --encoding, --file, --sample and --best")
    folder = open_study(study, {})
    from surrogate_nas.cli.print_predictions import print_answers
    from surrogate_nas.documents import answers_document
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.foundation.progress import Pace
    from surrogate_nas.study.query_files import AnswerFile
    from surrogate_nas.study.study import Study

    problem, whole = folder.problem, Study(folder)
    point = None if thresholds is None else OperatingPoint.parse(thresholds, problem.space.positions, problem.policy)
    limits = limits_given(options)
    target = None if output is None else AnswerFile(output, problem.space.positions, cost=problem.model is not None)
    pace, on_rows = Pace("architectures"), None
    if best is not None:
        blocks = iter([whole.best(best, limits, point)])
    else:
        questions, share = questions_of(folder, encoding, file, sample, point, streamed=target is not None)
        blocks, on_rows = whole.stream(questions, limits), lambda done: pace.at(done, share(done))
    if target is not None:
        rows = target.write(blocks, on_rows)
        if on_rows is not None:
            pace.end(rows)
        answer({"output": str(output), "rows": rows}, as_json, lambda: typer.echo(output))
        return
    answers = [row for block in blocks for row in block]
    answer(answers_document(answers), as_json, lambda: print_answers(answers))


@app.command()
def tune(
    study: StudyPath,
    network: Network,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    method: Annotated[
        str, typer.Option(help="curve (the best there are), or as in the papers: nachos, aebnas.")
    ] = "curve",
    as_json: Json = False,
) -> None:
    """Choose thresholds of a trained network for given limits, without training."""
    options, folder = locals(), open_study(study, {})
    from surrogate_nas.cli.print_solutions import print_solutions
    from surrogate_nas.documents import curve_document, solution_document
    from surrogate_nas.study.study import Study

    limits = limits_of(options)
    whole = Study(folder)
    solution = whole.tune(network, limits, method)  # type: ignore[arg-type]  # which it checks
    curve = curve_document(whole, network)
    document = {"limits": limits.model_dump(), "method": method, **solution_document(solution), "curve": curve}
    answer(document, as_json, lambda: print_solutions([solution], f"{network} within {limits}"))


@app.command()
def ladder(
    study: StudyPath,
    network: Network,
    rungs: Annotated[int, typer.Option(help="Settings at most.")] = 8,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    as_json: Json = False,
) -> None:
    """Thresholds of a trained network for several budgets, for a device that changes them with its load."""
    options, folder = locals(), open_study(study, {})
    from surrogate_nas.cli.print_solutions import print_ladder
    from surrogate_nas.documents import ladder_document
    from surrogate_nas.study.study import Study

    limits = limits_of(options)
    found = Study(folder).ladder(network, limits, rungs)
    answer(ladder_document(found), as_json, lambda: print_ladder(found, f"{network} within {limits}"))


@app.command()
def policies(
    study: StudyPath,
    network: Network,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
    as_json: Json = False,
) -> None:
    """Compare exit policies on a trained network, each at its own best thresholds, without training."""
    options, folder = locals(), open_study(study, {})
    from surrogate_nas.cli.print_solutions import print_policies
    from surrogate_nas.documents import solution_document
    from surrogate_nas.study.study import Study

    limits = limits_of(options)
    found = Study(folder).compare_policies(network, limits)
    document = [solution_document(s) for s in found]
    answer(document, as_json, lambda: print_policies(found, f"{network} within {limits}"))


@app.command()
def finalize(
    study: StudyPath,
    networks: FrontNetworks = None,
    at: Annotated[
        list[float] | None, typer.Option(help="Budget of expected MACs whose best network is meant; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Epochs at full fidelity; five times the search's.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file with what differs from the search's recipe.")] = None,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    device: Device = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, at full fidelity with several seeds."""
    folder = open_study(study, changes_of({**locals(), "epochs": None}), wait)
    from surrogate_nas.cli.print_solutions import print_finals
    from surrogate_nas.documents import finals_document
    from surrogate_nas.report.writing import write_report
    from surrogate_nas.study.finals import Held
    from surrogate_nas.study.study import Study
    from surrogate_nas.training.recipe import changed

    settings, whole = folder.settings, Study(folder)
    full = changed(settings.full_recipe, recipe, epochs) if recipe is not None or epochs is not None else None
    finals = whole.finalize(networks or [], at=at or [], seeds=seeds, recipe=full)
    page = write_report(whole)
    document = finals_document(whole, finals, Held.of(finals), at or [], page)
    answer(document, as_json, lambda: print_finals(document))


@app.command()
def verify(
    study: StudyPath,
    networks: FrontNetworks = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network, the search's own among them.")] = 3,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    device: Device = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, again with other seeds: how much of the front was luck."""
    folder = open_study(study, changes_of(locals()), wait)
    from surrogate_nas.cli.print_solutions import print_verification
    from surrogate_nas.documents import verification_document
    from surrogate_nas.study.study import Study

    document = verification_document(Study(folder).verify(networks or [], seeds=seeds))
    answer(document, as_json, lambda: print_verification(document))


@app.command()
def baselines(study: StudyPath, workers: Workers = None, wait: Wait = False, as_json: Json = False) -> None:
    """Train hand-made networks to compare the front with: ResNet-8, its BranchyNet, a static network of the space."""
    folder = open_study(study, changes_of(locals()), wait)
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import baseline_rows
    from surrogate_nas.study.study import Study

    rows = baseline_rows(folder.costing, Study(folder).train_baselines())
    answer(rows, as_json, lambda: print_records(rows))


@app.command()
def report(
    study: StudyPath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write to; the study's own.")] = None,
    as_json: Json = False,
) -> None:
    """Write report.html, front.csv, and the figures as SVG and PNG."""
    folder = open_study(study, {})
    from surrogate_nas.report.writing import write_report
    from surrogate_nas.study.study import Study

    page = write_report(Study(folder), output)
    answer({"report": str(page), "front": str(page.parent / "front.csv")}, as_json, lambda: typer.echo(page))
