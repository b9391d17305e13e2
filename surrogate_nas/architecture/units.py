"""Units: pieces of an architecture, for images of one size, that are counted, timed and built.

A *unit* runs as a whole: the stem, a block, an exit branch, a segment of a user's backbone. Every cost of a network is
a sum (or a maximum) over its units, so a cost model needs one number per distinct unit. The network is built from the
same units, so that counts and networks cannot diverge.

Convolutions and linear layers are counted. Batch normalisation folds into the convolution before it when a network is
deployed, and pooling, resizing, activations and additions are not multiply-accumulates: they cost none.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from surrogate_nas.architecture.architecture import FLOAT_BITS, Activation, Architecture, Stage, Stem
from surrogate_nas.architecture.branches import Branch, ConvBranch, GatedBranch, MobileBranch, ResizeBranch
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.architecture.layers import Conv, Layer, Linear, Map, Reshape, SqueezeExcite
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError

FLOAT_BYTES = FLOAT_BITS // 8
STEM_KERNEL = BRANCH_KERNEL = 3
GATE_POOLS = (1, 2, 4)
"""Possible factors of the max pooling in a gated branch."""
SQUEEZE_DIVISOR, SQUEEZE_MULTIPLE = 4, 8
KNOWN_STAGES, KNOWN_HEADS = 4096, 50_000
"""Sizes of the caches of units; the networks of a space share most units."""


@dataclass(frozen=True)
class Unit:
    """A sequence of layers, optionally with a shortcut around them."""

    input: Map
    layers: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] | None = None
    """Layers between the input and its addition to the output; `()` adds the input itself, `None` adds nothing."""
    activation: Activation | None = None
    """Activation after the addition."""
    keeps_input: bool = False
    """Whether the input stays in memory, because the backbone reads it after the branch."""
    held_bytes: int = 0
    """Bytes of other values that stay in memory while the unit runs."""
    bits: int = FLOAT_BITS
    """Bit width of weights and activations."""

    @cached_property
    def inputs(self) -> tuple[Map, ...]:
        """Input map of each layer."""
        return _maps(self.input, self.layers)[:-1]

    @cached_property
    def output(self) -> Map:
        """Output map of the last layer."""
        return _maps(self.input, self.layers)[-1]

    @property
    def _layers_and_inputs(self) -> list[tuple[Layer, Map]]:
        around = self.shortcut or ()
        return [*zip(self.layers, self.inputs, strict=True), *zip(around, _maps(self.input, around), strict=False)]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs(x) for layer, x in self._layers_and_inputs)

    @cached_property
    def activations(self) -> int:
        """Elements of all layers' outputs, for one image."""
        return sum(layer.out(x).elements for layer, x in self._layers_and_inputs)

    @cached_property
    def parameters(self) -> int:
        """Number of weights, biases, and batch-norm scales and shifts."""
        return sum(layer.parameters(x) for layer, x in self._layers_and_inputs)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes as deployed: weights at the bit width, and one 32-bit bias per channel after folding batch norm."""
        weights = sum(layer.weights(x) for layer, x in self._layers_and_inputs)
        biases = sum(layer.biases(x) for layer, x in self._layers_and_inputs)
        return -(-weights * self.bits // 8) + FLOAT_BYTES * biases

    @cached_property
    def memory(self) -> int:
        """Bytes of activations at the worst moment, for one image.

        A layer's input and output are in memory at once, together with the input of a shortcut or of the backbone.
        Activations, additions and scalings are computed in place.
        """
        input_elements = self.input.elements if self.keeps_input or self.shortcut is not None else 0
        moments = [
            _elements_during(layer, x, input_elements if i else 0)
            for i, (layer, x) in enumerate(zip(self.layers, self.inputs, strict=True))
        ]
        output_elements = self.output.elements
        moments += [
            _elements_during(layer, x, output_elements)
            for layer, x in zip(self.shortcut or (), [self.input], strict=False)
        ]
        return self.held_bytes + -(-max(moments, default=self.input.elements) * self.bits // 8)

    def __str__(self) -> str:
        around = "" if self.shortcut is None else f" + {', '.join(map(str, self.shortcut)) or 'input'}"
        bits = "" if self.bits == FLOAT_BITS else f" at {self.bits} bits"
        return f"{self.input}: {'; '.join(map(str, self.layers))}{around}{bits}"


def _maps(x: Map, layers: tuple[Layer, ...]) -> tuple[Map, ...]:
    """Input map of each layer, and output map of the last."""
    maps = [x]
    for layer in layers:
        maps.append(layer.out(maps[-1]))
    return tuple(maps)


def _elements_during(layer: Layer, x: Map, waiting: int) -> int:
    """Elements in memory while a layer runs, including the `waiting` ones."""
    if layer == Reshape("relu"):
        return waiting + x.elements
    if isinstance(layer, SqueezeExcite):
        return waiting + x.elements + x.channels + layer.hidden
    return waiting + x.elements + layer.out(x).elements


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUnit:
    """A segment of a user's backbone, with the counts taken when the space was created."""

    name: str
    output: Map
    macs: int
    parameters: int
    weight_bytes: int
    memory: int
    held_bytes: int
    """Bytes of other values than the output map that later segments read."""

    @property
    def activations(self) -> int:
        """Elements of the output map: those within the segment are not known."""
        return self.output.elements

    def __str__(self) -> str:
        return self.name


AnyUnit = Unit | GivenUnit


@dataclass(frozen=True, slots=True)
class Units:
    """Units of a network, by exit position."""

    segments: tuple[tuple[AnyUnit, ...], ...]
    """(E) units between the previous position and this one."""
    heads: tuple[tuple[Unit, ...], ...]
    """(E) alternatives of each branch, one of which is chosen by cost, see `Amounts`; empty where there is no exit."""


def units_of(architecture: Architecture, shape: ImageShape, backbone: BackboneSpec | None = None) -> Units:
    """Units of an architecture for images of `shape`; those of a user's backbone come from its specification."""
    bits = architecture.bits or FLOAT_BITS
    if isinstance(architecture.stem, Stem):
        segments = _segments(architecture, architecture.stem, shape, bits)
        branches = (*architecture.branches, architecture.classifier)
    else:
        assert backbone is not None, "an architecture with a user's backbone needs its specification"
        segments = tuple((unit,) for unit in _given_units(backbone))
        branches = (*architecture.branches, None)
    heads = [
        head_after(segment[-1], branch, shape.classes, bits, last=e == architecture.positions - 1) if branch else ()
        for e, (segment, branch) in enumerate(zip(segments, branches, strict=True))
    ]
    return Units(segments, tuple(heads))


def _segments(architecture: Architecture, stem: Stem, shape: ImageShape, bits: int) -> tuple[tuple[AnyUnit, ...], ...]:
    segments: list[tuple[AnyUnit, ...]] = []
    before = _stem_units(stem, shape, architecture.resolution, bits)
    x = before[-1].output
    for stage in architecture.stages:
        assert isinstance(stage, Stage)
        blocks = stage_units(stage, x, bits)
        segments.append((*before, *blocks))
        before, x = (), blocks[-1].output
    return tuple(segments)


def _given_units(backbone: BackboneSpec) -> tuple[GivenUnit, ...]:
    """Segments of a user's backbone, as units."""
    return tuple(
        GivenUnit(
            name=f"{backbone.factory} to {s.name}",
            output=Map(s.channels, s.side),
            macs=s.macs,
            parameters=s.parameters,
            weight_bytes=s.weight_bytes,
            memory=s.peak_memory,
            held_bytes=max(s.held_memory - FLOAT_BYTES * Map(s.channels, s.side).elements, 0),
        )
        for s in backbone.segments
    )


@lru_cache(KNOWN_STAGES)
def _stem_units(stem: Stem, shape: ImageShape, resolution: int | None, bits: int) -> tuple[AnyUnit, ...]:
    """Units of the stem: the first convolution, with the resizing before it, and the block if the stem has one."""
    image = Map(shape.channels, shape.size)
    resize = (Reshape("rescale", resolution),) if resolution not in (None, shape.size) else ()
    first = Unit(image, (*resize, Conv(stem.width, STEM_KERNEL, stem.stride, activation=stem.activation)), bits=bits)
    if not stem.block:
        return (first,)
    return first, *stage_units(Stage("inverted", stem.width, (STEM_KERNEL,), (1,), 1), first.output, bits)


@lru_cache(KNOWN_STAGES)
def stage_units(stage: Stage, x: Map, bits: int) -> tuple[Unit, ...]:
    """Blocks of a stage with the input map `x`."""
    blocks: list[Unit] = []
    for i in range(stage.depth):
        blocks.append(_block_unit(stage, i, x, bits))
        x = blocks[-1].output
    return tuple(blocks)


def _block_unit(stage: Stage, i: int, x: Map, bits: int) -> Unit:
    """Block i of a stage with input map `x`: residual (arXiv 1512.03385) or inverted (arXiv 1801.04381, 1905.02244)."""
    stride = stage.stride if i == 0 else 1
    same = stride == 1 and x.channels == stage.width
    kernel, act = stage.kernel[i], stage.activation
    if stage.block == "residual":
        layers = (Conv(stage.width, kernel, stride, activation=act), Conv(stage.width, kernel, activation=None))
        around = () if same else (Conv(stage.width, 1, stride, activation=None),)
        return Unit(x, layers, around, act, bits=bits)
    hidden = x.channels * stage.expansion[i]
    expand = (Conv(hidden, 1, activation=act),) if stage.expansion[i] > 1 else ()
    squeeze = (SqueezeExcite(squeeze_width(hidden)),) if stage.squeeze else ()
    depthwise = Conv(hidden, kernel, stride, depthwise=True, activation=act)
    return Unit(
        x, (*expand, depthwise, *squeeze, Conv(stage.width, 1, activation=None)), () if same else None, bits=bits
    )


def squeeze_width(width: int) -> int:
    """Bottleneck of squeeze-and-excitation in MobileNetV3: a quarter of the width, rounded to a multiple of 8, but
    never down by more than a tenth.

    >>> squeeze_width(72), squeeze_width(16)
    (24, 8)
    """
    quarter, multiple = width // SQUEEZE_DIVISOR, SQUEEZE_MULTIPLE
    rounded = max(multiple, (quarter + multiple // 2) // multiple * multiple)
    return rounded + multiple if 10 * rounded < 9 * quarter else rounded


def head_after(unit: AnyUnit, branch: Branch, classes: int, bits: int, *, last: bool) -> tuple[Unit, ...]:
    """Alternatives of a branch: one for each possible pooling of a gated branch, and a single one for any other.

    Args:
        unit: the backbone's unit before the branch.
        branch: the branch.
        classes: number of logits C, not counting a gate's.
        bits: bit width of weights and activations.
        last: whether this is the final classifier, after which nothing reads the unit's output.
    """
    return _head_units(branch, unit.output, classes, bits, unit.held_bytes if isinstance(unit, GivenUnit) else 0, last)


@lru_cache(KNOWN_HEADS)
def _head_units(branch: Branch, x: Map, classes: int, bits: int, held_bytes: int, last: bool) -> tuple[Unit, ...]:
    """Alternatives of a branch after a feature map `x`, with `held_bytes` in memory for the backbone."""

    def unit(*layers: Layer) -> Unit:
        return Unit(x, layers, keeps_input=not last, held_bytes=held_bytes, bits=bits)

    match branch:
        case ConvBranch():
            return (unit(*_conv_layers(branch, x.channels, x.side), Reshape("global pool"), Linear(classes)),)
        case MobileBranch():
            expand = Conv(branch.expand * x.channels, 1, activation="hswish")
            mix = Conv(branch.mix * x.channels, 1, norm=False, activation="hswish")
            return (unit(expand, Reshape("global pool"), mix, Linear(classes)),)
        case GatedBranch():
            convolutions = [Conv(c, BRANCH_KERNEL, norm=False, bias=True) for c in branch.channels]
            pools = [() if p == 1 else (Reshape("max pool", p),) for p in GATE_POOLS if p <= x.side]
            return tuple(unit(*pool, Reshape("relu"), *convolutions, Linear(classes + 1)) for pool in pools)
        case ResizeBranch():
            layers: list[Layer] = []
            width = x.channels
            for module in branch.modules:
                width *= module.multiplier
                layers += [Reshape("resize", module.side), Conv(width, module.kernel, 2, padded=False, bias=True)]
                layers += [Reshape("max pool", module.pool)] if module.pool > 1 else []
            return (unit(*layers, Reshape("global pool"), Linear(classes)),)


def _conv_layers(branch: ConvBranch, width: int, side: int) -> list[Layer]:
    if branch.pool > side:
        raise InputError(f"branch {branch}: pooling by {branch.pool} exceeds the side {side} of the feature map")
    layers: list[Layer] = [Reshape("avg pool", branch.pool)] if branch.pool > 1 else []
    for _ in range(branch.depth):
        if branch.layer == "separable":
            layers += [Conv(width, BRANCH_KERNEL, depthwise=True), Conv(branch.channels, 1)]
        else:
            layers += [Conv(branch.channels, BRANCH_KERNEL)]
        width = branch.channels
    return layers
