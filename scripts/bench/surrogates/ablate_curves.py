"""Ways to model the threshold curves of networks with Gaussian processes, on networks that they never saw.

    python scripts/bench/surrogates/ablate_curves.py STUDY [--repeats 2]
    python scripts/bench/surrogates/ablate_curves.py TABLE …

All see the same inputs, with an ARD Matérn-5/2 kernel over networks, and are asked for accuracy and average MACs with
the same threshold at every exit. `coefficients` are a few per curve, as in this package (by that kernel alone, and by
all three views). The others model what was measured at a shared grid of eight thresholds: each threshold by itself
(`independent`), a covariance matrix between all (`multi-task`: BoTorch's `KroneckerMultiTaskGP`), or a kernel over the
threshold (`latent Kronecker`: `LatentKroneckerGP`). Only coefficients can be asked about thresholds that differ from
exit to exit.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import KroneckerMultiTaskGP
from botorch.models.latent_kronecker_gp import LatentKroneckerGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from networks import inputs_of, trained_networks

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.progress import Countdown, say
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.problem import Problem
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.cross_validation import fit_whole
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.folds import FOLDS, folds
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.registry import surrogate_named
from surrogate_nas.surrogates.training_set import TrainingSet

THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
ITERATIONS = 60
Model = Callable[[Floats, Floats, Floats], Floats]
"""From (n, d) inputs, (n, 2 T) standardised targets and (k, d) inputs to (k, 2 T) predictions."""


def independent(X: Floats, Y: Floats, test: Floats) -> Floats:
    kinds = ("ordinal",) * X.shape[1]
    rows = TrainingSet(X, kinds, Y, np.zeros_like(Y), np.arange(len(X)))
    mean, _ = marginals(fit_whole(rows, surrogate_named("gp-ordinal"), 0), torch.from_numpy(test))
    return mean.numpy()


def multi_task(X: Floats, Y: Floats, test: Floats) -> Floats:
    model = KroneckerMultiTaskGP(torch.from_numpy(X), torch.from_numpy(Y))
    _fit(model)
    with torch.no_grad():
        mean: Floats = model.posterior(torch.from_numpy(test)).mean.numpy()
    return mean


def latent_kronecker(X: Floats, Y: Floats, test: Floats) -> Floats:
    grid, parts = torch.tensor(THRESHOLDS, dtype=torch.float64)[:, None], []
    for half in np.split(Y, 2, axis=1):  # accuracy, then MACs
        model = LatentKroneckerGP(torch.from_numpy(X), grid, torch.from_numpy(half))
        with model.use_iterative_methods():
            _fit(model)
            with torch.no_grad():
                mean = model.posterior(torch.from_numpy(test), grid).mean.reshape(len(test), -1)
                parts.append(mean.numpy())
    return np.concatenate(parts, axis=1)


def _fit(model: KroneckerMultiTaskGP | LatentKroneckerGP) -> None:
    """One that cannot be fitted in five attempts keeps the hyperparameters that it starts from, and says so."""
    try:
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": ITERATIONS}},
        )
    except ModelFittingError:
        say(f"{type(model).__name__} could not be fitted to one fold")
    model.eval()


MODELS: dict[str, Model] = {
    "independent": independent,
    "multi-task": multi_task,
    "latent Kronecker": latent_kronecker,
}


def coefficients(problem: Problem, views: list[tuple[Record, Exits]], fold: Ints, kind: str) -> Floats:
    """(n, 2 T) accuracies and log₁₀ MACs of held-out networks."""
    predictions = np.zeros((len(views), 2 * len(THRESHOLDS)))
    everything = DesignMatrix.build(views, problem.space, problem.costing).candidates
    for k in range(FOLDS):
        train = [view for view, out in zip(views, fold == k, strict=True) if not out]
        design = DesignMatrix.build(train, problem.space, problem.costing)
        test = np.flatnonzero(fold == k)
        part, model = everything[test], design.whole(fit_whole(design.training, surrogate_named(kind), 0))
        mean, _ = marginals(model, torch.from_numpy(design.inputs(part)))
        targets = torch.from_numpy(design.coefficients(mean.numpy()))
        for i, t in enumerate(THRESHOLDS):
            behavior = behavior_at(design, part, targets, np.where(part.present[:, :-1], t, np.inf))
            predictions[test, i] = behavior.accuracy
            predictions[test, len(THRESHOLDS) + i] = np.log10(behavior.figures.macs.expected)
    return predictions


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks_of", type=Path, metavar="STUDY", help="a study, or the folder of a table")
    parser.add_argument("--repeats", type=int, default=2, help="times with other folds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    problem, trained = trained_networks(arguments.networks_of)
    views, architectures = list[tuple[Record, Exits]](), set()
    for record, exits in trained:
        if record.architecture not in architectures:  # each architecture once, so that every model sees the same rows
            architectures.add(record.architecture)
            views.append((record, exits))
    grid = np.repeat(np.array(THRESHOLDS)[:, None], problem.space.positions - 1, axis=1)
    measurements = [exits.measure(grid) for _, exits in views]
    Y = np.array([np.concatenate([m.accuracy, np.log10(m.expected_macs)]) for m in measurements])
    candidates = Candidates.of(problem.space, [record.architecture for record, _ in views], problem.costing)
    X, _ = inputs_of(candidates, problem.space.genes.kinds)
    T, repeats = len(THRESHOLDS), dict[str, list[tuple[Floats, float]]]()
    countdown, runs = Countdown("runs"), arguments.repeats * (2 + len(MODELS))
    for seed in range(arguments.repeats):
        fold = folds(np.arange(len(views)), seed)
        for kind in ("gp-ordinal", "gp"):
            start = time.perf_counter()
            predictions = coefficients(problem, views, fold, kind)
            name = "coefficients, three views" if kind == "gp" else "coefficients"
            repeats.setdefault(name, []).append((predictions, time.perf_counter() - start))
            countdown.at(sum(map(len, repeats.values())), runs)
        for name, model in MODELS.items():
            start, predictions = time.perf_counter(), np.zeros_like(Y)
            for k in range(FOLDS):
                train, test = fold != k, fold == k
                center, scale = Y[train].mean(axis=0), Y[train].std(axis=0)
                predictions[test] = center + scale * model(X[train], (Y[train] - center) / scale, X[test])
            repeats.setdefault(name, []).append((predictions, time.perf_counter() - start))
            countdown.at(sum(map(len, repeats.values())), runs)
    print(f"{len(views)} networks, {arguments.repeats} times {FOLDS} folds, {T} thresholds\n")
    print("| model | accuracy τ | accuracy RMSE | average MACs τ | MACs RMSE | s per fold |\n|---|---|---|---|---|---|")
    for name, results in repeats.items():
        tau = np.mean(
            [[kendall(predictions[:, j], Y[:, j]) for j in range(2 * T)] for predictions, _ in results], axis=0
        )
        error = np.sqrt(np.mean([(predictions[:, :T] - Y[:, :T]) ** 2 for predictions, _ in results]))
        macs = np.sqrt(np.mean([(10 ** (predictions[:, T:] - Y[:, T:]) - 1) ** 2 for predictions, _ in results]))
        seconds = np.mean([s for _, s in results]) / FOLDS
        print(f"| {name} | {tau[:T].mean():.3f} | {error:.4f} | {tau[T:].mean():.3f} | {macs:.1%} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
