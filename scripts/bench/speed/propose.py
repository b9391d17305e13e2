"""How long a round of the search takes but for training, and how that grows: a refit of surrogates with all that judges
them, then four proposals.

    python scripts/bench/speed/propose.py [--cases digits-32,five-100,five-500,five-1000] [--surrogate auto]
        [--before CHECKOUT] [--repeats 1]

Networks and what their exits do are drawn, not trained: `digits` has three exits measured on 144 images, `five` has
five exits measured on 5,000. Every row has a process of its own, so that memory is its own, and as many threads as the
package takes. Four networks are new, as after a round; of the others, a search has kept what each checkout keeps: their
curves. With `--before` the package of another checkout takes turns. The least of the repeats counts, of CPU seconds,
too, which other work on the machine disturbs less. Memory is the peak of the row's process, and of its children
together, looked at twice a second.
"""

import warnings
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory

from drawn import CASES, drawn_networks, sizes_of
from rows import PEAK, arguments_for_rows, checkouts, print_head, print_row, print_rows, rows_of, timed

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.strategy import Bayesian
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate

PROPOSALS = 4
WARM_UP = 12
FIGURES = {
    "refit s": "{:.1f}",
    "four proposals s": "{:.1f}",
    "together s": "{:.1f}",
    "together CPU s": "{:.1f}",
    PEAK: "{:,.0f}",
}


def time_round(case: str, n: int, surrogate: str) -> dict[str, float]:
    """Seconds of one round, in a process that has had rounds before: the first loads libraries."""
    problem = CASES[case].problem
    views = drawn_networks(problem, n, CASES[case].samples)
    row = dict[str, float]()
    with TemporaryDirectory() as folder:
        kept = _round_before(problem, views[:-PROPOSALS], Path(folder))
        _propose(problem, views[:WARM_UP], surrogate, [], {})
        with timed(row, "together"):
            _propose(problem, views, surrogate, kept, row)
    return row


def _propose(
    problem: Problem, views: list[tuple[Record, Exits]], surrogate: str, kept: Sequence[Path], row: dict[str, float]
) -> None:
    """Refit and propose, with the seconds of both."""
    records = [record for record, _ in views]
    history = History(problem, records, [record.proposal for record in records], 1)
    vars(history)["trained"] = views  # records without outputs
    with timed(row, "refit"):
        design = DesignMatrix.build(views, problem.space, problem.costing, *kept)
        fitted = fit_surrogate(design, [exits for _, exits in views], surrogate, 0)
    with timed(row, "four proposals"):
        propose(Bayesian(lambda records: fitted), history, PROPOSALS)


def _round_before(problem: Problem, views: Sequence[tuple[Record, Exits]], folder: Path) -> list[Path]:
    """Make what a search keeps of earlier networks; the folder of fitted curves, if the checkout has one."""
    for _, exits in views:
        exits.within(problem.settings.limits)
    if "folder" not in signature(DesignMatrix.build).parameters:
        return []
    DesignMatrix.build(views, problem.space, problem.costing, folder)
    return [folder]


def main() -> None:
    parser = arguments_for_rows(__doc__, "digits-32,five-100,five-500,five-1000")
    parser.add_argument("--surrogate", default="auto")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = sizes_of("--cases", arguments.cases)
    if arguments.row:
        print_row(time_round(*sizes[0], arguments.surrogate))
        return
    folders = checkouts(arguments.before)
    print_head("case", "networks", "by", *FIGURES)
    for case, n in sizes:
        command = [__file__, "--cases", f"{case}-{n}", "--surrogate", arguments.surrogate]
        print_rows([case, str(n)], rows_of(folders, command, arguments.repeats), FIGURES)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
