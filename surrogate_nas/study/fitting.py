"""The stored surrogate of a study, or a new one."""

import time
from collections.abc import Sequence
from contextlib import suppress

from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.progress import duration, say
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import COSTS, SURROGATE
from surrogate_nas.surrogates import persistence
from surrogate_nas.surrogates.design import DesignMatrix, require_enough
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.persistence import FitKey


def fit(home: Home, records: Sequence[Record], *, again: bool = False) -> FittedSurrogate:
    """The surrogate of these records: the stored one, or a new one, which is then stored.

    Args:
        home: the study.
        records: records of the search. Outputs that they do not carry are read only for a new fit.
        again: whether to fit anew even if a fit is stored.

    Raises:
        JobError: if fewer than four networks have been trained, or all are of one architecture.
    """
    with home.trial("surrogate"):
        stored_surrogate = None if again else stored_fit(home, records)
        return stored_surrogate or _new_fit(home, key_of(home, records))


def stored_fit(home: Home, records: Sequence[Record]) -> FittedSurrogate | None:
    """The stored surrogate of these records, or `None`; nothing is fitted, and no outputs are read.

    Raises:
        JobError: if fewer than four networks have been trained.
    """
    key = key_of(home, records)
    require_enough(key.records)
    return persistence.load(key, home.path / SURROGATE)


def key_of(home: Home, records: Sequence[Record]) -> FitKey:
    """Key of the surrogate of these records, under the current settings."""
    problem, table = home.problem, home.path / COSTS
    return FitKey(
        records=[r for r in records if r.failure is None],
        data=home.archive.header.fingerprint,
        seed=problem.seed,
        space=problem.space,
        costing=problem.costing,
        cost_table=table.read_text(encoding="utf-8") if table.is_file() else "",
        policy=problem.policy,
        temperature=problem.settings.temperature,
        surrogate=problem.settings.surrogate,
        ladder=problem.ladder,
    )


def _new_fit(home: Home, key: FitKey) -> FittedSurrogate:
    views = home.problem.views.trained(key.records)
    start = time.monotonic()
    design = DesignMatrix.build(views, key.space, key.costing, home.path / SURROGATE, key.ladder)
    fitted = fit_surrogate(design, [exits for _, exits in views], key.surrogate, key.seed)
    with suppress(OSError):  # without write permission it is fitted again each time
        persistence.save(fitted, key, home.path / SURROGATE)
    _say_fit(fitted, time.monotonic() - start)
    return fitted


def _say_fit(fitted: FittedSurrogate, seconds: float) -> None:
    score = fitted.chosen_validation.accuracy
    say(
        f"surrogate {fitted.predictor.kind} of {len(fitted.predictor.design)} networks, fitted in {duration(seconds)}; "
        f"held-out accuracy: τ {score.tau:.2f}, RMSE {score.rmse:.3f}, 90 % interval covers {score.coverage:.0%}"
    )
