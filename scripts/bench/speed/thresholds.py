"""The accuracy–cost curve of one network over all thresholds, against measuring a grid of settings one by one, and how
far the curve is below exhaustive search of a grid of 17 quantiles (negative: above)."""

import argparse
import time

import numpy as np

from surrogate_nas.architecture.cost import Cost
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Array

SINGLY = 200
MOST_EXHAUSTIVE = 2_000_000


def synthetic(early: int, N: int, seed: int) -> Exits:
    """Exits that are surer of what they get right, later ones of more."""
    rng = np.random.default_rng(seed)
    hard = rng.random(N)
    ability = np.linspace(0.5, 0.9, early + 1)[:, None] + rng.normal(0, 0.2, (early + 1, N))
    sure = 1 / (1 + np.exp(-4 * (ability - hard + rng.normal(0, 0.2, (early + 1, N)))))
    macs, branches = np.cumsum(rng.integers(10, 100, early + 1)), np.append(rng.integers(1, 10, early), 0)
    size = np.array([1000])
    cost = Cost(
        backbone=macs[None],
        branch=branches[None],
        parameters=size,
        weight_bytes=4 * size,
        backbone_memory=macs[None],
        branch_memory=branches[None],
    )
    return Exits("max_softmax", np.ones(early + 1, bool), sure.astype(np.float32), ability > hard, cost)


def gap(exits: Exits, axes: list[Array]) -> float:
    """Points of accuracy, over all settings of the grid."""
    curve, worst = exits.curve, -np.inf
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    for at in range(0, len(grid), 50_000):
        measurements: Measurements = exits.measure(grid[at : at + 50_000])
        here = curve.accuracy[np.searchsorted(curve.expected_macs, measurements.expected_macs + 1e-9, side="right") - 1]
        worst = max(worst, float((measurements.accuracy - here).max()))
    return 100 * worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print("| exits | curve, s | settings of 17 quantiles and off | one by one, s | ratio | gap, points |")
    print("|---|---|---|---|---|---|")
    for early in range(1, 6):
        seconds, singly, gaps = [], [], []
        for seed in range(arguments.seeds):
            exits = synthetic(early, arguments.samples, seed)
            axes = [np.append(np.quantile(s.astype(float), np.linspace(0, 1, 17)), OFF) for s in exits.scores[:-1]]
            some = np.stack([np.random.default_rng(0).choice(axis, SINGLY) for axis in axes], axis=1)
            start = time.perf_counter()
            _ = exits.curve
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            for row in some:
                passes = exits.scores[:-1] >= row[:, None]
                positions = np.where(passes.any(axis=0), passes.argmax(axis=0), early)
                _ = (
                    exits.correct[positions, np.arange(arguments.samples)].mean(),
                    exits.cost.macs()[0, positions].mean(),
                )
            singly.append((time.perf_counter() - start) / SINGLY)
            if 18**early <= MOST_EXHAUSTIVE:
                gaps.append(gap(exits, axes))
        settings, curve, one = 18**early, max(seconds), min(singly)
        print(
            f"| {early + 1} | {curve:.2f} | {settings:,} | {settings * one:,.1f} | {settings * one / curve:,.0f} | "
            f"{f'{max(gaps):.3f}' if gaps else '–'} |"
        )


if __name__ == "__main__":
    main()
