"""Predictions, queries and streams in one run, against one query per encoding. Needs a study with eight networks.

The peak memory of streams is that of `surrogate-nas query STUDY --sample N --output FILE.csv` in a process of its own.
At last the best that is found within limits, against the best of random architectures.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import yaml

from surrogate_nas import Limits, Study
from surrogate_nas.foundation.fields import parse
from surrogate_nas.search.bayesian.curve_value import threshold_grid
from surrogate_nas.search.best_predicted import ranking
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.study.query import respondent_of
from surrogate_nas.study.query_files import AnswerFile, QuestionFile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--encodings", type=int, default=10_000)
    parser.add_argument("--singly", type=int, default=20, help="encodings to query one by one")
    parser.add_argument("--streams", type=int, nargs="*", default=[20_000, 200_000], help="rows of streams")
    parser.add_argument("--limits", nargs="*", default=["{}"], help="for the best: {max_macs: 100000}; {}: the study's")
    parser.add_argument("--random", type=int, default=20_000, help="architectures that the best is compared with")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    study, n = Study.open(arguments.study), arguments.encodings
    problem, limits, predictor = study.home.problem, study.settings.limits, study.fit().predictor
    architectures = problem.space.sample(n, np.random.default_rng(0))
    candidates = Candidates.of(problem.space, architectures, problem.costing)
    thresholds = predictor.best_thresholds(candidates, limits, threshold_grid(predictor.design.basis))

    start = time.perf_counter()
    for architecture in architectures[: arguments.singly]:
        study.query([architecture])
    singly = (time.perf_counter() - start) / arguments.singly
    print(f"{predictor.kind} surrogate, {n:,} encodings; one by one {singly * 1000:.0f} ms each")

    def show(what: str, job: Callable[[], object]) -> None:
        start = time.perf_counter()
        job()
        seconds = time.perf_counter() - start
        print(f"{what:<36} {seconds:6.2f} s, {n / seconds:8,.0f} rows/s, {singly * n / seconds:6,.0f} times one by one")

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.txt"
        source.write_text("\n".join(map(str, architectures)))
        show("predict at given thresholds", lambda: predictor.predict(candidates, thresholds, limits))
        show("query of a list", lambda: study.query(architectures))
        show("questions read from a file", lambda: list(QuestionFile(source, problem)))
        for suffix in ("csv", "jsonl"):
            file = AnswerFile(Path(folder) / f"out.{suffix}", problem.space.positions, cost=problem.model is not None)
            show(f"file to {suffix}, all together", partial(_write_answers, study, source, file))
        for rows in arguments.streams:
            start = time.perf_counter()
            peak = _peak("query", arguments.study, "--sample", str(rows), "--output", f"{folder}/out.csv")
            print(f"--sample {rows:,}: {time.perf_counter() - start:.0f} s with start-up, at most {peak:,.0f} MiB")
    for text in arguments.limits:
        _compare_best(study, parse(Limits, yaml.safe_load(text), text) if text != "{}" else limits, arguments.random)


def _compare_best(study: Study, limits: Limits, n: int) -> None:
    """The first of the best ten, against the first of n random ones by the same rule."""
    start = time.perf_counter()
    best = study.best(10, limits)
    middle = time.perf_counter()
    answers = study.query(study.space.sample(n, np.random.default_rng(0)), limits=limits)
    end = time.perf_counter()
    columns = np.array([(a.feasible_probability, a.accuracy[0], a.expected_macs[0]) for a in answers]).T
    for what, a, seconds in (
        ("best", best[0], middle - start),
        (f"of {n:,} random", answers[ranking(limits, *columns)[0]], end - middle),
    ):
        print(
            f"{limits}: {what}: accuracy {a.accuracy[0]:.4f}, expected MACs {a.expected_macs[0]:,.0f}, "
            f"P(feasible) {a.feasible_probability:.2f}, {seconds:.1f} s"
        )


def _write_answers(study: Study, source: Path, file: AnswerFile) -> None:
    respondent = respondent_of(study.solutions, study.settings.limits)
    file.write(respondent.answer(QuestionFile(source, study.home.problem)))


def _peak(*words: str) -> float:
    """MiB that a command had at most, looked at ten times a second."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    command = psutil.Popen([sys.executable, "-m", "surrogate_nas", *words], **pipes)
    peak = 0
    while command.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, command.memory_info().rss)
        time.sleep(0.1)
    if command.returncode:
        raise SystemExit(command.stderr.read().decode())
    return peak / 2**20


if __name__ == "__main__":
    main()
