"""The network: it really stops early, and says the same as when it does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.archive.views import exits_of
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICY_NAMES, PolicyName
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.network import EarlyExitNetwork
from tests.helpers.exits import GATED

SHAPE = ImageShape(1, 8, 10)
SMALLEST_GAP = 1e-5
"""Between two scores, so that a convolution's rounding in another batch does not decide who leaves."""


@pytest.fixture(scope="module")
def images(digits: Splits) -> Tensor:
    return torch.from_numpy(digits.tune.images[:24])


@pytest.fixture(scope="module", params=["all exits", "no first exit", "no early exit"])
def network(request: pytest.FixtureRequest, architecture: Architecture) -> EarlyExitNetwork:
    """Untrained, with weights large enough for scores to spread."""
    absent = {"all exits": 0, "no first exit": 1, "no early exit": 2}[request.param]
    branches = (*[None] * absent, *architecture.branches[absent:])
    torch.manual_seed(0)
    built = EarlyExitNetwork(Architecture(architecture.stem, architecture.stages, branches), SHAPE).eval()
    for name, weights in built.named_parameters():
        if name.endswith("linear.weight"):
            nn.init.normal_(weights, std=3)
    return built


@torch.inference_mode()
def cascade(network: EarlyExitNetwork, images: Tensor, policy: PolicyName) -> tuple[Tensor, Exits]:
    """(E, N, C) logits by position and the view of them that thresholds act on, with nothing left out."""
    logits = torch.stack(network(images))
    by_position = torch.full((network.architecture.positions, *logits.shape[1:]), float("nan"))
    by_position[list(network.architecture.exit_positions)] = logits
    outputs = SplitOutputs(labels=np.zeros(len(images), np.int64), logits=logits.numpy())
    return by_position, exits_of(network.architecture, outputs, Costing(SHAPE), policy)


def between_scores(exits: Exits, e: int) -> list[float | None]:
    """Off, always, never, and thresholds half-way between two scores of that exit."""
    sorted_scores = np.sort(exits.scores[e].astype(np.float64))
    wide = np.diff(sorted_scores) > SMALLEST_GAP
    return [None, 0.0, 1.0, *map(float, ((sorted_scores[1:] + sorted_scores[:-1]) / 2)[wide])]


@contextmanager
def batch_sizes(network: EarlyExitNetwork) -> Iterator[list[int]]:
    """Samples that each segment is really given, in the order in which segments run."""
    sizes: list[int] = []
    hooks = [segment.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0]))) for segment in network.segments]
    yield sizes
    for hook in hooks:
        hook.remove()


@given(data=st.data(), policy=st.sampled_from(POLICY_NAMES))
def test_stopping_early_says_what_the_whole_network_says_at_the_same_exits(
    network: EarlyExitNetwork, images: Tensor, data: st.DataObject, policy: PolicyName
) -> None:
    logits, exits = cascade(network, images, policy)
    thresholds = [data.draw(st.sampled_from(between_scores(exits, e))) for e in range(exits.positions - 1)]
    point = OperatingPoint(tuple(thresholds), policy)
    with batch_sizes(network) as sizes:
        prediction = network.predict(images, point)
    np.testing.assert_array_equal(prediction.positions, exits.route(point))
    torch.testing.assert_close(
        prediction.logits, logits[prediction.positions, range(len(images))], atol=1e-5, rtol=1e-5
    )
    samples = [int((prediction.positions >= e).sum()) for e in range(exits.positions)]
    assert prediction.samples_per_segment.tolist() == samples
    assert sizes == [n for n in samples if n > 0]


def test_forward_gives_the_logits_of_every_exit_in_order(network: EarlyExitNetwork, images: Tensor) -> None:
    outputs: dict[int, Tensor] = {}
    hooks = [
        head.register_forward_hook(lambda _, x, y, e=e: outputs.update({int(e): y}))
        for e, head in network.heads.items()
    ]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    assert tuple(outputs) == network.architecture.exit_positions
    assert [tuple(y.shape) for y in logits] == [(len(images), 10)] * len(outputs)
    assert all(y is outputs[e] for y, e in zip(logits, outputs, strict=True))


def test_a_threshold_a_hair_above_a_score_keeps_the_sample_in(architecture: Architecture, images: Tensor) -> None:
    """Like the measurement: the hair is too fine for the scores' own precision."""
    torch.manual_seed(0)
    network = EarlyExitNetwork(architecture, SHAPE).eval()
    score = float(cascade(network, images[:1], "max_softmax")[1].scores[0, 0])
    assert network.predict(images[:1], OperatingPoint((score, None))).positions.tolist() == [0]
    above = float(np.nextafter(score, 1))
    assert network.predict(images[:1], OperatingPoint((above, None))).positions.tolist() == [2]


def test_no_images_are_no_answers(network: EarlyExitNetwork, images: Tensor) -> None:
    prediction = network.predict(images[:0], OperatingPoint((0.5, 0.5)))
    assert prediction.logits.shape == (0, 10)
    assert prediction.samples_per_segment.tolist() == [0, 0, 0]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_thresholds_for_another_number_of_exits_are_refused(network: EarlyExitNetwork, images: Tensor, n: int) -> None:
    with pytest.raises(InputError, match=f"3 exits need 2 thresholds, got {n}"):
        network.predict(images, OperatingPoint((0.5,) * n))


def test_pixels_may_be_bytes_or_floats(network: EarlyExitNetwork, images: Tensor) -> None:
    for of_bytes, of_floats in zip(network(images), network(images.double()), strict=True):
        assert torch.equal(of_bytes, of_floats)


def test_pixels_are_normalised_by_the_statistics_given(architecture: Architecture) -> None:
    network = EarlyExitNetwork(architecture, ImageShape(2, 8, 10), mean=(100.0, 50.0), std=(20.0, 10.0))
    images = torch.tensor([120, 40], dtype=torch.uint8).reshape(1, 2, 1, 1)
    assert network.normalize(images).flatten().tolist() == [1.0, -1.0]


def test_pixel_statistics_are_per_channel(architecture: Architecture) -> None:
    with pytest.raises(InputError, match="3 channels need 3 pixel statistics, got 2"):
        EarlyExitNetwork(architecture, ImageShape(3, 8, 10), mean=(1.0, 2.0))


def test_an_operating_point_of_cumulative_gates_is_kept_by_the_network_itself() -> None:
    """Which exit a sample takes is the same from stored outputs and in `predict`."""
    torch.manual_seed(0)
    network = EarlyExitNetwork(GATED, ImageShape(1, 16, 3)).eval()
    images = torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        answers = network.exit_outputs(images)
    logits, gates = np.stack([z.numpy() for z, _ in answers]), [g for _, g in answers]
    all_gates = np.stack([np.zeros(64) if g is None else g.numpy() for g in gates])
    outputs = SplitOutputs(labels=np.zeros(64, np.int64), logits=logits, gates=all_gates)
    for policy in ("gate", "cumulative_gate"):
        exits = exits_of(GATED, outputs, Costing(ImageShape(1, 16, 3)), policy)  # type: ignore[arg-type]
        middle = np.quantile(exits.compared_scores(exits.early)[:3], 0.6, axis=1)
        point = OperatingPoint(tuple(float(t) for t in middle), policy)  # type: ignore[arg-type]
        route = exits.route(point)
        assert len(set(route.tolist())) > 2
        np.testing.assert_array_equal(network.predict(images, point).positions, route)
