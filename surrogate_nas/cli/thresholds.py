"""Commands that choose thresholds of a trained network: tune, tiers, policies."""

from typing import Annotated

from surrogate_nas.cli import completion
from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import limits_of, open_study
from surrogate_nas.cli.options import NO_USER_LIMITS, Json, Network, StudyPath, Tiers, UserLimits, option, takes_limits
from surrogate_nas.cli.values import FRACTION, NAME


@takes_limits
def tune(
    study: StudyPath,
    network: Network,
    limits: UserLimits = NO_USER_LIMITS,
    method: Annotated[
        str,
        option(
            "How thresholds are chosen: curve (the best of all), or nachos or aebnas (as in these papers).",
            kind=NAME,
            complete=completion.methods,
        ),
    ] = "curve",
    confidence: Annotated[
        float | None,
        option(
            "Certify limits on new images with this probability, which is that of the study: opens its sealed images.",
            kind=FRACTION,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose the best thresholds of a trained network within limits, without training.

    Limits given here replace the study's.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_solutions import print_certificates, print_tuned
    from surrogate_nas.documents import curve_document, solution_document

    effective_limits = limits_of(limits, home)
    whole = Study(home)
    if confidence is not None:
        whole.images.require_data(None, None, None, confidence=confidence)
    solution = whole.tune(network, effective_limits, method=method)  # type: ignore[arg-type]  # which it checks
    certified = [] if confidence is None else whole.certify(network, effective_limits)
    curve = curve_document(whole.solutions, solution.record)
    document = {
        "limits": effective_limits.model_dump(),
        "method": method,
        **solution_document(solution, effective_limits),
        "curve": curve,
        **({} if confidence is None else {"certified": [solution_document(s, effective_limits) for s in certified]}),
    }

    def print_all() -> None:
        print_tuned(solution, network, effective_limits)
        if confidence is not None:
            print_certificates(whole.solutions, effective_limits, certified)

    answer(document, as_json, print_all)


@takes_limits
def tiers(
    study: StudyPath,
    network: Network,
    tiers: Tiers = 8,
    limits: UserLimits = NO_USER_LIMITS,
    as_json: Json = False,
) -> None:
    """List thresholds of a trained network for several budgets, cheapest first, without training.

    For devices that change thresholds with their load. Limits given here replace the study's.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_solutions import print_tiers
    from surrogate_nas.documents import tiers_document

    effective_limits = limits_of(limits, home)
    settings = Study(home).tiers(network, effective_limits, tiers=tiers)
    answer(tiers_document(settings), as_json, lambda: print_tiers(settings, network, effective_limits))


@takes_limits
def policies(
    study: StudyPath,
    network: Network,
    limits: UserLimits = NO_USER_LIMITS,
    as_json: Json = False,
) -> None:
    """Compare exit policies on a trained network, each at its own best thresholds, without training.

    Limits given here replace the study's.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_solutions import print_policies
    from surrogate_nas.documents import solution_document

    effective_limits = limits_of(limits, home)
    solutions = Study(home).policies(network, effective_limits)
    document = [solution_document(s, effective_limits) for s in solutions]
    answer(document, as_json, lambda: print_policies(solutions, network, effective_limits))
