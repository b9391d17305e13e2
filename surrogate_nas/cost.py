"""Exact cost of architectures from their columns alone: multiply-accumulates and parameters, as integers.

Counted are convolutions and linear layers. Batch normalisation folds into the convolution before it when the network
is deployed, and pooling, activations and additions are not multiply-accumulates: they cost nothing here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate_nas.errors import InputError
from surrogate_nas.space.columns import Bools, Columns, Ints

BRANCH_KERNEL = STEM_KERNEL = 3


@dataclass(frozen=True, slots=True)
class ImageShape:
    """What a network is built for."""

    channels: int
    size: int
    """Side in pixels; images are square."""
    classes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of n architectures with E exit positions."""

    backbone: Ints
    """(n, E) MACs from the input through stage e; the last includes the final classifier."""
    branch: Ints
    """(n, E) MACs of the branch at position e; 0 where there is none, and at the last."""
    parameters: Ints
    """(n,) weights, biases and batch-norm scales of the whole network."""

    def macs(self, on: npt.NDArray[np.bool_] | None = None) -> Ints:
        """(n, E) MACs spent by a sample that leaves at position e.

        Args:
            on: (n, E − 1) or (E − 1,), early exits that are switched on; default all. An exit that is off is not run
                and not charged; every branch run before e is (`charge_heads="all"`).
        """
        charged = self.branch.copy()
        if on is not None:
            charged[:, :-1] *= np.asarray(on, dtype=np.int64)
        return self.backbone + np.cumsum(charged, axis=1)

    def __getitem__(self, index: npt.NDArray[np.int64] | slice) -> "Cost":
        return Cost(self.backbone[index], self.branch[index], self.parameters[index])


def count(columns: Columns, shape: ImageShape) -> Cost:
    """MACs and parameters of every architecture in `columns`, for images of `shape`.

    Raises:
        InputError: if pooling would shrink some feature map below 1×1.
    """
    side = _out(np.full(len(columns), shape.size), columns.stem_stride)
    fan = STEM_KERNEL**2 * shape.channels * columns.stem_width
    macs = fan * side**2
    parameters = fan + 2 * columns.stem_width
    width = columns.stem_width
    backbone, branches = [], []
    for s in range(columns.positions):
        stage_macs, stage_parameters, side = _stage(columns, s, width, side)
        macs, parameters, width = macs + stage_macs, parameters + stage_parameters, columns.width[:, s]
        if s < columns.positions - 1:
            branch_macs, branch_parameters = _branch(columns, s, width, side, shape.classes)
            branches.append(branch_macs)
            parameters = parameters + branch_parameters
        backbone.append(macs)
    backbone[-1] = macs + width * shape.classes
    branches.append(np.zeros_like(macs))
    return Cost(np.stack(backbone, 1), np.stack(branches, 1), parameters + (width + 1) * shape.classes)


def _out(side: Ints, stride: Ints | int) -> Ints:
    """Side after an odd "same"-padded convolution: ⌈side / stride⌉."""
    return -(-side // stride)


def _stage(columns: Columns, s: int, width_in: Ints, side_in: Ints) -> tuple[Ints, Ints, Ints]:
    """(MACs, parameters, side) of a stage: a first block that strides, then depth − 1 equal ones."""
    width, inverted, more = columns.width[:, s], columns.inverted[:, s], columns.depth[:, s] - 1
    stride, side = columns.stride[:, s], _out(side_in, columns.stride[:, s])
    taps, expansion = columns.kernel[:, s] ** 2, columns.expansion[:, s]

    shortcut = (stride > 1) | (width_in != width)
    first = taps * width_in * width + taps * width**2 + shortcut * width_in * width
    residual_macs = (first + more * 2 * taps * width**2) * side**2
    residual_norms = 2 * width * (2 + shortcut + 2 * more)
    residual_parameters = first + more * 2 * taps * width**2 + residual_norms

    expands = expansion > 1
    hidden, hidden_more = expansion * width_in, expansion * width
    first_in = expands * width_in * hidden
    first_out = taps * hidden + hidden * width
    each_more = expands * width * hidden_more + taps * hidden_more + hidden_more * width
    inverted_macs = first_in * side_in**2 + (first_out + more * each_more) * side**2
    inverted_norms = 2 * ((1 + expands) * (hidden + more * hidden_more) + width * (1 + more))
    inverted_parameters = first_in + first_out + more * each_more + inverted_norms

    return (
        np.where(inverted, inverted_macs, residual_macs),
        np.where(inverted, inverted_parameters, residual_parameters),
        side,
    )


def _branch(columns: Columns, s: int, width: Ints, side: Ints, classes: int) -> tuple[Ints, Ints]:
    """(MACs, parameters) of the exit branch after stage s; 0 where there is none."""
    depth, channels = columns.branch_depth[:, s], columns.channels[:, s]
    layered: Bools = depth > 0
    pooled = np.where(layered, side // columns.pool[:, s], side)
    if (pooled < 1)[columns.exits[:, s]].any():
        raise InputError(f"exit {s + 1} pools by up to {columns.pool[:, s].max()} a feature map of side {side.min()}")
    taps = BRANCH_KERNEL**2

    def layer(width_in: Ints) -> Ints:
        return np.where(columns.separable[:, s], taps * width_in + width_in * channels, taps * width_in * channels)

    def norms(width_in: Ints) -> Ints:
        return 2 * (channels + columns.separable[:, s] * width_in)

    more = np.maximum(depth - 1, 0)
    weights = layered * layer(width) + more * layer(channels)
    last = np.where(layered, channels, width)
    macs = weights * pooled**2 + last * classes
    parameters = weights + layered * norms(width) + more * norms(channels) + (last + 1) * classes
    return columns.exits[:, s] * macs, columns.exits[:, s] * parameters
