"""How large the most accurate networks within a limit on expected MACs are: worst-case MACs relative to the limit.

    python scripts/bench/tables/near_limits.py data/eenn-cifar10 data/eenn-fashion-mnist

For limits that at least two of five networks of a table can keep at some thresholds, and the largest network does not:
of the two in a hundred that are most accurate on tune, and at least of five, the smallest, the median and the largest
multiple. Beside them is the share of the networks between `LEAST_WORST` and `MOST_WORST` of the limit, which
`surrogate_nas/search/bounds.py` lets begin.
"""

import argparse
from pathlib import Path

import numpy as np

from surrogate_nas.search.bounds import LEAST_WORST, MOST_WORST
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings

LIMITS = (0.7e6, 1e6, 1.5e6, 2e6, 3e6)
KEPT = 0.4
"""Least share of the networks that can keep a limit."""
BEST = 0.02


def rows(folder: Path) -> list[str]:
    """Rows of the report for a table."""
    table = EennTable.load(folder)
    problem = table.problem(Settings(), 0)
    networks = {record.architecture: record for record in table.records()}.values()
    curves = [problem.views.exits(record, "tune").curve for record in networks]
    worst = np.array([problem.costing.of(record.architecture).backbone[0, -1] for record in networks])
    lines = list[str]()
    for limit in LIMITS:
        within = [curve.accuracy[curve.expected_macs <= limit] for curve in curves]
        accuracy = np.array([own.max() if len(own) else 0.0 for own in within])
        if (accuracy > 0).mean() < KEPT or limit > worst.max():
            continue
        count = max(5, int(BEST * (accuracy > 0).sum()))
        best, ratio = np.argsort(-accuracy, kind="stable")[:count], worst / limit
        begins = ((ratio >= LEAST_WORST) & (ratio <= MOST_WORST)).mean()
        low, middle, high = np.quantile(ratio[best], [0, 0.5, 1])
        lines.append(
            f"| {folder.name} | {limit / 1e6:g} M | {(accuracy > 0).mean():.0%} | {low:.2f} | {middle:.2f} | "
            f"{high:.2f} | {begins:.0%} |"
        )
    return lines


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    print("| table | limit | can keep it | smallest | median | largest | begin |\n|---|---|---|---|---|---|---|")
    for folder in parser.parse_args().tables:
        print("\n".join(rows(folder)))


if __name__ == "__main__":
    main()
