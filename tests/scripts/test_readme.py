"""The list of scripts: a line for each, and none for what is not there."""

import re
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_every_script_has_its_line() -> None:
    sections = re.split(r"^## ", (SCRIPTS / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(sections) >= 5
    listed = [
        f"{section.splitlines()[0]}/{name}"
        for section in sections
        for name in re.findall(r"^- `(\w+\.py)`: ", section, re.M)
    ]
    assert sorted(listed) == sorted(path.relative_to(SCRIPTS).as_posix() for path in SCRIPTS.rglob("*.py"))
