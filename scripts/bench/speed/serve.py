"""Latency of a server's answers: the what-if form's requests one by one, and a hundred clients at once."""

import argparse
import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from surrogate_nas.api import Study
from surrogate_nas.space.space import SearchSpace

LONGEST = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=100)
    arguments = parser.parse_args()
    space = Study.open(arguments.study).space
    command = [sys.executable, "-m", "surrogate_nas", "serve", arguments.study, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        match = re.search(r"http://[\d.]+:\d+", server.stderr.readline())
        assert match is not None
        client = httpx.Client(base_url=match[0], timeout=LONGEST)
        while_making(client, space)
        time_requests(client, space, arguments.requests)
        at_once(match[0], space, arguments.clients, arguments.requests)
    finally:
        server.terminate()
        server.wait()


def while_making(client: httpx.Client, space: SearchSpace) -> None:
    """One request after the other until the first report is there."""
    encodings, seconds = itertools.cycle(map(str, space.sample(500, np.random.default_rng(2)))), list[float]()
    while (state := client.get("/state").json())["making"] or not state["report"]:
        seconds.append(time_request(lambda: client.post("/query", json={"encodings": [next(encodings)]})))
    show("/query, while a report is made", seconds)


def time_requests(client: httpx.Client, space: SearchSpace, n: int) -> None:
    """One request after the other."""
    encodings = map(str, space.sample(2 * n, np.random.default_rng(0)))
    budgets = itertools.cycle(np.geomspace(1e4, 2e5, 20).tolist())

    def query(**more: object) -> Callable[[], httpx.Response]:
        return lambda: client.post("/query", json={"encodings": [next(encodings)], **more})

    early = ",".join(["0.8"] * (space.positions - 1))
    show("/query, thresholds given", [time_request(query(thresholds=early)) for _ in range(n)])
    show("/query, best thresholds", [time_request(query()) for _ in range(n)])
    show(
        "/best",
        [time_request(lambda: client.post("/best", json={"limits": {"max_macs": next(budgets)}})) for _ in range(n)],
    )


def at_once(url: str, space: SearchSpace, clients: int, n: int) -> None:
    """Clients that each ask one thing after the other, all at the same time."""
    encodings = [str(a) for a in space.sample(clients, np.random.default_rng(1))]
    each = max(n // clients, 5)

    def ask(encoding: str) -> list[float]:
        with httpx.Client(base_url=url, timeout=LONGEST) as client:
            return [time_request(lambda: client.post("/query", json={"encodings": [encoding]})) for _ in range(each)]

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = [s for one in pool.map(ask, encodings) for s in one]
    rate = len(seconds) / (time.perf_counter() - start)
    show(f"/query, {clients} clients, {rate:.0f} a second", seconds)


def time_request(request: Callable[[], httpx.Response]) -> float:
    """Seconds that a request takes; one that fails ends the script."""
    start = time.perf_counter()
    request().raise_for_status()
    return time.perf_counter() - start


def show(what: str, seconds: Sequence[float]) -> None:
    """Median and 95 % of so many seconds."""
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"{what:<44} {len(seconds):>5} requests, median {1000 * statistics.median(seconds):6.0f} ms, "
        f"95 % within {1000 * p95:6.0f} ms"
    )


if __name__ == "__main__":
    main()
