"""The order of the rooms: nothing imports upwards or in a circle, and heavy libraries are where they belong."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = runpy.run_path(str(ROOT / "scripts/tools/rooms.py"))
room_of, imported, reached = ROOMS["room_of"], ROOMS["imported"], ROOMS["reached"]
SOURCES: dict[str, ast.Module] = ROOMS["sources"](ROOT / "surrogate_nas")
ARROWS: dict[str, set[str]] = ROOMS["module_arrows"](ROOT / "surrogate_nas", for_checkers=True)
RUN: dict[str, set[str]] = ROOMS["module_arrows"](ROOT / "surrogate_nas")

EXACT = ["foundation", "architecture", "exits", "space"]
LEFT = [
    *EXACT,
    "certificates",
    "datasets",
    "network",
    "archive",
    "training",
    "settings",
    "surrogates",
    "search",
    "study",
]
MAY_IMPORT = {
    "foundation": [],
    "architecture": EXACT[:1],
    "exits": EXACT[:2],
    "space": EXACT[:3],
    "certificates": EXACT[:3],
    "datasets": EXACT[:2],
    "network": EXACT,
    "archive": [*EXACT, "certificates"],
    "training": ["foundation", "architecture", "datasets", "network", "archive"],
    "settings": [*EXACT, "training"],
    "surrogates": [*EXACT, "archive", "settings"],
    "search": [room for room in LEFT[:11] if room != "training"] + ["training.recipe"],
    "study": LEFT[:12],
    "report": LEFT,
    "export": LEFT,
    "documents": [*LEFT, "report", "export"],
    "serve": [*LEFT, "report", "documents"],
    "api": [*LEFT, "report", "export", "serve"],
    "cli": [*LEFT, "report", "export", "documents", "serve", "api"],
    "__main__": ["cli"],
}
WITHOUT_TORCH = [*EXACT, "certificates", "archive", "settings", "study.paths", "study.home", "documents"]
LIBRARIES = {
    "torch": ["datasets", "network", "training", "surrogates", "search", "study", "export", "serve"],
    "torchvision": ["datasets.named"],
    "botorch gpytorch linear_operator xgboost": ["surrogates", "search.bayesian"],
    "typer rich": ["cli", "foundation.progress"],
    "pymoo": ["search.evolutionary"],
    "fvcore": ["network.backbone"],
    "plotly matplotlib": ["report"],
}
"""Where they may be imported."""
LATE = ["cli", "api", "datasets", "search.registry"]
"""Modules whose functions may import other modules of the package."""


def within(module: str, places: list[str]) -> bool:
    """Whether a module is one of these modules or stands in one of these packages."""
    return any(f"{module}.".startswith(f"surrogate_nas.{place}.") for place in places)


def named(module: str, libraries: str) -> set[str]:
    """Subset of the libraries that a module imports, by themselves or as part of another (`safetensors.torch`)."""
    return {part for name in imported(SOURCES[module]) for part in name.split(".")} & set(libraries.split())


def test_every_module_stands_in_a_room() -> None:
    assert {room_of(module) for module in SOURCES} == MAY_IMPORT.keys() | {"__init__"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_from_rooms_to_its_left(room: str) -> None:
    modules = [module for module in SOURCES if room_of(module) == room]
    assert modules
    allowed = [room, *MAY_IMPORT[room]]
    assert [f"{m} -> {target}" for m in modules for target in ARROWS[m] if not within(target, allowed)] == []


def test_no_module_is_in_a_circle_of_imports() -> None:
    assert sum(map(len, RUN.values())) > len(SOURCES)
    assert [module for module, beyond in reached(RUN).items() if module in beyond] == []


@pytest.mark.parametrize("libraries", LIBRARIES)
def test_heavy_libraries_are_imported_where_they_belong(libraries: str) -> None:
    importers = [module for module in SOURCES if named(module, libraries)]
    assert importers
    assert [module for module in importers if not within(module, LIBRARIES[libraries])] == []


@pytest.mark.parametrize("place", WITHOUT_TORCH)
def test_what_must_start_at_once_reaches_no_torch(place: str) -> None:
    modules = [module for module in SOURCES if within(module, [place])]
    assert modules
    packages = {m: {p for p in SOURCES if m.startswith(f"{p}.")} for m in SOURCES}  # which are imported first
    beyond = reached({module: targets | packages[module] for module, targets in RUN.items()})
    heavy = {module for module in SOURCES if named(module, "torch torchvision botorch gpytorch")} - {"datasets.named"}
    assert {f"{m} -> {target}" for m in modules for target in {m, *beyond[m]} & heavy} == set()


def test_only_commands_extras_readers_of_images_and_the_registry_of_strategies_import_late() -> None:
    late = {
        module
        for module, tree in SOURCES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        if any(name.startswith("surrogate_nas.") for name in imported(function))
    }
    assert late
    assert [module for module in late if not within(module, LATE)] == []


def test_what_is_copied_into_every_export_imports_nothing_of_the_package() -> None:
    names = list(imported(SOURCES["surrogate_nas.export.runtime"], for_checkers=True))
    assert names
    assert [name for name in names if name.startswith("surrogate_nas")] == []
