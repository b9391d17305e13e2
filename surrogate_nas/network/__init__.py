"""Architectures as torch modules: early-exit networks, backbones of the user's own, quantisation, and timing of units.
Nothing here trains."""
