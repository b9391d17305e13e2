"""The tests of two checkouts one after the other, and the ratio of their times.

    python scripts/tools/time_tests.py BEFORE AFTER

Each runs `make test` in its own folder, with the Python and the libraries of this environment. Nothing else should run.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path


def seconds(checkout: Path) -> float:
    """Seconds that `make test` takes in a checkout.

    Raises:
        SystemExit: if a test fails.
    """
    recipe = subprocess.run(
        ["make", "-n", "-o", ".venv/installed", "test"], cwd=checkout, capture_output=True, text=True
    )
    _, _, arguments = recipe.stdout.strip().splitlines()[-1].partition("python ")
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    start = time.monotonic()
    process = subprocess.run(f"{sys.executable} {arguments}", shell=True, cwd=checkout, env=environment)
    took = time.monotonic() - start
    if process.returncode:
        sys.exit(f"error: the tests of {checkout} fail")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    before, after = seconds(options.before), seconds(options.after)
    print(f"{before:.0f} s before, {after:.0f} s after: {after / before:.2f} times as long")


if __name__ == "__main__":
    main()
