"""Input columns of kernels and trees."""

import numpy as np
import torch
from torch import Tensor

from surrogate_nas.surrogates.training_set import IDENTITIES, TrainingSet

MOST_LEVELS = 12
"""Largest number of values of a choice for which each value gets a column."""


class Inputs(torch.nn.Module):
    """Map inputs to columns: the inputs themselves, and a one-hot column for each value of each choice."""

    above: Tensor
    upto: Tensor

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        d = training.X.shape[1]
        levels = {j: np.unique(training.X[:, j]) for j in training.columns("position", "ordinal", "nominal")}
        levels = {j: values for j, values in levels.items() if len(values) <= MOST_LEVELS}
        self.source = [j for j, values in levels.items() for _ in values]
        """Index of the input of each one-hot column."""
        self.choices = len(levels)
        self.choice = [i for i, values in enumerate(levels.values()) for _ in values]
        """Index, from 0, of the choice of each one-hot column."""
        edges = [np.concatenate([[-np.inf], (v[1:] + v[:-1]) / 2, [np.inf]]) for v in levels.values()]
        self.register_buffer("above", torch.from_numpy(np.concatenate([np.zeros(0), *(e[:-1] for e in edges)])))
        self.register_buffer("upto", torch.from_numpy(np.concatenate([np.zeros(0), *(e[1:] for e in edges)])))
        self.hot = list(range(d, d + len(self.source)))
        self.trended, self.effects = (
            training.columns("cost", "count", "passes"),
            training.columns("position", "additive"),
        )
        self.numbers = training.columns("cost", "number", "passes")
        nominal = set(training.columns("nominal")) & set(levels)
        self.position = training.columns("position")
        self.identities = training.columns(*IDENTITIES)
        """Columns with the numbers of the architecture and of the training, after that with how far it went; none
        without a ladder."""
        self.ordinal = [j for j in range(d) if j not in nominal and j not in self.identities]
        self.ordinal += [h for h, j in zip(self.hot, self.source, strict=True) if j in nominal]

    def forward(self, X: Tensor) -> Tensor:
        """Map (…, n, d) to (…, n, columns). A value that no training row has counts as the nearest that one has."""
        values = X[..., self.source]
        hot = (values > self.above) & (values <= self.upto)
        return torch.cat([X, hot.to(X.dtype)], dim=-1)
