"""Exits: confidence scores, thresholds, accuracy and cost at any thresholds, and limits on them. In NumPy alone, from
stored outputs: nothing here runs or trains a network."""
