"""A user's network, cut at named modules so that exits can be mounted there (after HAPI, arXiv 2008.03997).

Only modules that contain cuts are traced, by torch.fx; every other module runs unchanged. Where later modules read
several earlier values, as around a shortcut, all of these are passed across the cut.
"""

import inspect
import itertools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from surrogate_nas.architecture.given import BackboneSpec, SegmentSpec
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError, line_of
from surrogate_nas.foundation.plugins import close_to, load_function
from surrogate_nas.network.liveness import peak_memory
from surrogate_nas.space.spec import SpaceSpec, parse_spec

COUNTED = ("conv", "linear", "addmm", "matmul", "bmm", "baddbmm", "einsum")
"""fvcore's operators whose multiply-accumulates are counted."""
MOST_NAMES = 8
END = "end"
COLOURS = 3
DEFAULT_BRANCH: dict[str, list[Any]] = {
    "depth": [0, 1, 2],
    "layer": ["conv", "separable"],
    "channels": [16, 32, 64],
    "pool": [1, 2],
}
ANY_CLASSES = 10
"""Number of classes of a backbone that is checked before the images are known."""
MOST_PIXELS = 1024
"""Largest side of images in pixels; those of another size than the backbone takes are resized."""
Factory = Callable[..., nn.Module]
"""Function that makes a backbone."""


def reference_of(factory: Factory) -> tuple[str, str | None]:
    """`package.module:name` of a function or class, and the folder of its module if that is not installed.

    Raises:
        InputError: for a function or class that other processes cannot import.
    """
    name, module = getattr(factory, "__qualname__", ""), sys.modules.get(getattr(factory, "__module__", ""))
    file = getattr(module, "__file__", None)
    if not name or "<" in name or module is None or file is None:
        raise InputError(
            f"backbone {name or factory!r} cannot be imported by training processes; define it at the top level of a "
            "module"
        )
    if module.__name__ == "__main__":
        return f"{Path(file).stem}:{name}", str(Path(file).parent.absolute())
    top = Path(file).parents[module.__name__.count(".") + (Path(file).name == "__init__.py")]
    return f"{module.__name__}:{name}", None if "site-packages" in top.parts else str(top.absolute())


def make(reference: str, folder: str | None, classes: int) -> nn.Module:
    """Create the user's network; its function is given the number of classes if it takes `num_classes` or `classes`.

    Raises:
        InputError: if the function fails, or does not return a module.
    """
    factory = load_function(reference, "backbone", folder)
    try:
        parameters = inspect.signature(factory).parameters
        passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        name = next((n for n in ("num_classes", "classes") if n in parameters), "num_classes" if passes_on else None)
        module = factory(**({name: classes} if name else {}))
    except Exception as error:  # the user's own code may raise anything
        raise InputError(f"backbone {reference!r} cannot be created: {line_of(error)}") from None
    if not isinstance(module, nn.Module):
        raise InputError(f"backbone {reference!r} returns a {type(module).__name__}, not a torch.nn.Module")
    return module


class _Tracer(fx.Tracer):
    """A tracer that enters only the modules with a cut inside, and records the outputs of the modules at the cuts."""

    def __init__(self, exits: Sequence[str]) -> None:
        super().__init__()
        self.exits = exits
        self.outputs: dict[str, list[Any]] = {name: [] for name in exits}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(name.startswith(f"{module_qualified_name}.") for name in self.exits)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        out = super().call_module(m, forward, args, kwargs)
        name = self.path_of_module(m)
        if name in self.outputs:
            self.outputs[name].append(out)
        return out


class SplitBackbone(nn.Module):
    """A module in segments: one up to each exit, and one from the last exit to the output."""

    def __init__(self, names: Sequence[str], segments: Sequence[fx.GraphModule]) -> None:
        super().__init__()
        self.names = (*names, END)
        self.segments = nn.ModuleList(segments)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, channels, side, side) feature map at each exit, then the (N, classes) output."""
        values, maps = (x,), []
        for segment in self.segments:
            values = segment(*values)
            maps.append(values[0])
        return maps


def split(module: nn.Module, exits: Sequence[str]) -> SplitBackbone:
    """Cut a module after the named modules, in execution order. The segments share the module's weights.

    Raises:
        InputError: if it cannot be cut there; the message has the reason.
    """
    _check_names(module, exits)
    graph, cuts = _trace(module, exits)
    segments = _segments(module, graph, [node for _, node in cuts])
    _check_sharing(segments)
    return SplitBackbone([name for name, _ in cuts], segments)


def _trace(module: nn.Module, exits: Sequence[str]) -> tuple[fx.Graph, list[tuple[str, fx.Node]]]:
    """Trace a module; return its graph, which must be the same in training and in evaluation, and its cuts."""
    modes = [(part, part.training) for part in module.modules()]
    graphs, cuts = [], []
    for training in (True, False):
        tracer = _Tracer(exits)
        try:
            graphs.append(tracer.trace(module.train(training)))
        except Exception as error:  # whatever the user's forward does with a proxy
            raise InputError(
                f"the backbone cannot be cut: torch.fx cannot trace its forward: {line_of(error)}; move code that "
                "depends on the data into a module without an exit inside"
            ) from None
        cuts.append(_cuts(graphs[-1], tracer.outputs))
        _check_functions(graphs[-1])
    for part, mode in modes:
        part.training = mode
    _check_modes(*graphs)
    return graphs[-1], cuts[-1]


def _check_modes(training: fx.Graph, evaluation: fx.Graph) -> None:
    """Refuse a forward that differs between training and evaluation, of which tracing would keep one."""
    calls = ([_call(node) for node in graph.nodes] for graph in (training, evaluation))
    for trained, evaluated in itertools.zip_longest(*calls, fillvalue="nothing"):
        if trained != evaluated:
            raise InputError(
                f"the backbone's forward differs between training, {trained}, and evaluation, {evaluated}: switch "
                "auxiliary outputs off (aux_logits=False), and move code that depends on self.training into a module "
                "without an exit inside"
            )


def _call(node: fx.Node) -> str:
    """Operation and arguments of a node, without its own name and its number of users."""
    return str(node.format_node()).rpartition("] = ")[2]


def _check_names(module: nn.Module, exits: Sequence[str]) -> None:
    names = [name for name, _ in module.named_modules() if name]
    if not exits:
        raise InputError(f"a backbone needs at least one exit; its modules: {', '.join(names[:MOST_NAMES])}, …")
    for name in exits:
        if name not in names:
            close = close_to(name, names) or f"; its modules: {', '.join(names[:MOST_NAMES])}, …"
            raise InputError(f"the backbone has no module {name!r}{close}")
        if exits.count(name) > 1:
            raise InputError(f"exit {name!r} is given {exits.count(name)} times; allowed: once")


def _cuts(graph: fx.Graph, outputs_of: dict[str, list[Any]]) -> list[tuple[str, fx.Node]]:
    """Names of exits, each with the node that it follows, in execution order."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    cuts: list[tuple[str, fx.Node]] = []
    for name, outputs in outputs_of.items():
        if len(outputs) != 1:
            runs = "does not run" if not outputs else f"runs {len(outputs)} times"
            raise InputError(f"module {name!r} {runs} in the backbone's forward; an exit needs one that runs once")
        if not isinstance(outputs[0], fx.Proxy):
            raise InputError(f"module {name!r} returns a {type(outputs[0]).__name__}; an exit needs one feature map")
        cuts.append((name, outputs[0].node))
    cuts.sort(key=lambda pair: order[pair[1]])
    for (first, a), (second, b) in itertools.pairwise(cuts):
        if a is b:
            raise InputError(f"exits {first!r} and {second!r} are at the same position; leave one out")
    return cuts


def _check_functions(graph: fx.Graph) -> None:
    """Refuse functions that depend on the training mode, which tracing would fix."""
    for node in graph.nodes:
        if node.op == "call_function" and "training" in node.kwargs:
            name = getattr(node.target, "__name__", node.target)
            raise InputError(
                f"the backbone's forward calls {name} as a function; use a module in its place, such as nn.Dropout"
            )


def _segments(module: nn.Module, graph: fx.Graph, cuts: Sequence[fx.Node]) -> list[fx.GraphModule]:
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    (output,) = [node for node in graph.nodes if node.op == "output"]
    result = output.args[0]
    if not isinstance(result, fx.Node):
        raise InputError("the backbone returns several values; expected one tensor of logits")
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) > 1 and not all(node.args for node in inputs[1:]):
        raise InputError(f"the backbone takes {len(inputs)} inputs; expected one, the images")
    order = {node: i for i, node in enumerate(graph.nodes)}
    ends = [order[cut] for cut in cuts]
    if result in cuts:
        raise InputError("nothing runs after the last exit, so it is the backbone's own output; leave that exit out")
    segments = []
    crossing: list[fx.Node] = inputs[:1]
    for k in range(len(cuts) + 1):
        low, high = (ends[k - 1] if k else -1), (ends[k] if k < len(cuts) else len(order))
        mine = [node for node in nodes if low < order[node] <= high]
        leaving = [result] if k == len(cuts) else _crossing(graph, cuts[k], order, inputs[:1])
        segments.append(_segment(module, mine, crossing, leaving))
        crossing = leaving
    return segments


def _crossing(graph: fx.Graph, cut: fx.Node, order: dict[fx.Node, int], inputs: list[fx.Node]) -> list[fx.Node]:
    """Values up to a cut that later nodes read: first the feature map at the cut, then all others."""

    def is_read_later(node: fx.Node) -> bool:
        return any(order[user] > order[cut] for user in node.users)

    earlier = [n for n in graph.nodes if order[n] <= order[cut] and (n.op != "placeholder" or n in inputs)]
    others = [n for n in earlier if n is not cut and n.op != "get_attr" and is_read_later(n)]
    return [cut, *others]


def _segment(
    module: nn.Module, nodes: Sequence[fx.Node], entering: Sequence[fx.Node], leaving: Sequence[fx.Node]
) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"value_{i}") for i, node in enumerate(entering)}

    def copy_of(node: fx.Node) -> fx.Node:
        if node not in copies and node.op == "get_attr":  # a parameter may be read in several segments
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in nodes:
        copies[node] = graph.node_copy(node, copy_of)
    graph.output(tuple(copy_of(node) for node in leaving))
    graph.eliminate_dead_code(lambda node: node.op not in ("get_attr",))
    return fx.GraphModule(module, graph)


def _check_sharing(segments: Sequence[fx.GraphModule]) -> None:
    segment_of: dict[int, int] = {}
    for k, segment in enumerate(segments):
        for name, parameter in segment.named_parameters():
            if segment_of.setdefault(id(parameter), k) != k:
                raise InputError(f"parameter {name!r} is used on both sides of an exit; allowed: on one side only")


@torch.no_grad()
def describe(
    reference: str,
    folder: str | None,
    exits: Sequence[str],
    example: tuple[int, int, int],
    classes: int,
    *,
    frozen: bool = False,
) -> BackboneSpec:
    """Create and cut a user's backbone, and count the costs of its segments.

    Args:
        reference: `package.module:function` that creates it.
        folder: folder of the module, if it is not installed.
        exits: names of the modules after which an exit may be mounted.
        example: channels, height and width of its images; height and width are equal.
        classes: number of its logits.
        frozen: whether only exit branches and the backbone's own classifier are trained.

    Raises:
        InputError: if it cannot be cut there, or is not a classifier of square images into `classes`.
    """
    channels, height, width = example
    if height != width or min(example) < 1:
        raise InputError(f"example input {channels},{height},{width} is not of the form channels,side,side")
    backbone = split(make(reference, folder, classes).eval(), exits)
    shapes = _shapes(backbone, example, classes)
    if frozen:
        classifier_of(backbone.segments[-1], classes)
    segments, values = [], (torch.zeros(1, *example),)
    for name, segment, shape in zip(backbone.names, backbone.segments, shapes, strict=True):
        assert isinstance(segment, fx.GraphModule)
        after, macs = segment(*values), _macs(segment, values)
        if macs == 0:
            raise InputError(
                f"the backbone has no convolution or linear layer between {'its end' if name == END else repr(name)} "
                "and the exit or input before it; leave one exit out"
            )
        parameters = sum(p.numel() for p in segment.parameters())
        segments.append(
            SegmentSpec(
                name=name,
                channels=shape[1],
                side=shape[2] if len(shape) == 4 else 1,
                macs=macs,
                parameters=parameters,
                weight_bytes=_weight_bytes(segment),
                peak_memory=_peak(segment, values),
                held_memory=sum(value.nbytes for value in after),
            )
        )
        values = after
    _check_training(backbone, example, shapes)
    return BackboneSpec(
        factory=reference,
        folder=folder,
        frozen=frozen,
        channels=channels,
        side=height,
        classes=classes,
        segments=tuple(segments),
    )


def space_of(backbone: BackboneSpec, branch: Mapping[str, Any] | None = None) -> SpaceSpec:
    """The search space of a backbone's exits and their branches.

    Args:
        backbone: specification from `describe`.
        branch: choices of the branches, as in a space's file; by default up to two layers, with poolings that fit the
            smallest feature map.
    """
    least = min(segment.side for segment in backbone.segments[:-1])
    choices = branch or {**DEFAULT_BRANCH, "pool": [pool for pool in DEFAULT_BRANCH["pool"] if pool <= least]}
    name = backbone.factory.partition(":")[2]
    about = f"exits on {backbone.factory}, {'frozen' if backbone.frozen else 'trained with them'}"
    return parse_spec(
        {
            "name": name,
            "about": about,
            "image_sizes": [1, MOST_PIXELS],
            "backbone": backbone.model_dump(),
            "branch": choices,
        }
    )


def _shapes(backbone: SplitBackbone, example: tuple[int, int, int], classes: int) -> list[tuple[int, ...]]:
    """Shapes of the feature maps and of the output for two images; every value that crosses a cut is checked."""
    images = 2
    values, shapes = (torch.zeros(images, *example),), []
    for name, segment in zip(backbone.names, backbone.segments, strict=True):
        try:
            values = segment(*values)
        except Exception as error:  # the user's own code may raise anything
            raise InputError(
                f"the backbone fails on images of {'×'.join(map(str, example))}: {line_of(error)}"
            ) from None
        for value in values:
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != images:
                what = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
                raise InputError(
                    f"exit {name!r}: {what} is computed before it and read after it; the first dimension of such a "
                    "value must be the batch, so that images which leave can be removed from it"
                )
        shapes.append(tuple(values[0].shape))
        if name != END and (len(shapes[-1]) != 4 or shapes[-1][2] != shapes[-1][3]):
            raise InputError(
                f"exit {name!r}: its module returns shape {shapes[-1]}; expected (images, channels, side, side)"
            )
    if shapes[-1] != (images, classes):
        raise InputError(
            f"the backbone returns shape {shapes[-1]} for {images} images; expected {(images, classes)}: let its "
            "function take num_classes"
        )
    return shapes


def _check_training(backbone: SplitBackbone, example: tuple[int, int, int], shapes: list[tuple[int, ...]]) -> None:
    """Refuse modules whose outputs have other shapes in training. This check changes the backbone's statistics."""
    with torch.random.fork_rng(devices=[]):  # dropout draws
        try:
            trained = [tuple(x.shape) for x in backbone.train()(torch.zeros(2, *example))]
        except Exception as error:  # the user's own code may raise anything
            raise InputError(f"the backbone fails in training, but not in evaluation: {line_of(error)}") from None
    if trained != shapes:
        raise InputError(
            f"the backbone returns shapes {trained} in training, but {shapes} in evaluation; they must be equal"
        )


def classifier_of(segment: nn.Module, classes: int) -> list[nn.Module]:
    """Layers of a backbone's classifier, which are never frozen: the last with weights for each class, and those after.

    Args:
        segment: last segment of the backbone.
        classes: number of logits.

    Raises:
        InputError: if there is no such layer.
    """
    own = [(module, list(module.parameters(recurse=False))) for module in segment.modules()]
    layers = [(module, parameters) for module, parameters in own if parameters]
    last = [i for i, (_, parameters) in enumerate(layers) if any(_classifies(p, classes) for p in parameters)]
    if not last:
        raise InputError(
            f"a frozen backbone needs a layer for its {classes} classes that can be trained, such as nn.Linear; no "
            "layer after the last exit has weights of that size"
        )
    return [module for module, _ in layers[last[-1] :]]


def _classifies(parameter: Tensor, classes: int) -> bool:
    return parameter.ndim > 1 and classes in parameter.shape[:2]


def _macs(segment: fx.GraphModule, values: tuple[Tensor, ...]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis  # machines that only train do not need it

        analysis = FlopCountAnalysis(segment, values).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(sum(count for name, count in analysis.by_operator().items() if name in COUNTED))


def _deep(segment: fx.GraphModule) -> fx.GraphModule:
    """Trace a segment down to torch's own modules; unchanged if it cannot be traced."""
    try:
        return fx.symbolic_trace(segment)
    except Exception:  # whatever the user's forward does with a proxy
        return segment


def _peak(segment: fx.GraphModule, values: tuple[Tensor, ...]) -> int:
    return peak_memory(_deep(segment), values)


def _weight_bytes(segment: fx.GraphModule) -> int:
    """Bytes of 32-bit weights with batch norms folded into convolutions: one bias per channel, if there is none."""
    deep, norms = _deep(segment), nn.modules.batchnorm._BatchNorm
    counted_modules = [module for module in segment.modules() if not isinstance(module, norms)]
    numbers = sum(p.numel() for module in counted_modules for p in module.parameters(recurse=False))
    modules: dict[str, nn.Module] = dict(deep.named_modules())
    for node in deep.graph.nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(norm, norms):
            before = node.all_input_nodes[0]
            convolution = modules.get(str(before.target)) if before.op == "call_module" else None
            if isinstance(convolution, nn.Conv2d):
                numbers += 0 if convolution.bias is not None else convolution.out_channels
            else:
                numbers += 2 * norm.num_features
    return 4 * numbers


@dataclass(frozen=True, slots=True)
class Mount:
    """A request for exits on a user's network."""

    reference: str
    """`package.module:function` that creates the network."""
    exits: tuple[str, ...]
    """Names of the modules after which an exit may be mounted."""
    folder: str | None = None
    """Folder of the function's module, if it is not installed."""
    example: tuple[int, int, int] | None = None
    """Channels, height and width of the input; `None` for those of the data, with three channels if the network does
    not take grey images."""
    frozen: bool = False
    """Whether only exit branches and the network's own classifier are trained, and its features are not."""
    branch: Mapping[str, Any] | None = None
    """Choices of the branches, as in a space's file."""

    def check(self) -> None:
        """Check everything that does not depend on the images: that the function exists, and that exits are possible.

        Raises:
            InputError: if not; the message has the reason.
        """
        load_function(self.reference, "backbone", self.folder)
        try:
            module = make(self.reference, self.folder, ANY_CLASSES)
        except InputError:
            return  # it may need another number of classes, which is unknown without the images
        split(module, self.exits)

    def space(self, shape: ImageShape) -> SpaceSpec:
        """Search space for images of `shape`; raises `InputError`, with the reason, if there is none."""
        example = self.example or (shape.channels, shape.size, shape.size)
        if shape.channels not in (1, example[0]):
            raise InputError(f"the backbone takes {example[0]} channels, but the images have {shape.channels}")
        try:
            backbone = self._describe(example, shape.classes)
        except InputError:
            if self.example or shape.channels != 1:
                raise
            backbone = self._describe((COLOURS, shape.size, shape.size), shape.classes)  # most take colour images
        return space_of(backbone, self.branch)

    def _describe(self, example: tuple[int, int, int], classes: int) -> BackboneSpec:
        return describe(self.reference, self.folder, self.exits, example, classes, frozen=self.frozen)

    def is_that_of(self, spec: SpaceSpec) -> bool:
        """Whether a study's space has the requested exits on the requested network."""
        backbone = spec.backbone
        if backbone is None or (backbone.factory, backbone.frozen) != (self.reference, self.frozen):
            return False
        of_study = {segment.name for segment in backbone.segments[:-1]}
        return of_study == set(self.exits) and self.example in (None, (backbone.channels, backbone.side, backbone.side))


def mount(
    factory: Factory | str,
    exits: Sequence[str],
    *,
    example: Tensor | tuple[int, int, int] | None = None,
    frozen: bool = False,
    branch: Mapping[str, Any] | None = None,
) -> Mount:
    """Request exits on a network of your own, as a search space for `Study.create(space=…)`.

    Args:
        factory: a function or class at the top level of a module, or `package.module:name`. It is called with
            `num_classes` or `classes` if it takes one of them, and may load weights.
        exits: names of the modules, as in `named_modules`, after which an exit may be mounted.
        example: an input (1, channels, side, side), or its channels, height and width; the data's by default. Images
            of another size are resized, grey ones repeated in all channels.
        frozen: whether only exit branches and the network's own classifier are trained, and its features are not.
        branch: choices of the branches, as in a space's file.

    Raises:
        InputError: for a function or class that other processes cannot import.
    """
    reference, folder = (factory, _folder_of(factory)) if isinstance(factory, str) else reference_of(factory)
    shape = tuple(example.shape[-3:]) if isinstance(example, Tensor) else example
    if shape is not None and len(shape) != 3:
        raise InputError(f"example {shape} is not of the form (channels, height, width)")
    return Mount(reference, tuple(exits), folder, shape, frozen, branch)


def _folder_of(reference: str) -> str | None:
    """Current folder, if it contains the module, else `None`."""
    top = reference.partition(":")[0].partition(".")[0]
    here = Path.cwd()
    return str(here) if (here / top).is_dir() or (here / f"{top}.py").is_file() else None
