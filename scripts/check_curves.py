"""How well the curve coefficients give back what a study's networks measured, at thresholds they were not fitted to."""

import argparse
import warnings

import numpy as np
import torch

from surrogate_nas import Study
from surrogate_nas.surrogates.curves import CurveBasis, shared_thresholds
from surrogate_nas.surrogates.design import GRID_SIZE
from surrogate_nas.surrogates.predictor import charged_macs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    study = Study.open(arguments.study)
    exits = [study.exits(record, "tune") for record in study.records() if record.outputs is not None]
    E = study.folder.space.positions
    basis, grid = CurveBasis(E), shared_thresholds(E, 100, seed=1)
    coefficients, _ = basis.fit(exits, shared_thresholds(E, GRID_SIZE))
    present = torch.from_numpy(np.array([view.present for view in exits]))[:, None]
    thresholds = torch.from_numpy(grid)[None]
    curve = basis.compose(torch.from_numpy(coefficients)[:, None], thresholds, present)
    backbone, branch = (torch.from_numpy(np.stack([getattr(view.cost, name)[0] for view in exits]))[:, None]
                        for name in ("backbone", "branch"))  # fmt: skip
    macs = curve.expected_macs(charged_macs(thresholds, present, backbone, branch)).numpy()
    measured = [view.measure(grid) for view in exits]
    accuracy_error = curve.accuracy.numpy() - np.array([m.accuracy for m in measured])
    macs_error = macs / np.array([m.expected_macs for m in measured]) - 1
    rmse_accuracy, rmse_macs = (np.sqrt(np.mean(error**2)) for error in (accuracy_error, macs_error))
    print(f"{len(exits)} networks × {len(grid)} operating points: RMSE of accuracy {100 * rmse_accuracy:.2f} points, "
          f"of expected MACs {rmse_macs:.2%}")  # fmt: skip


if __name__ == "__main__":
    main()
