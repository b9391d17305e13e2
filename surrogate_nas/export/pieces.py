"""Pieces of a network, cut at its exits, and their export as ONNX."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from surrogate_nas.exits.policies import POLICIES, PolicyName, available
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.network.quantization import fold_quantization

IMAGES, FEATURES, LOGITS, CONFIDENCE = "images", "features", "logits", "confidence"


def _max_softmax(p: Tensor) -> Tensor:
    return p.max(dim=1).values


def _margin(p: Tensor) -> Tensor:
    top = p.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def _entropy(p: Tensor) -> Tensor:
    entropy = -(p * p.clamp_min(torch.finfo(p.dtype).tiny).log()).sum(dim=1)
    return (1 - entropy / math.log(p.shape[1])).clamp(0, 1)


TWINS: Mapping[PolicyName, Callable[[Tensor], Tensor]] = {
    "max_softmax": _max_softmax,
    "margin": _margin,
    "entropy": _entropy,
    "gate": torch.sigmoid,
    "cumulative_gate": torch.sigmoid,
}
"""Torch versions of `Policy.score`, for (N, C) probabilities or (N,) gate logits."""


class SegmentPiece(nn.Module):
    """The backbone between two exits; the last segment includes the classifier."""

    def __init__(self, network: EarlyExitNetwork, positions: range) -> None:
        super().__init__()
        self.network, self.positions = network, positions

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        if self.positions[0] == 0:
            values = self.network.prepare(values[0])
        for e in self.positions:
            values = self.network.step(e, values)
        if self.positions[-1] == self.network.architecture.positions - 1:
            return (self.network.exit_output_at(self.positions[-1], values[0])[0],)
        return values


class BranchPiece(nn.Module):
    """Branch of an exit: maps the feature map to logits and a confidence in [0, 1]; see `policies`.

    The exported file thus computes the confidence, not the program that runs it.
    """

    def __init__(self, network: EarlyExitNetwork, position: int, policy: PolicyName, temperature: float) -> None:
        super().__init__()
        self.network, self.position, self.policy, self.temperature = network, position, policy, temperature

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, gate = self.network.exit_output_at(self.position, x)
        return logits, self.confidence(logits, gate)

    def confidence(self, logits: Tensor, gate: Tensor | None) -> Tensor:
        """(N,) confidence of this exit alone."""
        policy = available(self.policy, gate)
        if gate is not None and POLICIES[policy].needs_gates:
            return TWINS[policy](gate)
        return TWINS[policy]((logits / self.temperature).softmax(dim=1))


@dataclass(frozen=True, slots=True)
class Piece:
    """An ONNX file of an export."""

    name: str
    module: nn.Module
    values: tuple[Tensor, ...]
    """Example inputs, by which the module is traced."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def onnx(self) -> bytes:
        """The piece as ONNX for any batch size, without stack traces or paths of the exporting machine."""
        batch = torch.export.Dim("N", min=1)
        dynamic = tuple({0: batch} for _ in self.values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the exporter about itself
            program = torch.onnx.export(
                self.module.eval(),
                self.values,
                dynamo=True,
                verbose=False,
                input_names=self.inputs,
                output_names=self.outputs,
                dynamic_shapes=dynamic if isinstance(self.module, BranchPiece) else (dynamic,),
            )
        assert program is not None
        return _plain(program.model_proto)


def _plain(model: onnx.ModelProto) -> bytes:
    """Serialise a model without stack traces and names of source files."""
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
        *model.graph.initializer,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return bytes(model.SerializeToString())


@torch.no_grad()
def pieces_of(
    network: EarlyExitNetwork, policy: PolicyName = "max_softmax", temperatures: Sequence[float] = ()
) -> Iterator[tuple[Piece, Piece | None]]:
    """The segment up to each exit, and the exit's branch; the last exit has none, since its segment ends in logits.

    Args:
        network: the trained network.
        policy: exit policy, which computes confidences.
        temperatures: (E,) temperatures by position; empty means 1 everywhere.
    """
    plain = copy.deepcopy(network).eval()
    fold_quantization(plain)
    shape, start, last = network.shape, 0, network.architecture.positions - 1
    values: tuple[Tensor, ...] = (torch.zeros(2, shape.channels, shape.size, shape.size),)
    for position in network.architecture.exit_positions:
        inputs = (IMAGES,) if start == 0 else _features(start - 1, len(values))
        segment = SegmentPiece(plain, range(start, position + 1)).eval()
        after = segment(*values)
        outputs = (LOGITS,) if position == last else _features(position, len(after))
        branch = None
        if position != last:
            module = BranchPiece(plain, position, policy, temperatures[position] if temperatures else 1.0).eval()
            branch = Piece(f"branch_{position + 1}.onnx", module, after[:1], outputs[:1], (LOGITS, CONFIDENCE))
        yield Piece(f"segment_{position + 1}.onnx", segment, values, inputs, outputs), branch
        start, values = position + 1, after


def _features(position: int, n: int) -> tuple[str, ...]:
    """Names of the tensors that pass from the exit at a position to the next segment."""
    return tuple(f"{FEATURES}_{position + 1}" + (f"_{i}" if i else "") for i in range(n))
