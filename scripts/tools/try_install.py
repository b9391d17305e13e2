"""Try the CPU installation of docs/start.md in a fresh environment.

    python scripts/tools/try_install.py [--index URL] [--torch REQUIREMENT ...]

Runs the three lines of that page in a temporary folder that holds a copy of the package, then imports it and runs
`surrogate-nas doctor`; prints seconds and size after each step. If the index of PyTorch cannot be reached, the second
line takes torch from wherever pip finds it, which is usually a CUDA build of several GB. Exit code 1 says that a step
failed.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/start.md"
INDEX = re.compile(r" --index-url (\S+)")
NEEDED = ("surrogate_nas", "pyproject.toml", "README.md", "LICENSE")
"""Parts of the repository that an installation takes."""
IMPORTS = "import torch, surrogate_nas; surrogate_nas.Study; print('torch', torch.__version__)"
SECONDS_TO_ANSWER = 10


def page_lines(text: str) -> list[str]:
    """The commands of the first block of a page that names an index, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    [block, *_] = [block for block in blocks if INDEX.search(block)]
    return [line.partition(" #")[0].rstrip() for line in block.splitlines() if line.strip()]


def changed(lines: Sequence[str], index: str | None, torch: Sequence[str]) -> list[str]:
    """The commands with another index, or none, and other requirements of torch, if there are any."""
    option = f" --index-url {index}" if index else ""
    lines = [INDEX.sub(option, line) for line in lines]
    return [line.replace(" torch torchvision", f" {' '.join(torch)}") if torch else line for line in lines]


def refusal(index: str) -> str | None:
    """Reason why an index cannot be reached; `None` if it answers."""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=SECONDS_TO_ANSWER):
            return None
    except (OSError, ValueError, urllib.error.URLError) as error:
        return str(error)


def megabytes(folder: Path) -> int:
    """Size of the files below a folder, in 10⁶ bytes."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) // 1_000_000


def step(command: str, folder: Path) -> bool:
    """Run a command with the folder's environment first on the path; print its time, and return whether it succeeds."""
    print(f"$ {command}", flush=True)
    start = time.monotonic()
    path = f'export PATH="{folder / ".venv/bin"}:$PATH"; unset PYTHONPATH'
    done = subprocess.run(["bash", "-c", f"{path}; {command}"], cwd=folder, check=False)
    seconds, size = time.monotonic() - start, megabytes(folder / ".venv")
    print(f"  {'done' if done.returncode == 0 else 'FAILED'} in {seconds:.0f} s; {size:,} MB", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lines = page_lines(PAGE.read_text(encoding="utf-8"))
    [index] = INDEX.findall("\n".join(lines))
    parser.add_argument("--index", default=index, help="index of PyTorch's CPU builds (default: %(default)s)")
    parser.add_argument("--torch", nargs="+", default=[], help="requirements in place of torch and torchvision")
    options = parser.parse_args()
    reason = refusal(options.index)
    if reason:
        print(f"{options.index} cannot be reached ({reason}); torch from where pip looks by itself")
    commands = changed(lines, None if reason else options.index, options.torch)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in NEEDED:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        start = time.monotonic()
        succeeded = all(step(command, folder) for command in [*commands, f'python -c "{IMPORTS}"'])
        succeeded = succeeded and step("surrogate-nas doctor", folder)
        print(f"{megabytes(folder / '.venv'):,} MB in {time.monotonic() - start:.0f} s")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
