"""The check of words sees each sin, and only those."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/tools/check_words.py"
sins = runpy.run_path(str(SCRIPT))["sins"]

SINS = {
    "module": '"""What a study holds."""',
    "class": 'class A:\n    """Of the network."""',
    "function": 'def f():\n    """That there are."""',
    "coroutine": 'async def f():\n    """As httpx does."""',
    "method": 'class A:\n    def f(self):\n        """The same with fewer rows."""',
    "field": 'class A:\n    b: int\n    """Those of the splits."""',
    "constant": 'B = 1\n"""What is left."""',
    "below a line break": 'def f():\n    """\n    Of the network."""',
    "option": 'size = typer.Option(help="Of the images.")',
    "argument in parts": 'size = Argument(3, help=f"That is {size}" "large.")',
    "sum of texts": 'size = Option(help="What is kept: " + ", ".join(KEPT))',
    "variable": "found = 1",
    "loop": "for said in texts: pass",
    "argument": "def f(*, shown): pass",
    "function's name": "def found(): pass",
    "attribute": "self.shown = 1",
    "key": "class A(TypedDict):\n    found: int",
    "key in a call": 'A = TypedDict("A", {"said": int})',
    "import": "import a as found",
    "pattern": "match a:\n    case [said]: pass",
    "walrus": "if (found := f()): pass",
}
SOUND = {
    "other beginnings": '"""Whatever fits: what, of, that, as, those; the same."""',
    "longer words": 'def f():\n    """Offsets of rows. As a rule."""\n    A = 1\n    """Assertions."""',
    "a text that documents nothing": 'f()\n"What is this?"\ng("Of that")',
    "another keyword": 'f(help="Of the images.")',
    "longer names": "founder, is_shown, unsaid = 1, 2, 3",
    "a name of others": "print(result.found, shown)",
}


@pytest.mark.parametrize("kind", SINS)
def test_each_sin_is_seen_once(kind: str) -> None:
    source = SINS[kind]
    [sin] = sins(f"import a\n{source}" if kind != "module" else source)
    assert 1 <= sin.line <= source.count("\n") + 2
    assert sin.text.startswith(("What", "Of", "That", "As", "The same", "Those", "a name: "))


@pytest.mark.parametrize("kind", SOUND)
def test_sound_words_pass(kind: str) -> None:
    assert sins(SOUND[kind]) == []


def test_a_sin_is_a_line_and_an_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    call = [sys.executable, SCRIPT, tmp_path]
    file.write_text('"""Sound."""\n\nfound = 1\n"""Of a search."""\n', encoding="utf-8")
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, f"{file}:3: a name: found\n{file}:4: Of a search.\n")
    file.write_text('"""Sound."""\n', encoding="utf-8")
    assert subprocess.run(call, capture_output=True, text=True).returncode == 0
