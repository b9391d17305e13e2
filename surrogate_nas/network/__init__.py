"""Torch modules of architectures: early-exit networks, users' backbones, quantisation, and timing of units. Nothing
here trains."""
