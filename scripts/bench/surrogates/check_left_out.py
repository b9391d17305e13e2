"""Whether what calibrates a surrogate, predictions of each network without it but without another fit, is what full
refits would say.

    python scripts/bench/surrogates/check_left_out.py data/eenn-cifar10 [--train 20] [--draws 20] [--surrogate stack]

For each draw: so many networks of a table or a study are drawn. The surrogate is fitted to them, and calibrated as
always. Then each network is left out in turn and everything is fitted to the others, the axes and centres of targets,
hyperparameters and weights, and calibrated by these predictions. Both predict 100 other networks at three thresholds,
the same at every exit; rows are the mean widths of their 90 % intervals by the first over those by the second, medians
over the draws with their quartiles. `null` are networks that differ by nothing: each has the exits that it has, and at
each the outputs of one network, of images drawn anew.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from networks import trained_networks

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.problem import Problem
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.cross_validation import HeldOutPredictions, fit_whole
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.quantities import measured_quantities
from surrogate_nas.surrogates.registry import surrogate_named
from surrogate_nas.surrogates.validation import judge, judged_settings, reference_thresholds

ASKED = 100
QUANTITIES = ("accuracy", "expected MACs", "exit rates")
Views = Sequence[tuple[Record, Exits]]


def ratios_of_widths(problem: Problem, learned: Views, asked: Candidates, surrogate: str, seed: int) -> Floats:
    """(3,) widths of each of `QUANTITIES`, calibrated as always, over those calibrated by refits."""
    design, exits = DesignMatrix.build(learned, problem.space, problem.costing), [view for _, view in learned]
    predictor = fit_surrogate(design, exits, surrogate, seed).predictor
    refitted = refits(problem, learned, design, surrogate, seed)
    measured = measured_quantities(design, exits, judged_settings(design.basis))
    calibration = judge(design, measured, surrogate, refitted, folds(design.group, seed), seed).calibration
    return _widths(predictor, asked) / _widths(replace(predictor, calibration=calibration), asked)


def refits(problem: Problem, learned: Views, design: DesignMatrix, surrogate: str, seed: int) -> HeldOutPredictions:
    """Targets of each network, in the axes of the design, by a surrogate of everything else."""
    back = np.linalg.pinv(design.targets.rotation)
    mean, variance = np.zeros_like(design.targets.Y), np.zeros_like(design.targets.Y)
    for i in range(len(learned)):
        others = [view for k, view in enumerate(learned) if design.group[k] != design.group[i]]
        other = DesignMatrix.build(others, problem.space, problem.costing)
        model = other.whole(fit_whole(other.training, surrogate_named(surrogate), seed))
        inputs = torch.from_numpy(other.inputs(design.candidates[np.array([i])]))
        own_mean, own_variance = (part.numpy()[0] for part in marginals(model, inputs))
        mean[i] = (other.coefficients(own_mean) - design.targets.center) @ back
        variance[i] = own_variance @ (other.targets.rotation @ back) ** 2
    return HeldOutPredictions(mean, variance)


def _widths(predictor: Predictor, asked: Candidates) -> Floats:
    """(3,) mean widths of intervals."""
    widths = []
    for threshold in reference_thresholds(predictor.design.basis):
        predicted = predictor.predict(asked, np.where(asked.present[:, :-1], threshold, np.inf), Limits())
        spreads = predicted.accuracy, predicted.expected_macs, predicted.rates
        widths.append([float((spread.high - spread.low).mean()) for spread in spreads])
    return np.mean(widths, axis=0)


def without_differences(views: Views, seed: int) -> Views:
    """Networks whose exits do what those of one network with all exits do, on images drawn anew for each."""
    whole = next(exits for _, exits in views if exits.present.all())
    rng, drawn = np.random.default_rng(seed), []
    for record, exits in views:
        images = rng.integers(whole.samples, size=whole.samples)
        drawn.append((record, replace(exits, scores=whole.scores[:, images], correct=whole.correct[:, images])))
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, help="a table of early-exit networks, or a study")
    parser.add_argument("--train", type=int, default=20, help="number of networks that are learned from")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--surrogate", default="stack")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    problem, views = trained_networks(arguments.networks)
    views = list({record.architecture: (record, exits) for record, exits in reversed(views)}.values())
    countdown, done = Countdown("draws"), 0
    print(f"| networks | n | {' | '.join(QUANTITIES)} |\n{'|---' * (2 + len(QUANTITIES))}|")
    for name in ("trained", "null"):
        ratios = []
        for seed in range(arguments.draws):
            rows = np.random.default_rng(seed).permutation(len(views))
            learned = [views[i] for i in rows[: arguments.train]]
            asked = [views[i][0].architecture for i in rows[arguments.train :][:ASKED]]
            if name == "null":
                learned = list(without_differences([*learned, *views], seed))[: len(learned)]
            candidates = Candidates.of(problem.space, asked, problem.costing)
            with one_thread():
                ratios.append(ratios_of_widths(problem, learned, candidates, arguments.surrogate, seed))
            done += 1
            countdown.at(done, 2 * arguments.draws)
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75], axis=0)
        cells = [f"{m:.3f} ({a:.3f} to {b:.3f})" for a, m, b in zip(low, middle, high, strict=True)]
        print(f"| {name} | {arguments.train} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
