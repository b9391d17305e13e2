"""How long surrogates take for networks with five exits: to fit, and to answer. One thread.

    python scripts/bench/speed/fit.py [--networks 50,100,500] [--queries 20000]

Networks and what their exits do are drawn, not trained. `fit` is one fit, `validated` all that `surrogate-nas fit` does
for it: five folds, the fit and its judgement. `targets/s` is what the surrogate alone predicts (means and variances of
all targets), `answers/s` whole answers with intervals (exit probabilities, accuracies, expected MACs, feasibility), and
`ratio` the latter to the same answers asked for one by one.
"""

import argparse
import resource
import time
import warnings

import numpy as np

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.registry import member_named, surrogate_named

SAMPLES = 5000
KINDS = ("xgb", "gp", "stack")
STAGE = {"block": ["residual", "inverted"], "depth": [1, 2], "kernel": [3, 5], "expansion": [2, 4]}
SPACE = {
    "name": "five",
    "image_sizes": [32, 64],
    "stem": {"width": [8, 16], "stride": [1, 2]},
    "stages": [
        {**STAGE, "width": [w, w + w // 2, 2 * w], "stride": 2 if s else 1} for s, w in enumerate((8, 12, 16, 24, 32))
    ],
    "branch": {"depth": [0, 1, 2], "layer": ["conv", "separable"], "channels": [16, 32], "pool": [1, 2]},
}


def drawn_networks(problem: Problem, n: int) -> list[tuple[Record, Exits]]:
    """Larger networks and later exits are surer, and more often right."""
    views, easy = [], np.random.default_rng(0).normal(size=SAMPLES)
    for proposal in initial_proposals(problem, n, [], 0):
        rng = np.random.default_rng(proposal.seed)
        cost = problem.costing.of(proposal.architecture)
        strength = np.log10(cost.macs()[0].astype(float)) - 5 + rng.normal(size=cost.macs().shape[1]) * 0.1
        sure = easy + 1.5 * strength[:, None] + 0.5 * rng.normal(size=(len(strength), SAMPLES))
        right = rng.random(sure.shape) < 0.1 + 0.9 / (1 + np.exp(-2 * sure))
        present = np.isin(np.arange(len(strength)), proposal.architecture.exit_positions)
        scores = (0.1 + 0.9 / (1 + np.exp(-2 * sure))).astype(np.float32)
        views.append((Record(proposal, None, None, 0.0, {}), Exits("max_softmax", present, scores, right, cost)))
    return views


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="50,100,500")
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--singly", type=int, default=50)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    problem = Problem(SearchSpace(parse_spec(SPACE)), ImageShape(3, 32, 10), Settings(), 0)
    indices = moves.sample(problem.space.genes, arguments.queries, np.random.default_rng(1))
    candidates = Candidates.of_indices(problem.space, indices, problem.costing)
    thresholds, limits = np.full((len(candidates), problem.space.positions - 1), 0.8), Limits(max_macs=5e6)
    print("| networks | surrogate | targets | fit s | validated s | targets/s | answers/s | ratio | peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n in [int(text) for text in arguments.networks.split(",")]:
        views = drawn_networks(problem, n)
        design = DesignMatrix.build(views, problem.space, problem.costing)
        for kind in KINDS:
            start = time.perf_counter()
            fitted = fit_surrogate(design, [e for _, e in views], kind, 0)
            validated = time.perf_counter() - start
            start = time.perf_counter()
            for member in surrogate_named(kind).members:
                member_named(member).fit(design.training, 0)
            fit_s = time.perf_counter() - start
            predictor = fitted.predictor
            predictor.posterior(candidates[:8])  # what a first call prepares
            start = time.perf_counter()
            predictor.posterior(candidates)
            targets = len(candidates) / (time.perf_counter() - start)
            start = time.perf_counter()
            predictor.predict(candidates, thresholds, limits)
            answers = len(candidates) / (time.perf_counter() - start)
            start = time.perf_counter()
            for i in range(arguments.singly):
                predictor.predict(candidates[i : i + 1], thresholds[i : i + 1], limits)
            singly = arguments.singly / (time.perf_counter() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                f"| {n} | {kind} | {design.training.outputs} | {fit_s:.1f} | {validated:.1f} | {targets:,.0f} | "
                f"{answers:,.0f} | {answers / singly:,.0f} | {peak:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
