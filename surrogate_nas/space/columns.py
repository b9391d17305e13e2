"""Many architectures at once, as arrays: what the cost model reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate_nas.errors import InputError
from surrogate_nas.space.architecture import Architecture, Branch

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Columns:
    """n architectures of S stages each, one array per field.

    Branch fields of a position without an exit are unspecified positive numbers.
    """

    stem_width: Ints  # (n,)
    stem_stride: Ints  # (n,)
    inverted: Bools  # (n, S)
    depth: Ints  # (n, S)
    width: Ints  # (n, S)
    kernel: Ints  # (n, S)
    expansion: Ints  # (n, S)
    stride: Ints  # (n, S)
    exits: Bools  # (n, S - 1) an early exit exists
    branch_depth: Ints  # (n, S - 1)
    separable: Bools  # (n, S - 1)
    channels: Ints  # (n, S - 1)
    pool: Ints  # (n, S - 1)

    def __len__(self) -> int:
        return len(self.stem_width)

    @property
    def positions(self) -> int:
        """Exit positions E = stages S."""
        return int(self.depth.shape[1])

    @classmethod
    def of(cls, architectures: Sequence[Architecture]) -> "Columns":
        """Columns of architectures with equally many stages.

        Raises:
            InputError: if there is none, or if their numbers of stages differ.
        """
        counts = sorted({a.positions for a in architectures})
        if len(counts) != 1:
            raise InputError(f"columns need architectures of one number of stages, got {counts or 'none'}")
        stages = [[(s.block == "inverted", s.depth, s.width, s.kernel, s.expansion, s.stride) for s in a.stages]
                  for a in architectures]  # fmt: skip
        branches = [[_branch_row(b) for b in a.branches] for a in architectures]
        S = np.array(stages, dtype=np.int64).reshape(len(architectures), counts[0], 6)
        B = np.array(branches, dtype=np.int64).reshape(len(architectures), counts[0] - 1, 5)
        return cls(
            np.array([a.stem_width for a in architectures], dtype=np.int64),
            np.array([a.stem_stride for a in architectures], dtype=np.int64),
            S[..., 0].astype(bool), S[..., 1], S[..., 2], S[..., 3], S[..., 4], S[..., 5],
            B[..., 0].astype(bool), B[..., 1], B[..., 2].astype(bool), B[..., 3], B[..., 4],
        )  # fmt: skip


def _branch_row(branch: Branch | None) -> tuple[bool, int, bool, int, int]:
    if branch is None:
        return (False, 0, False, 1, 1)
    return (True, branch.depth, branch.layer == "separable", branch.channels, branch.pool)
