"""How long surrogates take to fit and to answer.

    python scripts/bench/speed/fit.py [--cases digits-32,five-50,five-100,five-500] [--surrogates xgb,gp,stack]
        [--queries 20000] [--before CHECKOUT] [--repeats 1]

Networks and what their exits do are drawn, not trained, as in `propose.py`, which also says what `--before` and
`--repeats` do. `fit` is all that `surrogate-nas fit` does: targets, held-out predictions, the fit and its judgement.
`posterior` are means and variances of all targets of so many questions, `answers` whole answers to them with intervals
(exit probabilities, accuracies, expected MACs, feasibility), and `one by one` is a thousand of these answers asked for
singly. Answers have one thread.
"""

import warnings

import numpy as np
from drawn import CASES, drawn_networks, sizes_of
from rows import PEAK, arguments_for_rows, checkouts, print_head, print_row, print_rows, rows_of, timed

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.predictor import Predictor

SINGLY = 50
FIGURES = {
    "fit s": "{:.1f}",
    "fit CPU s": "{:.1f}",
    "posterior s": "{:.2f}",
    "answers s": "{:.2f}",
    "one by one s": "{:.1f}",
    PEAK: "{:,.0f}",
}


def time_surrogate(case: str, n: int, surrogate: str, queries: int) -> dict[str, float]:
    """Seconds of one surrogate."""
    problem = CASES[case].problem
    views = drawn_networks(problem, n, CASES[case].samples)
    row = dict[str, float]()
    with timed(row, "fit"):
        design = DesignMatrix.build(views, problem.space, problem.costing)
        predictor = fit_surrogate(design, [exits for _, exits in views], surrogate, 0).predictor
    indices = moves.sample(problem.space.genes, queries, np.random.default_rng(1))
    with one_thread():
        time_answers(row, predictor, Candidates.of_indices(problem.space, indices, problem.costing))
    return row


def time_answers(row: dict[str, float], predictor: Predictor, candidates: Candidates) -> None:
    """Add the seconds of predictions of these networks."""
    early = candidates.present.shape[1] - 1
    thresholds, limits = np.full((len(candidates), early), 0.8), Limits(max_macs=5e6)
    predictor.posterior(candidates[:8])  # what a first call prepares
    with timed(row, "posterior"):
        predictor.posterior(candidates)
    with timed(row, "answers"):
        predictor.predict(candidates, thresholds, limits)
    with timed(row, "one by one"):
        for i in range(SINGLY):
            predictor.predict(candidates[i : i + 1], thresholds[i : i + 1], limits)
    row["one by one s"] *= 1000 / SINGLY


def main() -> None:
    parser = arguments_for_rows(__doc__, "digits-32,five-50,five-100,five-500")
    parser.add_argument("--surrogates", default="xgb,gp,stack", help="names separated by commas")
    parser.add_argument("--queries", type=int, default=20_000, help="questions")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = sizes_of("--cases", arguments.cases)
    if arguments.row:
        print_row(time_surrogate(*sizes[0], arguments.surrogates, arguments.queries))
        return
    folders = checkouts(arguments.before)
    print_head("case", "networks", "surrogate", "by", *FIGURES)
    for case, n in sizes:
        for surrogate in arguments.surrogates.split(","):
            command = [__file__, "--cases", f"{case}-{n}", "--surrogates", surrogate]
            command += ["--queries", str(arguments.queries)]
            print_rows([case, str(n), surrogate], rows_of(folders, command, arguments.repeats), FIGURES)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
