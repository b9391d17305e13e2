"""One step of training by every recipe: on the CPU to the end, and on a GPU that is not there as far as the loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.network.backbone import describe, space_of
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.training import training as train
from surrogate_nas.training.recipe import Recipe

CPU = torch.device("cpu")
GATED = "stem-w8-s1/res-d1-w8-k3-s1@gated-c8/inv-d1-w8-k3-e2-s2@gated-c8/res-d1-w8-k3-s2"
SHAPE = ImageShape(3, 16, 10)
LOSSES: dict[str, Any] = {
    "joint": "joint",
    "distillation": "distillation",
    "nachos": {"kind": "nachos", "max_macs": 9e4, "backbone_share": 0, "warm_up_share": 0},
}
PRECISIONS = ("float32", "bfloat16")


@pytest.fixture(scope="module")
def data() -> Splits:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8)
    part = LabeledImages(images, np.arange(20) % 10)
    return Splits(part, part, part)


@pytest.fixture(scope="module", params=[False, True], ids=["trained", "frozen"])
def backbone(request: pytest.FixtureRequest) -> BackboneSpec:
    return describe("tests.helpers.networks:Shortcut", None, ["first"], (3, 16, 16), 10, frozen=request.param)


def recipe_of(**fields: Any) -> Recipe:
    return Recipe(epochs=1, batch_size=8, **fields)


def assert_trains(network: EarlyExitNetwork, data: Splits, recipe: Recipe) -> None:
    """Two steps give finite outputs, and move all that is trained and nothing else."""
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    train.fit(network, data.train, recipe, 0, flips=True)
    for name, p in network.named_parameters():
        assert p.dtype == torch.float32
        assert p.requires_grad or torch.equal(p, before[name])
    matrices = [(name, p) for name, p in network.named_parameters() if p.requires_grad and p.ndim > 1]
    assert matrices
    assert all(not torch.equal(p, before[name]) for name, p in matrices)
    train.held_out_outputs(network, data)  # which raises where a logit is not finite


@pytest.mark.parametrize(
    ("precision", "bits", "loss", "ema"), list(product(PRECISIONS, ("", "in-q8/", "in-q2/"), LOSSES, (0.0, 0.5)))
)
def test_every_precision_trains_with_every_bit_width_loss_and_average(
    data: Splits, precision: str, bits: str, loss: str, ema: float
) -> None:
    network = train.build(Architecture.parse(bits + GATED), data, 10, 0, CPU)
    assert_trains(network, data, recipe_of(precision=precision, loss=LOSSES[loss], ema=ema))


@pytest.mark.parametrize("choice", [0.0, 1.0], ids=["no early exit", "early exit"])
@pytest.mark.parametrize(("precision", "loss", "ema"), list(product(PRECISIONS, ("joint", "distillation"), (0.0, 0.5))))
def test_every_precision_trains_the_users_backbone_frozen_or_not(
    data: Splits, backbone: BackboneSpec, precision: str, loss: str, ema: float, choice: float
) -> None:
    space = SearchSpace(space_of(backbone))
    architecture = space.decode(np.full((1, space.dimension), choice))[0]
    network = train.build(architecture, data, 10, 0, CPU, backbone)
    assert_trains(network, data, recipe_of(precision=precision, loss=LOSSES[loss], ema=ema))


# ---------------------------------------------------------------------- a GPU that is not there

CHANGES: list[dict[str, Any]] = [
    {"augment": False},
    {"augment": True},
    {"augment": False, "cutout": 0.25},
    {"augment": True, "cutout": 0.25, "mixup": 0.4},
]


@contextmanager
def fake_gpu() -> Iterator[torch.device]:
    """Tensors without values on a GPU: operations on tensors of two devices raise, and reading a value does."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        yield torch.device("cuda")


def test_on_a_fake_gpu_tensors_of_two_devices_do_not_meet() -> None:
    cpu = torch.ones(3)
    with fake_gpu(), pytest.raises(RuntimeError, match="device"):
        torch.ones(3, device="cuda") + torch.ones(3, device="cpu")
    assert cpu.device == CPU


@pytest.mark.parametrize(("precision", "loss", "changes"), list(product(PRECISIONS, LOSSES, range(len(CHANGES)))))
def test_the_loss_of_a_step_on_a_gpu_needs_nothing_of_the_cpu(
    data: Splits, monkeypatch: pytest.MonkeyPatch, precision: str, loss: str, changes: int
) -> None:
    if loss == "nachos" and "mixup" in CHANGES[changes]:
        pytest.skip("a recipe that is refused")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    recipe = recipe_of(precision=precision, loss=LOSSES[loss], **CHANGES[changes])
    drawn = train.augment.draw(16, 16, recipe, True, torch.Generator().manual_seed(0))
    with fake_gpu() as gpu:
        network = EarlyExitNetwork(Architecture.parse(GATED), SHAPE).train()
        training = train.Training(network, data.train, recipe, 0, train.optimizer_of(network, recipe), True, "all")
        index = torch.arange(16, device=gpu)
        [moved] = train.augment.moved([drawn], gpu)
        support = torch.full((10, 2), 0.5, device=gpu) if loss == "nachos" else None
        value = training.loss(index, moved, 0, support)
        assert value.device.type == "cuda"
        assert value.dtype == torch.float32
        assert value.shape == ()


# ---------------------------------------------------------------------- real float32


@pytest.fixture
def with_tf32() -> Iterator[None]:
    """TF32 switched on, like a user's script may do."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("with_tf32")
def test_float32_is_float32_and_cudnn_is_deterministic_while_a_network_is_trained_or_measured(
    data: Splits,
) -> None:
    cudnn, seen = torch.backends.cudnn, set[tuple[bool, bool, bool, str]]()

    def flags() -> tuple[bool, bool, bool, str]:
        return cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, torch.get_float32_matmul_precision()

    before = flags()
    network = train.build(Architecture.parse(GATED), data, 10, 0, CPU)
    conv = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    conv.register_forward_hook(lambda *_: seen.add(flags()))
    for _ in train.epochs(network, data.train, recipe_of(), 0, flips=False):
        assert flags() == before
    train.held_out_outputs(network, data)
    assert before[-1] != "highest"
    assert seen == {(False, True, False, "highest")}
    assert flags() == before


def test_a_gpu_without_bfloat16_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    gpu = torch.device("cuda")
    with pytest.warns(UserWarning, match="bfloat16 is emulated on Tesla T4 .compute capability 7.5, below 8.0"):
        train.warn_if_emulated(gpu, "bfloat16")
    train.warn_if_emulated(gpu, "float32")
    train.warn_if_emulated(CPU, "bfloat16")
