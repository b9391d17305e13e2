"""Evolutionary strategies: NSGA-II on architectures with threshold genes, and the published searches built on it."""
