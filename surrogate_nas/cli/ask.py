"""Commands that fit surrogates and query them."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import limits_of, open_study, questions_of
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
    Encodings,
    Json,
    StudyPath,
    Surrogate,
    Thresholds,
    UserLimits,
    Wide,
    changes_of,
    option,
    takes_limits,
)
from surrogate_nas.cli.values import COUNT, FILE
from surrogate_nas.foundation.errors import InputError


def fit(
    study: StudyPath,
    surrogate: Surrogate = None,
    again: Annotated[bool, option("Fit anew, even if the stored surrogate is up to date.", "--again")] = False,
    as_json: Json = False,
) -> None:
    """Fit surrogate models to the archive, and measure their accuracy on held-out networks."""
    home = open_study(study, changes_of(locals()))
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_predictions import print_fit
    from surrogate_nas.documents import fit_document

    result = Study(home).fit(again=again)
    answer(fit_document(result), as_json, lambda: print_fit(result))


@takes_limits
def query(
    study: StudyPath,
    encoding: Encodings = None,
    file: Annotated[
        Path | None,
        option("File of encodings: one per line, .jsonl or .csv; - reads standard input.", kind=FILE),
    ] = None,
    sample: Annotated[int | None, option("Number of networks to draw at random from the space.", kind=COUNT)] = None,
    best: Annotated[
        int | None, option("Number of networks to find that are predicted best within the limits.", kind=COUNT)
    ] = None,
    thresholds: Thresholds = None,
    rung: Annotated[int | None, option("Rung of the ladder to predict, from 1. Default: the top.", kind=COUNT)] = None,
    limits: UserLimits = NO_USER_LIMITS,
    output: Annotated[
        Path | None,
        option("Write the predictions to this .jsonl or .csv file, row by row.", "--output", "-o", kind=FILE),
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Predict accuracy, exit rates and MACs of networks, trained or not, with 90 % intervals.

    Name the networks by --encoding or --file, draw them by --sample, or find the best predicted ones by --best. Limits
    given here replace the study's.
    """
    if sum(source is not None for source in (encoding, file, sample, best)) != 1:
        raise InputError("query needs one of --encoding, --file, --sample and --best")
    home = open_study(study, {})
    from surrogate_nas.cli.print_predictions import print_answers
    from surrogate_nas.documents import answers_document
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.foundation.progress import Pace
    from surrogate_nas.study.query import respondent_of
    from surrogate_nas.study.query_files import AnswerFile
    from surrogate_nas.study.solutions import Solutions

    problem, solutions = home.problem, Solutions(home)  # a whole study has trainings to import
    point = None if thresholds is None else OperatingPoint.parse(thresholds, problem.space.positions, problem.policy)
    query_limits = limits_of(limits, home)
    target = (
        None
        if output is None
        else AnswerFile(
            output, problem.space.positions, cost=problem.model is not None, ladder=problem.ladder is not None
        )
    )
    pace, on_rows = Pace("architectures"), None
    if best is not None:
        blocks = iter([respondent_of(solutions, query_limits, rung).best(best, point)])
    else:
        questions, share = questions_of(home, encoding, file, sample, point, in_parts=target is not None)
        blocks, on_rows = respondent_of(solutions, query_limits, rung).answer(questions), lambda n: pace.at(n, share(n))
    if target is not None:
        rows = target.write(blocks, on_rows)
        if on_rows is not None:
            pace.end(rows)
        answer({"output": str(output), "rows": rows}, as_json, lambda: typer.echo(output))
        return
    answers = [row for block in blocks for row in block]
    answer(answers_document(answers), as_json, lambda: print_answers(answers, wide=wide))
