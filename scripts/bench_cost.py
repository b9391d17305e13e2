"""Exact cost of many encodings, against building each network and counting with fvcore, in one run on one thread."""

import argparse
import logging
import time
import warnings

import numpy as np
import torch

from surrogate_nas.cost import ImageShape, count
from surrogate_nas.network import EarlyExitNetwork
from surrogate_nas.space import SearchSpace, preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="compact")
    parser.add_argument("--encodings", type=int, default=100_000)
    parser.add_argument("--built", type=int, default=20, help="networks to build and count")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from fvcore.nn import FlopCountAnalysis

    torch.set_num_threads(1)
    space, shape = SearchSpace(preset(arguments.space)), ImageShape(3, 32, 10)
    X = space.encode_indices(space.sample_indices(arguments.encodings, np.random.default_rng(0)))
    start = time.perf_counter()
    cost = count(space.columns(space.decode_indices(X)), shape)
    ours = arguments.encodings / (time.perf_counter() - start)

    start = time.perf_counter()
    for i, architecture in enumerate(space.decode(X[: arguments.built])):
        network = EarlyExitNetwork(architecture, shape).eval()
        counted = FlopCountAnalysis(network, torch.zeros(1, 3, 32, 32)).by_operator()
        assert counted["conv"] + counted["linear"] == cost.macs()[i, -1]
    theirs = arguments.built / (time.perf_counter() - start)
    print(f"{arguments.space}: {ours:,.0f} encodings/s, built and counted {theirs:,.1f}/s, ratio {ours / theirs:,.0f}")


if __name__ == "__main__":
    main()
