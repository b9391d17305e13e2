"""The state of a training between two epochs, in a file from which it goes on to the bit."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

NETWORK, MOMENTUM, GENERATOR = "network.", "momentum.", "generator"
EPOCHS, SECONDS = "epochs", "seconds"


def keep(
    path: Path, network: nn.Module, optimizer: torch.optim.SGD, generator: torch.Generator, epochs: int, seconds: float
) -> None:
    """Write the state after so many epochs and seconds, whole or not at all."""
    tensors = {f"{NETWORK}{name}": tensor for name, tensor in network.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        if state.get("momentum_buffer") is not None:
            tensors[f"{MOMENTUM}{i}"] = state["momentum_buffer"]
    tensors[GENERATOR] = generator.get_state()
    write(path, tensors, {EPOCHS: str(epochs), SECONDS: str(seconds)})


def restore(
    path: Path, network: nn.Module, optimizer: torch.optim.SGD, generator: torch.Generator
) -> tuple[int, float]:
    """Set everything to the state in the file.

    Returns:
        Finished epochs, and seconds spent on them; zeros, and nothing has been changed, if there is no such file or
        it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        epochs, seconds = int(metadata[EPOCHS]), float(metadata[SECONDS])
        weights = {name.removeprefix(NETWORK): t for name, t in tensors.items() if name.startswith(NETWORK)}
        if weights.keys() != network.state_dict().keys():
            return 0, 0.0
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return 0, 0.0
    network.load_state_dict(weights)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        if (momentum := tensors.get(f"{MOMENTUM}{i}")) is not None:  # in the parameter's own layout, as it was
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum).detach()
    generator.set_state(tensors[GENERATOR])
    return epochs, seconds


def seconds_before(path: Path) -> float:
    """Seconds that the training had taken when its state was kept; 0 if it was not."""
    try:
        with safe_open(path, framework="pt") as file:
            return float(file.metadata()[SECONDS])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return 0.0


def write(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, *, durable: bool = False
) -> None:
    """Write tensors as safetensors, whole or not at all; `durable` waits until the disk has them."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
