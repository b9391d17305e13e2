"""Load the trained network of a record."""

from safetensors import SafetensorError, safe_open

from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.errors import JobError, first_line
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.study.home import Home
from surrogate_nas.study.pruning import kept_weights
from surrogate_nas.training.executors.jobs import ARCHITECTURE


def load_network(home: Home, record: Record) -> EarlyExitNetwork:
    """The trained network of a record, in evaluation mode, on the CPU.

    Raises:
        JobError: if its training failed, or its weights are gone or damaged.
    """
    path = home.checkpoint(record.id)
    if record.failure is not None:
        raise JobError(f"training {record.id} failed ({record.failure.kind}: {record.failure.message})")
    if not path.is_file():
        raise JobError(
            f"the weights of {record.id} are not at {path} (weights kept: {kept_weights(home.settings)}); "
            f"train it again: surrogate-nas collect {home.path} --keep all --encoding '{record.architecture}'"
        )
    network = EarlyExitNetwork(record.architecture, home.shape, backbone=home.space.spec.backbone)
    architecture = str(record.architecture)
    try:
        with safe_open(path, framework="pt") as file:
            owner = (file.metadata() or {}).get(ARCHITECTURE, "another network")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no iterator
    except (SafetensorError, OSError) as error:
        raise JobError(f"the weights of {record.id} at {path} are damaged: {first_line(error)}") from None
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise JobError(f"{path} has weights of {owner}; expected those of {record.id}, {architecture}") from None
    return network.eval()
