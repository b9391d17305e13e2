"""Exports: folders of trained networks that run without this package, with thresholds for several budgets, a model card
and measured latency. Nothing here trains or chooses a network."""
