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


ENDED = "the command ended with"


def run(script: str) -> subprocess.CompletedProcess[str]:
    """A script in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def command_line_script(words: list[str]) -> str:
    """A script that is the command line."""
    return f"import sys; sys.argv = {['surrogate-nas', *words]}\nfrom surrogate_nas.cli.app import main\nmain()"


def imported_libraries(*scripts: str) -> list[set[str]]:
    """Heavy libraries that a fresh interpreter has imported after each script, any of which may end itself."""
    report = f"print('LOADED:', *({set(HEAVY)} & set(sys.modules)), file=sys.stderr)"
    steps = list[str]()
    for script in scripts:
        lines = "\n".join(f"    {line}" for line in script.splitlines())
        steps.append(f"try:\n{lines}\nexcept SystemExit as ended: assert not ended.code\n{report}")
    process = run("\n".join(["import sys", *steps]))
    assert process.returncode == 0, process.stderr
    marked = process.stderr.split("LOADED:")[1:]
    assert len(marked) == len(scripts)
    return [set(text.splitlines()[0].split()) for text in marked]


LIGHT = [
    "archive list STUDY",
    "archive list STUDY --json",
    "archive list STUDY --failed --json",
    "archive show STUDY FIRST",
    "archive dump STUDY",
    "archive validate STUDY",
    "spaces show tiny",
    "spaces check tiny --samples 5",
    "datasets",
    "--help",
    "archive --help",
    "query --help",
]


def test_a_command_that_only_looks_needs_no_heavy_library(study_path: Path) -> None:
    """One interpreter runs them all: what is blocked can be imported for none of them."""
    first = Archive.open(study_path / ARCHIVE).records()[0].id
    substitutes = {"STUDY": str(study_path), "FIRST": first}
    commands = [[substitutes.get(word, word) for word in words.split()] for words in LIGHT]
    process = run(f"""{BLOCK}
from surrogate_nas.cli.app import main
for words in {commands}:
    sys.argv = ["surrogate-nas", *words]
    try:
        main()
    except SystemExit as ended:
        print("{ENDED}", ended.code or 0, flush=True)
""")
    assert (process.returncode, process.stderr) == (0, "")
    *printed, rest = process.stdout.split(f"{ENDED} 0\n")
    assert (len(printed), rest) == (len(LIGHT), "")
    assert all(text.strip() for text in printed)


def test_what_is_blocked_cannot_be_imported() -> None:
    process = run(f"""{BLOCK}
for name in {BLOCKED}:
    try:
        __import__(name)
    except ImportError as error:
        print(error)
""")
    assert process.stdout.splitlines() == [f"{library} is blocked" for library in BLOCKED]


LISTINGS = ["archive list STUDY", "archive dump STUDY", "archive validate STUDY", "spaces"]
OPENED_BY_ALL = ["archive.archive", "study.home", "documents", "datasets"]


def test_help_loads_no_heavy_library_and_a_listing_numpy_alone(study_path: Path) -> None:
    listings = [[str(study_path) if word == "STUDY" else word for word in words.split()] for words in LISTINGS]
    after_help, *others = imported_libraries(
        command_line_script(["--help"]),
        *(f"import surrogate_nas.{module}" for module in OPENED_BY_ALL),
        *map(command_line_script, listings),
    )
    assert after_help == set()
    assert others == [{"numpy"}] * (len(OPENED_BY_ALL) + len(LISTINGS))


def test_libraries_for_one_purpose_wait_for_it(study_path: Path) -> None:
    """For collecting, for `Study`, for a query and a fit, and for an evolutionary strategy, in this order."""
    collecting, *others, evolution = imported_libraries(
        "import surrogate_nas.study.trainings",
        "import surrogate_nas.api",
        command_line_script(["query", str(study_path), "--sample", "1"]),
        command_line_script(["fit", str(study_path)]),
        "from surrogate_nas.search.registry import STRATEGIES; STRATEGIES['nsga2'](None)",
    )
    assert collecting <= {"torch", "numpy", "scipy", "sklearn"}
    for loaded in others:
        assert loaded & {*FOR_ONE_PURPOSE, "sympy", "pandas", "ray"} == set()
        assert "torch" in loaded
    assert evolution & FOR_ONE_PURPOSE == {"pymoo", "moocore"}


@pytest.mark.slow
def test_a_run_adds_only_the_libraries_that_draw_its_report(study_path: Path, tmp_path: Path) -> None:
    study = shutil.copytree(study_path, tmp_path / "study")
    (loaded,) = imported_libraries(command_line_script(["run", str(study)]))
    assert (study / "report.html").is_file()
    assert loaded & FOR_ONE_PURPOSE == {"plotly", "matplotlib"}


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
