"""Losses: their values by other means, which parameters they teach, and their phases."""

from itertools import pairwise
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import training as train
from surrogate_nas.training.losses import (
    TrainingObjective,
    cumulative_gates,
    distillation,
    gates,
    joint,
    nachos,
    over_budget,
    peak,
)
from surrogate_nas.training.recipe import Distillation, Joint, Nachos, Recipe

N, C, X = 6, 5, 3
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])
MACS = (10.0, 30.0, 80.0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(exits: int = X, seed: int = 0) -> list[Tensor]:
    z_all = torch.randn(exits, N, C, generator=generator(seed), dtype=torch.float64)
    return [z.requires_grad_() for z in z_all]


def outputs_with_gates(seed: int = 0) -> list[tuple[Tensor, Tensor | None]]:
    """Three exits, of which the last has no gate."""
    gate = torch.randn(X - 1, N, generator=generator(seed + 1), dtype=torch.float64)
    return [
        *zip(logits(seed=seed)[:-1], [g.requires_grad_() for g in gate], strict=True),
        (logits(seed=seed)[-1], None),
    ]


def cross_entropy_by_hand(z: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """(N,)."""
    log_p = z - z.exp().sum(dim=1, keepdim=True).log()
    target = torch.full_like(z, smoothing / z.shape[1])
    target[range(len(labels)), labels] += 1 - smoothing
    return -(target * log_p).sum(dim=1)


# ---------------------------------------------------------------------- joint


@given(weight=st.floats(0, 3), smoothing=st.floats(0, 0.5), exits=st.integers(1, 4))
def test_the_joint_loss_is_the_weighted_mean_of_the_exits_cross_entropies(
    weight: float, smoothing: float, exits: int
) -> None:
    z = logits(exits)
    by_exit = [cross_entropy_by_hand(one, LABELS, smoothing).mean() for one in z]
    expected = (sum(weight * loss for loss in by_exit[:-1]) + by_exit[-1]) / (weight * (exits - 1) + 1)
    torch.testing.assert_close(joint([(one, None) for one in z], LABELS, weight, smoothing), expected)


def test_the_gradient_of_the_joint_loss_is_that_of_finite_differences() -> None:
    def loss(*z: Tensor) -> Tensor:
        return joint([(one, None) for one in z], LABELS, 0.7, 0.1)

    assert torch.autograd.gradcheck(loss, tuple(logits()))


def test_shares_of_classes_weigh_the_losses_of_the_classes() -> None:
    z = logits(1)
    one_hot = torch.nn.functional.one_hot(LABELS, C).double()
    other = one_hot.roll(1, dims=1)
    mixed = joint([(z[0], None)], 0.3 * one_hot + 0.7 * other)
    parts = [joint([(z[0], None)], targets.argmax(dim=1)) for targets in (one_hot, other)]
    torch.testing.assert_close(mixed, 0.3 * parts[0] + 0.7 * parts[1])


def untrained(architecture: Architecture, splits: Splits) -> EarlyExitNetwork:
    return train.build(architecture, splits, 10, 0, torch.device("cpu"))


def has_gradients(network: EarlyExitNetwork, data: Splits, recipe: Recipe, epoch: int) -> dict[str, bool]:
    """Which parts of a network have a gradient."""
    images, labels = torch.from_numpy(data.tune.images), torch.from_numpy(data.tune.labels)
    objective = TrainingObjective(recipe, network.exit_macs())
    early = len(network.architecture.exit_positions) - 1
    support = torch.full((10, early), 0.9) if objective.needs_support(epoch) else None
    objective(network.exit_outputs(images), labels, labels, epoch, support).backward()  # type: ignore[no-untyped-call]
    parts = {f"head {e}": head for e, head in network.heads.items()} | {"backbone": network.segments}
    return {n: any(p.grad is not None and bool(p.grad.any()) for p in m.parameters()) for n, m in parts.items()}


@pytest.mark.parametrize("loss", [Joint(), Distillation()])
def test_every_head_and_the_backbone_are_taught(
    architecture: Architecture, digits: Splits, loss: Joint | Distillation
) -> None:
    assert all(has_gradients(untrained(architecture, digits), digits, Recipe(loss=loss), 0).values())


def test_without_a_weight_early_exits_are_not_taught(architecture: Architecture, digits: Splits) -> None:
    has_gradient = has_gradients(untrained(architecture, digits), digits, Recipe(early_exit_weight=0), 0)
    assert has_gradient == {"head 0": False, "head 1": False, "head 2": True, "backbone": True}


# ---------------------------------------------------------------------- distillation


@given(temperature=st.floats(0.5, 10))
def test_distillation_is_the_mean_divergence_from_the_last_exit(temperature: float) -> None:
    z = logits()
    teacher = (z[-1] / temperature).softmax(dim=1)
    parts = [(teacher * (teacher.log() - (one / temperature).softmax(dim=1).log())).sum(dim=1).mean() for one in z[:-1]]
    expected = temperature**2 * (parts[0] + parts[1]) / 2
    torch.testing.assert_close(distillation([(one, None) for one in z], temperature), expected)


def test_distillation_moves_the_pupils_and_not_the_teacher() -> None:
    z = logits()
    distillation([(one, None) for one in z], 3.0).backward()  # type: ignore[no-untyped-call]
    assert z[-1].grad is None
    assert all(one.grad is not None and one.grad.any() for one in z[:-1])


def test_the_gradient_of_distillation_is_that_of_finite_differences() -> None:
    teacher = logits()[-1].detach()
    assert torch.autograd.gradcheck(
        lambda a, b: distillation([(a, None), (b, None), (teacher, None)], 3.0), tuple(logits()[:-1])
    )


def test_an_exit_that_says_what_the_last_says_has_nothing_to_learn() -> None:
    z = logits(1)[0]
    assert float(distillation([(z + 3.0, None), (z, None)], 2.0).detach()) == pytest.approx(0, abs=1e-12)
    assert float(distillation([(z, None)], 2.0)) == 0


# ---------------------------------------------------------------------- gates and NACHOS


def test_gates_learn_whether_their_exit_is_right() -> None:
    exit_outputs = outputs_with_gates()
    parts = []
    for z, gate in exit_outputs[:-1]:
        assert gate is not None
        right = (z.argmax(dim=1) == LABELS).double()
        c = torch.sigmoid(gate)
        parts.append(-(right * c.log() + (1 - right) * (1 - c).log()).mean())
    torch.testing.assert_close(gates(exit_outputs, LABELS), (parts[0] + parts[1]) / 2)
    assert float(gates([(z, None) for z, _ in exit_outputs], LABELS)) == 0


@given(seed=st.integers(0, 50))
def test_leaving_probabilities_are_a_distribution_by_stick_breaking(seed: int) -> None:
    exit_outputs = outputs_with_gates(seed)
    g = cumulative_gates(exit_outputs)
    assert g.shape == (X, N)
    torch.testing.assert_close(g.sum(dim=0), torch.ones(N, dtype=torch.float64))
    first, second = (torch.sigmoid(gate) for _, gate in exit_outputs[:-1] if gate is not None)
    torch.testing.assert_close(g[0], first)
    torch.testing.assert_close(g[1], second * (1 - first))


def test_the_cost_term_is_the_share_by_which_the_budget_is_exceeded() -> None:
    g = torch.tensor([[0.5, 0.25], [0.25, 0.25], [0.25, 0.5]], dtype=torch.float64)
    expected = (0.375 * 10 + 0.25 * 30 + 0.375 * 80 - 20) / (80 - 20)
    assert float(over_budget(g, MACS, 20)) == pytest.approx(expected)
    assert float(over_budget(g, MACS, 60)) == 0  # expected MACs are 41.25
    assert float(over_budget(g, MACS, 80)) == 0  # which no network of 80 exceeds; the quotient would be 0/0


def test_the_cost_term_has_a_gradient_that_makes_samples_leave_earlier() -> None:
    exit_outputs = outputs_with_gates()
    over_budget(cumulative_gates(exit_outputs), MACS, 20).backward()  # type: ignore[no-untyped-call]
    for _, gate in exit_outputs[:-1]:
        assert gate is not None
        assert gate.grad is not None
        assert (gate.grad < 0).all()  # gradient descent opens every gate


def test_the_gradient_of_the_cost_term_is_that_of_finite_differences() -> None:
    exit_outputs = outputs_with_gates()

    def loss(*gate: Tensor) -> Tensor:
        return over_budget(
            cumulative_gates([(exit_outputs[0][0], gate[0]), (exit_outputs[1][0], gate[1]), exit_outputs[2]]), MACS, 20
        )

    assert torch.autograd.gradcheck(loss, tuple(gate for _, gate in exit_outputs[:-1] if gate is not None))


def test_the_support_term_compares_each_gate_with_its_own_exits_accuracy_on_the_class() -> None:
    exit_outputs = outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)
    total = 0.0
    for n in range(N):
        for e, (_, gate) in enumerate(exit_outputs[:-1]):
            assert gate is not None
            total += (float(support[LABELS[n], e]) - float(torch.sigmoid(gate[n].detach()))) ** 2
    assert float(peak(exit_outputs, support, LABELS).detach()) == pytest.approx(total / (N * (X - 1)))


def test_the_support_term_has_a_gradient_for_gates_alone() -> None:
    exit_outputs = outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)
    peak(exit_outputs, support, LABELS).backward()  # type: ignore[no-untyped-call]
    assert all(gate is not None and gate.grad is not None and gate.grad.any() for _, gate in exit_outputs[:-1])
    assert all(z.grad is None for z, _ in exit_outputs)


WHOLE = Nachos(max_macs=20, exits_weight=1.5, cost_weight=0.5, peak_weight=2.0)


def test_the_whole_loss_is_the_weighted_sum_of_its_terms() -> None:
    exit_outputs = outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)
    g = cumulative_gates(exit_outputs)
    entropy = sum((g[e] * cross_entropy_by_hand(z, LABELS)).mean() for e, (z, _) in enumerate(exit_outputs))
    expected = (
        1.5 * entropy
        + gates(exit_outputs, LABELS)
        + 0.5 * over_budget(g, MACS, 20)
        + 2 * peak(exit_outputs, support, LABELS)
    )
    torch.testing.assert_close(nachos(exit_outputs, LABELS, MACS, support, WHOLE), expected)


def test_while_exits_warm_up_they_count_alike() -> None:
    exit_outputs = outputs_with_gates()
    by_exit = [1.5 * cross_entropy_by_hand(z, LABELS).mean() for z, _ in exit_outputs]
    cost = 0.5 * over_budget(cumulative_gates(exit_outputs), MACS, 20)
    expected = (by_exit[0] + by_exit[1] + by_exit[2]) / 3 + gates(exit_outputs, LABELS) + cost
    torch.testing.assert_close(nachos(exit_outputs, LABELS, MACS, None, WHOLE, warm_up=True), expected)


@pytest.mark.parametrize("left_out", ["cost_weight", "peak_weight"])
def test_ablations_leave_a_term_out(left_out: str) -> None:
    exit_outputs = outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)
    whole = nachos(exit_outputs, LABELS, MACS, support, WHOLE)
    ablated = nachos(exit_outputs, LABELS, MACS, support, WHOLE.model_copy(update={left_out: 0.0}))
    terms = {
        "cost_weight": 0.5 * over_budget(cumulative_gates(exit_outputs), MACS, 20),
        "peak_weight": 2 * peak(exit_outputs, support, LABELS),
    }
    torch.testing.assert_close(whole - ablated, terms[left_out])


def test_the_gradient_of_the_whole_loss_is_that_of_finite_differences() -> None:
    exit_outputs = outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)

    def loss(a: Tensor, b: Tensor, c: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return nachos([(a, first), (b, second), (c, None)], LABELS, MACS, support, WHOLE, 0.1)

    inputs = tuple(t for pair in exit_outputs for t in pair if t is not None)
    a, first, b, second, c = inputs
    assert torch.autograd.gradcheck(loss, (a, b, c, first, second))


# ---------------------------------------------------------------------- phases

GATED = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@gated-c8/res-d1-w8-k3-s2@gated-c8/res-d1-w8-k3-s2")


def test_the_backbone_comes_first_then_exits_then_the_support_matrix(digits: Splits) -> None:
    recipe = Recipe(epochs=20, loss=Nachos(max_macs=1e5))
    objective = TrainingObjective(recipe, MACS)
    assert [e for e in range(20) if objective.needs_support(e)] == list(range(15, 20))
    heads = {"head 0": False, "head 1": False, "head 2": True, "backbone": True}
    assert has_gradients(untrained(GATED, digits), digits, recipe, 9) == heads
    for epoch in (10, 15):
        assert all(has_gradients(untrained(GATED, digits), digits, recipe, epoch).values())


@pytest.mark.parametrize("start", ["gradual", "at_once"])
def test_exits_count_alike_in_the_warm_up_alone_and_only_if_that_is_asked_for(
    start: Literal["gradual", "at_once"],
) -> None:
    recipe = Recipe(epochs=20, label_smoothing=0, loss=WHOLE.model_copy(update={"start": start}))
    objective, exit_outputs = TrainingObjective(recipe, MACS), outputs_with_gates()
    support = torch.rand(C, X - 1, generator=generator(3), dtype=torch.float64)
    for epoch, matrix in ((10, None), (14, None), (15, support), (19, support)):
        expected = nachos(exit_outputs, LABELS, MACS, matrix, WHOLE, warm_up=start == "gradual" and matrix is None)
        torch.testing.assert_close(objective(exit_outputs, LABELS, LABELS, epoch, matrix), expected)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_every_exit_learns_with_the_nachos_loss_at_the_defaults(digits: Splits, seed: int) -> None:
    """With exits weighted by the probability of leaving from the start, the second one stays at 10 to 31 %."""
    network = train.build(GATED, digits, 10, seed, torch.device("cpu"))
    recipe = Recipe(epochs=8, batch_size=32, loss=Nachos(max_macs=1e5))
    train.fit(network, digits.train, recipe, seed, flips=False)
    _, correct = train.held_out_outputs(network, digits).test.view("max_softmax")
    assert (correct.mean(axis=1) > 0.7).all()


def test_without_its_weight_there_is_no_support_matrix() -> None:
    recipe = Recipe(epochs=20, loss=Nachos(max_macs=1e5, peak_weight=0))
    assert not any(TrainingObjective(recipe, MACS).needs_support(e) for e in range(20))


def test_phases_never_go_back() -> None:
    for epochs in (1, 2, 3, 7):
        recipe = Recipe(epochs=epochs, loss=Nachos(max_macs=1e5))
        used = [TrainingObjective(recipe, MACS).needs_support(e) for e in range(epochs)]
        assert all(before <= after for before, after in pairwise(used))


@pytest.mark.slow
def test_training_with_the_nachos_loss_keeps_the_budget_it_was_given(digits: Splits) -> None:
    """By the gates' own probabilities, on training images."""
    spent = {}
    for budget in (90e3, 5e6):  # the first exit takes 88,960, the last one 116,016
        network = untrained(GATED, digits)
        recipe = Recipe(epochs=8, batch_size=32, loss=Nachos(max_macs=budget, cost_weight=10.0, start="at_once"))
        train.fit(network, digits.train, recipe, 0, flips=False)
        with torch.no_grad():
            g = cumulative_gates(network.eval().exit_outputs(torch.from_numpy(digits.train.images)))
        spent[budget] = float((g.mean(dim=1) * torch.tensor(network.exit_macs())).sum())
    assert spent[90e3] < 90e3 < 98e3 < spent[5e6]


def test_a_single_class_draw_of_the_support_matrix_is_balanced_and_true(digits: Splits) -> None:
    network = untrained(GATED, digits)
    recipe = Recipe(loss=Nachos(max_macs=1e5, support_share=1.0))
    support = train.Training(
        network, digits.train, recipe, 0, train.optimizer_of(network, recipe), False, "all"
    )._support()
    labels = torch.from_numpy(digits.train.labels)
    with torch.no_grad():
        exit_outputs = network.eval().exit_outputs(torch.from_numpy(digits.train.images))
    assert support.shape == (10, 2)
    rarest = int(labels.bincount().argmin())  # all images of a class with fewer than its share are used
    for e in range(2):
        right = (exit_outputs[e][0].argmax(dim=1) == labels)[labels == rarest].float().mean()
        assert float(support[rarest, e]) == pytest.approx(float(right), abs=1e-6)
