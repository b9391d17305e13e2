"""Tabular benchmarks: stored trainings of the networks of a space, looked up in place of training."""
