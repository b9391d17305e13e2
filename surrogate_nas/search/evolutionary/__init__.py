"""Evolutionary strategies: NSGA-II on architectures with threshold genes, and published searches built on it."""
