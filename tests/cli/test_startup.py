"""Libraries that commands load: a listing must not wait for those that only trainings and surrogates need."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from surrogate_nas.archive.archive import Archive
from surrogate_nas.study.paths import ARCHIVE

BLOCKED = ("torch", "sklearn", "botorch", "gpytorch", "xgboost", "torchvision")
FOR_ONE_PURPOSE = {"torchvision", "pymoo", "moocore", "fvcore", "plotly", "matplotlib"}
"""Libraries for named data sets, evolutionary strategies, exits on a given backbone, and reports."""
HEAVY = (*BLOCKED, *FOR_ONE_PURPOSE, "numpy", "scipy", "sympy", "pandas", "PIL", "ray")
BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """A script in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def command_line_script(words: list[str]) -> str:
    """A script that is the command line."""
    return f"import sys; sys.argv = {['surrogate-nas', *words]}\nfrom surrogate_nas.cli.app import main\nmain()"


def imported_libraries(script: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has imported after a script, which may end itself."""
    lines = "\n".join(f"    {line}" for line in script.splitlines())
    report = f"import sys; print(*({set(HEAVY)} & set(sys.modules)), file=sys.stderr)"
    process = run(f"try:\n{lines}\nexcept SystemExit as ended: assert not ended.code\n{report}")
    assert process.returncode == 0, process.stderr
    return set(process.stderr.splitlines()[-1].split())


LIGHT = [
    "archive list STUDY",
    "archive list STUDY --json",
    "archive list STUDY --failed --json",
    "archive show STUDY FIRST",
    "archive dump STUDY",
    "archive validate STUDY",
    "spaces",
    "spaces show tiny",
    "spaces check tiny --samples 5",
    "datasets",
    "--help",
    "archive --help",
    "query --help",
]


@pytest.mark.parametrize("words", LIGHT)
def test_a_command_that_only_looks_needs_no_heavy_library(words: str, study_path: Path) -> None:
    first = Archive.open(study_path / ARCHIVE).records()[0].id
    substitutes = {"STUDY": str(study_path), "FIRST": first}
    process = run(BLOCK + command_line_script([substitutes.get(word, word) for word in words.split()]))
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.strip()


@pytest.mark.parametrize("library", BLOCKED)
def test_what_is_blocked_cannot_be_imported(library: str) -> None:
    process = run(f"{BLOCK}import {library}")
    assert process.returncode != 0
    assert f"{library} is blocked" in process.stderr


def test_help_loads_no_heavy_library() -> None:
    assert imported_libraries(command_line_script(["--help"])) == set()


@pytest.mark.parametrize("words", ["archive list STUDY", "archive dump STUDY", "archive validate STUDY", "spaces"])
def test_a_listing_loads_numpy_alone(words: str, study_path: Path) -> None:
    assert imported_libraries(
        command_line_script([str(study_path) if word == "STUDY" else word for word in words.split()])
    ) == {"numpy"}


@pytest.mark.parametrize("module", ["archive.archive", "study.home", "documents", "datasets"])
def test_what_every_command_opens_loads_numpy_alone(module: str) -> None:
    assert imported_libraries(f"import surrogate_nas.{module}") == {"numpy"}


def test_collecting_needs_neither_botorch_nor_xgboost_nor_torchvision() -> None:
    light = {"torch", "numpy", "scipy", "sklearn"}
    assert imported_libraries("import surrogate_nas.study.trainings") <= light


@pytest.mark.parametrize("words", [[], ["query", "STUDY", "--sample", "1"], ["fit", "STUDY"]])
def test_libraries_for_one_purpose_wait_for_it(words: list[str], study_path: Path) -> None:
    """No words: the import of `Study`."""
    command = command_line_script([str(study_path) if word == "STUDY" else word for word in words])
    loaded = imported_libraries(command if words else "import surrogate_nas.api")
    assert loaded & {*FOR_ONE_PURPOSE, "sympy", "pandas", "ray"} == set()
    assert "torch" in loaded


@pytest.mark.slow
def test_a_run_adds_only_the_libraries_that_draw_its_report(study_path: Path, tmp_path: Path) -> None:
    study = shutil.copytree(study_path, tmp_path / "study")
    loaded = imported_libraries(command_line_script(["run", str(study)]))
    assert (study / "report.html").is_file()
    assert loaded & FOR_ONE_PURPOSE == {"plotly", "matplotlib"}


def test_naming_an_evolutionary_strategy_loads_pymoo() -> None:
    loaded = imported_libraries("from surrogate_nas.search.registry import STRATEGIES; STRATEGIES['nsga2'](None)")
    assert loaded & FOR_ONE_PURPOSE == {"pymoo", "moocore"}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["api", "search.bayesian.acquisition", "surrogates.gp"])
def test_an_import_warns_of_nothing(module: str) -> None:
    """Whichever module is the first: what dependencies warn of is nothing that a user can change."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import surrogate_nas.{module}"], capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_no_module_warns_when_it_is_imported() -> None:
    script = """
import pkgutil, surrogate_nas
for module in pkgutil.walk_packages(surrogate_nas.__path__, "surrogate_nas."):
    if not module.name.endswith(("__main__", ".ray")):
        __import__(module.name)
"""
    process = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
