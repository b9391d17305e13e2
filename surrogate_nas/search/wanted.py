"""Limits that networks are looked for within, where they are to be certified in the end."""

from surrogate_nas.certificates.passing import to_pass
from surrogate_nas.certificates.sequence import spent
from surrogate_nas.exits.limits import Limits
from surrogate_nas.search.problem import Problem


def wanted_limits(problem: Problem, limits: Limits | None = None) -> Limits:
    """Limits that the sealed images must show for given ones, by default those of the settings, to be certified by
    their first opening; the limits themselves where no certificate is asked for."""
    limits, seal = problem.settings.limits if limits is None else limits, problem.seal
    return limits if seal is None else to_pass(limits, seal.draws, spent(seal.delta, 1))
