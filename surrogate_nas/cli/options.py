"""What commands take: their arguments and options, and the settings that those stand for."""

from pathlib import Path
from typing import Annotated, Any

import typer

LIMITS = ("max_macs", "max_worst_macs", "max_params", "min_accuracy")
RECIPE = ("epochs", "max_seconds")
SETTINGS = (
    "budget", "initial", "batch", "surrogate", "policy", "workers", "max_memory_gb", "keep", "device", "data_root",
    "download", "max_hours",
)  # fmt: skip

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
Networks = Annotated[list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Ids; all that failed by default.")]
Network = Annotated[str, typer.Argument(metavar="NETWORK", help="A record's id, or how it starts.")]
Json = Annotated[bool, typer.Option("--json", help="One machine-readable document on stdout.")]
Data = Annotated[
    str | None,
    typer.Option(help="Images of a new study: a data set's name (digits by default), a folder by class, an .npz."),
]
ImageSize = Annotated[int | None, typer.Option(help="Side in pixels to which a new study's images are brought.")]
Flips = Annotated[
    bool | None, typer.Option("--flips/--no-flips", help="Whether a mirror image is still of its class (new study).")
]
Space = Annotated[str | None, typer.Option(help="Search space of a new study (tiny by default); see `spaces`.")]
Seed = Annotated[int | None, typer.Option(help="Seed of a new study (0 by default).")]
Budget = Annotated[int | None, typer.Option(help="Trainings in all.")]
Initial = Annotated[int | None, typer.Option(help="Trainings of sampled networks before the search.")]
Batch = Annotated[int | None, typer.Option(help="Proposals per round.")]
MaxMacs = Annotated[float | None, typer.Option(help="Limit on expected MACs per image.")]
MaxWorstMacs = Annotated[float | None, typer.Option(help="Limit on the MACs of an image that goes to the last exit.")]
MaxParams = Annotated[float | None, typer.Option(help="Limit on parameters.")]
MinAccuracy = Annotated[float | None, typer.Option(help="Accuracy floor, between 0 and 1.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of each training.")]
Surrogate = Annotated[str | None, typer.Option(help="auto, xgb or gp.")]
Policy = Annotated[str | None, typer.Option(help="Confidence of an exit: max_softmax, margin or entropy.")]
Workers = Annotated[int | None, typer.Option(help="Training processes; one per core by default, 0 for none.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder with the files of a named data set.")]
Download = Annotated[bool | None, typer.Option("--download", help="Let torchvision fetch a missing data set.")]
MaxMemory = Annotated[float | None, typer.Option(help="A training that uses more (in GB) is a failure.")]
Keep = Annotated[str | None, typer.Option(help="Whose trained weights are kept: all, front or none.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for another command that works on the study.")]
MaxHours = Annotated[float | None, typer.Option(help="Start no training after so many hours.")]
MaxSeconds = Annotated[float | None, typer.Option(help="A training that takes longer is a failure.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings, as a study's config.yaml.")]
Encodings = Annotated[list[str] | None, typer.Option("--encoding", help="Text or vector form; may be repeated.")]


def changes_of(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that a command was given, a configuration file's first."""
    from surrogate_nas.config import Settings

    changes: dict[str, Any] = {}
    if options.get("config") is not None:
        changes = Settings.load(options["config"]).model_dump(exclude_unset=True)
    given, limits, recipe = (
        {name: options[name] for name in names if options.get(name) is not None} for names in (SETTINGS, LIMITS, RECIPE)
    )
    for name, group in (("limits", limits), ("recipe", recipe)):
        if group:
            given[name] = {**changes.get(name, {}), **group}
    return {**changes, **given}
