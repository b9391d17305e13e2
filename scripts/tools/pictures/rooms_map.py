"""Picture of the rooms of the package, by floors, and of what they import."""

import ast
import re
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pictures.paint import WIDTH, arrow, blank, box, colour, heading, sheet, write
from rooms import Arrows, floors, module_arrows, reached, room_arrows

ALONE, BESIDE, LANE, GAP = 664, 250, 24, 14
"""Width of a room that has its floor to itself, of one among others, and of an arrow that passes a floor; pixels
between them."""
LOW, HIGH, STEP, TOP = 28, 64, 22, 66
"""Heights of the two kinds of rooms, of the arrows between floors, and of the heading."""
LEAST_LISTED = 10
"""Letters of a list after a colon below which it is left out."""
SWEEPS = 4
"""Times that floors are sorted by their neighbours above and below."""


@dataclass(eq=False)
class Place:
    """A room on its floor, or an arrow that passes it; in pixels."""

    room: str | None
    x: float = 0
    y: float = 0
    width: float = LANE
    height: float = LOW

    @property
    def middle(self) -> float:
        """Pixels from the left to its middle."""
        return self.x + self.width / 2

    def nearest(self, x: float) -> float:
        """The place on its edge, away from the corners, that is nearest to `x`."""
        return float(np.clip(x, self.x + LANE / 2, self.x + self.width - LANE / 2))


def reduced(arrows: Arrows) -> Arrows:
    """Arrows without those that others imply: a → c, where a → b → c."""
    beyond = reached(arrows)
    implied = {room: {far for to in below for far in beyond[to]} for room, below in arrows.items()}
    return {room: below - implied[room] for room, below in arrows.items()}


def phrase(package: Path, room: str, most: int) -> str:
    """First sentence of a room's docstring; if it is longer than `most`, as much of it as fits and makes sense."""
    file = package / room / "__init__.py"
    file = file if file.exists() else package / f"{room}.py"
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    plain = re.sub(r"`| \([^)]*\)", "", " ".join(text.split()))
    sentence = plain.split(". ")[0].rstrip(".")
    if len(sentence) <= most:
        return sentence
    if "," not in sentence[:most]:
        return textwrap.shorten(sentence, most, placeholder=" …")
    part = sentence[: sentence.rindex(",", 0, most)]
    head, _, listed = part.partition(":")
    return head if len(listed) < LEAST_LISTED else f"{part}, …"


def stacked(arrows: Arrows) -> tuple[list[list[Place]], list[list[Place]]]:
    """Places of each floor from the top, and the way of each arrow over them."""
    level = floors(arrows)
    of = {room: Place(room) for room in arrows}
    stories = [[of[room] for room in arrows if level[room] == n] for n in range(max(level.values()), 0, -1)]
    ways = []
    for room, targets in reduced(arrows).items():
        for target in sorted(targets):
            lanes = [Place(None) for _ in range(level[room] - level[target] - 1)]
            for n, lane in enumerate(lanes, start=len(stories) - level[room] + 1):
                stories[n].append(lane)
            ways.append([of[room], *lanes, of[target]])
    return stories, ways


def settle(stories: list[list[Place]], ways: list[list[Place]]) -> None:
    """Give every place its coordinates: floors are centred, and sorted by their neighbours."""
    y: float = TOP
    for story in stories:
        alone = sum(place.room is not None for place in story) == 1
        room_width = ALONE - (LANE + GAP) * (len(story) - 1) if alone else BESIDE
        for place in story:
            place.y, place.height = y, LOW if alone else HIGH
            place.width = LANE if place.room is None else room_width
        y += story[0].height + STEP
        spread(story)
    steps = [step for way in ways for step in pairwise(way)]
    for _ in range(SWEEPS):
        for story in [*stories, *reversed(stories)]:
            near = {id(p): [b.middle if a is p else a.middle for a, b in steps if p in (a, b)] for p in story}
            story.sort(key=lambda place: float(np.mean(near[id(place)])))
            spread(story)


def spread(story: list[Place]) -> None:
    """Put the places of a floor beside each other."""
    x = (WIDTH - sum(place.width for place in story) - GAP * (len(story) - 1)) / 2
    for place in story:
        place.x = x
        x += place.width + GAP


def draw(package: Path) -> Figure:
    """Draw it."""
    every = room_arrows(module_arrows(package))
    rooms = [room for room in every if not room.startswith("__")]
    arrows = {room: every[room] & {*rooms} for room in rooms}
    stories, ways = stacked(arrows)
    settle(stories, ways)
    bottom = stories[-1][0]
    page = sheet(figure := blank(round(bottom.y + bottom.height + 10)))
    how = "A room imports only rooms that its arrows lead down to, directly or through others."
    heading(page, 12, "Rooms of the package", how)
    for way in ways:
        draw_way(page, way)
    for place in (place for story in stories for place in story if place.room):
        draw_room(page, place, package)
    return figure


def draw_way(page: Axes, way: list[Place]) -> None:
    """Draw an arrow from one room to another, past the floors between."""
    for a, b in pairwise(way):
        narrow, wide = sorted((a, b), key=lambda place: place.width)
        x = narrow.middle if narrow.width < wide.width else (a.middle + b.middle) / 2
        start, end = (a.nearest(x), a.y + a.height), (b.nearest(x), b.y)
        if b.room is None:
            page.plot(*zip(start, end, (end[0], b.y + b.height), strict=True), color=colour("soft"), lw=1, zorder=0)
        else:
            arrow(page, start, end)


def draw_room(page: Axes, place: Place, package: Path) -> None:
    """Draw a room with its name and a phrase."""
    room = str(place.room)
    name = room if (package / room).is_dir() else f"{room}.py"
    box(page, place.x, place.y, place.width, place.height)
    if place.height == LOW:
        write(page, place.x + 12, place.y + place.height / 2, name, weight="bold")
        write(page, place.x + 128, place.y + place.height / 2, phrase(package, room, 90), "soft", 11.5)
        return
    every = [textwrap.wrap(phrase(package, room, most), 38, break_on_hyphens=False) for most in (74, 60, 40)]
    lines = next(lines for lines in every if len(lines) < 3)
    write(page, place.middle, place.y + 14, name, weight="bold", ha="center")
    write(page, place.middle, place.y + 42, "\n".join(lines), "soft", 11, ha="center", linespacing=1.3)
