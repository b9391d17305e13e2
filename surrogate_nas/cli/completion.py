"""Completion of option values in the shell: names that are known, and ids of a study's records."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

import typer

DEVICES = ("auto", "cpu", "cuda", "mps")
LOSSES = ("joint", "distillation")
"""Losses that need no settings of their own."""


def _names_in(module: str, name: str) -> Callable[[str], list[str]]:
    """A function that completes names which a module lists as a `Literal`, a collection, or a function's result.

    The module is imported when the shell asks for them.
    """

    def complete(incomplete: str) -> list[str]:
        listed: Any = getattr(import_module(f"surrogate_nas.{module}"), name)
        names = get_args(listed) or (listed() if callable(listed) else listed)
        return [name for name in names if name.startswith(incomplete)]

    return complete


data_sets = _names_in("datasets.named", "dataset_names")
spaces = _names_in("space.spec", "preset_names")
published = _names_in("space.genomes", "GENOMES")
samplings = _names_in("space.sampling", "SamplingName")
objectives = _names_in("architecture.cost", "Objective")
charged_heads = _names_in("architecture.cost", "ChargeHeads")
policies = _names_in("exits.policies", "POLICIES")
methods = _names_in("exits.choosing", "METHODS")
losses = _names_in("cli.completion", "LOSSES")
surrogates = _names_in("settings", "SURROGATE_NAMES")
strategies = _names_in("settings", "STRATEGY_NAMES")
goals = _names_in("settings", "GoalName")
resizes = _names_in("datasets.resizing", "RESIZES")
kept = _names_in("settings", "KeepName")
executors = _names_in("settings", "ExecutorName")
devices = _names_in("cli.completion", "DEVICES")


def record_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of the records of the study that has been typed; none if there is no sound study at that path."""
    from surrogate_nas.archive.archive import Archive
    from surrogate_nas.foundation.errors import SurrogateNASError
    from surrogate_nas.study.paths import ARCHIVE

    study = context.params.get("study")
    if study is None or not (study / ARCHIVE).is_file():
        return []
    try:
        return [record.id for record in Archive.open(study / ARCHIVE).studied() if record.id.startswith(incomplete)]
    except SurrogateNASError:
        return []
