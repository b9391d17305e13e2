"""The command line: what it prints, and that bad input is one line, exit code 2, and leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from surrogate_nas.api import Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.cli.app import app
from surrogate_nas.exits.limit_table import LIMITS
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.policies import POLICIES
from surrogate_nas.settings import Settings
from surrogate_nas.study.paths import ARCHIVE, SETTINGS
from tests.conftest import Command
from tests.whole.test_old_study import WRITTEN

pytestmark = pytest.mark.usefixtures("quick_fits")


def assert_refused(answer: tuple[int, str, str], expected: str) -> None:
    """One line on stderr that says why, nothing on stdout, exit code 2."""
    code, out, err = answer
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert expected in err


def state_of(study: Path) -> dict[Path, int]:
    """Times of the last change of a study's files, but for those that SQLite has while an archive is open."""
    return {p: p.stat().st_mtime_ns for p in study.rglob("*") if "sqlite-" not in p.name}


BAD_ARGUMENTS = {
    "--data nope": "unknown data set 'nope'; allowed: cifar10, cifar100, digits",
    "--space nope": "unknown search space 'nope'; allowed: aebnas, compact, edanas",
    "--budget 0": "error: --budget 0: input should be greater than or equal to 1\n",
    "--budget x": "error: --budget x: not a number; allowed: 200000, 200_000, 200,000, 2e5, 200k, 3M",
    "--max-macs=many": "error: --max-macs many: not a number; allowed: 200000, 200_000",
    "--initial 40": "error: --initial 40 exceeds the budget of 32",
    "--initial 3": "error: --initial 3 is too small; surrogates need at least 4 trained networks",
    "--max-macs -5": "error: --max-macs -5: input should be greater than 0\n",
    "--max-macs nan": "error: --max-macs nan: not a number; allowed: 200000",
    "--max-macs 100": "smallest found",
    "--min-accuracy 90": "error: --min-accuracy 90: input should be less than or equal to 1\n",
    "--surrogate rf": "error: --surrogate rf: not a surrogate; allowed: auto, stack, gp",
    "--surrogate nowhere:fit": "error: --surrogate nowhere:fit: module 'nowhere' cannot be imported",
    "--strategy tabu": "error: --strategy tabu: not a strategy; allowed: bayesian, edanas, nachos, aebnas, nsga2, ",
    "--strategy nowhere:it": "error: --strategy nowhere:it: module 'nowhere' cannot be imported",
    "--strategy aebnas": "error: --strategy aebnas needs a target of expected MACs, got no --max-macs",
    "--policy sure": "error: --policy sure: input should be 'max_softmax', 'margin', 'entropy', 'gate' or 'cumulative_",
    "--space compact": "error: --space compact is for images of 28 to 64 pixels; those of 'digits' have 8",
    "--workers -1": "error: --workers -1: input should be greater than or equal to 0\n",
    "--device warp": "error: --device warp: not a device; allowed: auto, cpu, cuda, mps, cuda:1",
    "--device meta": "error: --device meta: not a device; allowed: auto, cpu, cuda, mps, cuda:1",
    "--device cuda:99": "error: --device cuda:99 cannot be used here: this machine has",
    "--executor ray --device cuda --gpus-per-trial 0": "error: --gpus-per-trial 0 cannot be combined with device cuda",
    "--executor ray --device cpu --gpus-per-trial 1": "error: --gpus-per-trial 1 needs device auto or cuda, got cpu",
    "--epochs 0": "error: --epochs 0: input should be greater than or equal to 1\n",
    "--seed -1": "error: --seed -1 is out of range; allowed: 0 to 4294967295",
    "--seed 4294967296": "error: --seed 4294967296 is out of range; allowed: 0 to 4294967295",
    "--stream 4294967296": "error: --stream 4294967296: input should be less than 4294967296\n",
    "--data cifar10": "data set 'cifar10' needs --data-root",
    "--budgt 3": "--budgt",
    "--max-weight-bytes 3Mb": "error: --max-weight-bytes 3Mb: not a number of bytes; allowed: 200000, 200kB, 1.5MB",
    "--max-hours soon": "error: --max-hours soon: not a time; allowed: a number of hours, or 90s, 25m, 2.5h, 1h30m",
    "--max-memory-gb 4Gb": "error: --max-memory-gb 4Gb: not an amount of memory; allowed: a number of GB",
    "--epochs 1.5": "error: --epochs 1.5: not a whole number",
    "--objective cost": "no --cost-table is set",
    "--config missing.yaml": "missing.yaml",
}


@pytest.mark.parametrize("words", BAD_ARGUMENTS)
def test_bad_arguments_are_one_line_and_write_nothing(words: str, tmp_path: Path, command: Command) -> None:
    assert_refused(command("run", tmp_path / "study", *words.split()), BAD_ARGUMENTS[words])
    assert not (tmp_path / "study").exists()


BAD_CONFIGURATIONS = {
    "bugdet: 3": "unknown setting 'bugdet'; allowed: budget, initial",
    "limits: {max_mac: 3}": "unknown setting 'limits.max_mac'; allowed: max_macs, max_worst_macs, max_p95_macs",
    "recipe: {epoch: 3}": "unknown setting 'recipe.epoch'; allowed: epochs, batch_size",
    "budget: many": "budget: 'many' is not a number",
    "- 3": "expected a mapping of settings, got list",
    "budget: [": "while parsing",
}


@pytest.mark.parametrize("text", BAD_CONFIGURATIONS)
def test_a_bad_configuration_is_one_line_and_writes_nothing(text: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    assert_refused(command("run", tmp_path / "study", "--config", tmp_path / "settings.yaml"), BAD_CONFIGURATIONS[text])
    assert not (tmp_path / "study").exists()


BAD_QUESTIONS = {
    "query STUDY --sample 3 --thresholds 0.5": "3 exits need 2 thresholds, got 1",
    "query STUDY --sample 3 --thresholds 0.5,1.5": "threshold 1.5 is not in [0, 1]",
    "query STUDY --sample 3 --thresholds 0.5,on": "each must be a number in [0, 1] or off",
    "query STUDY --sample 0": "--sample 0 is not a positive integer",
    "query STUDY": "one of --encoding, --file, --sample and --best",
    "query STUDY --file missing": "missing cannot be read",
    "query STUDY --encoding abc": "error: --encoding abc is neither a text form nor numbers",
    "query STUDY --encoding 0,0.5": "encodings",
    "query STUDY --encoding stem-w8-s1/res-d9-w8-k3-s1/res-d1-w8-k3-s2/res-d1-w12-k3-s2": "depth 9 is not one of 1, 2",
    "query STUDY --encoding stem-w8-s1/res-d1-w8-k3-s1": "3 stages, the encoding has 1",
    "query NOWHERE --sample 1": "no study at NOWHERE",
    "tune STUDY zzzz --max-macs 1e5": "0 records have an id that starts with 'zzzz'",
    "tune STUDY zzzz --min-accuracy 7": "error: --min-accuracy 7: input should be less than or equal to 1\n",
    "run STUDY --seed 4": "has seed 3, got --seed 4",
    "run STUDY --space compact": "has space tiny, got --space compact",
    "run STUDY --epochs 9": "another recipe needs a new study",
    "search STUDY": "the budget of 12 trainings is spent",
    "search STUDY --rounds 0": "--rounds 0 is not a positive integer",
    "collect STUDY": "either --n or --encoding",
    "collect STUDY --n 0": "--n 0 is not a positive integer",
    "collect NOWHERE --encoding abc": "neither a text form nor numbers",
    "tune STUDY FIRST --max-macs 1e5 --method best": "error: --method best is not one of curve, nachos, aebnas",
    "tune STUDY FIRST --method aebnas --no-limits": "--method aebnas needs a target of expected MACs, got no --max",
    "tune STUDY FIRST --max-params 9 --no-limits": "give either limits or --no-limits, got --max-params 9 --no-limits",
    "tune STUDY FIRST --max-cost 5": "expected cost ≤ 5: this study has no cost table, which a limit on cost needs",
    "tiers STUDY FIRST --tiers 1": "tiers 1 is too few; allowed: at least 2",
    "policies STUDY zzzz": "0 records have an id that starts with 'zzzz'",
    "finalize STUDY zzzz": "0 records have an id that starts with 'zzzz'",
    "finalize STUDY --at 1": "error: --at 1 is below the cheapest solution's expected MACs",
    "finalize STUDY --seeds 0": "error: --seeds 0 is not a positive integer",
    "finalize STUDY --epochs 2": "the final recipe equals that of the search",
    "finalize STUDY --recipe missing.yaml": "missing.yaml",
    "archive show STUDY zzzz": "0 records have an id",
    "frobnicate": "allowed: run, collect, fit, search, query",
}


@pytest.mark.parametrize("words", BAD_QUESTIONS)
def test_bad_questions_are_one_line_and_change_nothing(words: str, study_path: Path, command: Command) -> None:
    before = state_of(study_path)
    assert before.keys() >= {study_path / ARCHIVE}
    first = Archive.open(study_path / ARCHIVE).records()[0].id
    substitutes = {"STUDY": study_path, "FIRST": first}
    assert_refused(command(*[substitutes.get(word, word) for word in words.split()]), BAD_QUESTIONS[words])
    assert state_of(study_path) == before
    assert not Path("NOWHERE").exists()


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path, command: Command) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    code, _, err = command("run", tmp_path)
    assert code == 2
    assert "is not a study; allowed for a new one" in err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_query_answers_in_json_alone(study_path: Path, command: Command) -> None:
    code, out, _ = command("query", study_path, "--sample", 5, "--thresholds", "0.8,off", "--json")
    answers = json.loads(out)
    assert code == 0
    assert len(answers) == 5
    assert all(abs(sum(mean for mean, _, _ in a["exit_probabilities"]) - 1) < 1e-9 for a in answers)


def test_query_reads_text_and_vector_encodings_from_a_file(study_path: Path, tmp_path: Path, command: Command) -> None:
    space = Archive.open(study_path / ARCHIVE).space
    first, second = space.sample(2, np.random.default_rng(0))
    vector = ",".join(str(x) for x in space.encode([second])[0])
    (tmp_path / "encodings").write_text(f"{first}\n\n[{vector}]\n")
    _, out, _ = command("query", study_path, "--file", tmp_path / "encodings", "--json")
    assert [a["encoding"] for a in json.loads(out)] == [str(first), str(second)]


def test_tables_for_people_name_what_they_show(study_path: Path, command: Command) -> None:
    record = Archive.open(study_path / ARCHIVE).records()[0]
    for words, expected in {
        f"query STUDY --encoding {record.architecture}": f"trained as {record.id}",
        "query STUDY --sample 3": "3 of 3 architectures",
        "fit STUDY": "Surrogates, judged on networks held out",
        f"tune STUDY {record.id[:6]} --max-macs 1e6": record.id,
        f"tune STUDY {record.id} --max-macs 2e5 --method aebnas": record.id,
        f"tiers STUDY {record.id} --tiers 4": "test accuracy [95 %]",
        f"policies STUDY {record.id}": "max_softmax",
        "archive list STUDY": "12 records",
        f"archive show STUDY {record.id}": str(record.architecture),
        "archive validate STUDY": "12 records, sound",
        "spaces": "compact",
        "datasets": "digits",
    }.items():
        code, out, err = command(*[study_path if w == "STUDY" else w for w in words.split()])
        assert code == 0, err
        assert expected in out


@pytest.mark.parametrize("verb", ["tune", "tiers", "policies"])
def test_no_limits_are_the_studys_unless_told_otherwise(verb: str, study_path: Path, command: Command) -> None:
    record = Archive.open(study_path / ARCHIVE).records()[0]
    own = Settings.load(study_path / SETTINGS).limits
    assert own.active
    for options, within in (
        ((), own),
        (("--no-limits",), Limits()),
        (("--max-macs", "1e6", "--max-p95-macs", "9e5"), Limits(max_macs=1e6, max_p95_macs=9e5)),
    ):
        code, out, err = command(verb, study_path, record.id, *options)
        assert code == 0, err
        assert out.partition("\n")[0].strip() == f"Network {record.id} within {within} on tune"


def test_no_limits_of_a_search_are_kept_as_none(study_path: Path, tmp_path: Path, command: Command) -> None:
    path = shutil.copytree(study_path, tmp_path / "copy")
    assert_refused(command("search", path, "--no-limits"), "the budget of 12 trainings is spent")
    assert Settings.load(path / SETTINGS).limits == Limits()


def test_an_option_for_every_limit_stands_in_every_command_that_takes_limits() -> None:
    group = typer.main.get_command(app)
    taking = {
        name: [parameter for parameter in inner.params if parameter.name in (*Limits.model_fields, "no_limits")]
        for name, inner in group.commands.items()  # type: ignore[attr-defined]
        if name != "infer"  # whose budget is one of the settings that an export has
    }
    taking = {name: options for name, options in taking.items() if options}
    assert {
        "run",
        "collect",
        "search",
        "query",
        "tune",
        "tiers",
        "policies",
        "export",
        "shift",
        "certify",
    } == taking.keys()
    for options in taking.values():
        assert [option.name for option in options] == [*(limit.name for limit in LIMITS), "no_limits"]
        assert [option.opts for option in options[:-1]] == [[f"--{x.name.replace('_', '-')}"] for x in LIMITS]
        assert [option.help for option in options[:-1]] == [limit.about for limit in LIMITS]


def test_the_policies_of_the_help_are_those_of_the_table() -> None:
    group = typer.main.get_command(app)
    (option,) = (p for p in group.commands["run"].params if p.name == "policy")  # type: ignore[attr-defined]
    assert option.help == f"Confidence score of an exit: {', '.join(POLICIES)}. Default: the space's."


def test_every_json_document_is_the_only_thing_on_stdout(study_path: Path, command: Command) -> None:
    record = Archive.open(study_path / ARCHIVE).records()[0]
    for words in (
        "fit STUDY",
        f"tune STUDY {record.id} --max-macs 1e6",
        f"tiers STUDY {record.id}",
        f"policies STUDY {record.id}",
        "archive list STUDY",
        "archive validate STUDY",
        f"archive show STUDY {record.id}",
        "spaces",
        "datasets",
        "doctor",
    ):
        _, out, _ = command(*[study_path if w == "STUDY" else w for w in words.split()], "--json")
        assert json.loads(out)


def test_a_dump_has_a_line_for_each_record(study_path: Path, command: Command) -> None:
    _, out, _ = command("archive", "dump", study_path)
    lines = [json.loads(line) for line in out.splitlines()]
    assert len({line["id"] for line in lines}) == 12
    assert sum(line["prediction"] is not None for line in lines) == 2


def test_a_record_has_the_accuracy_of_each_exit_by_split(study_path: Path, command: Command) -> None:
    _, out, _ = command("archive", "dump", study_path)
    study = Study.open(study_path)
    for line in map(json.loads, out.splitlines()):
        record = study.archive.find(line["id"])
        assert line["accuracies"].keys() == {"tune", "test"}
        for split, accuracies in line["accuracies"].items():
            exits = study.exits(record, split)
            assert accuracies == pytest.approx(exits.correct[[e - 1 for e in line["exits"]]].mean(axis=1))
    printed = json.loads(command("archive", "show", study_path, line["id"], "--json")[1])
    assert {name: printed[name] for name in line} == line


def test_a_failure_has_no_accuracies(tmp_path: Path, command: Command) -> None:
    _, out, _ = command("archive", "dump", shutil.copytree(WRITTEN, tmp_path / "study"))
    lines = [json.loads(line) for line in out.splitlines()]
    assert any(line["failure"] for line in lines)
    assert all((line["accuracies"] is None) == (line["failure"] is not None) for line in lines)


def test_an_unsound_archive_fails_validation(study_path: Path, tmp_path: Path, command: Command) -> None:
    path = shutil.copytree(study_path, tmp_path / "copy")
    archive = Archive.open(path / ARCHIVE)
    archive._connection.execute("UPDATE arrays SET data = x'00' WHERE name = 'tune/logits'")
    archive.close()
    code, out, err = command("archive", "validate", path)
    assert code == 1
    assert out.count("record ") == 12
    assert "12 problems" in err


def test_a_run_in_small_ends_with_a_front_and_a_report(tmp_path: Path, command: Command) -> None:
    words = "--budget 3 --initial 3 --epochs 1 --workers 2 --max-macs 3e5 --json"
    code, out, err = command("run", tmp_path / "study", *words.split())
    document = json.loads(out)
    assert code == 0, err
    assert document["trainings"] == 3
    assert document["front"]
    assert Path(document["report"]).is_file()
    assert "estimated time" in err
    assert "[3/3]" in err


# ---------------------------------------------------------------------- failures, baselines, data, two at once


def test_failed_trainings_are_listed_with_the_reason_retried_and_dropped(tmp_path: Path, command: Command) -> None:
    study = tmp_path / "study"
    words = ["collect", study, "--n", 2, "--epochs", 1, "--workers", 0]
    assert command(*words, "--max-seconds", 1e-9)[0] == 0
    _, out, _ = command("archive", "list", study, "--failed", "--json")
    failed = json.loads(out)
    assert [row["status"] for row in failed] == ["time", "time"]
    assert "more than 1e-09 s" in failed[0]["message"]
    _, out, _ = command("archive", "retry", study, failed[0]["id"])
    assert out == f"pending again, for the next run, search or collect: {failed[0]['id']}\n"
    _, out, _ = command("archive", "drop", study)
    assert out == f"dropped: {failed[1]['id']}\n"
    assert command("collect", study, "--n", 1, "--max-seconds", 1000)[0] == 0
    _, out, _ = command("archive", "list", study, "--json")
    rows = json.loads(out)
    assert [row["status"] for row in rows] == ["trained", "trained"]
    assert rows[0]["id"] == failed[0]["id"]


def test_baselines_are_trained_listed_and_reported(study_path: Path, tmp_path: Path, command: Command) -> None:
    study = shutil.copytree(study_path, tmp_path / "study")
    code, out, err = command("baselines", study, "--all", "--json")
    assert code == 0, err
    assert [row["name"] for row in json.loads(out)] == ["ResNet-8", "BranchyNet of ResNet-8", "static network"]
    _, out, _ = command("archive", "list", study, "--baselines")
    assert "3 records" in out
    _, out, _ = command("report", study, "--output", tmp_path / "elsewhere", "--json")
    assert "BranchyNet of ResNet-8" in Path(json.loads(out)["report"]).read_text()
    assert not (study / "report.html").exists()


def test_a_data_card_has_what_a_study_would_see(command: Command) -> None:
    _, out, _ = command("datasets", "show", "digits", "--image-size", 16, "--json")
    card = json.loads(out)
    assert (card["train"], card["tune"], card["test"], card["size"]) == (1005, 432, 360, 16)
    assert sum(c["images"] + c["test"] for c in card["classes"]) == 1797
    assert "resized to 16×16" in card["notes"][0]
    _, out, _ = command("datasets", "show", "digits")
    assert "train 1,005, tune 432, test 360" in out


def test_while_one_command_works_another_says_so_or_waits_and_readers_read(tmp_path: Path, command: Command) -> None:
    study = tmp_path / "study"
    words = ["collect", str(study), "--n", "3", "--epochs", "6", "--workers", "0"]
    first = subprocess.Popen([sys.executable, "-m", "surrogate_nas", *words], stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    while "[1/3]" not in first.stderr.readline():
        assert first.poll() is None
    assert_refused(command(*words), f"another command is working on study {study} (process {first.pid}, collect since")
    assert_refused(command("run", study, "--budget", 33), "another command is working")
    assert command("archive", "list", study)[0] == 0
    assert first.poll() is None
    code, _, err = command("collect", study, "--n", "1", "--wait")
    assert code == 0, err
    assert "waiting for it to end" in err
    first.communicate()
    assert first.returncode == 0
    assert len(Archive.open(study / ARCHIVE).records()) == 4


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_continues(tmp_path: Path) -> None:
    words = ["--budget", "8", "--initial", "8", "--epochs", "20", "--workers", "2"]
    command = [sys.executable, "-m", "surrogate_nas", "run", str(tmp_path / "study"), *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    while "[1/8]" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted; the same command continues" in err
    before = len(Archive.open(tmp_path / "study" / ARCHIVE).records())
    assert 1 <= before < 8
    subprocess.run(command, check=True, capture_output=True)
    assert len(Archive.open(tmp_path / "study" / ARCHIVE).records()) == 8
