"""Section with example images that leave early and late."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from surrogate_nas.datasets.dataset import Images
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.leaving import FEWEST_EARLY_TEXT, MOST_IMAGES, Example, ExitExamples
from surrogate_nas.report.text import at, count, escape, exit_name, paragraph, percent, section

LARGEST = 96
"""Longest side of an example in pixels; larger images are scaled down to keep the page small."""
WRONG = "✗"


def examples_section(contents: Contents) -> str:
    """Section with a row of example images for each exit of one solution."""
    title, examples = "Images that leave early and late", contents.examples
    if examples.solution is None or examples.missing:
        return section(title, paragraph(examples.missing))
    solution = examples.solution
    which = "the network closest to the limits, but not a solution, where"
    if contents.front:
        which = "the most accurate solution on tune where"
    intro = (
        f"Test images of {at(solution)}, {which} at least {FEWEST_EARLY_TEXT} of the test images leave early. "
        f"There are up to {MOST_IMAGES} of each exit, drawn at random with a fixed seed. Each caption is the image's "
        f"class; {WRONG} marks a wrong answer{_wrong_answer_note(examples.per_exit)}."
    )
    rows = [
        _row(exit_examples, solution.test.n, solution.record.architecture.positions - 1, contents.classes.names)
        for exit_examples in examples.per_exit
    ]
    return section(title, paragraph(intro, "note"), *rows)


def _wrong_answer_note(per_exit: Sequence[ExitExamples]) -> str:
    has_answers = any(example.answer is not None for exit_examples in per_exit for example in exit_examples.examples)
    return ", followed by the predicted class" if has_answers else "; predicted classes are not stored"


def _row(exit_examples: ExitExamples, n: int, last: int, names: Sequence[str]) -> str:
    name = exit_name(exit_examples.position, last)
    heading = f"<h3>{name[0].upper()}{name[1:]}</h3>"
    if exit_examples.count == 0:
        return f"{heading}\n{paragraph('No test image leaves here.')}"
    share = f"{count(exit_examples.count)} of {count(n)} test images leave here ({percent(exit_examples.count / n)})."
    figures = "\n".join(_figure(example, names, name) for example in exit_examples.examples)
    return f'<div class="leaving">\n{heading}\n{paragraph(share)}\n<div class="images">{figures}</div></div>'


def _figure(example: Example, names: Sequence[str], exit_: str) -> str:
    label = names[example.label]
    answer = "" if example.answer is None else f"\N{NO-BREAK SPACE}{names[example.answer]}"
    verdict = "answered right" if example.right else f"answered wrong{answer}"
    caption = escape(label) if example.right else f"{escape(label)} <b>{WRONG}{escape(answer)}</b>"
    alt = escape(f"test image of class {label}, {verdict}, leaves at {exit_}")
    return f'<figure><img src="{data_uri(example.image)}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def data_uri(image: Images) -> str:
    """Data URI of a (channels, size, size) image as PNG; in grey unless it has three channels."""
    pixels = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0).round().astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
