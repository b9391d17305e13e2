"""Constrained multi-objective Bayesian optimisation over architectures. Training is an argument, never an import."""
