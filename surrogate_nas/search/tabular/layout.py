"""Files of a table and their contents, as `writing` writes and `reading` reads them."""

import hashlib

from surrogate_nas.exits.policies import PolicyName

FORMAT = 2
"""Version of the format that is written, and its changes.
2: each row of `networks.csv` tells its fidelity and where it comes from; `table.json` has recipes by fidelity."""
FORMATS = (1, FORMAT)
"""Versions that are read."""
SPACE, NETWORKS, DESCRIPTION, LABELS = "space.yaml", "networks.csv", "table.json", "labels.safetensors"
PIECE, PIECES = "outputs-{:03d}.safetensors", "outputs-*.safetensors"
CHECKSUMS = "SHA256SUMS"
POLICIES: tuple[PolicyName, ...] = ("max_softmax", "margin")
"""Exit policies whose scores a table has."""
PLACE = ("origin", "round", "rank")
"""Columns of `networks.csv` with the proposal's place in its study."""
PROVENANCE = ("data", "study", "version", "python", "torch", "machine", "device")
"""Columns of `networks.csv` with the data set, the study and the conditions of the training."""
OLDER = "0.4.0 or before"
"""Version of this package that trained a network whose record does not tell it."""
COLUMNS = ("id", "architecture", "seed", "piece", "place", "seconds")
"""Columns that are read in every format, besides those of format 2."""


def fidelity_name(fidelity: str) -> str:
    """Name of a fidelity in `networks.csv` and `table.json`: eight hexadecimal digits, the same in every table."""
    return hashlib.sha256(fidelity.encode()).hexdigest()[:8]
