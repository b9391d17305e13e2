"""What exits do with samples: confidence scores, thresholds, and every consequence of a choice of thresholds for
accuracy and cost, with the limits they are held to. NumPy only; nothing here runs or trains a network."""
