"""Floors, boxes and arrows of a package written for the test."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/tools/rooms.py"
ROOMS = runpy.run_path(str(SCRIPT))
FILES = {
    "__init__.py": "",
    "ground.py": "import json",
    "one/__init__.py": "",
    "one/a.py": "from made.ground import x, y",
    "one/b.py": "from made.one import a\nfrom made.one.a import z",
    "two.py": "def f():\n    import made.one.b\n",
    "three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.two import f\n",
    "left.py": "from made import right, two",
    "right.py": "import made.left",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_text(text)
    return tmp_path


def test_arrows_are_imports_anywhere_but_for_checkers(checkout: Path) -> None:
    arrows = ROOMS["module_arrows"](checkout / "made")
    assert {module.removeprefix("made."): targets for module, targets in arrows.items() if targets} == {
        "one.a": {"made.ground"},
        "one.b": {"made.one", "made.one.a"},
        "two": {"made.one", "made.one.b"},
        "left": {"made.right", "made.two"},
        "right": {"made.left"},
    }
    assert ROOMS["module_arrows"](checkout / "made", for_checkers=True)["made.three"] == {"made.two"}


def test_floors_are_counted_from_what_imports_nothing_and_a_circle_shares_one(checkout: Path) -> None:
    arrows = ROOMS["module_arrows"](checkout / "made")
    floors = {module.removeprefix("made."): floor for module, floor in ROOMS["floors"](arrows).items()}
    assert floors == {
        "made": 1,
        "ground": 1,
        "one": 1,
        "one.a": 2,
        "one.b": 3,
        "two": 4,
        "three": 1,
        "left": 5,
        "right": 5,
    }
    rooms = ROOMS["room_arrows"](arrows)
    assert rooms["one"] == {"ground"}
    assert max(ROOMS["floors"](rooms).values()) == 4


def test_it_prints_a_line_for_each_level(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(checkout), "--package", "made"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    _, rooms, modules = capsys.readouterr().out.splitlines()
    assert rooms.split() == ["4", "7", "5", "2", "rooms", "of", str(checkout)]
    assert modules.split() == ["5", "9", "8", "2", "modules", "of", str(checkout)]
