"""Commands that train: the whole search, or a sample or listed networks alone."""

from typing import Annotated

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_or_prepare, opened
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
    Asynchronous,
    Backbone,
    BackboneInput,
    Balance,
    Batch,
    Budget,
    ChargeHeads,
    Confidence,
    Config,
    CostTable,
    Data,
    DataRoot,
    Device,
    Download,
    DryRun,
    Encodings,
    Epochs,
    Executor,
    Exits,
    Flips,
    Freeze,
    Goal,
    GpusPerTrial,
    ImageSize,
    Initial,
    Json,
    Keep,
    KeepGb,
    LadderText,
    Loss,
    MaxHours,
    MaxMemory,
    MaxSeconds,
    Objective,
    Policy,
    RayAddress,
    Repeats,
    Resize,
    Rung,
    Sampling,
    Seed,
    Space,
    Splits,
    Strategy,
    Stream,
    StudyPath,
    Surrogate,
    Time,
    TuneShare,
    UserLimits,
    Wait,
    Wide,
    Workers,
    option,
    takes_limits,
)
from surrogate_nas.cli.print_preview import answer_preview
from surrogate_nas.cli.values import COUNT
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.study.paths import REPORT


@takes_limits
def run(
    study: StudyPath,
    data: Data = None,
    space: Space = None,
    backbone: Backbone = None,
    exits: Exits = None,
    backbone_input: BackboneInput = None,
    freeze: Freeze = False,
    objective: Objective = None,
    cost_table: CostTable = None,
    charge_heads: ChargeHeads = None,
    limits: UserLimits = NO_USER_LIMITS,
    time: Time = None,
    goal: Goal = None,
    budget: Budget = None,
    epochs: Epochs = None,
    ladder: LadderText = None,
    rung: Rung = None,
    max_hours: MaxHours = None,
    initial: Initial = None,
    batch: Batch = None,
    max_seconds: MaxSeconds = None,
    image_size: ImageSize = None,
    resize: Resize = None,
    splits: Splits = None,
    tune_share: TuneShare = None,
    confidence: Confidence = None,
    flips: Flips = None,
    data_root: DataRoot = None,
    download: Download = None,
    workers: Workers = None,
    device: Device = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    keep_gb: KeepGb = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    seed: Seed = None,
    surrogate: Surrogate = None,
    strategy: Strategy = None,
    policy: Policy = None,
    loss: Loss = None,
    balance: Balance = None,
    sampling: Sampling = None,
    repeats: Repeats = None,
    asynchronous: Asynchronous = None,
    stream: Stream = None,
    config: Config = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a whole study: train sampled networks, search until the time or the budget is spent, and write the report.

    Started again, it continues an interrupted run.
    """
    for name, value in (("budget", budget), ("max-hours", max_hours), ("initial", initial), ("batch", batch)):
        if time is not None and value is not None:
            raise InputError(f"--time decides how much is trained, got --{name} {value} too; give one of them")
    options = locals()
    if time is not None:  # before anything is written
        from surrogate_nas.study.timed import read_time

        read_time(time)
    prepared = open_or_prepare(study, options)
    from surrogate_nas.cli.print_solutions import print_front
    from surrogate_nas.documents import front_document
    from surrogate_nas.study import preview
    from surrogate_nas.study.paths import TIME
    from surrogate_nas.study.payoff import payoff

    by_time = time is not None or (study / TIME).is_file()
    if dry_run:
        answer_preview(preview.of_time(prepared, time or 0.0) if by_time else preview.of_run(prepared), as_json)
        return
    whole = opened(prepared)
    with whole.home.changing():
        if not by_time:
            whole.trainer.announce()
        whole.run(time=time)
        page = whole.path / REPORT if by_time else whole.report()
    early_exits = payoff(whole.solutions, whole.front())
    document = front_document(whole.solutions, page, early_exits)
    answer(document, as_json, lambda: print_front(whole.solutions, page, early_exits))


@takes_limits
def collect(
    study: StudyPath,
    n: Annotated[int | None, option("Number of networks to sample and train.", kind=COUNT)] = None,
    encoding: Encodings = None,
    data: Data = None,
    space: Space = None,
    backbone: Backbone = None,
    exits: Exits = None,
    backbone_input: BackboneInput = None,
    freeze: Freeze = False,
    objective: Objective = None,
    cost_table: CostTable = None,
    charge_heads: ChargeHeads = None,
    limits: UserLimits = NO_USER_LIMITS,
    budget: Budget = None,
    epochs: Epochs = None,
    ladder: LadderText = None,
    rung: Rung = None,
    max_hours: MaxHours = None,
    max_seconds: MaxSeconds = None,
    image_size: ImageSize = None,
    resize: Resize = None,
    splits: Splits = None,
    tune_share: TuneShare = None,
    confidence: Confidence = None,
    flips: Flips = None,
    data_root: DataRoot = None,
    download: Download = None,
    workers: Workers = None,
    device: Device = None,
    max_memory_gb: MaxMemory = None,
    keep: Keep = None,
    keep_gb: KeepGb = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    gpus_per_trial: GpusPerTrial = None,
    seed: Seed = None,
    policy: Policy = None,
    loss: Loss = None,
    balance: Balance = None,
    sampling: Sampling = None,
    stream: Stream = None,
    config: Config = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Train sampled networks, or those of given encodings, and add them to the archive."""
    if (n is None) == (encoding is None):
        raise InputError("collect needs either --n or --encoding")
    if n is not None and n < 1:
        raise InputError(f"--n {n} is not a positive integer")
    options = locals()
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows
    from surrogate_nas.study import preview

    prepared = open_or_prepare(study, options, sample=1 if n is None else n)
    architectures = [prepared.problem.space.parse(text) for text in encoding or []]
    if dry_run:
        answer_preview(preview.of_collect(prepared, n or 0, architectures), as_json)
        return
    whole = opened(prepared)
    trainer = whole.trainer
    with trainer.at_work():
        trainer.finish_pending()
        records = trainer.collect_architectures(architectures) if architectures else trainer.collect(n or 0)
    rows = record_rows(whole.home.costing, records)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))
