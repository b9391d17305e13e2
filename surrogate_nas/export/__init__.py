"""Exports: a trained network as a folder that runs without this package, its thresholds for several budgets, its card,
and its measured latency. Nothing here trains or chooses a network."""
