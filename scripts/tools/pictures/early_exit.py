"""Picture of early exits: two images on their way through a network, and the network at all thresholds."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from pictures.front import tested, trained
from pictures.paint import EXIT_COLOURS, arrow, blank, box, colour, heading, percents, plot, sheet, write

from surrogate_nas import Record, Study
from surrogate_nas.datasets.dataset import Images
from surrogate_nas.foundation.arrays import Floats32
from surrogate_nas.study.results import Solution

HEIGHT = 480
MARGIN, TOP, VERDICTS, RIGHT, ROWS = 12, 158, 230, 432, 334
"""Pixels: the left edge, above the network, left of what is said of images; left of the second half, above its rows."""
LOSSES = (0.01, 0.04, 0.1)
"""Accuracy on tune that the marked settings may lack to the best of the network."""
SEEN = 0.02
"""Share of the images that must leave at an exit, for it to count in the choice of a network."""
COUNT = EngFormatter(sep=" ", places=1)


@dataclass(frozen=True)
class Example:
    """A test image, and how sure each exit is of it."""

    pixels: Images
    scores: Floats32
    leaves: int
    answer: str


@dataclass(frozen=True)
class Network:
    """A network of a study at the marked settings."""

    study: Study
    record: Record

    @property
    def last(self) -> int:
        """The last position."""
        return self.record.architecture.positions - 1

    @cached_property
    def settings(self) -> list[Solution]:
        """The cheapest settings on tune that lack no more than each of the losses, and the network without exits."""
        curve = self.study.exits(self.record, "tune").curve
        first = dict.fromkeys(int(np.argmax(curve.accuracy >= curve.accuracy.max() - loss)) for loss in LOSSES)
        off = self.study.solution(self.record, [None] * self.last)
        return [*(self.study.solutions.at(self.record, curve.thresholds[i]) for i in first), off]

    @property
    def named(self) -> list[tuple[str, Solution]]:
        """The settings with their letters; the network without early exits has none."""
        return list(zip([*"ABC"[: len(self.settings) - 1], ""], self.settings, strict=True))

    @property
    def exits_seen(self) -> int:
        """Number of exits that images leave at in setting A."""
        return sum(rate >= SEEN for rate in self.settings[0].test.rates)

    def example(self, *, easy: bool) -> Example:
        """An image of those that are answered rightly where they leave at setting A.

        Of those that leave first, one with middling confidence; of those that leave last, that with the least.
        """
        exits, first = self.study.exits(self.record, "test"), self.record.architecture.exit_positions[0]
        leaving = exits.route(self.settings[0].printed)
        here = np.flatnonzero(exits.right(leaving) & (leaving == (first if easy else self.last)))
        here = here[np.argsort(exits.scores[first, here], kind="stable")]
        i = int(here[len(here) // 2 if easy else 0])
        test = self.study.splits().test
        answer = self.study.data.classes[int(test.labels[i])]
        return Example(test.images[i], exits.scores[:, i], int(leaving[i]), answer)


def chosen(study: Study, network: str | None) -> Network:
    """A network by its id, or the one where images leave at most exits; if that is several, a network of the front, and
    the most accurate of them."""
    if network is not None:
        return Network(study, study.record(network))
    front = {solution.id for solution in study.front()}
    networks = [Network(study, record) for record in trained(study)]
    return max(networks, key=lambda n: (n.exits_seen, n.record.id in front, n.settings[0].accuracy))


def draw(study: Study, network: str | None) -> Figure:
    """Draw it, of a network by its id, or of one of the front."""
    figure, drawn = blank(HEIGHT), chosen(study, network)
    page = sheet(figure)
    draw_images(page, figure, drawn)
    draw_curve(plot(figure, RIGHT + 50, 60, 304, 200), drawn)
    draw_rows(page, drawn)
    return figure


# ---------------------------------------------------------------------- left: the ways of two images


def draw_images(page: Axes, figure: Figure, network: Network) -> None:
    """Draw two images, the network from top to bottom, and where they leave it."""
    rule = "An image leaves at the first exit whose\nconfidence is at least its threshold."
    heading(page, MARGIN, "Easy images leave early", rule)
    examples = [network.example(easy=True), network.example(easy=False)]
    for x, example, name in zip((MARGIN, MARGIN + 46), examples, ("easy", "hard"), strict=True):
        thumbnail(figure, example, x, 80, 36)
        write(page, x + 18, 125, name, "soft", ha="center")
    write(page, VERDICTS, 125, "at setting A", "soft")
    step = (HEIGHT - TOP - 10) / (network.last + 1)
    for e in range(network.last + 1):
        draw_stage(page, e, TOP + e * step, step, last=e == network.last)
        if e in network.record.architecture.exit_positions:
            draw_exit(page, network, e, TOP + (e + 1) * step - 26)
            draw_verdicts(page, figure, network, [x for x in examples if x.leaves >= e], TOP + (e + 1) * step - 43, e)


def draw_stage(page: Axes, e: int, y: float, step: float, *, last: bool) -> None:
    """Draw a stage of the backbone, with the way to it and on from it."""
    middle, bottom = MARGIN + 41, y + step - 52
    arrow(page, (middle, y - 26), (middle, y))
    box(page, MARGIN, y, 82, bottom - y)
    write(page, middle, (y + bottom) / 2, f"stage {e + 1}" if e else "stem\nstage 1", ha="center", linespacing=1.4)
    page.plot((middle, middle), (bottom, bottom + (26 if last else 30)), color=colour("soft"), lw=1)


def draw_exit(page: Axes, network: Network, e: int, y: float) -> None:
    """Draw an exit, with the cost of an image that leaves there."""
    hue, all_on = EXIT_COLOURS[e], np.ones((1, network.last), dtype=bool)
    macs = network.study.exits(network.record, "test").cost.macs(all_on)[0, e]
    arrow(page, (MARGIN + 41, y), (122, y))
    box(page, 122, y - 21, 94, 42, hue)
    write(page, 169, y - 8, f"exit {e + 1}" + (", last" if e == network.last else ""), hue, ha="center", weight="bold")
    write(page, 169, y + 9, f"{COUNT(macs)} MACs", "soft", 11, ha="center")


def draw_verdicts(page: Axes, figure: Figure, network: Network, examples: list[Example], bottom: float, e: int) -> None:
    """Draw whether the images that reach an exit leave there, and why."""
    for i, example in enumerate(reversed(examples)):
        leaves, top = example.leaves == e, bottom - 46 * i
        thumbnail(figure, example, VERDICTS, top, 34)
        write(page, VERDICTS + 42, top + 8, reason(network, example, e))
        what = f"leaves: “{example.answer}”" if leaves else "goes on"
        write(page, VERDICTS + 42, top + 26, what, EXIT_COLOURS[e], weight="bold")


def reason(network: Network, example: Example, e: int) -> str:
    """Why an image leaves at an exit, or does not."""
    if e == network.last:
        return "all leave here"
    threshold = network.settings[0].printed.thresholds[e]
    if threshold is None:
        return "is off"
    relation = f"{example.scores[e]:.2f} {'≥' if example.leaves == e else '<'} {threshold:.2f}"
    return f"sure: {relation}" if example.leaves == e else f"unsure: {relation}"


def thumbnail(figure: Figure, example: Example, x: float, y: float, size: float) -> None:
    """Draw an image at its place in pixels."""
    axes, pixels = plot(figure, x, y, size, size), np.moveaxis(example.pixels, 0, -1)
    axes.imshow(pixels if pixels.shape[-1] == 3 else pixels[..., 0], cmap="gray", interpolation="bicubic")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=colour("soft"))


# ---------------------------------------------------------------------- right: all thresholds


def draw_curve(axes: Axes, network: Network) -> None:
    """Draw accuracy over expected MACs for all thresholds, with the marked settings."""
    curve = tested(network.study, network.record)
    axes.plot(curve.expected_macs, curve.accuracy, color=colour("soft"), lw=1.5, zorder=1)
    for letter, solution in network.named:
        axes.vlines(solution.macs, *solution.test.accuracy_interval, color=colour("faint"), lw=1.5, zorder=0)
        mark(axes, solution.macs, solution.accuracy, letter)
    axes.set(xlabel="expected multiply-accumulates (MACs) per image", ylabel="accuracy on test")
    axes.margins(0.08)
    axes.grid(color=colour("faint"), lw=0.5, alpha=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    percents(axes)


def mark(axes: Axes, x: float, y: float, letter: str) -> None:
    """Draw a disc with a letter; without one it is hollow."""
    face = colour("ink" if letter else "paper")
    axes.plot(x, y, "o", ms=12, mfc=face, mec=colour("ink"), mew=1.2, zorder=3, clip_on=False)
    write(axes, x, y, letter, "paper", 11, ha="center", weight="bold", zorder=4, va="center_baseline")


def draw_rows(page: Axes, network: Network) -> None:
    """Draw how many of 100 images leave at each exit, a row for each setting."""
    heading(page, RIGHT, "Other thresholds, other trade-offs", "One trained network, all thresholds; 95 % intervals")
    write(page, RIGHT + 30, ROWS, "thresholds", "soft")
    write(page, RIGHT + 112, ROWS, "100 images, by exit", "soft")
    write(page, 790, ROWS, "MACs", "soft", ha="right")
    off = network.settings[-1]
    for i, (letter, solution) in enumerate(network.named):
        y, saved = ROWS + 28 + 30 * i, 100 * (1 - solution.macs / off.macs)
        mark(page, RIGHT + 10, y, letter)
        texts = ["off" if t is None else f"{t:.2f}" for t in solution.printed.thresholds]
        write(page, RIGHT + 30, y, ", ".join(texts) if letter else "exits off")
        draw_bar(page, solution, RIGHT + 112, y, 186)
        write(page, 790, y, COUNT(solution.macs) if solution is off else f"−{saved:.0f} %", ha="right")


def draw_bar(page: Axes, solution: Solution, x: float, y: float, width: float) -> None:
    """Draw a bar of 100 images, by the exits that they leave at."""
    for e, images in enumerate(of_100(solution.test.rates)):
        share = width * images / 100
        page.barh(y, share, 20, x, color=colour(EXIT_COLOURS[e]), edgecolor=colour("paper"), lw=0.6)
        if images >= 6:
            write(page, x + share / 2, y, str(images), "paper", 11, ha="center", weight="bold")
        x += share


def of_100(rates: tuple[float, ...]) -> list[int]:
    """Rates as whole numbers that sum to 100."""
    exact = 100 * np.array(rates)
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: 100 - whole.sum()]] += 1
    return [int(n) for n in whole]
