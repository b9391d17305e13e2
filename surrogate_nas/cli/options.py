"""Arguments and options of commands, and the settings they change.

A new option is one definition here, and one parameter of each command that has it. If it has the name of a field of
`Settings` or `Recipe`, it changes that setting.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from surrogate_nas.cli import completion
from surrogate_nas.cli.values import BYTES, COUNT, FILE, FOLDER, FRACTION, GIGABYTES, HOURS, NAME, NUMBER, SECONDS, Kind
from surrogate_nas.exits.limit_table import LIMITS, LimitUnit
from surrogate_nas.foundation.errors import InputError

DESIGN, BOUNDS, EFFORT, DATA, MACHINE, ADVANCED = (
    "What to design",
    "Limits",
    "Effort",
    "Data",
    "Machine",
    "Advanced",
)
"""Panels of the help. Options without one matter most: they come first."""
KINDS: Mapping[LimitUnit, Kind] = {
    "MACs": NUMBER,
    "parameters": NUMBER,
    "bytes": BYTES,
    "cost": NUMBER,
    "fraction": FRACTION,
}
FIRST_LIMITS = ("max_macs", "min_accuracy")
"""Limits that are shown first in the help."""


def option(
    about: str,
    *names: str,
    panel: str | None = None,
    kind: Kind | None = None,
    complete: Callable[..., list[str]] | None = None,
) -> Any:
    """An option: its help text, names (by default that of the parameter), panel, kind of value (`None` for a switch),
    and the function that completes its value in the shell."""
    return typer.Option(
        *names,
        help=about,
        rich_help_panel=panel,
        metavar=kind.metavar if kind else "",  # a switch takes no value
        parser=kind.parser if kind else None,
        autocompletion=complete,
    )


def record_ids(about: str, metavar: str) -> Any:
    """An argument that takes ids of records of the study named before it."""
    return typer.Argument(metavar=metavar, help=about, autocompletion=completion.record_ids)


StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")]
FailedNetworks = Annotated[
    list[str] | None,
    record_ids("Ids of failed trainings, or their first characters. Default: all that failed.", "[NETWORK]..."),
]
FrontNetworks = Annotated[
    list[str] | None,
    record_ids("Ids of trainings, or their first characters. Default: all networks on the front.", "[NETWORK]..."),
]
Network = Annotated[str, record_ids("Id of a training (see `archive list`), or its first characters.", "NETWORK")]
Wide = Annotated[bool, option("Print each row of the table on one line, however long.", "--wide")]
Json = Annotated[bool, option("Print one JSON document on stdout, and nothing else there.", "--json")]
DryRun = Annotated[
    bool, option("Check everything and print what would be done, without training or writing anything.", "--dry-run")
]

# ---------------------------------------------------------------------- what to design

Data = Annotated[
    str | None,
    option(
        "Images of a new study: a data set's name (see `datasets`), a folder with a sub-folder per class, or an .npz "
        "file. Default: digits.",
        kind=NAME,
        complete=completion.data_sets,
    ),
]
Space = Annotated[
    str | None,
    option(
        "Search space of a new study: a name (see `spaces`) or a YAML file. Default: tiny or compact, by image size.",
        kind=NAME,
        complete=completion.spaces,
    ),
]
Backbone = Annotated[
    str | None,
    option(
        "Python function (package.module:function) that returns a PyTorch network of your own; the study places exits "
        "in it, instead of searching --space.",
        panel=DESIGN,
        kind=NAME,
    ),
]
Exits = Annotated[
    str | None,
    option(
        "With --backbone: modules after which an exit may be placed, such as layer1,layer2.", panel=DESIGN, kind=NAME
    ),
]
BackboneInput = Annotated[
    str | None,
    option(
        "With --backbone: channels, height and width of its input, such as 3,64,64. Default: those of the images.",
        panel=DESIGN,
        kind=NAME,
    ),
]
Freeze = Annotated[
    bool,
    option("With --backbone: train only exits and the last classifier, not features.", "--freeze", panel=DESIGN),
]
Objective = Annotated[
    str | None,
    option(
        "Cost to minimise beside maximising accuracy: macs (expected MACs), or cost (expected cost by --cost-table). "
        "Default: macs.",
        panel=DESIGN,
        kind=NAME,
        complete=completion.objectives,
    ),
]
CostTable = Annotated[
    Path | None,
    option(
        "CSV file with another cost per unit, such as microseconds measured by `spaces measure`.",
        panel=DESIGN,
        kind=FILE,
    ),
]
ChargeHeads = Annotated[
    str | None,
    option(
        "Exit branches counted in the cost of an image: all (every branch run before it left) or own (only that of its "
        "exit). Default: the space's.",
        panel=DESIGN,
        kind=NAME,
        complete=completion.charged_heads,
    ),
]
KeepGb = Annotated[
    float | None,
    option(
        "With --keep front: disk space for weights of other networks, the most accurate first, in GB (10⁹ bytes) or "
        "such as 500MB. Default: 1.",
        panel=MACHINE,
        kind=GIGABYTES,
    ),
]

# ---------------------------------------------------------------------- limits

NoLimits = Annotated[bool, option("Set no limits at all, instead of the study's.", "--no-limits", panel=BOUNDS)]
UserLimits = Mapping[str, float | None]
"""Limits from the command line by name; with `--no-limits` all of them, each `None`."""
NO_USER_LIMITS: UserLimits = MappingProxyType({})

# ---------------------------------------------------------------------- effort

Budget = Annotated[
    int | None, option("Number of trainings in all, the initial sample included. Default: 32.", kind=COUNT)
]
Epochs = Annotated[int | None, option("Passes over the training images in each training. Default: 20.", kind=COUNT)]
LadderText = Annotated[
    str | None,
    option(
        "Rungs of a new study, to which networks are trained one after the other: ratios such as 1:3:9:27 (which "
        "`default` means) of --epochs, image passes such as 20k,60k,180k, or auto, by the number of images. Default: "
        "none; with --time by the images and the time.",
        "--ladder",
        panel=EFFORT,
        kind=Kind("RUNGS"),
    ),
]
Rung = Annotated[
    int | None,
    option("Rung of the ladder that new networks are trained to, from 1. Default: 1.", panel=EFFORT, kind=COUNT),
]
Time = Annotated[
    float | None,
    option(
        "Time for the whole command, such as 25m or 2h, in place of a number of trainings: how many networks begin, "
        "and which are trained on, follows from it. More time adds to what is left. Default: by --budget.",
        "--time",
        kind=SECONDS,
    ),
]
Goal = Annotated[
    str | None,
    option(
        "Goal within the limits: front (the best accuracy for each cost), accuracy (the most accurate network) or cost "
        "(the cheapest above --min-accuracy). Default: front.",
        panel=DESIGN,
        kind=NAME,
        complete=completion.goals,
    ),
]
MaxHours = Annotated[
    float | None,
    option(
        "Time for the trainings of this command, in hours or such as 25m or 1h30m; the same command continues those "
        "that are unfinished. Default: no limit.",
        panel=EFFORT,
        kind=HOURS,
    ),
]
Initial = Annotated[
    int | None,
    option(
        "Number of sampled networks to train before the search starts, at least 4. Default: 20.",
        panel=EFFORT,
        kind=COUNT,
    ),
]
Batch = Annotated[
    int | None, option("Number of networks proposed in each round of the search. Default: 4.", panel=EFFORT, kind=COUNT)
]
MaxSeconds = Annotated[
    float | None,
    option(
        "Longest time of one training, in seconds or such as 25m; a longer one is recorded as a failure. "
        "Default: no limit.",
        panel=EFFORT,
        kind=SECONDS,
    ),
]

# ---------------------------------------------------------------------- data

ImageSize = Annotated[
    int | None,
    option(
        "Side in pixels to which the images of a new study are resized. Default: their own.", panel=DATA, kind=COUNT
    ),
]
Resize = Annotated[
    str | None,
    option(
        "Way in which pictures of a new study become square: crop (the central square), pad (the whole picture between "
        "bars) or squash (the aspect ratio changes). Default: crop.",
        panel=DATA,
        kind=NAME,
        complete=completion.resizes,
    ),
]
Splits = Annotated[
    Path | None,
    option(
        "CSV file of splits for a new study's images, with a column image, and split (train, tune, test or empty) or "
        "group or both; images of one group are never in two splits. Default: splits are cut at random.",
        panel=DATA,
        kind=FILE,
    ),
]
TuneShare = Annotated[
    float | None,
    option(
        "Share of the training images that a new study holds out for the tune split, on which all choices are made. "
        "Default: more where images are few.",
        panel=DATA,
        kind=FRACTION,
    ),
]
Confidence = Annotated[
    float | None,
    option(
        "Probability with which all certificates of a new study hold together, such as 0.9: part of tune is sealed, "
        "and limits are certified by it. Default: none.",
        panel=DATA,
        kind=FRACTION,
    ),
]
Flips = Annotated[
    bool | None,
    option(
        "Whether a mirrored image keeps its class, so that trainings mirror images (new study). Default: as known for "
        "a named data set, else yes.",
        "--flips/--no-flips",
        panel=DATA,
    ),
]
DataRoot = Annotated[
    Path | None,
    option(
        "Folder with the files of a named data set, in torchvision's layout; digits needs none.",
        panel=DATA,
        kind=FOLDER,
    ),
]
Download = Annotated[
    bool | None,
    option("Let torchvision download a named data set that is missing in --data-root.", "--download", panel=DATA),
]

# ---------------------------------------------------------------------- machine

Workers = Annotated[
    int | None,
    option(
        "Number of trainings at a time; 0 trains in this process. Default: one per core, as far as memory allows.",
        kind=COUNT,
    ),
]
Device = Annotated[
    str | None,
    option(
        "Device of trainings: auto, cpu, cuda, cuda:1 (one of several GPUs) or mps. Default: auto, which is CUDA where "
        "there is a GPU, else MPS, else the CPU.",
        panel=MACHINE,
        kind=NAME,
        complete=completion.devices,
    ),
]
MaxMemory = Annotated[
    float | None,
    option(
        "Memory of one training process, in GB (10⁹ bytes) or such as 500MB or 4GiB; a training that uses more is "
        "recorded as a failure. Default: its share of the free memory.",
        panel=MACHINE,
        kind=GIGABYTES,
    ),
]
Keep = Annotated[
    str | None,
    option(
        "Networks whose trained weights are kept: all, front (those on the Pareto front) or none. Default: front.",
        panel=MACHINE,
        kind=NAME,
        complete=completion.kept,
    ),
]
Executor = Annotated[
    str | None,
    option(
        "Where trainings run: processes (of this machine) or ray (a Ray cluster). Default: processes.",
        panel=MACHINE,
        kind=NAME,
        complete=completion.executors,
    ),
]
RayAddress = Annotated[
    str | None,
    option(
        "With --executor ray: address of the Ray cluster. Default: a new one on this machine.", panel=MACHINE, kind=NAME
    ),
]
GpusPerTrial = Annotated[
    float | None,
    option(
        "With --executor ray: GPUs, or the share of one, for each training, such as 0.25. Default: 1 where trainings "
        "use CUDA, else 0.",
        panel=MACHINE,
        kind=NUMBER,
    ),
]

# ---------------------------------------------------------------------- advanced

Seed = Annotated[
    int | None,
    option(
        "Seed of a new study, from which splits, sampling, training and search follow. Default: 0.",
        panel=ADVANCED,
        kind=COUNT,
    ),
]
Stream = Annotated[
    int | None,
    option(
        "Number of one of many independent sequences of proposals and training seeds under the same seed and splits; "
        "see docs/howto/merge.md. Default: 0.",
        panel=ADVANCED,
        kind=COUNT,
    ),
]
Surrogate = Annotated[
    str | None,
    option(
        "Model that predicts untrained networks: auto (chosen by cross-validation), stack, gp, xgb, switching, size, "
        "or your own (package.module:function). Default: auto.",
        panel=ADVANCED,
        kind=NAME,
        complete=completion.surrogates,
    ),
]
Strategy = Annotated[
    str | None,
    option(
        "Search strategy: bayesian, edanas, nachos, aebnas, nsga2, random, with --time also asha and pasha, or your "
        "own (package.module:function). Default: bayesian.",
        panel=ADVANCED,
        kind=NAME,
        complete=completion.strategies,
    ),
]
Policy = Annotated[
    str | None,
    option(
        "Confidence score of an exit: max_softmax, margin, entropy, gate, cumulative_gate. Default: the space's.",
        panel=ADVANCED,
        kind=NAME,
        complete=completion.policies,
    ),
]
Loss = Annotated[
    str | None,
    option(
        "Training loss: joint or distillation; nachos needs settings of its own, in --config. Default: joint.",
        panel=ADVANCED,
        kind=NAME,
        complete=completion.losses,
    ),
]
Balance = Annotated[
    bool | None,
    option(
        "Draw training images so that all classes are equally frequent, for data with rare classes. Default: no.",
        "--balance/--as-they-are",
        panel=ADVANCED,
    ),
]
Sampling = Annotated[
    str | None,
    option(
        "Sampling of the initial networks: uniform (over choices), stratified (evenly over the logarithm of cost) or "
        "space-filling (over encodings). Default: uniform.",
        panel=ADVANCED,
        kind=NAME,
        complete=completion.samplings,
    ),
]
Repeats = Annotated[
    bool | None,
    option(
        "Whether the search may train a network of the front again with another seed, where that promises more than a "
        "new network. Default: yes.",
        "--repeats/--no-repeats",
        panel=ADVANCED,
    ),
]
Asynchronous = Annotated[
    bool | None,
    option(
        "Give each free worker a new proposal immediately, or wait for the whole round. Default: wait.",
        "--asynchronous/--rounds-together",
        panel=ADVANCED,
    ),
]
Config = Annotated[
    Path | None,
    option("YAML file of settings, like a study's config.yaml; options override it.", panel=ADVANCED, kind=FILE),
]
Wait = Annotated[
    bool,
    option("Wait until no other command is changing the study, instead of giving up.", "--wait", panel=ADVANCED),
]
Encodings = Annotated[
    list[str] | None,
    option(
        "Encoding of a network, as text or as numbers between commas; may be repeated.", "--encoding", kind=Kind("TEXT")
    ),
]
Thresholds = Annotated[
    str | None,
    option(
        "Threshold of each early exit in [0, 1], or off, such as 0.8,off. Default: the best ones within the limits.",
        kind=Kind("LIST"),
    ),
]
Tiers = Annotated[int, option("Largest number of settings, each for another budget.", kind=COUNT)]


def takes_limits(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `limits: UserLimits` becomes an option for each limit, and `--no-limits`."""
    own = inspect.signature(command)
    parameters = list(own.parameters.values())
    place = next(i for i, parameter in enumerate(parameters) if parameter.name == "limits")
    parameters[place : place + 1] = _limit_options(parameters[place].kind)

    @wraps(command)
    def with_options(no_limits: bool, **options: Any) -> None:
        user_limits = {limit.name: amount for limit in LIMITS if (amount := options.pop(limit.name)) is not None}
        if no_limits and user_limits:
            name, amount = next(iter(user_limits.items()))
            raise InputError(
                f"give either limits or --no-limits, got --{name.replace('_', '-')} {amount:g} --no-limits"
            )
        command(**options, limits=dict.fromkeys(limit.name for limit in LIMITS) if no_limits else user_limits)

    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def _limit_options(kind: Any) -> list[inspect.Parameter]:
    amounts = {
        limit.name: Annotated[
            float | None,
            option(limit.about, panel=None if limit.name in FIRST_LIMITS else BOUNDS, kind=KINDS[limit.unit]),
        ]
        for limit in LIMITS
    }
    options = [inspect.Parameter(name, kind, default=None, annotation=amount) for name, amount in amounts.items()]
    return [*options, inspect.Parameter("no_limits", kind, default=False, annotation=NoLimits)]


def changes_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from a command's options, which override those of its configuration file."""
    from surrogate_nas.settings import Settings
    from surrogate_nas.training.recipe import Recipe

    changes: dict[str, Any] = {}
    if options.get("config") is not None:
        changes = Settings.load(options["config"]).model_dump(exclude_unset=True)
    mappings = {"limits", "recipe", "final"}
    overrides, recipe = (
        {name: options[name] for name in fields if name not in mappings and options.get(name) is not None}
        for fields in (Settings.model_fields, Recipe.model_fields)
    )
    for name, group in (("limits", options.get("limits", NO_USER_LIMITS)), ("recipe", recipe)):
        if group:
            overrides[name] = {**changes.get(name, {}), **group}
    return {**changes, **overrides}
