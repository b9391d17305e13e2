"""Surrogates: predictions with intervals, learned from records. Threshold curves, the design matrix, models, validation
and calibration. Nothing here proposes or trains architectures."""

import warnings

with warnings.catch_warnings():  # GPyTorch's library compiles functions when it is first imported
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    import linear_operator  # noqa: F401
