"""Training at a bit width: few values reach a convolution, gradients pass, and nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.network.quantization import QuantizedConv2d, QuantizedLinear, quantize
from surrogate_nas.training.checkpoint import write
from surrogate_nas.training.precision import autocast
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.training import build, fit, held_out_outputs

TEXT = "stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d1-w16-k3-e2-s2@conv-d1-c8-p2/res-d1-w16-k3-s2"


def layer(bits: int) -> QuantizedConv2d:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3))
    quantize(module, bits)
    assert isinstance(module[0], QuantizedConv2d)
    return module[0]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_few_values_are_multiplied_and_none_is_far_off(bits: int) -> None:
    conv, x = layer(bits), torch.randn(5, 4, 9, 9)
    weight = conv.rounded_weight()
    assert max(len(channel.unique()) for channel in weight) <= 2**bits - 1
    step = conv.weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)
    assert ((weight - conv.weight).abs().flatten(1).amax(1) <= step / 2 + 1e-6).all()
    assert len(conv.rounded_input(x).unique()) <= 2**bits


def test_more_bits_are_nearer_to_floats() -> None:
    x = torch.randn(5, 4, 9, 9)
    errors = []
    for bits in (2, 4, 8, 16):
        conv = layer(bits)
        exact = nn.functional.conv2d(x, conv.weight, conv.bias)
        errors.append(float((conv(x) - exact).detach().abs().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_gradients_pass_straight_through_the_rounding() -> None:
    conv = layer(4)
    conv.rounded_weight().sum().backward()  # type: ignore[no-untyped-call]
    assert conv.weight.grad is not None
    assert (conv.weight.grad == 1).all()
    x = torch.tensor([[-1.0, 0.5, 3.0]], requires_grad=True)
    conv.eval()
    conv.input_range.copy_(torch.tensor([0.0, 1.0]))
    conv.rounded_input(x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_ranges_are_followed_in_training_and_fixed_in_evaluation() -> None:
    conv, x = layer(8), torch.randn(5, 4, 9, 9)
    conv.eval()
    torch.testing.assert_close(conv.rounded_input(x), x)  # nothing has been seen
    conv.train()
    conv(x)
    input_range = conv.input_range.clone()
    assert input_range.tolist() == pytest.approx([float(x.min()), float(x.max())])
    conv.eval()
    conv(10 * x)
    assert torch.equal(conv.input_range, input_range)


def test_no_bit_width_changes_nothing() -> None:
    torch.manual_seed(0)
    a = EarlyExitNetwork(Architecture.parse(TEXT), ImageShape(1, 8, 10))
    torch.manual_seed(0)
    b = EarlyExitNetwork(Architecture.parse(f"in-q8/{TEXT}"), ImageShape(1, 8, 10))
    assert not any(isinstance(m, QuantizedConv2d | QuantizedLinear) for m in a.modules())
    weights = {name: v for name, v in b.state_dict().items() if not name.endswith("input_range")}
    assert weights.keys() == a.state_dict().keys()
    assert all(torch.equal(v, a.state_dict()[name]) for name, v in weights.items())


@pytest.mark.parametrize("bits", [1, 9, 32])
def test_other_bit_widths_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=f"bits {bits} is not one of 2, 3, 4, 5, 6, 7, 8, 16"):
        quantize(nn.Conv2d(1, 1, 1), bits)


def test_a_quantised_network_learns_and_is_kept_and_resumed_to_the_bit(digits: Splits, tmp_path: Path) -> None:
    architecture, recipe = Architecture.parse(f"in-q8/{TEXT}"), Recipe(epochs=3)
    network = build(architecture, digits, 10, 0, torch.device("cpu"))
    fit(network, digits.train, recipe, 0, flips=False)
    outputs = held_out_outputs(network, digits).test
    assert outputs.logits is not None
    assert (outputs.logits[-1].argmax(1) == outputs.labels).mean() > 0.6
    write(tmp_path / "w.safetensors", network.state_dict())
    again = build(architecture, digits, 10, 1, torch.device("cpu"))
    again.load_state_dict(load_file(tmp_path / "w.safetensors"))
    restored = held_out_outputs(again, digits).test
    np.testing.assert_array_equal(restored.logits, outputs.logits)

    class Stopped(Exception):
        pass

    def stop(epoch: int) -> None:
        if epoch == 2:
            raise Stopped

    resumed = build(architecture, digits, 10, 0, torch.device("cpu"))
    with pytest.raises(Stopped):
        fit(resumed, digits.train, recipe, 0, flips=False, on_epoch=stop, unfinished=tmp_path / "u.unfinished")
    resumed = build(architecture, digits, 10, 0, torch.device("cpu"))
    fit(resumed, digits.train, recipe, 0, flips=False, unfinished=tmp_path / "u.unfinished")
    assert all(torch.equal(v, network.state_dict()[name]) for name, v in resumed.state_dict().items())


def test_fewer_bits_are_fewer_bytes_and_as_many_macs() -> None:
    costing = Costing(ImageShape(1, 8, 10))
    full, half, byte = (costing.of(Architecture.parse(p + TEXT)) for p in ("", "in-q16/", "in-q8/"))
    np.testing.assert_array_equal(full.macs(), byte.macs())
    assert full.weight_bytes[0] > half.weight_bytes[0] > byte.weight_bytes[0] > full.weight_bytes[0] / 4
    assert full.memory()[0] == 2 * half.memory()[0] == 4 * byte.memory()[0]


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_rounding_is_in_float32_where_layers_compute_in_bfloat16(bits: int) -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(6 * 16, 4)), torch.rand(5, 3, 6, 6)
    quantize(module, bits)
    with autocast(torch.device("cpu"), "bfloat16"):
        module(x)
        out = module(x / 2)  # from the second batch on the range of inputs is followed
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in module.parameters())
    assert all(layer.input_range.any() for layer in module if isinstance(layer, QuantizedConv2d | QuantizedLinear))
