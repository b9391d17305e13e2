"""Fronts of studies against each other, by the same reference point: hypervolume on tune and test, and a picture.

    python scripts/studies/fronts.py OUT.png NAME=STUDY[,STUDY…] NAME=STUDY[,STUDY…]

Studies of one place of the lists are compared with each other: they have the same first networks. The reference point
is chance and the largest worst-case MACs among all of their networks; cost is log₁₀ expected MACs. Front membership
and thresholds are of the tune split.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from surrogate_nas import Study
from surrogate_nas.architecture.cost import costs_of_leaving
from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.costs import cost_of_indices


def worst(study: Study) -> float:
    """The largest worst-case MACs of a trained network."""
    space = study.space
    cost = cost_of_indices(space, space.indices([r.architecture for r in study.records()]), study.home.costing)
    return float(costs_of_leaving(*cost.objective_costs, None, cost.charge_heads).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("studies", nargs="+", metavar="NAME=STUDY,…")
    arguments = parser.parse_args()
    try:
        named = [text.partition("=") for text in arguments.studies]
        groups = {name: [Study.open(path) for path in paths.split(",")] for name, _, paths in named}
        if len({len(group) for group in groups.values()}) > 1:
            raise InputError(f"as many studies are needed for each name, got {[len(g) for g in groups.values()]}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    places = len(next(iter(groups.values())))
    figure = Figure(figsize=(6.2 * places, 4.4), layout="constrained")
    panels = figure.subplots(1, places, squeeze=False, sharey=True)[0]
    heads = ("seed", "strategy", "trainings", "solutions", "hypervolume, tune", "hypervolume, test")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for place, axes in enumerate(panels):
        compared = {name: group[place] for name, group in groups.items()}
        cost = np.log10(max(worst(study) for study in compared.values()))
        for name, study in compared.items():
            front, chance = study.front(), 1 / study.home.shape.classes
            volumes = []
            for split in ("tune", "test"):
                points = [getattr(s, split) for s in front]
                macs, accuracy = (np.array([getattr(p, of) for p in points]) for of in ("expected_macs", "accuracy"))
                volumes.append(Front.of(np.log10(macs), accuracy, float(cost), chance).hypervolume)
            axes.step(macs, np.maximum.accumulate(accuracy), where="post", label=name)
            axes.plot(macs, accuracy, ".", color=axes.lines[-1].get_color(), markersize=4)
            print(f"| {place} | {name} | {len(study.records())} | {len(front)} | {volumes[0]:.4f} | {volumes[1]:.4f} |")
        axes.set(xscale="log", xlabel="expected MACs", title=f"seed {place}")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    panels[0].set_ylabel("test accuracy")
    figure.savefig(arguments.picture, dpi=110)


if __name__ == "__main__":
    main()
