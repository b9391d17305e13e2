"""Floors, boxes and arrows of the package, from its source.

    python scripts/tools/rooms.py [CHECKOUT ...] [--package surrogate_nas]

A *box* is what is seen at one level: for rooms a module or a package that stands directly in the package
(`settings.py`, `exits/`), for modules every file; the package's own `__init__.py` and `__main__.py` are boxes, too. An
*arrow* leads from one box to another that it imports, however often, at its top or in a function; what is imported for
type checkers alone is no arrow. *Floors* are the boxes of the longest chain of arrows: a box on floor n imports one of
floor n - 1 and none above it. Boxes that import each other in a circle share a floor, and are counted as *in cycles*.
"""

import argparse
import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

Arrows = Mapping[str, set[str]]
"""The boxes that each box imports."""


@cache
def sources(package: Path) -> dict[str, ast.Module]:
    """The modules of a package by their dotted names; a package is its `__init__.py`."""
    files = sorted(package.rglob("*.py"))
    names = [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return dict(zip((name.removesuffix(".__init__") for name in names), trees, strict=True))


def imported(tree: ast.AST, *, for_checkers: bool = False) -> Iterator[str]:
    """Dotted names that a module imports, `package.module` as well as `package.module.name`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif for_checkers or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from imported(node, for_checkers=for_checkers)


def module_arrows(package: Path, *, for_checkers: bool = False) -> Arrows:
    """Which modules of a package each of them imports."""
    trees = sources(package)
    arrows: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names = set(imported(tree, for_checkers=for_checkers))
        targets = {name if name in trees else name.rpartition(".")[0] for name in names}
        packages = {target.rpartition(".")[0] for target in targets & names}  # `from package import module` reads both
        arrows[module] = (targets | packages - {package.name}) & trees.keys() - {module}
    return arrows


def room_of(module: str) -> str:
    """The room of a module: its second name, or what the package itself is called."""
    return [*module.split("."), "__init__"][1]


def room_arrows(arrows: Arrows) -> Arrows:
    """The arrows of modules, seen from outside their rooms."""
    rooms: dict[str, set[str]] = {room_of(module): set() for module in arrows}
    for module, targets in arrows.items():
        rooms[room_of(module)] |= {room_of(target) for target in targets} - {room_of(module)}
    return rooms


def reached(arrows: Arrows) -> dict[str, set[str]]:
    """The boxes that each box imports, directly or indirectly."""
    return {box: _reached(arrows, box) for box in arrows}


def _reached(arrows: Arrows, box: str) -> set[str]:
    boxes: set[str] = set()
    edge = [box]
    while edge:
        new = arrows[edge.pop()] - boxes
        boxes |= new
        edge += new
    return boxes


def floors(arrows: Arrows) -> dict[str, int]:
    """The floor of each box, from 1."""
    beyond = reached(arrows)
    below = {box: {other for other in boxes if box not in beyond[other]} for box, boxes in beyond.items()}

    @cache
    def floor(box: str) -> int:
        return 1 + max(map(floor, below[box]), default=0)

    return {box: floor(box) for box in arrows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).parents[2]])
    parser.add_argument("--package", default="surrogate_nas")
    options = parser.parse_args()
    print(f"{'floors':>7}{'boxes':>7}{'arrows':>7}{'in cycles':>11}")
    for checkout in options.checkouts:
        modules = module_arrows(checkout / options.package)
        if not modules:
            parser.error(f"no modules at {checkout / options.package}")
        for level, arrows in {"rooms": room_arrows(modules), "modules": modules}.items():
            circles = sum(box in boxes for box, boxes in reached(arrows).items())
            counts = (max(floors(arrows).values()), len(arrows), sum(map(len, arrows.values())))
            print("".join(f"{n:7,}" for n in counts), f"{circles:10,}  {level} of {checkout}")


if __name__ == "__main__":
    main()
