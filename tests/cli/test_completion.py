"""Completion in the shell: it installs, and completes commands, options, names and ids."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surrogate_nas.archive.archive import Archive
from surrogate_nas.datasets.named import dataset_names
from surrogate_nas.exits.choosing import METHODS
from surrogate_nas.exits.policies import POLICIES
from surrogate_nas.settings import STRATEGY_NAMES, SURROGATE_NAMES
from surrogate_nas.space.genomes import GENOMES
from surrogate_nas.space.spec import preset_names
from surrogate_nas.study.paths import ARCHIVE
from tests.cli.test_startup import BLOCK
from tests.conftest import Command

COMMAND = "surrogate-nas"


def program(folder: Path, before: str = "") -> Path:
    """The command line as a program of its name."""
    path = folder / COMMAND
    path.write_text(f"#!{sys.executable}\n{before}\nfrom surrogate_nas.cli.app import main\nmain()\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def complete(command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Completions of the last word, as bash asks for them."""

    def ask(*words: object) -> list[str]:
        monkeypatch.setenv("_SURROGATE_NAS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join([COMMAND, *map(str, words)]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return command()[1].split()

    return ask


KNOWN = {
    "run s --data": dataset_names(),
    "run s --space": preset_names(),
    "run s --strategy": STRATEGY_NAMES,
    "run s --surrogate": SURROGATE_NAMES,
    "run s --policy": POLICIES,
    "run s --loss": ("joint", "distillation"),
    "run s --keep": ("all", "front", "none"),
    "run s --executor": ("processes", "ray"),
    "run s --objective": ("macs", "cost"),
    "run s --charge-heads": ("all", "own"),
    "run s --sampling": ("uniform", "stratified", "space-filling"),
    "run s --device": ("auto", "cpu", "cuda", "mps"),
    "tune s x --method": METHODS,
    "spaces show": preset_names(),
    "spaces decode": GENOMES,
    "datasets show": dataset_names(),
}


@pytest.mark.parametrize("words", KNOWN)
def test_names_that_are_known_are_completed(words: str, complete) -> None:  # type: ignore[no-untyped-def]
    names = list(KNOWN[words])
    assert complete(*words.split(), "") == names
    assert complete(*words.split(), names[-1][:2]) == [name for name in names if name.startswith(names[-1][:2])]


def test_ids_of_the_study_are_completed(study_path: Path, tmp_path: Path, complete) -> None:  # type: ignore[no-untyped-def]
    ids = [record.id for record in Archive.open(study_path / ARCHIVE).records()]
    assert complete("tune", study_path, ids[3][:5]) == [ids[3]]
    assert complete("archive", "show", study_path, ids[3][:5]) == [ids[3]]
    assert complete("finalize", study_path, ids[0], ids[3][:5]) == [ids[3]]
    assert complete("tune", tmp_path / "none", "a") == []


def test_ids_are_completed_without_heavy_libraries(study_path: Path, tmp_path: Path) -> None:
    first = Archive.open(study_path / ARCHIVE).records()[0].id
    words = {"COMP_WORDS": f"{COMMAND} tune {study_path} {first[:6]}", "COMP_CWORD": "3"}
    environment = {**os.environ, "_SURROGATE_NAS_COMPLETE": "complete_bash", **words}
    done = subprocess.run([program(tmp_path, BLOCK)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [first], "")


def test_completion_installs_in_bash_and_completes_there(tmp_path: Path) -> None:
    program(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = f"""
{COMMAND} --install-completion || exit 1
. {home}/.bashrc || exit 1
COMP_WORDS=({COMMAND} fi) COMP_CWORD=1
"$(complete -p {COMMAND} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" {COMMAND}
echo "completed: ${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["completed: fit finalize"], done.stderr
    script_printed = subprocess.run(
        ["bash", "-c", f"{COMMAND} --show-completion; :"], env=environment, capture_output=True, text=True
    )
    assert "complete -o default -F" in script_printed.stdout
