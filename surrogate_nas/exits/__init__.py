"""Exits: confidence scores, thresholds, accuracy and cost at any thresholds, and limits on them. NumPy only; nothing
here runs or trains a network."""
