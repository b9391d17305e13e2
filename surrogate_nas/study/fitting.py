"""The stored surrogate of a study, or a new one."""

from surrogate_nas.foundation.progress import duration, say
from surrogate_nas.surrogates.fit import Fitted


def say_fit(fitted: Fitted, seconds: float) -> None:
    score = fitted.used.accuracy
    say(
        f"surrogate {fitted.predictor.kind} of {len(fitted.predictor.design)} networks, fitted in {duration(seconds)}; "
        f"held-out accuracy: τ {score.tau:.2f}, RMSE {score.rmse:.3f}, 90 % interval covers {score.coverage:.0%}"
    )
