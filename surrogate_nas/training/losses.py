"""Loss functions of networks with several exits, formula by formula.

Throughout, `exit_outputs` contains, for each of the X exits that exist, its (N, C) logits and the (N,) logits of its
gate or `None`; the last exit has no gate. Targets are (N,) class indices, or (N, C) shares of classes if images are
mixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from surrogate_nas.training.recipe import Distillation, Joint, Nachos, Recipe

ExitOutputs = Sequence[tuple[Tensor, Tensor | None]]


def joint(
    exit_outputs: ExitOutputs, targets: Tensor, early_exit_weight: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Σ_e w_e CE_e / Σ_e w_e, the weighted joint loss of BranchyNet (arXiv 1709.01686, eq. 1), with w_E = 1.

    With equal weights it is the loss of EDANAS (IJCNN 2023) and AEBNAS (arXiv 2512.10671) divided by the number of
    exits, so that one learning rate suits any number of exits.
    """
    weights = [early_exit_weight] * (len(exit_outputs) - 1) + [1.0]
    losses = [functional.cross_entropy(logits, targets, label_smoothing=label_smoothing) for logits, _ in exit_outputs]
    return torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum() / sum(weights)


def gates(exit_outputs: ExitOutputs, labels: Tensor) -> Tensor:
    """Mean over exits with a gate of BCE(c_e, 1[exit e is right]), which trains gates as confidences (NACHOS, arXiv
    2401.13330); 0 without gates."""
    parts = [
        functional.binary_cross_entropy_with_logits(gate, (logits.detach().argmax(1) == labels).to(gate.dtype))
        for logits, gate in exit_outputs
        if gate is not None
    ]
    return torch.stack(parts).mean() if parts else exit_outputs[-1][0].new_zeros(())


def distillation(exit_outputs: ExitOutputs, temperature: float) -> Tensor:
    """τ² mean_{e<E} KL(softmax(z_E / τ) ‖ softmax(z_e / τ)): earlier exits learn the outputs of the last one.

    The last exit gets no gradient: its logits are constants here (Phuong & Lampert, ICCV 2019; Zhang et al., arXiv
    1905.08094). 0 for a network without early exits.
    """
    if len(exit_outputs) == 1:
        return exit_outputs[0][0].new_zeros(())
    teacher = functional.log_softmax(exit_outputs[-1][0].detach() / temperature, dim=1)
    students = [functional.log_softmax(logits / temperature, dim=1) for logits, _ in exit_outputs[:-1]]
    parts = [functional.kl_div(s, teacher, reduction="batchmean", log_target=True) for s in students]
    return temperature**2 * torch.stack(parts).mean()


def cumulative_gates(exit_outputs: ExitOutputs) -> Tensor:
    """(X, N) g_e = c_e Π_{j<e} (1 − c_j), the probability that a sample leaves at e, where c_E = 1 (NACHOS, arXiv
    2401.13330). Sums to 1 over exits."""
    survival = torch.ones_like(exit_outputs[-1][0][:, 0])
    shares = []
    for _, gate in exit_outputs[:-1]:
        assert gate is not None
        c = torch.sigmoid(gate)
        shares.append(survival * c)
        survival = survival * (1 - c)
    return torch.stack([*shares, survival])


def over_budget(g: Tensor, macs: Sequence[float], budget: float) -> Tensor:
    """L_cost = max(0, mean_n Σ_e g_e M_e − budget) / |M_E − budget| (NACHOS, arXiv 2401.13330).

    The authors' code passes the expected MACs through `.item()`, so that the term has no gradient; here it has one. For
    a network that cannot exceed the budget the term is 0, even where the quotient would be 0/0.

    Args:
        g: (X, N) probabilities of leaving at each exit.
        macs: (X,) multiply-accumulates of leaving at each exit.
        budget: budget of expected multiply-accumulates.
    """
    if max(macs) <= budget:
        return g.new_zeros(())
    expected = torch.stack([share * m for share, m in zip(g.mean(dim=1), macs, strict=True)]).sum()
    return functional.relu(expected - budget) / abs(macs[-1] - budget)


def peak(exit_outputs: ExitOutputs, support: Tensor, labels: Tensor) -> Tensor:
    """L_peak = mean_{n, e<E} (S[y_n, e] − c_e)², the support-matrix term (NACHOS, arXiv 2401.13330).

    It draws an exit's gate to the exit's accuracy on the sample's class. The authors' code broadcasts an (E) array with
    an (E, 1) one, and so compares every exit with every other; here each is compared with itself.

    Args:
        exit_outputs: see the module.
        support: (C, X − 1) accuracy of each early exit on each class.
        labels: (N,).
    """
    confidence = torch.sigmoid(torch.stack([gate for _, gate in exit_outputs[:-1] if gate is not None], dim=1))
    return ((support[labels] - confidence) ** 2).mean()


def nachos(
    exit_outputs: ExitOutputs,
    labels: Tensor,
    macs: Sequence[float],
    support: Tensor | None,
    loss: Nachos,
    label_smoothing: float = 0.0,
    *,
    warm_up: bool = False,
) -> Tensor:
    """w_α Σ_e mean_n(g_e CE_e) + mean_e BCE(c_e, 1[exit e is right]) + w_β L_cost + w_γ L_peak (NACHOS, arXiv
    2401.13330), for the phases in which exits learn.

    During the warm-up of the exits, 1/X replaces g_e in the first term. An untrained exit is right only by chance: its
    gate learns so, g_e becomes as small or, behind a good exit, almost 0, and an exit with so small a weight hardly
    learns. Exits also have no batch norm, and their ReLUs die at a high learning rate; see `training.learning_rate`.

    Args:
        exit_outputs: see the module.
        labels: (N,).
        macs: (X,) multiply-accumulates of leaving at each exit.
        support: (C, X − 1) accuracy of each early exit on each class; `None`, before the last phase, leaves out L_peak.
        loss: weights and budget.
        label_smoothing: label smoothing of the cross entropies.
        warm_up: whether all exits have the same weight.
    """
    g = cumulative_gates(exit_outputs)
    entropies = torch.stack(
        [
            functional.cross_entropy(z, labels, label_smoothing=label_smoothing, reduction="none")
            for z, _ in exit_outputs
        ]
    )
    exits = entropies.mean() if warm_up else (g * entropies).mean(dim=1).sum()
    total = loss.exits_weight * exits + gates(exit_outputs, labels)
    if loss.cost_weight > 0 and loss.max_macs is not None:
        total = total + loss.cost_weight * over_budget(g, macs, loss.max_macs)
    if loss.peak_weight > 0 and support is not None:
        total = total + loss.peak_weight * peak(exit_outputs, support, labels)
    return total


@dataclass(frozen=True, slots=True)
class TrainingObjective:
    """Loss of a recipe for one network, epoch by epoch."""

    recipe: Recipe
    macs: Sequence[float]
    """(X,) multiply-accumulates of leaving at each exit that exists."""

    def needs_support(self, epoch: int) -> bool:
        """Whether the support matrix is used in this epoch, counted from 0."""
        loss = self.recipe.loss
        return loss.kind == "nachos" and loss.peak_weight > 0 and len(self.macs) > 1 and self._phase(loss, epoch) == 2

    def __call__(
        self, exit_outputs: ExitOutputs, targets: Tensor, labels: Tensor, epoch: int, support: Tensor | None = None
    ) -> Tensor:
        """Loss of a batch.

        Args:
            exit_outputs: outputs of the network for the batch; see the module.
            targets: (N,) class indices or (N, C) shares of classes.
            labels: (N,) class with the largest share in each image.
            epoch: number of the epoch, from 0.
            support: see `nachos`.
        """
        recipe, smoothing = self.recipe, self.recipe.label_smoothing
        match recipe.loss:
            case Joint():
                return joint(exit_outputs, targets, recipe.early_exit_weight, smoothing) + gates(exit_outputs, labels)
            case Distillation():
                distillation_loss = recipe.loss.weight * distillation(exit_outputs, recipe.loss.temperature)
                return (
                    joint(exit_outputs, targets, recipe.early_exit_weight, smoothing)
                    + gates(exit_outputs, labels)
                    + distillation_loss
                )
            case Nachos():
                phase = self._phase(recipe.loss, epoch)
                if phase == 0:
                    return joint(exit_outputs[-1:], labels, 1.0, smoothing)
                warm_up = phase == 1 and recipe.loss.start == "gradual"
                return nachos(exit_outputs, labels, self.macs, support, recipe.loss, smoothing, warm_up=warm_up)
            case _:
                assert_never(recipe.loss)

    def _phase(self, loss: Nachos, epoch: int) -> int:
        """Phase of an epoch: 0 trains the backbone alone, 1 the exits too, 2 uses the support matrix."""
        exits, support = loss.warm_up(self.recipe.epochs)
        return (epoch >= exits) + (epoch >= support)
