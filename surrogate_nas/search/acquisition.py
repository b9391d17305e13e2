"""Which architectures to train next.

An architecture is worth the joint improvement of all operating points that it would offer, since thresholds cost no
training. So a pool is scored first by the exact hypervolume improvement of sampled curves, and finalists are taken one
by one, each for what it adds to the curves of those before. They are scored again, each at its most useful operating
point, by BoTorch's qLogNEHVI (Daulton et al., arXiv 2105.08195; Ament et al., arXiv 2310.20708) with what was already
picked pending. Until something is known to keep the limits, the probability that a curve keeps them comes first.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.models import ModelList
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import Model
from botorch.posteriors import Posterior
from botorch.sampling.get_sampler import get_sampler
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from surrogate_nas.candidates import Candidates, untaken
from surrogate_nas.config import Limits, Objective
from surrogate_nas.cost import Cost, Costing, charged
from surrogate_nas.exits import OFF
from surrogate_nas.measurements import Spent
from surrogate_nas.search.front import Floats, Front
from surrogate_nas.space import SearchSpace
from surrogate_nas.space.search_space import Ints
from surrogate_nas.surrogates.curves import Reach, shared_thresholds
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.predictor import Predictor, reach

RANDOM_THRESHOLDS = 48
EQUAL_THRESHOLDS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
CURVE_SAMPLES = 32
SCORE_CHUNK = 128
POOL_RANDOM, POOL_MUTANTS, POOL_CHILDREN = 512, 256, 128
LOCAL_STARTS, LOCAL_STEPS = 4, 2
SEMIFINALISTS = 128
FINALISTS_PER_PICK = 3
ACQUISITION_SAMPLES = 64
WORTHLESS = -1.0  # an accuracy below every reference: such a point improves nothing


@dataclass(frozen=True)
class Known:
    """What the archive says: the feasible front, and where it lies in the inputs."""

    front: Front
    parents: Ints
    """(k, G) architectures on the front, or nearest to the limits where there is none."""
    points: Candidates
    """Architectures of the K front points, one row per point."""
    thresholds: Floats
    """(K, E − 1) of the front points."""


def threshold_grid(positions: int) -> Floats:
    """(T, E − 1) settings at which sampled curves are read: equal thresholds for every subset of exits, and others."""
    subsets = np.stack(np.meshgrid(*[[True, False]] * (positions - 1), indexing="ij"), -1).reshape(-1, positions - 1)
    equal = [np.where(subset, t, OFF) for subset in subsets[:-1] for t in EQUAL_THRESHOLDS]
    return np.concatenate(
        [np.stack([*equal, np.full(positions - 1, OFF)]), shared_thresholds(positions, RANDOM_THRESHOLDS)]
    )


def select(
    predictor: Predictor, space: SearchSpace, costing: Costing, limits: Limits, known: Known,
    taken: set[bytes], q: int, seed: int,
) -> list[tuple[Candidates, Floats]]:  # fmt: skip
    """Up to q architectures (n = 1 each) with the (E − 1,) thresholds at which each promises most.

    Fewer, or none, where all that keep the exact limits have been taken.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    try:
        rng = np.random.default_rng(seed)
        score = _CurveScore(predictor, known.front, limits, threshold_grid(space.positions), seed)
        pool = _pool(score, space, costing, limits, known, taken, rng)
        if len(pool) == 0:
            return []
        value, setting = score(pool)
        best = np.argsort(-value, kind="stable")[:SEMIFINALISTS]
        best = best[score.complementary(pool[best], FINALISTS_PER_PICK * q)]
        finalists, thresholds = pool[best], score.grid[setting[best]]
        picked = _rescore(predictor, finalists, thresholds, limits, known, q, seed) if len(known.points) else range(q)
        return [(finalists[np.array([i])], thresholds[i]) for i in picked if i < len(finalists)]
    finally:
        torch.set_num_threads(threads)


def _pool(
    score: "_CurveScore", space: SearchSpace, costing: Costing, limits: Limits, known: Known,
    taken: set[bytes], rng: np.random.Generator,
) -> Candidates:  # fmt: skip
    """Random architectures, mutants and children of the front, then neighbours of the most promising."""

    def parents(n: int) -> Ints:
        return known.parents[rng.integers(len(known.parents), size=n)]

    rows = [
        space.sample_indices(POOL_RANDOM, rng),
        space.mutate_indices(parents(POOL_MUTANTS), rng),
        space.mutate_indices(space.crossover_indices(parents(POOL_CHILDREN), parents(POOL_CHILDREN), rng), rng, 0.02),
    ]
    pool = untaken(space, np.concatenate(rows), costing, limits, taken)
    for _ in range(LOCAL_STEPS):
        if len(pool) == 0:
            break
        value, _ = score(pool)
        starts = pool.indices[np.argsort(-value, kind="stable")[:LOCAL_STARTS]]
        around = [space.neighbor_indices(row) for row in starts]
        pool = untaken(space, np.concatenate([pool.indices, *around]), costing, limits, taken)
    return pool


class _CurveScore:
    """Scores candidates by what their sampled curves would add to the front. Remembers scores by architecture."""

    def __init__(self, predictor: Predictor, front: Front, limits: Limits, grid: Floats, seed: int) -> None:
        self.predictor, self.front, self.limits, self.grid, self.seed = predictor, front, limits, grid, seed
        self._seen: dict[bytes, tuple[float, int]] = {}

    def __call__(self, pool: Candidates) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(n,) values, and (n,) index of the grid setting that alone would add most."""
        keys = [row.tobytes() for row in pool.indices]
        new = np.array([i for i, key in enumerate(keys) if key not in self._seen], dtype=np.int64)
        for start in range(0, len(new), SCORE_CHUNK):
            part = new[start : start + SCORE_CHUNK]
            for i, value, setting in zip(part, *self._score(pool[part]), strict=True):
                self._seen[keys[i]] = (float(value), int(setting))
        found = [self._seen[key] for key in keys]
        return np.array([v for v, _ in found]), np.array([s for _, s in found], dtype=np.int64)

    def _curves(self, part: Candidates) -> tuple[Floats, Floats, Floats]:
        """(S, n, T) sampled log₁₀ MACs, accuracies and violations of the limits."""
        drawn = self.predictor.coefficients(part, CURVE_SAMPLES, self.seed, fresh=False)  # (S, n, m)
        reached = reach(self.predictor.design, part, torch.from_numpy(drawn)[:, :, None], self.grid[None])
        violation = reached.excess(self.limits)
        return np.log10(reached.objective), np.where(violation <= 0, reached.accuracy, WORTHLESS), violation

    def _score(self, part: Candidates) -> tuple[Floats, npt.NDArray[np.int64]]:
        cost, accuracy, violation = self._curves(part)
        gain = self.front.improvement(cost, accuracy).mean(axis=0)
        alone = self.front.improvement(cost[..., None], accuracy[..., None]).mean(axis=0)  # (n, T)
        setting = np.where(alone.max(axis=1) > 0, alone.argmax(axis=1), violation.mean(axis=0).argmin(axis=1))
        if len(self.front.cost):
            return gain, setting
        feasible = (violation <= 0).any(axis=-1).mean(axis=0)
        nearest = violation.min(axis=-1).mean(axis=0)
        return feasible + 1e-3 * gain - 1e-6 * nearest, setting

    def complementary(self, part: Candidates, count: int) -> list[int]:
        """Indices of up to `count` architectures, greedily by what each adds to the sampled fronts of those before.

        Architectures share their draws, so that one much like an earlier one adds little.
        """
        if not len(self.front.cost):
            return list(range(min(count, len(part))))
        cost, accuracy, _ = self._curves(part)
        fronts, picked = [self.front] * CURVE_SAMPLES, list[int]()
        for _ in range(min(count, len(part))):
            gain = np.mean([f.improvement(c, a) for f, c, a in zip(fronts, cost, accuracy, strict=True)], axis=0)
            gain[picked] = -1
            picked.append(int(gain.argmax()))
            i = picked[-1]
            fronts = [f.with_points(c[i], a[i]) for f, c, a in zip(fronts, cost, accuracy, strict=True)]
        return picked


class _CurveInputs(Model):  # type: ignore[misc]
    """A surrogate that reads only the first columns of X; the others are for the deterministic model beside it."""

    def __init__(self, model: Model, columns: int) -> None:
        super().__init__()
        self.model, self.columns = model, columns

    @property
    def num_outputs(self) -> int:
        """m."""
        outputs: int = self.model.num_outputs
        return outputs

    @property
    def batch_shape(self) -> torch.Size:
        """None: the batched outputs of a GP are not a batch of models."""
        return torch.Size()

    def posterior(self, X: Tensor, **options: object) -> Posterior:
        """Of the targets."""
        return self.model.posterior(X[..., : self.columns], **options)


@dataclass(frozen=True, slots=True)
class Capped:
    """A limit on what is spent, beside that on the expected cost to be minimised."""

    of: Callable[[Cost], tuple[Any, Any]]
    """Which cost: of backbone and branches."""
    statistic: Literal["expected", "p95"]
    cap: float


def _capped(limits: Limits, objective: Objective) -> list[Capped]:
    """Limits that exit probabilities decide; the worst case is exact, and was looked at when curves were scored."""
    found = []
    costs: dict[Objective, Callable[[Cost], Any]] = {
        "macs": lambda cost: (cost.backbone, cost.branch), "cost": lambda cost: cost.other,
    }  # fmt: skip
    for name, of in costs.items():
        expected, p95 = getattr(limits, f"max_{name}"), getattr(limits, f"max_p95_{name}")
        if expected is not None and name != objective:
            found.append(Capped(of, "expected", expected))
        if p95 is not None:
            found.append(Capped(of, "p95", p95))
    return found


def _points(design: DesignMatrix, part: Candidates, thresholds: Floats, capped: Sequence[Capped]) -> Tensor:
    """(n, inputs + (3 + K) E − 1): inputs, thresholds, presence, cost to be minimised, and each of K capped costs."""
    cost, on = part.cost, np.isfinite(thresholds) & part.present[:, :-1]
    spent = [cost.priced, *(c.of(cost) for c in capped)]
    charges = [charged(backbone, branch, on, cost.charge_heads) for backbone, branch in spent]
    return torch.from_numpy(np.concatenate([design.inputs(part), thresholds, part.present, *charges], axis=1))


@torch.no_grad()
def _rescore(
    predictor: Predictor, finalists: Candidates, thresholds: Floats, limits: Limits, known: Known, q: int, seed: int
) -> list[int]:
    """Indices of q finalists, greedily by qLogNEHVI."""
    design, objective = predictor.design, finalists.cost.objective
    inputs, m, E = design.training.X.shape[1], design.training.outputs, design.basis.positions
    capped = _capped(limits, objective)
    exact = GenericDeterministicModel(lambda X: X[..., inputs:], num_outputs=(3 + len(capped)) * E - 1)
    model = ModelList(_CurveInputs(predictor.model, inputs), exact)

    def reached(samples: Tensor) -> tuple[Reach, list[Tensor]]:
        """The curve, the cost to be minimised, and the capped costs."""
        targets, setting, present, *costs = torch.split(samples, [m, E - 1, E, *[E] * (1 + len(capped))], dim=-1)
        coefficients = torch.from_numpy(design.center) + targets @ torch.from_numpy(design.rotation)
        return design.basis.compose(coefficients, setting, present > 0), costs

    def objectives(samples: Tensor, X: Tensor | None = None) -> Tensor:
        """(…, 2): accuracy and −log₁₀ of the expected cost, from curve targets and exact outputs."""
        curve, costs = reached(samples)
        return torch.stack([curve.accuracy, -curve.expected(costs[0]).log10()], dim=-1)

    def over(k: int, samples: Tensor) -> Tensor:
        """How far capped cost k is above its cap, relatively; below 0 within."""
        curve, costs = reached(samples)
        spent = Spent(curve.rates.numpy(), costs[1 + k].numpy())
        return torch.from_numpy(getattr(spent, capped[k].statistic) / capped[k].cap - 1)

    constraints: list[Callable[[Tensor], Tensor]] = []
    if limits.min_accuracy is not None:
        floor = limits.min_accuracy
        constraints.append(lambda samples: floor - objectives(samples)[..., 0])
    if (cheapest := limits.max_macs if objective == "macs" else limits.max_cost) is not None:
        log_cap = float(np.log10(cheapest))
        constraints.append(lambda samples: -objectives(samples)[..., 1] - log_cap)
    constraints += [partial(over, k) for k in range(len(capped))]
    baseline = _points(design, known.points, known.thresholds, capped)
    points = _points(design, finalists, thresholds, capped)
    picked: list[int] = []
    with _plain_qlognehvi(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", NumericalWarning)
        torch.manual_seed(seed)  # pruning the baseline draws from the global generator
        sampler = get_sampler(model.posterior(baseline), torch.Size([ACQUISITION_SAMPLES]), seed=seed)
        for _ in range(min(q, len(finalists))):
            acquisition = logei.qLogNoisyExpectedHypervolumeImprovement(
                model, [known.front.reference_accuracy, -known.front.reference_cost], baseline, sampler=sampler,
                objective=GenericMCMultiOutputObjective(objectives), constraints=constraints or None,
                X_pending=points[picked] if picked else None, prune_baseline=True, cache_root=False,
            )  # fmt: skip
            value = acquisition(points[:, None, :]).numpy()
            value[picked] = -np.inf
            picked.append(int(value.argmax()))
    return picked


@contextmanager
def _plain_qlognehvi() -> Iterator[None]:
    """Keep BoTorch from compiling a C++ kernel at first use.

    That takes longer than these small problems do, and a machine with a compiler would propose other networks than
    one without.
    """
    before = getattr(logei, "_load_attempted", None)
    logei._load_attempted = True
    try:
        yield
    finally:
        if before is not None:
            logei._load_attempted = before
