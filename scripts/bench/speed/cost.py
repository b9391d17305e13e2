"""Exact cost of many encodings, against building each network and counting with fvcore, in one run on one thread."""

import argparse
import logging
import resource
import time
import warnings

import numpy as np

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_encodings, costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset

PART = 10_000
GIB = 2**30


def encodings(space: SearchSpace, n: int) -> Array:
    """(n, d) random encodings, made in parts so that they are what takes the memory."""
    X, rng = np.empty((n, space.dimension)), np.random.default_rng(0)
    for start in range(0, n, PART):
        X[start : start + PART] = space.encode_indices(moves.sample(space.genes, min(PART, n - start), rng))
    return X


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="aebnas")
    parser.add_argument("--encodings", type=int, default=1_000_000)
    parser.add_argument("--built", type=int, default=20, help="networks to build and count")
    arguments = parser.parse_args()
    space, shape = SearchSpace(preset(arguments.space)), ImageShape(3, 32, 10)
    costing = costing_for(space, shape, "all")
    X = encodings(space, arguments.encodings)
    start = time.perf_counter()
    cost_of_encodings(space, X[:1], costing)
    tables = time.perf_counter() - start
    start = time.perf_counter()
    cost = cost_of_encodings(space, X, costing)
    ours = arguments.encodings / (time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # before torch is imported

    import torch

    from surrogate_nas.foundation.threads import one_thread
    from surrogate_nas.network.network import EarlyExitNetwork

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from fvcore.nn import FlopCountAnalysis

    with one_thread():
        start = time.perf_counter()
        for i, architecture in enumerate(space.decode(X[: arguments.built])):
            network = EarlyExitNetwork(architecture, shape).eval()
            flops = FlopCountAnalysis(network, torch.zeros(1, 3, 32, 32)).by_operator()
            assert flops["conv"] + flops["linear"] == cost.macs()[i, -1]
        theirs = arguments.built / (time.perf_counter() - start)
    print(
        f"{arguments.space}: {ours:,.0f} of {arguments.encodings:,} encodings/s after {tables:.2f} s for the tables, "
        f"{memory:.2f} GiB at most; built and counted {theirs:,.1f}/s; ratio {ours / theirs:,.0f}"
    )


if __name__ == "__main__":
    main()
