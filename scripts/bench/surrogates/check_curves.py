"""How well the curve coefficients give back what a study's networks measured, at thresholds they were not fitted to."""

import argparse
import warnings

import numpy as np
import torch

from surrogate_nas import Study
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.curve_fit import fit_curves
from surrogate_nas.surrogates.curves import CurveBasis, power_for
from surrogate_nas.surrogates.targets import GRID_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    study = Study.open(arguments.study)
    exits = [study.exits(record, "tune") for record in study.records() if record.outputs is not None]
    basis = CurveBasis(study.space.positions, power_for(exits))
    grid = basis.spread(100, seed=1)
    coefficients = fit_curves(basis, exits, basis.spread(GRID_SIZE)).values
    records = [record for record in study.records() if record.outputs is not None]
    candidates = Candidates.of(study.space, [r.architecture for r in records], study.home.costing)
    design = study.fit().predictor.design
    behavior = behavior_at(design, candidates, torch.from_numpy(coefficients)[:, None], grid[None])
    accuracy, macs = behavior.accuracy, behavior.figures.macs.expected
    measurements = [view.measure(grid) for view in exits]
    accuracy_error = accuracy - np.array([m.accuracy for m in measurements])
    macs_error = macs / np.array([m.expected_macs for m in measurements]) - 1
    rmse_accuracy, rmse_macs = (np.sqrt(np.mean(error**2)) for error in (accuracy_error, macs_error))
    print(
        f"{len(exits)} networks × {len(grid)} operating points: RMSE of accuracy {100 * rmse_accuracy:.2f} points, "
        f"of expected MACs {rmse_macs:.2%}"
    )


if __name__ == "__main__":
    main()
