"""Make the outputs in README and docs again, and write them in.

    python scripts/tools/write_outputs.py [PAGE …]

A ```console block below `<!-- lines :5 -2: -->` shows those lines (slices, as of a list) of what its commands print on
stdout, or on stderr if they fail, with … for the others; the slices of several commands are separated by a semicolon.
Every page begins with a copy of one study, made by the first block of docs/start.md, and with the commands in its
`<!-- first COMMAND -->`, whose output is not shown. Blocks below `<!-- kept: … -->`
take longer, or need what is not there: they stay, with machine and date. Takes about ten minutes of two cores.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
FIRST, MACHINE_PAGE = "docs/start.md", "docs/howto/index.md"
LINES, WIDTH = 50, 120
BLOCK = re.compile(r"(?<=<!-- lines )(?P<shown>[^\n]+)(?P<open> -->\n```console\n)(?P<text>.*?)(?=```)", re.DOTALL)
BEFORE = re.compile(r"(?<=<!-- first ).+(?= -->)")
MACHINE = re.compile(r"(?<=<!-- machine -->).*?(?=<!-- end -->)", re.DOTALL)
DIGITS = {"four": 4, "two": 2}
"""Names of pictures, and their numbers among the images of scikit-learn."""


def pages() -> list[Path]:
    """README and the pages of docs that have a block to write."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in texts if BLOCK.search(path.read_text(encoding="utf-8"))]


def commands(text: str) -> list[str]:
    """Commands of a block, each with its continued lines."""
    return [c.rstrip("\n") for c in re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, flags=re.MULTILINE)]


def printed(command: str, folder: Path) -> list[str]:
    """Lines that a command prints in a folder, to a terminal of the usual width; its errors, if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TERM": "dumb", "COLUMNS": str(WIDTH), "LINES": str(LINES)}
    ours, theirs = os.openpty()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, stdout=theirs, stderr=errors)
        os.close(theirs)
        text = read(ours)
        failed = process.wait()
        if failed:
            errors.seek(0)
            text = errors.read()
    print(f"{failed} {command.splitlines()[0]}", file=sys.stderr)
    return [*chain.from_iterable(fitted(line) for line in text.splitlines())]


def read(terminal: int) -> str:
    """Text that is printed to a terminal, until nobody writes to it."""
    text = b""
    with suppress(OSError):  # raised at its end
        while part := os.read(terminal, 1 << 16):
            text += part
    os.close(terminal)
    return text.decode()


def fitted(line: str) -> list[str]:
    """A line, wrapped where it is too long."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) if len(line) > WIDTH else [line]


def elided(lines: Sequence[str], slices: str) -> Iterator[str]:
    """The lines of some slices, with … for those between."""
    numbers = [range(len(lines))[slice(*(int(n) if n else None for n in s.split(":")))] for s in slices.split()]
    wanted = sorted({*chain.from_iterable(numbers)})
    for number, before in zip(wanted, [-1, *wanted], strict=False):
        yield from ["…"] * (number > before + 1)
        yield lines[number].rstrip()
    yield from ["…"] * (not wanted or wanted[-1] < len(lines) - 1)


def written(text: str, folder: Path, known: dict[str, list[str]]) -> str:
    """A page with its blocks made again in a folder; what is known is not run again."""
    for command in BEFORE.findall(text):
        printed(command, folder)

    def block(match: re.Match[str]) -> str:
        lines: list[str] = []
        for command, slices in zip_longest(commands(match["text"]), match["shown"].split(";"), fillvalue=":"):
            out = known[command] if command in known else printed(command, folder)
            lines += [f"$ {command}", *elided(out, slices)]
        return f"{match['shown']}{match['open']}" + "\n".join(lines) + "\n"

    return BLOCK.sub(block, text)


def machine() -> str:
    """Processor and cores, version of torch, and the date."""
    cpus = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{' '.join(cpus[0].split()[:2])}, {len(cpus)} cores, torch {torch.__version__.split('+')[0]}, {today}"


def equip(folder: Path) -> None:
    """Put what the commands read into a folder: pictures of digits, a folder of photographs in portrait format by
    class, the docs, and a space with an error."""
    for name, number in DIGITS.items():
        pixels = (load_digits().images[number] * 255 / 16).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{name}.png")
    for number in range(40):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 40), (number, number, number)).save(path)
    (folder / "docs").symlink_to(ROOT / "docs")
    text = (ROOT / "docs/howto/example_space.yaml").read_text(encoding="utf-8")
    (folder / "bad.yaml").write_text(text.replace("[3, 5]", "[3, 4]", 1), encoding="utf-8")


def main() -> None:
    """Write the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    wanted = [path.resolve() for path in parser.parse_args().pages] or pages()
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base"
        base.mkdir()
        equip(base)
        [first] = commands(next(BLOCK.finditer((ROOT / FIRST).read_text(encoding="utf-8")))["text"])
        known = {first: printed(first, base)}
        for number, page in enumerate(wanted):
            folder = Path(place) / str(number)
            shutil.copytree(base, folder, symlinks=True)
            page.write_text(written(page.read_text(encoding="utf-8"), folder, known), encoding="utf-8")
    index = ROOT / MACHINE_PAGE
    index.write_text(MACHINE.sub(machine(), index.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
