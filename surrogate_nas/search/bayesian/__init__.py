"""Constrained multi-objective Bayesian optimisation over architectures, valued by their whole threshold curves."""
