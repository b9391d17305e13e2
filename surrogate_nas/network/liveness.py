"""Peak memory of activations, by liveness analysis, of any module that torch.fx can trace."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

_IN_PLACE_MODULES = (
    nn.modules.batchnorm._BatchNorm,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Sigmoid,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.Tanh,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.Flatten,
)
_IN_PLACE_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    torch.relu,
    torch.flatten,
    torch.sigmoid,
    torch.tanh,
    functional.relu,
    functional.relu6,
    functional.hardswish,
    functional.hardsigmoid,
    functional.silu,
    functional.gelu,
    functional.dropout,
    operator.getitem,
    getattr,
)
_SUMS: tuple[Callable[..., Any], ...] = (operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul)
_IN_PLACE_METHODS = ("flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "relu", "relu_", "sigmoid")
_SUM_METHODS = ("add", "add_", "mul", "mul_")


class _Sizes(fx.Interpreter):
    """Interpreter that records the bytes of every value of a graph."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.bytes: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.bytes[n] = _bytes(value) if n.op not in ("output", "get_attr") else 0
        return value


def _bytes(value: object) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(_bytes(part) for part in value) if isinstance(value, tuple | list) else 0


@torch.no_grad()
def peak_memory(module: fx.GraphModule, inputs: Sequence[Tensor]) -> int:
    """Bytes of activations at the worst moment.

    A layer's input and output are in memory at once, together with all values that a later layer reads. Operations
    that a deployed network fuses or computes in place create no new tensor: batch norm, activations, dropout, views; a
    sum or product overwrites an operand that is not read later. Inputs live until their last use, outputs to the end.
    """
    sizes = _Sizes(module)
    sizes.run(*inputs)
    nodes = list(module.graph.nodes)
    place = {node: i for i, node in enumerate(nodes)}
    last_use = {node: max((place[user] for user in node.users), default=place[node]) for node in nodes}
    storage: dict[fx.Node, fx.Node] = {}  # the node whose tensor a node's value is in
    ends: dict[fx.Node, int] = {}  # when each tensor is read for the last time
    for node in nodes:
        root = _reused_tensor(node, module, storage, ends, place[node], sizes.bytes) or node
        storage[node] = root
        ends[root] = max(ends.get(root, 0), last_use[node])
    alive = [sum(sizes.bytes[root] for root, end in ends.items() if place[root] <= i <= end) for i in range(len(nodes))]
    return max(alive, default=0)


def _reused_tensor(
    node: fx.Node,
    module: fx.GraphModule,
    storage: dict[fx.Node, fx.Node],
    ends: dict[fx.Node, int],
    now: int,
    sizes: dict[fx.Node, int],
) -> fx.Node | None:
    """Node whose tensor a node's value overwrites; `None` if the value is a new tensor."""
    operands = [storage[n] for n in node.all_input_nodes if n in storage and sizes[storage[n]] > 0]
    if not operands:
        return None
    if _is(node, module, _IN_PLACE_MODULES, _IN_PLACE_FUNCTIONS, _IN_PLACE_METHODS):
        return operands[0]
    if _is(node, module, (), _SUMS, _SUM_METHODS):
        free = [n for n in operands if _last_read(n, storage) <= now and sizes[n] >= sizes[node]]
        return max(free, key=lambda n: sizes[n], default=None)
    return None


def _last_read(root: fx.Node, storage: dict[fx.Node, fx.Node]) -> float:
    """Index of the last node that reads a tensor, through any of the values stored in it."""
    order = {node: i for i, node in enumerate(root.graph.nodes)}
    values = [node for node, at in storage.items() if at is root]
    return max((order[user] for value in values for user in value.users), default=0)


def _is(
    node: fx.Node,
    module: fx.GraphModule,
    modules: tuple[type, ...],
    functions: Sequence[Callable[..., Any]],
    methods: Sequence[str],
) -> bool:
    match node.op:
        case "call_module":
            return isinstance(module.get_submodule(str(node.target)), modules)
        case "call_function":
            return node.target in functions
        case "call_method":
            return node.target in methods
    return False
