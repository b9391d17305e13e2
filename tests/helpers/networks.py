"""Backbones of a user's own, as a module that other processes can import."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Shortcut(nn.Module):
    """A shortcut goes around the module `middle`, and the next one works in place."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(8, 16, 3, stride=2, padding=1))
        self.classifier = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.middle(x)
        return self.classifier(self.last(y + x).mean(dim=(2, 3)))


def fixed() -> nn.Module:
    """Always for three classes."""
    return Shortcut(3)


def broken() -> nn.Module:
    """Raises."""
    raise RuntimeError("no such\nweights")


def no_module() -> int:
    """Gives something else."""
    return 3


class Twice(Shortcut):
    """One module runs twice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.last(self.middle(self.middle(self.first(x)))).mean(dim=(2, 3)))


class Dependent(Shortcut):
    """Where it goes depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.sum() > 0:
            x = self.middle(x)
        return self.classifier(self.last(x).mean(dim=(2, 3)))


class Counted(Shortcut):
    """A number is computed before an exit and read after it."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        n = x.size(1)
        return self.classifier(self.last(self.middle(x)).mean(dim=(2, 3)) * n)


class Functional(Shortcut):
    """Dropout as a function, which tracing would fix."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.dropout(self.middle(self.first(x)), 0.5, training=self.training)
        return self.classifier(self.last(x).mean(dim=(2, 3)))


class Moody(Shortcut):
    """Does something else in training, which tracing would fix."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.first(x))
        if self.training:
            x = x + 1
        return self.classifier(self.last(x).mean(dim=(2, 3)))


class Auxiliary(nn.Linear):
    """A classifier with a second output in training."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return (y, y) if self.training else y  # type: ignore[return-value]


class TwoOutputs(Shortcut):
    """Its classifier, which no exit lies in, gives two values in training."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.classifier = Auxiliary(16, num_classes)


class NoClassifier(Shortcut):
    """Its logits come from a sum."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x))).mean(dim=(2, 3))[:, :10]


class Flat(Shortcut):
    """A module gives something that is no map."""

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.cat([self.last(self.middle(self.first(x))).mean(dim=(2, 3))], 1))
