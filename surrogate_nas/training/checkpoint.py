"""Training checkpoint between two epochs; resuming reproduces the same weights bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from surrogate_nas.foundation.files import replaced

NETWORK, AVERAGE, OPTIMIZER, GENERATOR = "network.", "average.", "optimizer.", "generator"
EPOCHS, STEPS, SECONDS, KIND, GROUPS = "epochs", "steps", "seconds", "optimizer", "groups"
COUNTS = ("k", "weight_sum", "lr_max")
"""Numbers that a schedule-free optimiser changes in its groups of parameters."""
Optimizer = torch.optim.Optimizer


def keep(
    path: Path,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
    generator: torch.Generator,
    done: int,
    seconds: float,
    unit: str = EPOCHS,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the state of a training after a number of epochs (or steps, by `unit`) and seconds, with more
    metadata, atomically."""
    tensors = {f"{NETWORK}{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in average.state_dict().items()}
    for i, parameter in enumerate(_parameters(optimizer)):
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{OPTIMIZER}{i}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
    tensors[GENERATOR] = generator.get_state()
    counts = [{name: group[name] for name in COUNTS if name in group} for group in optimizer.param_groups]
    metadata = {
        unit: str(done),
        SECONDS: str(seconds),
        KIND: type(optimizer).__name__,
        GROUPS: json.dumps(counts),
        **more,
    }
    write(path, tensors, metadata)


def restore(
    path: Path,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
    generator: torch.Generator,
    unit: str = EPOCHS,
) -> tuple[int, float]:
    """Load the state of a training into its parts.

    Returns:
        Number of finished epochs (or steps, by `unit`), and seconds spent on them; zeros, with nothing changed, if the
        file does not exist, is damaged, or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        done, seconds = int(metadata[unit]), float(metadata[SECONDS])
        counts = [{name: own[name] for name in COUNTS if name in own} for own in json.loads(metadata.get(GROUPS, "[]"))]
        network_state, average_state, optimizer_state = (
            _below(prefix, tensors) for prefix in (NETWORK, AVERAGE, OPTIMIZER)
        )
        expected = {} if average is None else average.state_dict()
        same = network_state.keys() == network.state_dict().keys() and average_state.keys() == expected.keys()
        if not same or metadata[KIND] != type(optimizer).__name__ or not _fits(optimizer_state, optimizer):
            return 0, 0.0
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return 0, 0.0
    network.load_state_dict(network_state)
    if average is not None:
        average.load_state_dict(average_state)
    for i, parameter in enumerate(_parameters(optimizer)):
        for name, value in _below(f"{i}.", optimizer_state).items():  # in the memory layout of the parameter
            like = torch.empty_like(parameter, requires_grad=False) if value.shape == parameter.shape else value
            optimizer.state[parameter][name] = like.copy_(value)
    for group, own in zip(optimizer.param_groups, counts, strict=False):  # older states have none
        group.update(own)
    generator.set_state(tensors[GENERATOR])
    return done, seconds


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _fits(state: dict[str, Tensor], optimizer: Optimizer) -> bool:
    """Whether a state fits the optimiser's parameters: each value is a scalar, or has the shape of its parameter."""
    shapes = [p.shape for p in _parameters(optimizer)]
    places = [(int(name.partition(".")[0]), value.shape) for name, value in state.items()]
    return all(i < len(shapes) and shape in (shapes[i], ()) for i, shape in places)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def seconds_before(path: Path) -> float:
    """Seconds of training up to the stored state; 0 if there is none."""
    return _number_in(path, SECONDS)


def count_in(path: Path, unit: str) -> int:
    """Epochs or steps, by `unit`, behind the stored state; 0 if there is none."""
    return int(_number_in(path, unit))


def _number_in(path: Path, name: str) -> float:
    try:
        with safe_open(path, framework="pt") as file:
            return float(file.metadata()[name])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return 0.0


def write(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, *, durable: bool = False
) -> None:
    """Write tensors as safetensors, atomically; `durable` waits until they are on disk."""
    with replaced(path, durable=durable) as partial:
        partial.write_bytes(save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata))
