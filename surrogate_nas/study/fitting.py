"""The stored surrogate of a study, or a new one."""

import time
from collections.abc import Sequence
from contextlib import suppress

from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.progress import duration, say
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import SURROGATE
from surrogate_nas.surrogates import persistence
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import Fitted, fit_surrogate


def stored_fit(home: Home, records: Sequence[Record]) -> Fitted | None:
    """The stored surrogate of these records, if there is one: nothing is fitted.

    Raises:
        JobError: if fewer than eight networks have been trained.
    """
    problem = home.problem
    design = DesignMatrix.build(problem.views.trained(records), problem.space, problem.costing)
    return persistence.load(design, problem.settings.surrogate, home.path / SURROGATE)


def fit(home: Home, records: Sequence[Record], *, again: bool = False) -> Fitted:
    """The surrogate of these records: the stored one if it still fits and is not to be fitted again, or a new one.

    Raises:
        JobError: if fewer than eight networks have been trained.
    """
    problem, folder = home.problem, home.path / SURROGATE
    trained, surrogate = problem.views.trained(records), problem.settings.surrogate
    design = DesignMatrix.build(trained, problem.space, problem.costing)
    stored = None if again else persistence.load(design, surrogate, folder)
    if stored is not None:
        return stored
    start = time.monotonic()
    fitted = fit_surrogate(design, [exits for _, exits in trained], surrogate, problem.seed)
    with suppress(OSError):  # where nothing can be written it is fitted again each time
        persistence.save(fitted, surrogate, problem.seed, folder)
    _say(fitted, time.monotonic() - start)
    return fitted


def _say(fitted: Fitted, seconds: float) -> None:
    score = fitted.used.accuracy
    say(
        f"surrogate {fitted.predictor.kind} of {len(fitted.predictor.design)} networks, fitted in {duration(seconds)}; "
        f"held-out accuracy: τ {score.tau:.2f}, RMSE {score.rmse:.3f}, 90 % interval covers {score.coverage:.0%}"
    )
