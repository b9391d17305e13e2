"""Training checkpoint between two epochs; resuming reproduces the same weights bit for bit."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from surrogate_nas.foundation.files import replaced

NETWORK, AVERAGE, OPTIMIZER, GENERATOR = "network.", "average.", "optimizer.", "generator"
EPOCHS, SECONDS, KIND = "epochs", "seconds", "optimizer"
Optimizer = torch.optim.Optimizer


def keep(
    path: Path,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
    generator: torch.Generator,
    epochs: int,
    seconds: float,
) -> None:
    """Write the state of a training after a number of epochs and seconds, atomically."""
    tensors = {f"{NETWORK}{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in average.state_dict().items()}
    for i, parameter in enumerate(_parameters(optimizer)):
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{OPTIMIZER}{i}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
    tensors[GENERATOR] = generator.get_state()
    write(path, tensors, {EPOCHS: str(epochs), SECONDS: str(seconds), KIND: type(optimizer).__name__})


def restore(
    path: Path, network: nn.Module, average: nn.Module | None, optimizer: Optimizer, generator: torch.Generator
) -> tuple[int, float]:
    """Load the state of a training into its parts.

    Returns:
        Number of finished epochs, and seconds spent on them; zeros, with nothing changed, if the file does not exist,
        is damaged, or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        epochs, seconds = int(metadata[EPOCHS]), float(metadata[SECONDS])
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
    generator.set_state(tensors[GENERATOR])
    return epochs, seconds


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
    try:
        with safe_open(path, framework="pt") as file:
            return float(file.metadata()[SECONDS])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return 0.0


def write(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, *, durable: bool = False
) -> None:
    """Write tensors as safetensors, atomically; `durable` waits until they are on disk."""
    with replaced(path, durable=durable) as partial:
        partial.write_bytes(save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata))
