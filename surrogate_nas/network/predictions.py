"""Predictions of every exit of a network, in full precision and without early exiting."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.policies import PolicyName, confidence
from surrogate_nas.foundation.arrays import Array, Floats32, Ints
from surrogate_nas.network.network import EarlyExitNetwork

BATCH = 256
OnImages = Callable[[int], object]
"""Function that receives the number of images finished since the last call."""


def no_progress(images: int) -> None:
    """An `OnImages` that ignores progress."""


@dataclass(frozen=True, slots=True)
class ExitPredictions:
    """Predictions of all X exits for N images, without early exiting."""

    logits: Floats32
    """(X, N, C) logits."""
    confidence: Floats32
    """(X − 1, N) confidence of each early exit by itself."""

    @classmethod
    def by_network(
        cls,
        network: EarlyExitNetwork,
        policy: PolicyName,
        temperatures: Sequence[float],
        images: Array,
        on_images: OnImages = no_progress,
    ) -> "ExitPredictions":
        """Predictions by PyTorch; temperatures are (E,), or empty."""
        where = network.architecture.exit_positions[:-1]

        @torch.inference_mode()
        def predict(batch: Array) -> tuple[Array, Array]:
            pairs = network.exit_outputs(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last))
            confidences = np.zeros((len(where), len(batch)), dtype=np.float32)
            for x, (e, (logits, gate)) in enumerate(zip(where, pairs[:-1], strict=True)):
                T = temperatures[e] if temperatures else 1.0
                confidences[x] = confidence(policy, logits.numpy(), None if gate is None else gate.numpy(), T)
            return np.stack([logits.numpy() for logits, _ in pairs]), confidences

        return cls.batched(predict, images, on_images)

    @classmethod
    def batched(
        cls, predict: Callable[[Array], tuple[Array, Array]], images: Array, on_images: OnImages = no_progress
    ) -> "ExitPredictions":
        """Predictions by a function from a batch of images to (X, n, C) logits and (X − 1, n) confidences."""
        parts = []
        for at in range(0, len(images), BATCH):
            batch = images[at : at + BATCH]
            parts.append(predict(batch))
            on_images(len(batch))
        logits, confidence = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return cls(logits, confidence)

    def exits(
        self, architecture: Architecture, cost: Cost, policy: PolicyName, labels: Ints, groups: Ints | None = None
    ) -> Exits:
        """Scores and correctness of all exits.

        Args:
            architecture: the network's.
            cost: its cost.
            policy: policy of the confidences.
            labels: (N,) classes of the images.
            groups: (N,) groups of the images, if there are any.
        """
        E, where = architecture.positions, list(architecture.exit_positions)
        scores, correct = np.zeros((E, len(labels)), dtype=np.float32), np.zeros((E, len(labels)), dtype=np.bool_)
        scores[where[:-1]], correct[where] = self.confidence, self.logits.argmax(axis=2) == labels
        return Exits(policy, np.isin(np.arange(E), where), scores, correct, cost, groups)
