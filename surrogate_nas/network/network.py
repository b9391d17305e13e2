"""PyTorch module of an architecture, which stops early in `predict`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from surrogate_nas.architecture.architecture import Activation, Architecture, Backbone
from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.architecture.layers import Conv, Layer, Linear, Map, Reshape, SqueezeExcite
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.architecture.units import AnyUnit, Unit
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICIES, confidence, having_left
from surrogate_nas.foundation.arrays import Floats32, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.backbone import classifier_of, make, split
from surrogate_nas.network.quantization import quantize


class GlobalPool(nn.Module):
    """Mean over the map, kept as a 1×1 map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class Resize(nn.Module):
    """Resize to a fixed side: feature maps bicubically, as AEBNAS does, images bilinearly with antialiasing."""

    def __init__(self, side: int, *, image: bool) -> None:
        super().__init__()
        self.size, self.image = (side, side), image

    def forward(self, x: Tensor) -> Tensor:
        mode = "bilinear" if self.image else "bicubic"
        return functional.interpolate(x, self.size, mode=mode, align_corners=False, antialias=self.image)


class SqueezeExcitation(nn.Module):
    """Scale channels by a bottleneck on their means (Hu et al., arXiv 1709.01507)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, hidden, 1), nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * functional.hardsigmoid(self.up(functional.relu(self.down(mean))))


def _activation(name: Activation) -> nn.Module:
    return nn.ReLU(inplace=True) if name == "relu" else nn.Hardswish(inplace=True)


def _modules(layer: Layer, x: Map) -> Iterator[nn.Module]:
    """Modules of a layer with input map `x`."""
    match layer:
        case Conv():
            yield nn.Conv2d(
                x.channels,
                layer.width,
                layer.kernel,
                layer.stride,
                padding=layer.kernel // 2 if layer.padded else 0,
                groups=x.channels if layer.depthwise else 1,
                bias=layer.bias,
            )
            if layer.norm:
                yield nn.BatchNorm2d(layer.width)
            if layer.activation:
                yield _activation(layer.activation)
        case SqueezeExcite():
            yield SqueezeExcitation(x.channels, layer.hidden)
        case Linear():
            yield nn.Linear(x.elements, layer.width)
        case Reshape(kind="avg pool"):
            yield nn.AvgPool2d(layer.size)
        case Reshape(kind="max pool"):
            yield nn.MaxPool2d(layer.size)
        case Reshape(kind="global pool"):
            yield GlobalPool()
        case Reshape(kind="resize" | "rescale"):
            yield Resize(layer.size, image=layer.kind == "rescale")
        case Reshape(kind="relu"):
            yield nn.ReLU()  # not in place: the backbone reads the same map


def _sequence(layers: Sequence[Layer], x: Map) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers:
        modules += _modules(layer, x)
        x = layer.out(x)
    return nn.Sequential(*modules)


class Block(nn.Module):
    """A unit of the backbone: layers, and optionally a shortcut."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.body = _sequence(unit.layers, unit.input)
        self.shortcut = None if unit.shortcut is None else _shortcut(unit)
        self.activation = unit.activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        match self.activation:
            case None:
                return y
            case "relu":
                return functional.relu(y)
            case "hswish":
                return functional.hardswish(y)


def _shortcut(unit: Unit) -> nn.Module:
    return _sequence(unit.shortcut, unit.input) if unit.shortcut else nn.Identity()


class ExitBranch(nn.Module):
    """A unit that ends in a linear layer; returns (N, C) logits, or (N, C + 1) with a gate's logit last."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        *layers, last = unit.layers
        self.layers = _sequence(layers, unit.input)
        (self.linear,) = _modules(last, unit.inputs[-1])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.layers(x).flatten(1))
        return logits


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """Result of classifying N samples with early exits."""

    logits: Tensor
    """(N, C) logits of the exit at which each sample left."""
    positions: Ints
    """(N,) position at which each sample left."""
    samples_per_segment: Ints
    """(E,) number of samples for which the segment of the backbone before each position was computed."""


class EarlyExitNetwork(nn.Module):
    """Network of an architecture. It takes (N, channels, size, size) images with pixels from 0 to 255.

    Args:
        architecture: architecture to build.
        shape: shape and classes of the images.
        mean, std: per-channel pixel statistics of the training images; normalisation is part of the network.
        backbone: specification of the user's backbone, if the architecture has one.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        shape: ImageShape,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        backbone: BackboneSpec | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.shape = shape
        self.register_buffer("mean", _per_channel(mean or (127.5,) * shape.channels, shape))
        self.register_buffer("std", _per_channel(std or (127.5,) * shape.channels, shape))
        costing = Costing(shape, backbone=backbone)
        heads = costing.heads(architecture)
        self.given_backbone = backbone if isinstance(architecture.stem, Backbone) else None
        self.segments = _given_segments(self.given_backbone) if self.given_backbone else nn.ModuleList()
        self.heads = nn.ModuleDict()
        for e, units in enumerate(costing.units(architecture).segments):
            if self.given_backbone is None:
                self.segments.append(_segment(units, first=e == 0))
            if e in heads:
                self.heads[str(e)] = ExitBranch(heads[e])
        quantize(self, architecture.bits)

    def normalize(self, x: Tensor) -> Tensor:
        """Normalise pixels 0 … 255 of any dtype to the scale that the first convolution expects."""
        return (x.to(self.mean.dtype) - self.mean) / self.std

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C) logits of every exit, in the order of `architecture.exit_positions`."""
        return [logits for logits, _ in self.exit_outputs(x)]

    def exit_outputs(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """(N, C) logits of every exit, each with the (N,) logits of its gate if it has one."""
        values: tuple[Tensor, ...] = self.prepare(x)
        outputs = []
        for e in range(self.architecture.positions):
            values = self.step(e, values)
            if self._has_exit(e):
                outputs.append(self.exit_output_at(e, values[0]))
        return outputs

    def prepare(self, x: Tensor) -> tuple[Tensor]:
        """Normalise images to the input of the first segment; for a user's backbone, with its channels and size."""
        x = self.normalize(x)
        if self.given_backbone is not None:
            x = x.expand(-1, self.given_backbone.channels, -1, -1)
            if self.given_backbone.side != self.shape.size:
                x = Resize(self.given_backbone.side, image=True)(x)
        return (x,)

    def step(self, e: int, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run segment e; returns all values that later segments need, the feature map first."""
        after = self.segments[e](*values)
        return after if self.given_backbone is not None else (after,)

    def _has_exit(self, e: int) -> bool:
        return str(e) in self.heads or e == self.architecture.positions - 1

    def exit_output_at(self, e: int, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, C) logits of the exit at position e from the feature map there, and (N,) those of its gate, if any."""
        if str(e) not in self.heads:  # the end of a given backbone
            return x, None
        if self.given_backbone is not None:
            x = x.clone()  # later modules of the backbone may change the map in place
        out: Tensor = self.heads[str(e)](x)
        C = self.shape.classes
        return (out[:, :C], out[:, C]) if out.shape[1] > C else (out, None)

    def exit_macs(self, charge_heads: ChargeHeads = "all") -> list[float]:
        """(X,) multiply-accumulates of leaving at each exit that exists, with all of them on."""
        macs = Costing(self.shape, charge_heads, backbone=self.given_backbone).of(self.architecture).macs()[0]
        return [float(m) for m in macs[list(self.architecture.exit_positions)].astype(np.float32)]

    def train(self, mode: bool = True) -> "EarlyExitNetwork":
        """Set the mode like `nn.Module.train`, except that features of a frozen backbone stay in evaluation mode."""
        super().train(mode)
        if self.given_backbone is not None and self.given_backbone.frozen:
            self.segments.eval()
            for layer in _classifier(self.segments, self.given_backbone):
                layer.train(mode)
        return self

    @torch.inference_mode()
    def predict(self, x: Tensor, operating_point: OperatingPoint) -> EarlyExit:
        """Classify images; a sample that has left is not computed further.

        Args:
            x: (N, channels, size, size) pixels 0 … 255.
            operating_point: thresholds, and the policy that they are for.

        Raises:
            InputError: if the number of thresholds is not that of the network's early positions.
        """
        E = self.architecture.positions
        if len(operating_point.thresholds) != E - 1:
            raise InputError(f"{E} exits need {E - 1} thresholds, got {len(operating_point.thresholds)}")
        inside = torch.arange(len(x), device=x.device)
        logits = torch.zeros(len(x), self.shape.classes, device=x.device)
        positions = np.full(len(x), E - 1)
        samples = np.zeros(E, dtype=np.int64)
        left_probability = np.zeros(len(x), dtype=np.float32)
        values: tuple[Tensor, ...] = self.prepare(x)
        for e in range(E):
            if len(inside) == 0:
                break
            samples[e] = len(inside)
            values = self.step(e, values)
            threshold = operating_point.thresholds[e] if e < E - 1 else 0.0
            if not self._has_exit(e) or threshold is None:
                continue
            exit_logits, gate = self.exit_output_at(e, values[0])
            score = _scores(operating_point, e, exit_logits, gate)
            if POLICIES[operating_point.policy].cumulative and gate is not None:
                score = left_probability = having_left(left_probability, score)
            passes = score.astype(np.float64) >= threshold  # in float64, as in `Exits`
            leaves = torch.from_numpy(passes).to(x.device) if e < E - 1 else torch.ones_like(inside, dtype=torch.bool)
            logits[inside[leaves]] = exit_logits[leaves]
            positions[inside[leaves].cpu().numpy()] = e
            values, inside, left_probability = (
                tuple(value[~leaves] for value in values),
                inside[~leaves],
                left_probability[~passes],
            )
        return EarlyExit(logits, positions, samples)


def _scores(point: OperatingPoint, position: int, logits: Tensor, gate: Tensor | None) -> Floats32:
    """(N,) scores, as in `SplitOutputs.view`."""
    gates = None if gate is None else gate.cpu().numpy()
    return confidence(point.policy, logits.cpu().numpy(), gates, point.temperature(position))


def module_of(unit: Unit) -> nn.Module:
    """Module of a unit: a block, a branch, or the first layers of the stem."""
    if isinstance(unit.layers[-1], Linear):
        return ExitBranch(unit)
    return Block(unit)


def _segment(units: Sequence[AnyUnit], *, first: bool) -> nn.Sequential:
    """A sequence of units; the layers of the stem are not wrapped in a block."""
    modules: list[nn.Module] = []
    for i, unit in enumerate(units):
        assert isinstance(unit, Unit)
        modules += _sequence(unit.layers, unit.input) if first and i == 0 else [Block(unit)]
    return nn.Sequential(*modules)


def _given_segments(backbone: BackboneSpec) -> nn.ModuleList:
    """Segments of a user's backbone, newly created by the user's function."""
    module = make(backbone.factory, backbone.folder, backbone.classes)
    segments = split(module, [segment.name for segment in backbone.segments[:-1]]).segments
    segments.requires_grad_(not backbone.frozen)
    for layer in _classifier(segments, backbone) if backbone.frozen else ():
        layer.requires_grad_()
    return segments


def _classifier(segments: nn.ModuleList, backbone: BackboneSpec) -> list[nn.Module]:
    return classifier_of(segments[-1], backbone.classes)


def _per_channel(values: tuple[float, ...], shape: ImageShape) -> Tensor:
    if len(values) != shape.channels:
        raise InputError(f"{shape.channels} channels need {shape.channels} pixel statistics, got {len(values)}")
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
