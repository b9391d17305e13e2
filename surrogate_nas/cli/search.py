"""The command that proposes networks and trains them."""

from typing import Annotated

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import change, open_study
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
    Asynchronous,
    Batch,
    Budget,
    DataRoot,
    Device,
    DryRun,
    Executor,
    GpusPerTrial,
    Json,
    Keep,
    KeepGb,
    MaxHours,
    MaxMemory,
    RayAddress,
    Repeats,
    Rung,
    Strategy,
    Stream,
    StudyPath,
    Surrogate,
    UserLimits,
    Wait,
    Wide,
    Workers,
    changes_of,
    option,
    takes_limits,
)
from surrogate_nas.cli.print_preview import answer_preview
from surrogate_nas.cli.values import COUNT
from surrogate_nas.foundation.errors import InputError


@takes_limits
def search(
    study: StudyPath,
    rounds: Annotated[
        int | None, option("Number of rounds. Default: as many as the budget allows.", kind=COUNT)
    ] = None,
    budget: Budget = None,
    max_hours: MaxHours = None,
    limits: UserLimits = NO_USER_LIMITS,
    batch: Batch = None,
    rung: Rung = None,
    data_root: DataRoot = None,
    workers: Workers = None,
    device: Device = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    keep_gb: KeepGb = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    surrogate: Surrogate = None,
    strategy: Strategy = None,
    repeats: Repeats = None,
    asynchronous: Asynchronous = None,
    stream: Stream = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Propose and train networks, round by round, until the budget is spent."""
    if rounds is not None and rounds < 1:
        raise InputError(f"--rounds {rounds} is not a positive integer")
    changes = changes_of(locals())
    home = open_study(study, {}, wait)
    if budget is not None and 0 < budget < home.settings.initial:
        changes["initial"] = budget  # a setting of `run`; here what has been collected is the initial sample
    change(home, changes, dry_run)
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.study import preview

    before = {r.id for r in home.archive.records()}
    if len(before) >= home.settings.budget:
        raise InputError(f"the budget of {home.settings.budget} trainings is spent; give a larger --budget")
    if dry_run:
        answer_preview(preview.of_search(home, rounds), as_json)
        return
    whole = Study(home)
    new = [r for r in whole.search(rounds) if r.id not in before]
    rows = record_rows(home.costing, new)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))
