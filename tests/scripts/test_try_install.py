"""The trial of the installation: the lines it takes from the documentation, and an index that does not answer."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/tools/try_install.py"
TRIAL = runpy.run_path(str(SCRIPT))
LINES = TRIAL["page_lines"](TRIAL["PAGE"].read_text(encoding="utf-8"))


def test_the_documentation_has_three_lines() -> None:
    environment, torch, package = LINES
    assert environment.startswith("python3 -m venv .venv")
    assert TRIAL["INDEX"].findall(torch) == ["https://download.pytorch.org/whl/cpu"]
    assert package == "pip install ."


def test_another_index_or_none_and_other_requirements_take_their_places() -> None:
    def torch_line(index: str | None, *torch: str) -> str:
        lines = TRIAL["changed"](LINES, index, torch)
        assert (lines[0], lines[2]) == (LINES[0], LINES[2])
        return str(lines[1])

    assert torch_line("file:///here") == "pip install torch torchvision --index-url file:///here"
    assert torch_line(None) == "pip install torch torchvision"
    assert torch_line(None, "torch==2.13.0") == "pip install torch==2.13.0"


def test_an_index_that_does_not_answer_is_refused_with_a_reason(tmp_path: Path) -> None:
    assert TRIAL["refusal"](f"{tmp_path.as_uri()}/nowhere")
    assert TRIAL["refusal"]("no address")


def test_a_step_says_whether_it_succeeds(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    assert TRIAL["step"]("test -d .venv", tmp_path)
    assert not TRIAL["step"]("false", tmp_path)
