"""A model of networks, made of a model of exits."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from botorch.models.model import Model
from torch import Tensor

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.normal_model import NormalModel, marginals, moments, subset


@dataclass(frozen=True)
class Layout:
    """Places of the targets of an exit, early ones first, among those of its network: position by position."""

    positions: int
    """Number E of exit positions."""
    early: int
    """Number of targets of each early exit."""
    learned: Bools
    """(m,) whether there is anything to learn a target from."""

    @property
    def last(self) -> int:
        """Number of targets of the last exit."""
        return len(self.learned) - self.early * (self.positions - 1)

    @property
    def early_learned(self) -> int:
        """Number of targets of an early exit that are learned: all or none."""
        return self.early if self.positions > 1 and self.learned[0] else 0

    @property
    def axes(self) -> Ints:
        """(m,) number of the axis of each target; early exits share theirs."""
        early = np.tile(np.arange(self.early), self.positions - 1)
        return np.concatenate([early, self.early + np.arange(self.last)])

    def of_exits(self, values: Floats, undefined: float) -> Floats:
        """(n, E, k) learned targets of each exit, from the (n, m) of its network."""
        n, early, split = len(values), self.positions - 1, self.early * (self.positions - 1)
        exits = np.full((n, self.positions, self.early_learned + self.last), undefined)
        if self.early_learned:
            exits[:, :early, : self.early] = values[:, :split].reshape(n, early, self.early)
        exits[:, early, self.early_learned :] = values[:, split:]
        return exits

    def of_networks(self, exits: Floats) -> Floats:
        """(…, m) targets of networks, from the (…, E, k) of their exits; 0 where nothing is learned."""
        early = self.positions - 1
        values = np.zeros((*exits.shape[:-2], early, self.early))
        if self.early_learned:
            values = exits[..., :early, : self.early]
        flat = values.reshape(*exits.shape[:-2], early * self.early)
        return np.concatenate([flat, exits[..., early, self.early_learned :]], axis=-1)


class ExitModel(NormalModel):
    """Targets of all exits of a network, each predicted by the model of exits from the inputs of its place.

    Targets that nothing is learned of have their prior, mean 0 and variance 1; targets of a position that is unknown
    vary as positions do, all networks together.
    """

    unknown: Tensor

    def __init__(self, model: Model, layout: Layout, unknown: Floats) -> None:
        """Build from a model of k targets of exits, and the (m,) variance between positions where it is not learned."""
        super().__init__()
        self.model, self.layout = model, layout
        self.register_buffer("unknown", torch.from_numpy(unknown))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return len(self.unknown)

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, E d) inputs."""
        places = X.reshape(len(X), self.layout.positions, -1)
        exits = np.zeros((2, *places.shape[:2], self.layout.early_learned + self.layout.last))
        for model, positions, targets in self._parts:
            there = places[:, positions, 0] > 0
            if there.any():
                rows = marginals(model, places[:, positions][there])
                exits[:, :, positions, targets][:, there.numpy()] = torch.stack(rows).numpy()
        mean, variance = torch.from_numpy(self.layout.of_networks(exits))
        return mean, variance + self._prior + self.unknown

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, E d) inputs; exits of one network are independent."""
        q, E = X.shape[-2], self.layout.positions
        places = X.reshape(*X.shape[:-1], E, -1)
        unlearned = 0 if self.layout.early_learned else self.layout.early * (E - 1)
        means = [X.new_zeros(*X.shape[:-1], unlearned)]
        covariances = [X.new_zeros(*X.shape[:-2], unlearned, q, q)]
        for model, positions, _ in self._parts:
            for e in range(E)[positions]:
                mean, covariance = moments(model, places[..., e, :])
                means.append(mean)
                covariances.append(covariance)
        alone = self._prior[:, None, None] * torch.eye(q, dtype=X.dtype)
        together = torch.cat(covariances, dim=-3) + alone + self.unknown[:, None, None]
        return torch.cat(means, dim=-1), together

    @cached_property
    def _parts(self) -> list[tuple[NormalModel, slice, slice]]:
        """Models of the early exits' targets, if they are learned, and of the last one's, each with its positions and
        the places of its targets among the k."""
        last, early = self.layout.positions - 1, self.layout.early_learned
        parts = [(slice(0, last), slice(0, early)), (slice(last, last + 1), slice(early, early + self.layout.last))]
        numbers = range(early + self.layout.last)
        return [(subset(self.model, numbers[targets]), at, targets) for at, targets in parts if numbers[targets]]

    @property
    def _prior(self) -> Tensor:
        return torch.from_numpy(~self.layout.learned).to(self.unknown.dtype)
