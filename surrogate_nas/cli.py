"""The command line. Heavy libraries are imported where a command needs them, so that help comes at once."""

import json
import os
import signal
import sqlite3
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surrogate_nas.errors import InputError, JobError

if TYPE_CHECKING:
    from surrogate_nas.folder import StudyFolder
    from surrogate_nas.space import Architecture

BAD_INPUT, FAILED_JOB, INTERRUPTED = 2, 1, 130
DEFAULT_DATA, DEFAULT_SPACE = "digits", "tiny"
LIMITS = ("max_macs", "max_worst_macs", "max_params", "min_accuracy")
RECIPE = ("epochs", "max_seconds")
SETTINGS = (
    "budget", "initial", "batch", "surrogate", "policy", "workers", "max_memory_gb", "keep", "device", "data_root",
    "download", "max_hours",
)  # fmt: skip

app = typer.Typer(
    name="surrogate-nas", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Design early-exit neural networks: collect a training archive, fit surrogates, search, query, take away.",
)  # fmt: skip
archive_app = typer.Typer(no_args_is_help=True, help="Look into a study's training archive.")
app.add_typer(archive_app, name="archive")
datasets_app = typer.Typer(help="List the data sets, or show one: a name, a folder of images by class, an .npz.")
app.add_typer(datasets_app, name="datasets", invoke_without_command=True)

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


# ---------------------------------------------------------------------- the path


@app.command()
def run(
    study: StudyPath, data: Data = None, space: Space = None, seed: Seed = None, budget: Budget = None,
    initial: Initial = None, batch: Batch = None, max_macs: MaxMacs = None, max_worst_macs: MaxWorstMacs = None,
    max_params: MaxParams = None, min_accuracy: MinAccuracy = None, epochs: Epochs = None, surrogate: Surrogate = None,
    policy: Policy = None, workers: Workers = None, device: Device = None, data_root: DataRoot = None,
    download: Download = None, image_size: ImageSize = None, flips: Flips = None, max_hours: MaxHours = None,
    max_seconds: MaxSeconds = None, max_memory_gb: MaxMemory = None, keep: Keep = None, config: Config = None,
    wait: Wait = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Do the whole path: collect, search until the budget is spent, report. Continues an interrupted run."""
    folder = _open_or_create(study, locals())
    from surrogate_nas import tables
    from surrogate_nas.report import write_report
    from surrogate_nas.study import Study

    whole = Study(folder)
    with folder.changing():
        folder.announce()
        whole.run()
        page = write_report(whole)
    _print(tables.front_document(whole, page), as_json, lambda: tables.print_front(whole, page))


@app.command()
def collect(
    study: StudyPath,
    n: Annotated[int | None, typer.Option(help="Networks to sample and train.")] = None,
    encoding: Encodings = None, data: Data = None, space: Space = None, seed: Seed = None, budget: Budget = None,
    max_macs: MaxMacs = None, max_worst_macs: MaxWorstMacs = None, max_params: MaxParams = None,
    min_accuracy: MinAccuracy = None, epochs: Epochs = None, policy: Policy = None, workers: Workers = None,
    device: Device = None, data_root: DataRoot = None, download: Download = None, image_size: ImageSize = None,
    flips: Flips = None, max_hours: MaxHours = None, max_seconds: MaxSeconds = None, max_memory_gb: MaxMemory = None,
    keep: Keep = None, config: Config = None, wait: Wait = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Train sampled networks, or those of given encodings, into the archive."""
    if (n is None) == (encoding is None):
        raise InputError("collect needs either --n or --encoding")
    if n is not None and n < 1:
        raise InputError(f"--n {n} is not a positive number")
    options = locals()
    from surrogate_nas import tables
    from surrogate_nas.creation import ARCHIVE
    from surrogate_nas.space import SearchSpace, preset

    if not (study / ARCHIVE).is_file():  # a wrong encoding must not leave an empty study behind
        _ = [SearchSpace(preset(space or DEFAULT_SPACE)).parse(text) for text in encoding or []]
    folder = _open_or_create(study, options)
    architectures = [folder.space.parse(text) for text in encoding or []]
    with folder.changing():
        folder.set_deadline()
        folder.finish_pending()
        records = folder.collect_architectures(architectures) if architectures else folder.collect(n or 0)
    rows = tables.record_rows(folder, records)
    _print(rows, as_json, lambda: tables.print_records(rows))


@app.command()
def fit(
    study: StudyPath, surrogate: Surrogate = None,
    again: Annotated[bool, typer.Option("--again", help="Fit anew even if the stored surrogate is current.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Fit surrogates to the archive and judge them on networks they never saw."""
    folder = _open(study, _changes(locals()))
    from surrogate_nas import tables
    from surrogate_nas.study import Study

    fitted = Study(folder).fit(again=again)
    _print(tables.fit_document(fitted), as_json, lambda: tables.print_fit(fitted))


@app.command()
def search(
    study: StudyPath,
    rounds: Annotated[int | None, typer.Option(help="Rounds; until the budget is spent by default.")] = None,
    budget: Budget = None, batch: Batch = None, max_macs: MaxMacs = None, max_worst_macs: MaxWorstMacs = None,
    max_params: MaxParams = None, min_accuracy: MinAccuracy = None, surrogate: Surrogate = None,
    workers: Workers = None, device: Device = None, data_root: DataRoot = None, max_hours: MaxHours = None,
    max_memory_gb: MaxMemory = None, keep: Keep = None, wait: Wait = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Propose, train and refit: for some rounds, or until the budget is spent."""
    if rounds is not None and rounds < 1:
        raise InputError(f"--rounds {rounds} is not a positive number")
    changes = _changes(locals())
    folder = _open(study, {}, wait)
    if budget is not None and 0 < budget < folder.settings.initial:
        changes["initial"] = budget  # a setting of `run`; here what has been collected is the initial sample
    folder.update(changes)
    from surrogate_nas import tables
    from surrogate_nas.study import Study

    folder.set_deadline()
    before = {r.id for r in folder.archive.records()}
    if len(before) >= folder.settings.budget:
        raise InputError(f"the budget of {folder.settings.budget} trainings is spent; give a larger --budget")
    new = [r for r in Study(folder).search(rounds) if r.id not in before]
    rows = tables.record_rows(folder, new)
    _print(rows, as_json, lambda: tables.print_records(rows))


@app.command()
def query(
    study: StudyPath, encoding: Encodings = None,
    file: Annotated[Path | None, typer.Option(help="A file with one encoding per line.")] = None,
    sample: Annotated[int | None, typer.Option(help="So many random architectures of the space.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Such as 0.8,off; the best for the limits by default.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Predict accuracy, exit probabilities and MACs of any encodings, with 90 % intervals."""
    folder = _open(study, {})
    architectures = _architectures(folder, encoding, file, sample)
    from surrogate_nas import tables
    from surrogate_nas.exits import OperatingPoint
    from surrogate_nas.study import Study

    positions = folder.space.positions
    point = None if thresholds is None else OperatingPoint.parse(thresholds, positions, folder.settings.policy)
    answers = Study(folder).query(architectures, point)
    _print(tables.answers_document(answers), as_json, lambda: tables.print_answers(answers))


@app.command()
def tune(
    study: StudyPath, network: Network,
    max_macs: MaxMacs = None, max_worst_macs: MaxWorstMacs = None, max_params: MaxParams = None,
    min_accuracy: MinAccuracy = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Choose thresholds of a trained network for given limits, without training."""
    folder = _open(study, {})
    from surrogate_nas import tables
    from surrogate_nas.config import Limits, parse
    from surrogate_nas.study import Study

    limits = parse(Limits, {name: value for name, value in locals().items() if name in LIMITS}, "limits")
    whole = Study(folder)
    solution = whole.tune(network, limits)
    curve = tables.curve_document(whole, network)
    document = {"limits": limits.model_dump(), **tables.solution_document(solution), "curve": curve}
    _print(document, as_json, lambda: tables.print_solutions([solution], f"{network} within {limits}"))


@app.command()
def baselines(study: StudyPath, workers: Workers = None, wait: Wait = False, as_json: Json = False) -> None:
    """Train hand-made networks to compare the front with: ResNet-8, its BranchyNet, a static network of the space."""
    folder = _open(study, _changes(locals()), wait)
    from surrogate_nas import tables
    from surrogate_nas.study import Study

    rows = tables.baseline_rows(folder, Study(folder).train_baselines())
    _print(rows, as_json, lambda: tables.print_records(rows))


@app.command()
def report(
    study: StudyPath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write to; the study's own.")] = None,
    as_json: Json = False,
) -> None:
    """Write report.html, front.csv, and the figures as SVG and PNG."""
    folder = _open(study, {})
    from surrogate_nas.report import write_report
    from surrogate_nas.study import Study

    page = write_report(Study(folder), output)
    _print({"report": str(page), "front": str(page.parent / "front.csv")}, as_json, lambda: typer.echo(page))


# ---------------------------------------------------------------------- the archive


@archive_app.command("list")
def archive_list(
    study: StudyPath,
    failed: Annotated[bool, typer.Option("--failed", help="Only trainings that failed, and why.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="The baselines instead of the search.")] = False,
    as_json: Json = False,
) -> None:
    """List every record."""
    folder = _open(study, {})
    from surrogate_nas import tables

    records = folder.archive.records(baselines=baselines)
    rows = tables.record_rows(folder, [r for r in records if r.failure is not None or not failed], why=failed)
    _print(rows, as_json, lambda: tables.print_records(rows))


@archive_app.command("retry")
def archive_retry(study: StudyPath, networks: Networks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Let failed trainings be done again, by the next run, search or collect."""
    folder = _open(study, {}, wait)
    ids = folder.retry(networks or [])
    again = f"pending again, for the next run, search or collect: {' '.join(ids)}" if ids else "no training failed"
    _print(ids, as_json, lambda: typer.echo(again))


@archive_app.command("drop")
def archive_drop(study: StudyPath, networks: Networks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Forget failed trainings, as if they had never been proposed."""
    folder = _open(study, {}, wait)
    ids = folder.drop(networks or [])
    gone = f"dropped: {' '.join(ids)}" if ids else "no training failed"
    _print(ids, as_json, lambda: typer.echo(gone))


@archive_app.command("show")
def archive_show(study: StudyPath, network: Network, as_json: Json = False) -> None:
    """Show one record: what was trained, how, and what each exit does."""
    folder = _open(study, {})
    from surrogate_nas import tables

    document = tables.record_document(folder, folder.archive.find(network))
    _print(document, as_json, lambda: typer.echo(json.dumps(document, indent=2)))


@archive_app.command("dump")
def archive_dump(study: StudyPath) -> None:
    """Write every record, without its outputs, as a line of JSON."""
    folder = _open(study, {})
    from surrogate_nas import tables

    for record in folder.archive.records():
        typer.echo(json.dumps(tables.record_document(folder, record)))


@archive_app.command("validate")
def archive_validate(study: StudyPath, as_json: Json = False) -> None:
    """Check that the archive is sound."""
    folder = _open(study, {})
    problems = folder.archive.problems()
    records = len(folder.archive.records())
    sound = f"{folder.archive.path}: {records} records, sound"
    _print({"records": records, "problems": problems}, as_json, lambda: typer.echo("\n".join(problems) or sound))
    if problems:
        raise JobError(f"{folder.archive.path} has {len(problems)} problems")


# ---------------------------------------------------------------------- what there is


@app.command()
def spaces(as_json: Json = False) -> None:
    """List the search spaces."""
    from surrogate_nas import tables

    rows = tables.space_rows()
    _print(rows, as_json, lambda: tables.print_rows(rows, "Search spaces"))


@datasets_app.callback()
def datasets(context: typer.Context, as_json: Json = False) -> None:
    """List the data sets, or show one."""
    if context.invoked_subcommand is not None:
        return
    from surrogate_nas import tables

    rows = tables.dataset_rows()
    _print(rows, as_json, lambda: tables.print_rows(rows, "Data sets"))


@datasets_app.command("show")
def datasets_show(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A name, a folder of images by class, or an .npz.")],
    data_root: DataRoot = None, download: Download = None, image_size: ImageSize = None, flips: Flips = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show a data set as a study would see it: counts, classes, balance, size, fingerprint, and what was done to it."""
    from surrogate_nas import tables
    from surrogate_nas.datasets import card, load

    shown = card(load(data, data_root, bool(download), image_size=image_size, flips=flips))
    _print(shown.document(), as_json, lambda: tables.print_card(shown))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation and say what to do about what is wrong."""
    from surrogate_nas.doctor import check

    checks = check()
    lines = [f"{'ok  ' if c['ok'] else 'FAIL'}  {c['what']}: {c['found']}" for c in checks]
    _print(checks, as_json, lambda: typer.echo("\n".join(lines)))
    if not all(c["ok"] for c in checks):
        raise JobError("the installation has problems")


# ---------------------------------------------------------------------- shared


def _changes(options: dict[str, Any]) -> dict[str, Any]:
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


def _open(path: Path, changes: dict[str, Any], wait: bool = False) -> "StudyFolder":
    from surrogate_nas.folder import StudyFolder

    folder = StudyFolder.open(path)
    folder.wait = wait
    folder.update(changes)
    return folder


def _open_or_create(path: Path, options: dict[str, Any]) -> "StudyFolder":
    from surrogate_nas.config import Settings
    from surrogate_nas.creation import ARCHIVE, SETTINGS
    from surrogate_nas.folder import StudyFolder

    changes = _changes(options)
    data, space, seed, image_size = (options[name] for name in ("data", "space", "seed", "image_size"))
    if not (path / ARCHIVE).is_file():
        start = Settings.load(path / SETTINGS) if (path / SETTINGS).is_file() else Settings()
        return StudyFolder.create(
            path, data=data or DEFAULT_DATA, space=space or DEFAULT_SPACE, seed=seed or 0,
            settings=start.updated(changes), image_size=image_size, flips=options["flips"],
        )  # fmt: skip
    folder = StudyFolder.open(path)
    folder.wait = options["wait"]
    header = folder.archive.header
    for name, given, stored in (("space", space, header.space.name), ("seed", seed, header.seed)):
        if given is not None and given != stored:
            raise InputError(f"study {path} has {name} {stored}, got --{name} {given}; that needs a study of its own")
    folder.require_data(data, image_size, options["flips"])
    folder.update(changes)
    return folder


def _architectures(
    folder: "StudyFolder", encoding: list[str] | None, file: Path | None, sample: int | None
) -> list["Architecture"]:
    import numpy as np

    if (encoding is not None) + (file is not None) + (sample is not None) != 1:
        raise InputError("query needs one of --encoding, --file and --sample")
    if sample is not None:
        if sample < 1:
            raise InputError(f"--sample {sample} is not a positive number")
        return folder.space.sample(sample, np.random.default_rng(folder.archive.header.seed))
    if file is not None:
        try:
            encoding = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read: {error}") from None
    if not encoding:
        raise InputError(f"{file} has no encodings")
    return [folder.space.parse(text) for text in encoding]


def _print(document: Any, as_json: bool, show: Any) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show()


def main() -> None:
    """Run the command line; every error is one line on stderr."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")  # botorch's, at import
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # newer versions of typer return what older ones raise
            raise KeyboardInterrupt
    except InputError as error:
        _fail(str(error), BAD_INPUT)
    except (JobError, OSError, sqlite3.OperationalError) as error:
        _fail(str(error), FAILED_JOB)
    except sqlite3.DatabaseError as error:
        _fail(f"the archive is damaged: {error}", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command continues", INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(_usage(error), BAD_INPUT)  # typer's own: an unknown option, a missing argument
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _usage(error: Any) -> str:
    """typer's message, with the commands there are or where to read on."""
    context, message = getattr(error, "ctx", None), error.format_message().rstrip(".")
    if context is None or not message:  # without a message, help has been shown
        return str(message)
    if message.startswith("No such command"):
        return f"{message}; allowed: {', '.join(context.command.list_commands(context))}"
    return f"{message}{_value_of(getattr(error, 'param', None))}; see {context.command_path} --help"


def _value_of(option: Any) -> str:
    """What was typed for an option that typer could not read; its message does not say."""
    for i, word in enumerate(sys.argv):
        name, equals, value = word.partition("=")
        if name in getattr(option, "opts", ()):
            return f", got {(value if equals else ' '.join(sys.argv[i + 1 : i + 2]))!r}"
    return ""


def _fail(message: str, code: int) -> None:
    if message:
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(code)
