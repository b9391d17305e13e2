"""Constrained multi-objective Bayesian optimisation over architectures, scored by their whole threshold curves."""

import surrogate_nas.surrogates  # noqa: F401  # before botorch, whose import warns otherwise
