"""Commands that train again at full fidelity or with other seeds, and that train baselines."""

from pathlib import Path
from typing import Annotated

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import (
    Device,
    DryRun,
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
    option,
    record_ids,
)
from surrogate_nas.cli.print_preview import answer_preview
from surrogate_nas.cli.values import COUNT, FILE, NUMBER


def finalize(
    study: StudyPath,
    networks: FrontNetworks = None,
    at: Annotated[
        list[float] | None,
        option(
            "Budget of expected MACs (or cost, where that is the objective), such as 3M: train the most accurate "
            "network of the front within it; may be repeated.",
            kind=NUMBER,
        ),
    ] = None,
    seeds: Annotated[int, option("Number of trainings of each network, each with another seed.", kind=COUNT)] = 3,
    epochs: Annotated[
        int | None,
        option("Passes over the training images. Default: five times the search's.", kind=COUNT),
    ] = None,
    recipe: Annotated[
        Path | None, option("YAML file of the recipe's settings that differ from the search's.", kind=FILE)
    ] = None,
    max_hours: MaxHours = None,
    workers: Workers = None,
    device: Device = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, longer (at full fidelity), each with several seeds."""
    home = open_study(study, changes_of({**locals(), "epochs": None}), wait, dry_run)
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_solutions import print_finals
    from surrogate_nas.documents import finals_document
    from surrogate_nas.study import preview
    from surrogate_nas.study.finals import RankAgreement
    from surrogate_nas.training.recipe import changed

    settings = home.settings
    full = changed(settings.full_recipe, recipe, epochs) if recipe is not None or epochs is not None else None
    if dry_run:
        answer_preview(preview.of_finalize(home, networks or [], at or [], seeds, full), as_json)
        return
    whole = Study(home)
    finals = whole.finalize(networks or [], at=at or [], seeds=seeds, recipe=full)
    page, limits = whole.report(), home.settings.limits
    within = {budget: whole.finals(limits.with_budget(settings.objective, budget)) for budget in at or []}
    document = finals_document(whole.solutions, finals, RankAgreement.of(finals), within, page)
    answer(document, as_json, lambda: print_finals(document, wide=wide))


def promote(
    study: StudyPath,
    networks: Annotated[list[str], record_ids("Ids of trainings, or their first characters.", "NETWORK...")],
    rung: Annotated[
        int | None, option("Number of the rung, from 1. Default: the next of each network.", kind=COUNT)
    ] = None,
    max_hours: MaxHours = None,
    workers: Workers = None,
    device: Device = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train networks on to a higher rung of the ladder, from where they stopped."""
    home = open_study(study, changes_of({**locals(), "rung": None}), wait, dry_run)
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.study import preview
    from surrogate_nas.study.networks import record_of

    if dry_run:
        answer_preview(preview.of_promote(home, [record_of(home, id) for id in networks], rung), as_json)
        return
    rows = record_rows(home.costing, Study(home).promote(networks, rung=rung))
    answer(rows, as_json, lambda: print_records(rows, wide=wide))


def verify(
    study: StudyPath,
    networks: FrontNetworks = None,
    seeds: Annotated[
        int, option("Number of trainings of each network in all, the search's own among them.", kind=COUNT)
    ] = 3,
    max_hours: MaxHours = None,
    workers: Workers = None,
    device: Device = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train the networks of the front, or those named, again with other seeds, to measure how much was luck."""
    home = open_study(study, changes_of(locals()), wait, dry_run)
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_solutions import print_verification
    from surrogate_nas.documents import verification_document
    from surrogate_nas.study import preview

    if dry_run:
        answer_preview(preview.of_verify(home, networks or [], seeds), as_json)
        return
    document = verification_document(Study(home).verify(networks or [], seeds=seeds), home.settings.limits)
    answer(document, as_json, lambda: print_verification(document))


def baselines(
    study: StudyPath,
    everything: Annotated[
        bool, option("Train hand-made networks that cannot keep the study's limits, too.", "--all")
    ] = False,
    max_hours: MaxHours = None,
    workers: Workers = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train networks to compare the front with: its best network without exits, ResNet-8 and ResNet-8 with exits.

    The last two are trained only if they can keep the study's limits, or with --all.
    """
    home = open_study(study, changes_of(locals()), wait, dry_run)
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.cli.print_solutions import print_payoff
    from surrogate_nas.documents import baseline_rows
    from surrogate_nas.study import preview
    from surrogate_nas.study.payoff import payoff

    if dry_run:
        answer_preview(preview.of_baselines(home, everything=everything), as_json)
        return
    whole = Study(home)
    rows = baseline_rows(home.costing, whole.baselines(everything=everything))

    def show() -> None:
        print_payoff(payoff(whole.solutions, whole.front()))
        print_records(rows, wide=wide)

    answer(rows, as_json, show)
