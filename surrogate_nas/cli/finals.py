"""Commands that train again at full fidelity or with other seeds, and that train baselines."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import (
    Device,
    Executor,
    FrontNetworks,
    GpusPerTrial,
    Json,
    MaxHours,
    RayAddress,
    StudyPath,
    Wait,
    Wide,
    Workers,
    changes_of,
)


def finalize(
    study: StudyPath,
    networks: FrontNetworks = None,
    at: Annotated[
        list[float] | None,
        typer.Option(
            help="Budget of expected MACs, or cost if that is the objective, for one network; may be repeated."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Epochs at full fidelity; five times the search's.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file with what differs from the search's recipe.")] = None,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    device: Device = None,
    max_hours: MaxHours = None,
    wait: Wait = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, at full fidelity with several seeds."""
    home = open_study(study, changes_of({**locals(), "epochs": None}), wait)
    from surrogate_nas.cli.print_solutions import print_finals
    from surrogate_nas.documents import finals_document
    from surrogate_nas.report.writing import write_report
    from surrogate_nas.study.finals import RankAgreement
    from surrogate_nas.study.study import Study
    from surrogate_nas.training.recipe import changed

    settings, whole = home.settings, Study(home)
    full = changed(settings.full_recipe, recipe, epochs) if recipe is not None or epochs is not None else None
    finals = whole.finalize(networks or [], at=at or [], seeds=seeds, recipe=full)
    page = write_report(whole)
    document = finals_document(whole, finals, RankAgreement.of(finals), at or [], page)
    answer(document, as_json, lambda: print_finals(document, wide=wide))


def verify(
    study: StudyPath,
    networks: FrontNetworks = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network, the search's own among them.")] = 3,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    device: Device = None,
    max_hours: MaxHours = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, again with other seeds: how much of the front was luck."""
    home = open_study(study, changes_of(locals()), wait)
    from surrogate_nas.cli.print_solutions import print_verification
    from surrogate_nas.documents import verification_document
    from surrogate_nas.study.study import Study

    document = verification_document(Study(home).verify(networks or [], seeds=seeds), home.settings.limits)
    answer(document, as_json, lambda: print_verification(document))


def baselines(
    study: StudyPath,
    everything: Annotated[
        bool, typer.Option("--all", help="Train hand-made networks that cannot keep the study's limits, too.")
    ] = False,
    workers: Workers = None,
    max_hours: MaxHours = None,
    wait: Wait = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train networks to compare the front with: its best network without exits, ResNet-8 and ResNet-8 with exits.

    The last two are trained only if they can keep the study's limits, or with --all.
    """
    home = open_study(study, changes_of(locals()), wait)
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.cli.print_solutions import print_payoff
    from surrogate_nas.documents import baseline_rows
    from surrogate_nas.study.payoff import payoff
    from surrogate_nas.study.study import Study

    whole = Study(home)
    rows = baseline_rows(home.costing, whole.train_baselines(everything=everything))

    def show() -> None:
        print_payoff(payoff(whole.solutions, whole.front()))
        print_records(rows, wide=wide)

    answer(rows, as_json, show)
