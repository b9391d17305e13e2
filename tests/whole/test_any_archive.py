"""Any archive gives an answer or one line, under every surrogate and every strategy."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Failure, Proposal, Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import SurrogateNASError
from surrogate_nas.search.bayesian import curve_value
from surrogate_nas.search.evolutionary import nsga2
from surrogate_nas.search.registry import STRATEGIES, strategy_named
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.settings import SURROGATE_NAMES
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates import gp, persistence, switching, xgb
from surrogate_nas.surrogates.design import DesignMatrix, require_enough
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.persistence import FitKey
from tests.helpers.outputs import problem, verify

pytestmark = pytest.mark.usefixtures("quick_regressors")
REGRESSORS = dict(switching.REGRESSORS)
PROBLEM = problem(budget=64, limits={"max_macs": 2e5})
SAMPLE = PROBLEM.space.sample(400, np.random.default_rng(0))
KINDS = [(2,), (0, 2), (1, 2), (0, 1, 2)]
"""Which exits there are."""
ARCHITECTURES = [a for kind in KINDS for a in [a for a in SAMPLE if a.exit_positions == kind][:4]]
COUNTS = [12, 9, 8, 10, 11, *range(7)]
QUESTIONS = Candidates.of(PROBLEM.space, SAMPLE[:20], PROBLEM.costing)
FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=120)


@pytest.fixture(scope="module", autouse=True)
def quick_models() -> Iterator[None]:
    """Models that are hardly fitted: how good they are does not matter here."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name, value in (
            (gp, "FIT_ITERATIONS", 2),
            (xgb, "ROUNDS", 5),
            (xgb, "MEMBERS", 2),
            (switching, "TREES", 3),
            (nsga2, "GENERATIONS", 2),
            (curve_value, "CURVE_SAMPLES", 8),
        ):
            patched.setattr(module, name, value)
        yield


@st.composite
def archives(draw: st.DrawFn) -> list[Record]:
    """Few networks or a dozen, of few architectures or many, of which none, some or all failed."""
    pool = draw(st.lists(st.sampled_from(ARCHITECTURES), min_size=1, max_size=12, unique=True))
    count, failing = draw(st.sampled_from(COUNTS)), draw(st.sampled_from(["none", "none", "some", "all"]))
    chosen = [draw(st.sampled_from(pool)) for _ in range(count)]
    records = verify([proposal(a, rank) for rank, a in enumerate(chosen)])
    failed = {"none": range(0), "some": range(0, count, 4), "all": range(count)}[failing]
    return [failure(r) if i in failed else r for i, r in enumerate(records)]


def proposal(architecture: Architecture, rank: int) -> Proposal:
    fidelity = PROBLEM.settings.recipe.fidelity
    return Proposal(round=0, rank=rank, origin="user", architecture=architecture, seed=rank, fidelity=fidelity)


def failure(record: Record) -> Record:
    return Record(record.proposal, None, Failure("diverged", "loss nan"), 0.0, {})


def fit(records: Sequence[Record], surrogate: str) -> FittedSurrogate:
    views = PROBLEM.views.trained(records)
    design = DesignMatrix.build(views, PROBLEM.space, PROBLEM.costing)
    return fit_surrogate(design, [exits for _, exits in views], surrogate, seed=0)


def answers(records: Sequence[Record], surrogate: str, folder: Path) -> None:
    """Fit, ask, store, load and ask again."""
    fitted = fit(records, surrogate)
    trained = [r for r in records if r.failure is None]
    options = {"data": "", "seed": 0, "policy": PROBLEM.policy, "temperature": False, "surrogate": surrogate}
    key = FitKey(records=trained, space=PROBLEM.space, costing=PROBLEM.costing, **options)
    persistence.save(fitted, key, folder)
    loaded = persistence.load(key, folder)
    assert loaded is not None
    for each in (fitted, loaded):
        prediction = each.predictor.predict(QUESTIONS, np.full((len(QUESTIONS), 2), 0.7), Limits(max_macs=1e5))
        for spread in (prediction.accuracy, prediction.rates, prediction.expected_macs):
            assert np.isfinite(spread.mean).all()
            assert (spread.low <= spread.high).all()


def suggests(records: Sequence[Record], strategy: str) -> None:
    history = History(PROBLEM, records, [r.proposal for r in records], 1)
    assert len(propose(strategy_named(strategy, lambda records: fit(records, "size")), history, 2)) == 2


def gives_an_answer_or_one_line(answer: Callable[[], None], records: Sequence[Record]) -> None:
    """The line is that networks are too few to learn from, and nothing else."""
    refusal = None
    try:
        answer()
    except SurrogateNASError as error:
        refusal = str(error)
    if refusal is not None:
        assert "\n" not in refusal
        with pytest.raises(SurrogateNASError):
            require_enough([r for r in records if r.failure is None])


@pytest.mark.parametrize("surrogate", SURROGATE_NAMES)
@FEW
@given(records=archives())
def test_a_surrogate_answers_or_says_that_networks_are_too_few(
    surrogate: str, records: list[Record], tmp_path: Path
) -> None:
    gives_an_answer_or_one_line(lambda: answers(records, surrogate, tmp_path / "surrogate"), records)


@pytest.mark.parametrize("strategy", STRATEGIES)
@FEW
@given(records=archives())
def test_a_strategy_goes_on_or_says_that_networks_are_too_few(strategy: str, records: list[Record]) -> None:
    gives_an_answer_or_one_line(lambda: suggests(records, strategy), records)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", SURROGATE_NAMES)
@MANY
@given(records=archives())
def test_any_surrogate_answers_of_many_archives(surrogate: str, records: list[Record], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(switching, "REGRESSORS", REGRESSORS)
        gives_an_answer_or_one_line(lambda: answers(records, surrogate, tmp_path / "surrogate"), records)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@MANY
@given(records=archives())
def test_any_strategy_goes_on_from_many_archives(strategy: str, records: list[Record]) -> None:
    gives_an_answer_or_one_line(lambda: suggests(records, strategy), records)
