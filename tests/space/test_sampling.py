"""Drawing architectures within limits: distinct, of the space, the same for the same chance, and soon."""

import itertools
import time

import numpy as np
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import moves, sampling
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits, untaken
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.genes import Genes
from surrogate_nas.space.sampling import BATCH, SamplingName, sample_within
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers import outputs
from tests.helpers.outputs import problem

SHAPE = ImageShape(3, 32, 10)
DESIGNS: tuple[SamplingName, ...] = ("stratified", "space-filling")
kinds = pytest.mark.parametrize("kind", ["uniform", *DESIGNS])
TIGHT = Limits(max_params=2.2e6)
"""Fewer than one in a million networks of `edanas`, whose smallest has 2.14 million parameters."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the tries: what is found with them is found with more."""
    monkeypatch.setattr(sampling, "BATCHES", sampling.BATCHES // 10)
    monkeypatch.setattr(sampling, "MOST_STEPS", sampling.MOST_STEPS // 10)


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Designs of fewer networks: laws hold whatever their number."""
    monkeypatch.setattr(sampling, "POOL", sampling.POOL // 8)


def draw(
    name: str,
    n: int,
    kind: SamplingName = "uniform",
    limits: Limits | None = None,
    seed: int = 0,
    taken: set[bytes] | None = None,
) -> list[Architecture]:
    space = SearchSpace(preset(name))
    costing = costing_for(space, SHAPE)
    return sample_within(space, n, costing, limits or Limits(), np.random.default_rng(seed), taken or set(), kind)


LOOSE = Limits(), Limits(max_worst_macs=5e6, max_params=2.6e6)
DRAWN_WITHIN = [
    *itertools.product(("uniform", *DESIGNS), LOOSE),
    ("uniform", TIGHT),
    *(pytest.param(kind, TIGHT, marks=pytest.mark.slow) for kind in DESIGNS),
]


@pytest.mark.usefixtures("small_pool")
@pytest.mark.parametrize(("kind", "limits"), DRAWN_WITHIN)
def test_what_is_drawn_is_distinct_and_keeps_the_limits(kind: SamplingName, limits: Limits) -> None:
    architectures = draw("edanas", 20, kind, limits)
    space = SearchSpace(preset("edanas"))
    rows = Candidates.of(space, architectures, costing_for(space, SHAPE))
    assert len(set(architectures)) == 20
    assert keeps_exact_limits(rows.cost, rows.present, limits).all()


@kinds
@pytest.mark.usefixtures("small_pool")
def test_the_same_chance_draws_the_same_and_the_kth_does_not_depend_on_how_many(kind: SamplingName) -> None:
    assert draw("compact", 30, kind)[:7] == draw("compact", 7, kind)
    assert draw("compact", 7, kind) != draw("compact", 7, kind, seed=1)


@kinds
def test_what_is_taken_is_not_drawn_again(kind: SamplingName) -> None:
    space = SearchSpace(preset("tiny"))
    first = draw("tiny", 10, kind)
    taken = {row.tobytes() for row in space.indices(first)}
    assert not set(first) & set(draw("tiny", 10, kind, taken=taken))


def test_uniform_is_rejection_from_uniform_choices() -> None:
    space = SearchSpace(preset("compact"))
    costing, limits = costing_for(space, SHAPE), Limits(max_params=60_000)
    rows = untaken(space, moves.sample(space.genes, BATCH, np.random.default_rng(0)), costing, limits, set()).indices
    assert draw("compact", 12, limits=limits) == space.architectures(rows[:12])


@pytest.mark.parametrize("name", ["compact", "edanas", "aebnas"])
def test_stratified_reaches_further_to_both_ends_of_the_cost(name: str) -> None:
    space = SearchSpace(preset(name))
    costing = costing_for(space, SHAPE)
    uniform, even = (
        np.log10([costing.of(a).macs()[0, -1] for a in draw(name, 48, kind)]) for kind in ("uniform", "stratified")
    )
    assert even.min() < uniform.min() - 0.1
    assert even.max() > uniform.max() + 0.1
    edges = np.linspace(even.min(), even.max(), 11)
    assert (np.histogram(even, edges)[0] > 0).sum() > (np.histogram(uniform, edges)[0] > 0).sum()


def test_space_filling_keeps_its_distance() -> None:
    space = SearchSpace(preset("compact"))

    def nearest(kind: SamplingName) -> float:
        X = space.encode(draw("compact", 30, kind))
        distance = np.abs(X[:, None] - X[None]).sum(axis=-1) + 1e9 * np.eye(len(X))
        return float(distance.min())

    assert nearest("space-filling") > nearest("uniform")


def test_limits_that_leave_one_network_in_a_million_take_seconds_not_hours() -> None:
    start = time.monotonic()
    architectures = draw("edanas", 20, limits=TIGHT)
    assert time.monotonic() - start < 60
    rows = SearchSpace(preset("edanas")).indices(architectures)
    assert (rows != rows[0]).any(axis=0).sum() > 10  # they are not all of one kin


@pytest.mark.usefixtures("impatient")
def test_what_remains_of_a_small_space_is_found_to_the_last(user_space: SearchSpace) -> None:
    costing = costing_for(user_space, ImageShape(1, 8, 10))
    everything = Candidates.of(user_space, user_space.sample(user_space.size, np.random.default_rng(0)), costing)
    cap = float(np.sort(everything.cost.parameters)[9])
    few = int((everything.cost.parameters <= cap).sum())
    architectures = sample_within(user_space, few, costing, Limits(max_params=cap), np.random.default_rng(0), set())
    assert len(set(architectures)) == few
    with pytest.raises(InputError, match=f"only {few} of {few + 1} new architectures of space 'user' were found"):
        sample_within(user_space, few + 1, costing, Limits(max_params=cap), np.random.default_rng(0), set())


def test_steps_of_one_gene_leave_uniform_choices_uniform(user_space: SearchSpace) -> None:
    """The Metropolis steps of the simulation, run long from one row, against rows that are drawn."""
    rng = np.random.default_rng(0)
    rows = np.repeat(moves.sample(user_space.genes, 1, rng), 4000, axis=0)
    for _ in range(60):
        proposals, ratio = moves.step(user_space.genes, rows, rng)
        accept = rng.random(len(rows)) < ratio
        rows = np.where(accept[:, None], proposals, rows)
    uniform_rows = moves.sample(user_space.genes, 4000, rng)
    np.testing.assert_allclose(rows.mean(axis=0), uniform_rows.mean(axis=0), atol=0.04)


@pytest.mark.usefixtures("impatient")
def test_the_smallest_costs_are_named_where_nothing_keeps_the_limits() -> None:
    with pytest.raises(InputError, match=r"only 0 of 2 .* smallest found: .* 2,142,602 parameters"):
        draw("edanas", 2, limits=Limits(max_params=2e6))


def test_a_sample_within_limits_is_distinct_and_keeps_them() -> None:
    limits, space = Limits(max_worst_macs=2e4, max_params=4000), problem().space
    architectures = sample_within(space, 50, Costing(outputs.SHAPE), limits, np.random.default_rng(0), set())
    candidates = Candidates.of(space, architectures, Costing(outputs.SHAPE))
    assert len(set(architectures)) == 50
    assert (candidates.cost.backbone[:, -1] <= 2e4).all()
    assert (candidates.cost.parameters <= 4000).all()


@pytest.mark.usefixtures("impatient")
def test_limits_that_nothing_keeps_name_the_smallest_costs() -> None:
    with pytest.raises(InputError, match=r"only 0 of 5 .* parameters ≤ 10; smallest found"):
        sample_within(
            problem().space, 5, Costing(outputs.SHAPE), Limits(max_params=10), np.random.default_rng(0), set()
        )


def test_no_more_is_drawn_once_all_of_a_space_is_taken(
    user_space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counted(genes: Genes, n: int, rng: np.random.Generator) -> Ints:
        drawn.append(n)
        return sample(genes, n, rng)

    sample = moves.sample
    monkeypatch.setattr(moves, "sample", counted)
    with pytest.raises(InputError, match=f"only {user_space.size} of {user_space.size + 2} new"):
        sample_within(user_space, user_space.size + 2, Costing(SHAPE), Limits(), np.random.default_rng(0), set())
    assert sum(drawn) <= 4 * BATCH
