"""An architecture made into a PyTorch module that can really stop early."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from surrogate_nas.cost import BRANCH_KERNEL, STEM_KERNEL, ImageShape
from surrogate_nas.errors import InputError
from surrogate_nas.exits import OperatingPoint, scores
from surrogate_nas.space import Architecture, Branch, Stage


def _conv(width_in: int, width: int, kernel: int, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


class ResidualBlock(nn.Module):
    """Two k×k convolutions and a shortcut (He et al., arXiv 1512.03385)."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(width_in, width, kernel, stride), nn.ReLU(inplace=True), *_conv(width, width, kernel)
        )
        same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(width_in, width, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class InvertedBlock(nn.Module):
    """Expand, depthwise k×k, project (Sandler et al., arXiv 1801.04381)."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width_in * expansion
        expand = [*_conv(width_in, hidden, 1), nn.ReLU(inplace=True)] if expansion > 1 else []
        self.body = nn.Sequential(
            *expand,
            *_conv(hidden, hidden, kernel, stride, groups=hidden), nn.ReLU(inplace=True),
            *_conv(hidden, width, 1),
        )  # fmt: skip
        self.adds = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds else y


class ExitBranch(nn.Module):
    """Average pooling, 3×3 layers, global average pooling, a linear classifier."""

    def __init__(self, branch: Branch, width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(branch.pool)] if branch.pool > 1 else []
        for _ in range(branch.depth):
            if branch.layer == "separable":
                layers += [*_conv(width, width, BRANCH_KERNEL, groups=width), nn.ReLU(inplace=True)]
                layers += _conv(width, branch.channels, 1)
            else:
                layers += _conv(width, branch.channels, BRANCH_KERNEL)
            layers.append(nn.ReLU(inplace=True))
            width = branch.channels
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.layers(x).mean(dim=(2, 3)))
        return logits


def _stage(stage: Stage, width_in: int) -> Iterator[nn.Module]:
    for i in range(stage.depth):
        stride = stage.stride if i == 0 else 1
        if stage.block == "residual":
            yield ResidualBlock(width_in, stage.width, stage.kernel, stride)
        else:
            yield InvertedBlock(width_in, stage.width, stage.kernel, stride, stage.expansion)
        width_in = stage.width


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network that stops early said of N samples."""

    logits: Tensor
    """(N, C) of the exit at which each sample left."""
    positions: npt.NDArray[np.int64]
    """(N,) that exit's position."""
    samples_per_segment: npt.NDArray[np.int64]
    """(E,) samples for which the backbone between one position and the next was computed."""


class EarlyExitNetwork(nn.Module):
    """The network of an architecture. Takes (N, channels, size, size) images with pixels from 0 to 255.

    Args:
        architecture: what to build.
        shape: images and classes.
        mean, std: per-channel pixel statistics of the training images; normalisation is part of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, architecture: Architecture, shape: ImageShape, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.shape = shape
        self.register_buffer("mean", _per_channel(mean or (127.5,) * shape.channels, shape))
        self.register_buffer("std", _per_channel(std or (127.5,) * shape.channels, shape))
        width = architecture.stem_width
        stem = [*_conv(shape.channels, width, STEM_KERNEL, architecture.stem_stride), nn.ReLU(inplace=True)]
        self.segments = nn.ModuleList()
        self.heads = nn.ModuleDict()
        for e, stage in enumerate(architecture.stages):
            self.segments.append(nn.Sequential(*(stem if e == 0 else []), *_stage(stage, width)))
            width = stage.width
            branch = architecture.branches[e] if e < len(architecture.branches) else None
            if branch is not None:
                self.heads[str(e)] = ExitBranch(branch, width, shape.classes)
        self.heads[str(architecture.positions - 1)] = ExitBranch(Branch(0, "conv", 1, 1), width, shape.classes)

    def normalize(self, x: Tensor) -> Tensor:
        """Pixels 0 … 255 of any dtype to the scale that the first convolution expects."""
        return (x.to(self.mean.dtype) - self.mean) / self.std

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C) logits of every exit, in the order of `architecture.exit_positions`."""
        x = self.normalize(x)
        logits = []
        for e, segment in enumerate(self.segments):
            x = segment(x)
            if str(e) in self.heads:
                logits.append(self.heads[str(e)](x))
        return logits

    @torch.inference_mode()
    def predict(self, x: Tensor, operating_point: OperatingPoint) -> Prediction:
        """Classify, computing nothing further for a sample that has left.

        Raises:
            InputError: if the number of thresholds does not fit the network.
        """
        E = self.architecture.positions
        if len(operating_point.thresholds) != E - 1:
            raise InputError(f"{E} exits need {E - 1} thresholds, got {len(operating_point.thresholds)}")
        inside = torch.arange(len(x), device=x.device)
        logits = torch.zeros(len(x), self.shape.classes, device=x.device)
        positions = np.full(len(x), E - 1)
        samples = np.zeros(E, dtype=np.int64)
        x = self.normalize(x)
        for e, segment in enumerate(self.segments):
            if len(inside) == 0:
                break
            samples[e] = len(inside)
            x = segment(x)
            threshold = operating_point.thresholds[e] if e < E - 1 else 0.0
            if str(e) not in self.heads or threshold is None:
                continue
            said = self.heads[str(e)](x)
            score = scores(operating_point.policy, said.cpu().numpy())
            sure = score.astype(np.float64) >= threshold  # as when measured: not in the scores' own precision
            leaves = torch.from_numpy(sure).to(x.device) if e < E - 1 else torch.ones_like(inside, dtype=torch.bool)
            logits[inside[leaves]] = said[leaves]
            positions[inside[leaves].cpu().numpy()] = e
            x, inside = x[~leaves], inside[~leaves]
        return Prediction(logits, positions, samples)


def _per_channel(values: tuple[float, ...], shape: ImageShape) -> Tensor:
    if len(values) != shape.channels:
        raise InputError(f"{shape.channels} channels need as many pixel statistics, got {len(values)}")
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
