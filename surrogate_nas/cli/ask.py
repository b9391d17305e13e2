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
    UserLimits,
    Wide,
    changes_of,
    takes_limits,
)
from surrogate_nas.foundation.errors import InputError


def fit(
    study: StudyPath,
    surrogate: Surrogate = None,
    again: Annotated[bool, typer.Option("--again", help="Fit anew even if the stored surrogate is current.")] = False,
    as_json: Json = False,
) -> None:
    """Fit surrogates to the archive and judge them on networks they never saw."""
    home = open_study(study, changes_of(locals()))
    from surrogate_nas.cli.print_predictions import print_fit
    from surrogate_nas.documents import fit_document
    from surrogate_nas.study.study import Study

    result = Study(home).fit(again=again)
    answer(fit_document(result), as_json, lambda: print_fit(result))


@takes_limits
def query(
    study: StudyPath,
    encoding: Encodings = None,
    file: Annotated[Path | None, typer.Option(help="One encoding a line; .jsonl, .csv; - is standard input.")] = None,
    sample: Annotated[int | None, typer.Option(help="So many random architectures of the space.")] = None,
    best: Annotated[int | None, typer.Option(help="So many architectures that are predicted best in limits.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Such as 0.8,off; the best for the limits by default.")] = None,
    limits: UserLimits = NO_USER_LIMITS,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write .jsonl or .csv, however many rows, in little memory.")
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Predict accuracy, exit probabilities and MACs of any encodings, with 90 % intervals, or find the best ones.

    Limits replace the study's for this query; without any, the study's hold.
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
    target = None if output is None else AnswerFile(output, problem.space.positions, cost=problem.model is not None)
    pace, on_rows = Pace("architectures"), None
    if best is not None:
        blocks = iter([respondent_of(solutions, query_limits).best(best, point)])
    else:
        questions, share = questions_of(home, encoding, file, sample, point, in_parts=target is not None)
        blocks, on_rows = respondent_of(solutions, query_limits).answer(questions), lambda n: pace.at(n, share(n))
    if target is not None:
        rows = target.write(blocks, on_rows)
        if on_rows is not None:
            pace.end(rows)
        answer({"output": str(output), "rows": rows}, as_json, lambda: typer.echo(output))
        return
    answers = [row for block in blocks for row in block]
    answer(answers_document(answers), as_json, lambda: print_answers(answers, wide=wide))
