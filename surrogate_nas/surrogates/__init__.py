"""From records to predictions with intervals: threshold curves, the design matrix, models, validation and calibration.
Nothing here proposes or trains architectures."""
