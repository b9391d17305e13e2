"""Draw the pictures of the documentation: `docs/pictures/*.svg`, each for light and dark pages.

    python scripts/tools/draw_pictures.py STUDY [--only front early_exit] [--network ID]

- `front`: the front of the study.
- `early_exit`: a network of it, an easy and a hard image on their way through it, and its curve over all thresholds.
- `rooms`: the rooms of the package and what they import, from its source.
- `seconds`: searches by time on a table of networks, from `data/time-ladder.jsonl`.

The same study and package draw the same bytes.
"""

import argparse
from pathlib import Path

from matplotlib import style
from pictures import early_exit, front, rooms_map, seconds
from pictures.paint import STYLE, save

from surrogate_nas import InputError, JobError, Study

ROOT = Path(__file__).parents[2]
DRAWINGS = {
    "front": lambda given: front.draw(Study.open(given.study)),
    "early_exit": lambda given: early_exit.draw(Study.open(given.study), given.network),
    "rooms": lambda given: rooms_map.draw(ROOT / "surrogate_nas"),
    "seconds": lambda given: seconds.draw(ROOT / "data/time-ladder.jsonl"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--only", nargs="+", choices=DRAWINGS, default=list(DRAWINGS))
    parser.add_argument("--network", metavar="ID", help="network of `early_exit`, by default one of the front")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures", help="folder to write to")
    given = parser.parse_args()
    try:
        with style.context(["default", STYLE]):  # not the user's matplotlib settings
            for name in given.only:
                save(DRAWINGS[name](given), given.out / f"{name}.svg")
    except (InputError, JobError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
