"""Arguments and options of commands, and the settings they change."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from surrogate_nas.exits.limit_table import LIMITS
from surrogate_nas.foundation.errors import InputError

RECIPE = ("epochs", "max_seconds", "loss")
SETTINGS = (
    "budget",
    "initial",
    "batch",
    "surrogate",
    "policy",
    "workers",
    "max_memory_gb",
    "keep",
    "device",
    "data_root",
    "download",
    "max_hours",
    "executor",
    "ray_address",
    "gpus_per_trial",
    "sampling",
    "charge_heads",
    "cost_table",
    "objective",
    "strategy",
    "repeats",
    "asynchronous",
    "stream",
)
StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
Networks = Annotated[list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Ids; all that failed by default.")]
FrontNetworks = Annotated[
    list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Ids; the networks on the front by default.")
]
Network = Annotated[str, typer.Argument(metavar="NETWORK", help="A record's id, or how it starts.")]
Wide = Annotated[bool, typer.Option("--wide", help="One line for each row of the table, however long.")]
Json = Annotated[bool, typer.Option("--json", help="One machine-readable document on stdout.")]
Data = Annotated[
    str | None,
    typer.Option(help="Images of a new study: a data set's name (digits by default), a folder by class, an .npz."),
]
ImageSize = Annotated[int | None, typer.Option(help="Side in pixels to which a new study's images are brought.")]
Flips = Annotated[
    bool | None, typer.Option("--flips/--no-flips", help="Whether a mirror image is still of its class (new study).")
]
Space = Annotated[
    str | None, typer.Option(help="Search space of a new study (tiny by default): a name of `spaces`, or a YAML file.")
]
Backbone = Annotated[
    str | None,
    typer.Option(help="Instead of a space: a network of your own to mount exits on, package.module:function."),
]
Exits = Annotated[str | None, typer.Option(help="Its modules after which an exit may be mounted: layer1,layer2.")]
BackboneInput = Annotated[
    str | None, typer.Option(help="Channels, height and width that it takes: 3,64,64; the data's by default.")
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="Leave its features as the function made them; its last classifier is trained.")
]
Sampling = Annotated[
    str | None, typer.Option(help="How the first networks are drawn: uniform, stratified or space-filling.")
]
ChargeHeads = Annotated[
    str | None, typer.Option(help="Charge a sample for all branches that were run, or its own alone: all or own.")
]
CostTable = Annotated[Path | None, typer.Option(help="CSV with another cost per unit; see `spaces measure`.")]
Objective = Annotated[str | None, typer.Option(help="What to minimise: macs, or cost by the cost table.")]
Seed = Annotated[int | None, typer.Option(help="Seed of a new study (0 by default).")]
Stream = Annotated[
    int | None,
    typer.Option(help="Of draws, proposals and training seeds: another trains other networks; see docs/share.md."),
]
Budget = Annotated[int | None, typer.Option(help="Trainings in all.")]
Initial = Annotated[int | None, typer.Option(help="Trainings of sampled networks before the search.")]
Batch = Annotated[int | None, typer.Option(help="Proposals per round.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of each training.")]
Loss = Annotated[
    str | None, typer.Option(help="What networks are trained for: joint or distillation; nachos by --config.")
]
Surrogate = Annotated[
    str | None, typer.Option(help="auto, stack, gp, xgb, switching, size, or package.module:function.")
]
Strategy = Annotated[
    str | None,
    typer.Option(help="Of the search: bayesian (the default), edanas, nachos, aebnas, nsga2, random, or your own."),
]
Repeats = Annotated[
    bool | None,
    typer.Option("--repeats/--no-repeats", help="Train a network of the front again where that is worth more."),
]
Asynchronous = Annotated[
    bool | None,
    typer.Option("--asynchronous/--rounds-together", help="Give a free worker a proposal at once."),
]
Policy = Annotated[
    str | None, typer.Option(help="Confidence of an exit: max_softmax, margin, entropy, gate, cumulative_gate.")
]
Workers = Annotated[int | None, typer.Option(help="Training processes; one per core by default, 0 for none.")]
Executor = Annotated[str | None, typer.Option(help="Where trainings run: processes (of this machine) or ray.")]
RayAddress = Annotated[str | None, typer.Option(help="Of a Ray cluster; without, Ray starts one on this machine.")]
GpusPerTrial = Annotated[float | None, typer.Option(help="Share of a GPU that each training gets from Ray: 0.25.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder with the files of a named data set.")]
Download = Annotated[bool | None, typer.Option("--download", help="Let torchvision fetch a missing data set.")]
MaxMemory = Annotated[float | None, typer.Option(help="A training that uses more (in GB) is a failure.")]
Keep = Annotated[str | None, typer.Option(help="Whose trained weights are kept: all, front or none.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for another command that works on the study.")]
MaxHours = Annotated[float | None, typer.Option(help="Trainings end within so many hours; unfinished ones wait.")]
MaxSeconds = Annotated[float | None, typer.Option(help="A training that takes longer is a failure.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings, as a study's config.yaml.")]
Encodings = Annotated[list[str] | None, typer.Option("--encoding", help="Text or vector form; may be repeated.")]
NoLimits = Annotated[bool, typer.Option("--no-limits", help="No limits, instead of the study's.")]
UserLimits = Mapping[str, float | None]
"""Limits from the command line by name; with `--no-limits` all of them, each `None`."""
NO_USER_LIMITS: UserLimits = MappingProxyType({})


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
    amounts = {limit.name: Annotated[float | None, typer.Option(help=limit.about)] for limit in LIMITS}
    options = [inspect.Parameter(name, kind, default=None, annotation=amount) for name, amount in amounts.items()]
    return [*options, inspect.Parameter("no_limits", kind, default=False, annotation=NoLimits)]


def changes_of(options: dict[str, Any]) -> dict[str, Any]:
    """Settings from a command's options, which override those of its configuration file."""
    from surrogate_nas.settings import Settings

    changes: dict[str, Any] = {}
    if options.get("config") is not None:
        changes = Settings.load(options["config"]).model_dump(exclude_unset=True)
    overrides, recipe = (
        {name: options[name] for name in names if options.get(name) is not None} for names in (SETTINGS, RECIPE)
    )
    for name, group in (("limits", options.get("limits", NO_USER_LIMITS)), ("recipe", recipe)):
        if group:
            overrides[name] = {**changes.get(name, {}), **group}
    return {**changes, **overrides}
