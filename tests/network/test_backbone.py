"""Exits on a network of the user's own: what is cut is what was given, and what cannot be cut is refused."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.architecture.units import Unit
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.plugins import load_function
from surrogate_nas.network.backbone import SplitBackbone, describe, mount, reference_of, space_of, split
from surrogate_nas.network.liveness import peak_memory
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers import networks
from tests.helpers.networks import Shortcut

HERE = "tests.helpers.networks"
GIVEN = [
    ("torchvision.models:resnet18", ["layer1", "layer2.0", "layer3"]),
    ("torchvision.models:mobilenet_v3_small", ["features.2", "features.4.block.0", "features.8"]),
    (f"{HERE}:Shortcut", ["first", "middle"]),
]
every_backbone = pytest.mark.parametrize(("reference", "exits"), GIVEN, ids=[r.partition(":")[2] for r, _ in GIVEN])
SHAPE = ImageShape(3, 32, 10)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's and fvcore's own
        yield


def whole(reference: str) -> nn.Module:
    torch.manual_seed(0)
    return load_function(reference, "backbone")(num_classes=10)


def images(n: int = 4, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------- cutting


@every_backbone
@pytest.mark.parametrize("training", [True, False])
def test_the_pieces_compute_what_the_whole_does(reference: str, exits: list[str], training: bool) -> None:
    module = whole(reference).train(training)
    maps: dict[str, Tensor] = {}
    for name in exits:
        hook = lambda _, __, y, name=name: maps.__setitem__(name, y.clone())  # noqa: E731
        module.get_submodule(name).register_forward_hook(hook)
    torch.manual_seed(7)
    expected = module(images())
    outputs = dict(maps)
    torch.manual_seed(7)
    cut = split(module, exits).train(training)
    values: tuple[Tensor, ...] = (images(),)
    for name, segment in zip(cut.names[:-1], cut.segments[:-1], strict=True):
        values = segment(*values)
        torch.testing.assert_close(values[0], outputs[name], rtol=0, atol=0)
    torch.testing.assert_close(cut.segments[-1](*values)[0], expected, rtol=0, atol=0)


@every_backbone
def test_weights_are_the_same_tensors_and_none_is_lost_or_doubled(reference: str, exits: list[str]) -> None:
    module = whole(reference)
    cut = split(module, exits)
    assert {id(p) for p in cut.parameters()} == {id(p) for p in module.parameters()}
    assert len(cut.state_dict()) == len(module.state_dict())


@every_backbone
def test_counts_of_the_pieces_add_up_to_those_of_the_whole(reference: str, exits: list[str]) -> None:
    from fvcore.nn import FlopCountAnalysis

    module = whole(reference).eval()
    macs = FlopCountAnalysis(module, images(1)).unsupported_ops_warnings(False).by_operator()
    segments = describe(reference, None, exits, (3, 32, 32), 10).segments
    assert sum(s.macs for s in segments) == macs["conv"] + macs["linear"]
    assert sum(s.parameters for s in segments) == sum(p.numel() for p in module.parameters())


def test_exits_are_put_in_the_order_in_which_they_run() -> None:
    assert split(whole(GIVEN[0][0]), ["layer3", "layer1"]).names == ("layer1", "layer3", "end")


# ---------------------------------------------------------------------- memory and bytes, against the analytic ones


@pytest.mark.parametrize("name", ["tiny", "compact", "edanas", "nachos", "aebnas"])
def test_bytes_of_units_are_those_that_their_graphs_need(name: str) -> None:
    """Two counts that share no code: by formula from the architecture, by liveness from what torch runs."""
    from torch import fx

    from surrogate_nas.network.backbone import _weight_bytes
    from surrogate_nas.network.network import module_of

    space = SearchSpace(preset(name))
    costing = costing_for(space, ImageShape(3, 32, 10))
    for architecture in space.sample(4, np.random.default_rng(0)):
        units = costing.units(architecture)
        for unit in [u for segment in units.segments for u in segment] + [h for heads in units.heads for h in heads]:
            assert isinstance(unit, Unit)
            if unit.keeps_input:
                continue  # what the backbone still needs is not in the branch's own graph
            graph = fx.symbolic_trace(module_of(unit).eval())
            x = torch.zeros(1, unit.input.channels, unit.input.side, unit.input.side)
            assert peak_memory(graph, [x]) == unit.memory, unit
            assert _weight_bytes(graph) == unit.weight_bytes, unit


# ---------------------------------------------------------------------- networks


@every_backbone
@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_stops_early_with_what_it_says_to_the_end(reference: str, exits: list[str], frozen: bool) -> None:
    backbone = describe(reference, None, exits, (3, 32, 32), 10, frozen=frozen)
    space = SearchSpace(space_of(backbone))
    architecture = space.decode(np.ones((1, space.dimension)))[0]
    network = EarlyExitNetwork(architecture, SHAPE, backbone=backbone).eval()
    logits = [y.detach() for y in network(255 * images(8))]
    point = OperatingPoint((0.12,) * (len(exits)), "max_softmax")
    prediction = network.predict(255 * images(8), point)
    for i, position in enumerate(prediction.positions):
        torch.testing.assert_close(prediction.logits[i], logits[position][i], rtol=1e-4, atol=1e-5)
    cost = Costing(SHAPE, backbone=backbone).of(architecture)
    assert cost.parameters[0] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("choice", [0.0, 1.0], ids=["without exits", "with exits"])
@every_backbone
def test_frozen_features_do_not_learn_and_branches_and_the_last_classifier_do(
    reference: str, exits: list[str], choice: float
) -> None:
    backbone = describe(reference, None, exits, (3, 32, 32), 10, frozen=True)
    space = SearchSpace(space_of(backbone))
    architecture = space.decode(np.full((1, space.dimension), choice))[0]
    network = EarlyExitNetwork(architecture, SHAPE, backbone=backbone).train()
    assert len(network.heads) == (len(exits) if choice else 0)
    last = [p for p in network.segments.parameters() if len(p) == 10]
    assert sorted(p.ndim for p in last) == [1, 2]
    sum(y.sum() for y in network(images())).backward()  # type: ignore[union-attr]
    learning = [p for p in network.segments.parameters() if p.grad is not None]
    assert {id(p) for p in learning} == {id(p) for p in last}
    assert all(p.grad is not None for p in network.heads.parameters())


@every_backbone
def test_frozen_features_stay_as_the_function_made_them_statistics_too(reference: str, exits: list[str]) -> None:
    backbone = describe(reference, None, exits, (3, 32, 32), 10, frozen=True)
    space = SearchSpace(space_of(backbone))
    network = EarlyExitNetwork(space.decode(np.ones((1, space.dimension)))[0], SHAPE, backbone=backbone).train()
    trained = [name for name, m in network.segments.named_modules() if m.training]
    assert len(trained) == 1
    assert isinstance(network.segments.get_submodule(trained[0]), nn.Linear)
    assert all(head.training for head in network.heads.modules())
    before = {name: tensor.clone() for name, tensor in network.segments.state_dict().items()}
    network(images())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.segments.state_dict().items())


def test_what_comes_after_an_exit_may_work_in_place() -> None:
    backbone = describe(f"{HERE}:Shortcut", None, ["first", "middle"], (3, 32, 32), 10)
    space = SearchSpace(space_of(backbone))
    network = EarlyExitNetwork(space.decode(np.ones((1, space.dimension)))[0], SHAPE, backbone=backbone).train()
    sum(y.sum() for y in network(images())).backward()  # type: ignore[union-attr]


def test_grey_images_of_another_size_are_brought_to_what_the_backbone_takes() -> None:
    mounted = mount(Shortcut, ["middle"], example=torch.zeros(1, 3, 16, 16))
    spec = mounted.space(ImageShape(1, 28, 10))
    architecture = SearchSpace(spec).sample(1, np.random.default_rng(0))[0]
    network = EarlyExitNetwork(architecture, ImageShape(1, 28, 10), backbone=spec.backbone).eval()
    assert network(torch.zeros(2, 1, 28, 28))[-1].shape == (2, 10)
    assert mounted.is_that_of(spec)
    assert not mount(Shortcut, ["first"]).is_that_of(spec)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("reference", "exits", "message"),
    [
        ("Shortcut", ["first"], "backbone 'Shortcut' is not of the form package.module:function"),
        ("no_such_module_at_all:f", ["first"], "module 'no_such_module_at_all' cannot be imported: ModuleNot"),
        (f"{HERE}:Shortcat", ["first"], "has no 'Shortcat'; did you mean Shortcut?"),
        (f"{HERE}:torch", ["first"], "is a module, not a function or class"),
        (f"{HERE}:broken", ["first"], "cannot be created: RuntimeError: no such"),
        (f"{HERE}:no_module", ["first"], "returns a int, not a torch.nn.Module"),
        (
            f"{HERE}:fixed",
            ["first"],
            "the backbone returns shape (2, 3) for 2 images; expected (2, 10): let its function take",
        ),
        (f"{HERE}:Shortcut", [], "a backbone needs at least one exit; its modules: first, first.0"),
        (f"{HERE}:Shortcut", ["midle"], "the backbone has no module 'midle'; did you mean middle?"),
        (f"{HERE}:Shortcut", ["first", "first"], "exit 'first' is given 2 times"),
        (f"{HERE}:Shortcut", ["first", "first.2"], "exits 'first' and 'first.2' are at the same position"),
        (f"{HERE}:Shortcut", ["classifier"], "nothing runs after the last exit, so it is the backbone's own output"),
        (
            f"{HERE}:Shortcut",
            ["first.0", "first"],
            "no convolution or linear layer between 'first' and the exit or input",
        ),
        (f"{HERE}:Twice", ["middle"], "module 'middle' runs 2 times in the backbone's forward"),
        (f"{HERE}:Dependent", ["first"], "torch.fx cannot trace its forward: TraceError"),
        (f"{HERE}:Counted", ["middle"], "exit 'middle': 8 is computed before it and read after it"),
        (
            f"{HERE}:Moody",
            ["first"],
            "differs between training, call_function[target=operator.add](args = (%middle, 1), kwargs = {}), and "
            "evaluation, call_module[target=last](args = (%middle,), kwargs = {}): switch auxiliary outputs off",
        ),
        ("torchvision.models:googlenet", ["inception3b"], "differs between training, call_module[target=aux1](args = "),
        (f"{HERE}:TwoOutputs", ["first"], "fails in training, but not in evaluation: AttributeError: 'tuple'"),
        (f"{HERE}:Functional", ["first"], "calls dropout as a function; use a module in its place"),
        (
            "torchvision.models:vit_b_16",
            ["encoder"],
            "its module returns shape (2, 5, 768); expected (images, channels,",
        ),
    ],
)
def test_a_module_that_cannot_be_split_there_is_refused_with_the_reason(
    reference: str, exits: list[str], message: str
) -> None:
    side = 224 if "vit" in reference else 32
    with pytest.raises(InputError) as caught:
        describe(reference, None, exits, (3, side, side), 10)
    assert message.replace("(2, 5, 768)", "(2, 197, 768)") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frozen_features_need_a_classifier_that_can_be_trained() -> None:
    message = "a frozen backbone needs a layer for its 10 classes that can be trained, such as nn.Linear"
    with pytest.raises(InputError, match=message):
        describe(f"{HERE}:NoClassifier", None, ["first"], (3, 32, 32), 10, frozen=True)


def test_images_that_the_backbone_does_not_take_are_refused() -> None:
    with pytest.raises(InputError, match="fails on images of 1×32×32: RuntimeError"):
        describe(f"{HERE}:Shortcut", None, ["first"], (1, 32, 32), 10)
    with pytest.raises(InputError, match="not of the form channels,side,side"):
        describe(f"{HERE}:Shortcut", None, ["first"], (3, 32, 16), 10)
    with pytest.raises(InputError, match="takes 1 channels, but the images have 3"):
        mount(Shortcut, ["first"], example=(1, 32, 32)).space(SHAPE)


def test_a_function_that_no_other_process_could_import_is_refused() -> None:
    with pytest.raises(InputError, match="define it at the top level of a module"):
        mount(lambda: Shortcut(), ["first"])


def test_a_function_is_found_again_by_its_reference(tmp_path: Path) -> None:
    assert load_function(reference_of(Shortcut)[0], "backbone") is networks.Shortcut
    (tmp_path / "a_net_elsewhere.py").write_text("from tests.helpers.networks import Shortcut as Net\n")
    assert load_function("a_net_elsewhere:Net", "backbone", str(tmp_path)) is networks.Shortcut


def test_a_split_backbone_says_what_a_user_would_look_at() -> None:
    feature_maps = SplitBackbone.forward(split(Shortcut().eval(), ["first", "middle"]), images(2))
    assert [tuple(y.shape) for y in feature_maps] == [(2, 8, 32, 32), (2, 8, 32, 32), (2, 10)]
