"""Query 10,000 encodings at once, against one call per encoding, in one run. Needs a study with eight networks."""

import argparse
import time
import warnings

import numpy as np

from surrogate_nas import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--encodings", type=int, default=10_000)
    parser.add_argument("--singly", type=int, default=20, help="encodings to query one by one")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    study = Study.open(arguments.study)
    kind = study.fit().predictor.kind
    architectures = study.folder.space.sample(arguments.encodings, np.random.default_rng(0))
    start = time.perf_counter()
    study.query(architectures)
    together = time.perf_counter() - start
    start = time.perf_counter()
    for architecture in architectures[: arguments.singly]:
        study.query([architecture])
    singly = (time.perf_counter() - start) / arguments.singly
    print(
        f"{kind} surrogate: {arguments.encodings:,} encodings in {together:.2f} s; one by one "
        f"{singly * 1000:.0f} ms each, ratio {singly * arguments.encodings / together:,.0f}"
    )


if __name__ == "__main__":
    main()
