"""The check of a GPU, made of the CPU with one small network: what it finds, and that it finds what is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from surrogate_nas.architecture.architecture import Architecture

SCRIPT = Path(__file__).parents[2] / "scripts/tools/check_gpu.py"
NOT_NEEDED = (
    "botorch",
    "gpytorch",
    "xgboost",
    "fvcore",
    "torchvision",
    "matplotlib",
    "plotly",
    "pymoo",
    "PIL",
    "typer",
)
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, {folder!r})
import check_gpu
"""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The script as a module, which its children import too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(SCRIPT.parent))
        yield import_module("check_gpu")
        for name in ("check_gpu", "check_gpu_device", "check_gpu_trainings"):
            del sys.modules[name]


Outcome = tuple[int, dict[str, Any]]


@pytest.fixture
def check(
    script: ModuleType, architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs the script in this process, on the CPU; returns its exit code and what it wrote."""

    def run(*words: str) -> Outcome:
        small = ["--networks", str(architecture), "--side", "8", "--precisions", "float32", "--processes", "1", "2"]
        written = tmp_path / "report.json"
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--device", "cpu", "--json", str(written), *small, *words])
        with pytest.raises(SystemExit) as ended:
            script.main()
        return int(ended.value.code or 0), json.loads(written.read_text())

    return run


def outcomes(report: dict[str, Any]) -> dict[str, bool | None]:
    return {row["name"]: row["passed"] for row in report["checks"]}


@pytest.mark.slow
def test_a_sound_device_passes_and_this_process_makes_no_cuda_context(
    check: Callable[..., Outcome],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    for name in ("_lazy_init", "is_available"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: asked.append(name))
    code, report = check()
    assert (code, asked) == (0, [])
    assert outcomes(report) == {
        "device": True,
        "float32 outputs": True,
        "float32 trained, 1 at a time": True,
        "float32 trained, 2 at a time": True,
        "float32 repeated": True,
        "float32 resumed": True,
    }
    assert report["facts"]["torch"] == torch.__version__
    alone, two = report["speeds"]
    assert (alone["processes"], alone["ratio"], two["processes"]) == (1, 1.0, 2)
    assert two["ratio"] == pytest.approx(two["images_per_second"] / alone["images_per_second"])
    text = capsys.readouterr().out
    assert "| float32 resumed | passed | the same weights, bit for bit | bit for bit |" in text
    assert "6 passed, 0 FAILED, 0 skipped" in text


@pytest.mark.slow
def test_other_weights_are_found_out_and_what_the_time_does_not_suffice_for_is_listed(
    check: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = check("--perturb", "0.1", "--seconds", "75")
    assert (code, report["passed"]) == (1, False)
    assert outcomes(report) == {
        "device": True,
        "float32 outputs": False,
        "float32 trained, 1 at a time": None,
        "float32 trained, 2 at a time": None,
        "float32 repeated": None,
        "float32 resumed": None,
    }
    assert "1 passed, 1 FAILED, 4 skipped" in capsys.readouterr().out


def test_a_difference_at_one_exit_is_enough_and_nan_is_one(script: ModuleType) -> None:
    differences = sys.modules["check_gpu_device"].relative_differences
    logits = [torch.tensor([[4.0, -8.0]]), torch.tensor([[2.0, 1.0]])]
    assert differences(logits, logits) == [0.0, 0.0]
    changed = [logits[0], logits[1] + 8 * 1.5e-4]
    assert differences(logits, changed) == pytest.approx([0.0, 1.5e-4], rel=1e-3)
    for gap, precision, passed in ((1.5e-4, "float32", False), (1.5e-4, "bfloat16", True), (0.5e-4, "float32", True)):
        assert script.judge_outputs([[0.0, 0.0], [0.0, gap]], precision)[0] is passed
    assert differences(logits, [logits[0], logits[1] * float("nan")])[1] == float("inf")


def test_weights_that_went_another_way_are_found_out(script: ModuleType) -> None:
    weights = {"a": torch.ones(2), "n": torch.tensor(3)}
    assert script.weight_difference(weights, {name: w.clone() for name, w in weights.items()}) == 0
    assert script.weight_difference(weights, weights | {"n": torch.tensor(4)}) == 1
    assert script.weight_difference(weights, {"a": weights["a"]}) == float("inf")


@pytest.mark.slow
def test_a_child_that_dies_or_raises_is_a_line(script: ModuleType) -> None:
    with script.Child() as child:
        with pytest.raises(script.BrokenOff, match="ZeroDivisionError"):
            child.ask(60, divmod, 1, 0)
        assert child.ask(60, divmod, 7, 2) == (3, 1)
        with pytest.raises(script.BrokenOff, match="the process ended with exit code 9"):
            child.ask(60, os._exit, 9)


def run_without(*names: str) -> subprocess.CompletedProcess[str]:
    program = BLOCK.format(names=names, folder=str(SCRIPT.parent))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_it_needs_neither_surrogates_nor_what_draws_or_prints() -> None:
    process = run_without(*NOT_NEEDED)
    assert (process.returncode, process.stderr) == (0, "")


def test_what_is_missing_is_one_line_that_says_what_to_install() -> None:
    process = run_without("numpy")
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "No module named 'numpy'; this script needs: pip install torch numpy scikit-learn" in process.stderr
