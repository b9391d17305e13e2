"""How long a round of the search takes for networks with five exits, and how that grows: surrogates with all their
folds, then four proposals. One thread; every row has a process of its own, so that memory is its own.

    python scripts/bench/speed/propose.py [--networks 50,100,200,500,1000] [--surrogate auto]

Networks and what their exits do are drawn, not trained.
"""

import argparse
import resource
import subprocess
import sys
import time
import warnings

from fit import SPACE, drawn_networks

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.bayesian.strategy import Bayesian
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate

LIMITS = {"max_macs": 5e6}
PROPOSALS = 4


def time_round(n: int, surrogate: str) -> str:
    """Time one round; returns a row of the table."""
    problem = Problem(SearchSpace(parse_spec(SPACE)), ImageShape(3, 32, 10), Settings().updated({"limits": LIMITS}), 0)
    views = drawn_networks(problem, n)
    records = [record for record, _ in views]
    history = History(problem, records, [record.proposal for record in records], 1)
    vars(history)["trained"] = views  # records without outputs
    start = time.perf_counter()
    design = DesignMatrix.build(views, problem.space, problem.costing)
    fitted = fit_surrogate(design, [exits for _, exits in views], surrogate, 0)
    fit = time.perf_counter() - start
    propose(Bayesian(lambda records: fitted), history, PROPOSALS)
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"| {n} | {fitted.predictor.kind} | {fit:.0f} | {whole - fit:.0f} | {whole:.0f} | {peak:,} |"


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="50,100,200,500,1000")
    parser.add_argument("--surrogate", default="auto")
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.row:
        print(time_round(int(arguments.networks), arguments.surrogate))
        return
    print("| networks | surrogate | refit s | four proposals s | together s | peak MiB |\n|---|---|---|---|---|---|")
    for n in arguments.networks.split(","):
        one = [sys.executable, "-W", "ignore", __file__, "--row", "--networks", n, "--surrogate", arguments.surrogate]
        print(subprocess.run(one, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
