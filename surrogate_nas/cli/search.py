"""The command that proposes networks and trains them."""

from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
    Asynchronous,
    Batch,
    Budget,
    DataRoot,
    Device,
    Executor,
    GpusPerTrial,
    Json,
    Keep,
    MaxHours,
    MaxMemory,
    RayAddress,
    Repeats,
    Strategy,
    Stream,
    StudyPath,
    Surrogate,
    UserLimits,
    Wait,
    Wide,
    Workers,
    changes_of,
    takes_limits,
)
from surrogate_nas.foundation.errors import InputError


@takes_limits
def search(
    study: StudyPath,
    rounds: Annotated[int | None, typer.Option(help="Rounds; until the budget is spent by default.")] = None,
    budget: Budget = None,
    batch: Batch = None,
    limits: UserLimits = NO_USER_LIMITS,
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
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Propose, train and refit: for some rounds, or until the budget is spent."""
    if rounds is not None and rounds < 1:
        raise InputError(f"--rounds {rounds} is not a positive number")
    changes = changes_of(locals())
    home = open_study(study, {}, wait)
    if budget is not None and 0 < budget < home.settings.initial:
        changes["initial"] = budget  # a setting of `run`; here what has been collected is the initial sample
    home.update(changes)
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.study.study import Study

    whole = Study(home)
    before = {r.id for r in home.archive.records()}
    if len(before) >= home.settings.budget:
        raise InputError(f"the budget of {home.settings.budget} trainings is spent; give a larger --budget")
    new = [r for r in whole.search(rounds) if r.id not in before]
    rows = record_rows(home.costing, new)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))
