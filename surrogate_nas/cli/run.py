"""Commands that train: the whole search, or a sample or listed networks alone."""

from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import DEFAULT_SPACE, open_or_create
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
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
    GpusPerTrial,
    ImageSize,
    Initial,
    Json,
    Keep,
    Loss,
    MaxHours,
    MaxMemory,
    MaxSeconds,
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
    UserLimits,
    Wait,
    Wide,
    Workers,
    takes_limits,
)
from surrogate_nas.foundation.errors import InputError


@takes_limits
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
    limits: UserLimits = NO_USER_LIMITS,
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
    from surrogate_nas.study.payoff import payoff

    with whole.home.changing():
        whole.trainer.announce()
        whole.run()
        page = write_report(whole)
    early_exits = payoff(whole.solutions, whole.front())
    document = front_document(whole, page, early_exits)
    answer(document, as_json, lambda: print_front(whole, page, early_exits))


@takes_limits
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
    limits: UserLimits = NO_USER_LIMITS,
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
    wide: Wide = False,
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
    whole = open_or_create(study, options, sample=1 if n is None else n)
    architectures, trainer = [whole.space.parse(text) for text in encoding or []], whole.trainer
    with trainer.at_work():
        trainer.finish_pending()
        records = trainer.collect_architectures(architectures) if architectures else trainer.collect(n or 0)
    rows = record_rows(whole.home.costing, records)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))
