"""Check in a few minutes that trainings on a GPU are right, go on after an interruption, and what processes side by
side gain.

    PYTHONPATH=. python scripts/tools/check_gpu.py [--device cuda] [--seconds 360] [--json FILE]

The data are scikit-learn's digits, enlarged and repeated so that a GPU has work. For float32 and bfloat16, each in 1, 2
and 4 processes of this package's own executor, it trains three networks (the first also with another seed, so that four
processes have work). Checks:

- outputs: the logits of every exit against those of the same weights in float32 on the CPU;
- trained: no training fails, and every last exit learns;
- repeated: the same trainings in another number of processes end with the same weights;
- resumed: a training that is killed and goes on from its last finished epoch ends with the same weights.

On the CPU the last two hold bit for bit. On another device they must hold bit for bit if --exact is given; else a
repeated training may drift, and a resumed one must not drift more than RESUMED_DRIFT times as far as the repeated one.

A check that the time does not suffice for is listed as skipped. The exit code is 1 if a check fails. This process makes
no CUDA context: the device is used in trainings and in children of their own only.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NEEDED = ("torch", "numpy", "scikit-learn", "safetensors", "pydantic", "pyyaml", "psutil", "threadpoolctl")
"""Packages that training needs, beside this one: neither botorch, xgboost, fvcore nor torchvision."""

try:
    from check_gpu_device import BrokenOff, Child, facts_of, output_differences, peak_memory
    from check_gpu_trainings import (
        ON_CPU,
        ON_GPU,
        TIME_TO_STOP,
        Size,
        Trained,
        Trainings,
        enlarged_digits,
        weight_difference,
    )

    from surrogate_nas.archive.record import Record
    from surrogate_nas.datasets import stored as store
    from surrogate_nas.foundation.errors import line_of
    from surrogate_nas.training.recipe import Precision
except ImportError as error:
    raise SystemExit(
        f"{error}; this script needs: pip install {' '.join(NEEDED)}, and PYTHONPATH=. in a checkout of surrogate-nas"
    ) from None

NETWORKS = (
    "stem-w8-s2/inv-d1-w8-k3-e2-s1@linear/inv-d1-w24-k5-e2-s2@sep-d1-c32-p2/inv-d1-w48-k3-e4-s2/res-d1-w48-k5-s2",
    "stem-w16-s2/res-d1-w16-k3-s1@conv-d1-c16-p2/res-d1-w24-k3-s2@conv-d1-c32-p1/res-d2-w48-k3-s2@conv-d1-c32-p1/"
    "res-d1-w64-k3-s2",
    "stem-w16-s1/res-d2-w16-k3-s1@conv-d1-c16-p2/res-d2-w24-k3-s2@conv-d1-c32-p1/res-d3-w48-k3-s2@conv-d1-c32-p1/"
    "res-d2-w64-k3-s2",
)
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 0.05}
"""Largest difference between logits of the device and of the CPU, as a share of the network's largest logit. Sums in
another order differ by about 1e-6, TF32 by about 1e-3, bfloat16 by about 1e-2."""
LEARNED = 0.5
"""Least accuracy of a last exit; chance is 0.1."""
RESUMED_DRIFT = 10.0
FIRST_EXPECTED = 40.0
"""Seconds that the first trainings are expected to take."""
SLACK = 1.5


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table."""

    name: str
    passed: bool | None
    """`None` if it was skipped."""
    finding: str
    allowed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Speed of the trainings of one precision in one number of processes."""

    precision: Precision
    processes: int
    images_per_second: float
    """Speed of all processes together, without start-up and first epochs."""
    ratio: float | None
    """To one process, if that was measured."""
    seconds: float
    """Until all had ended, with start-up and measuring."""


class Skipped(Exception):
    """A check that cannot be made here or now."""


@dataclass
class Checkup:
    """All checks of one device, and what they found."""

    networks: Sequence[str]
    device: str
    size: Size
    data: Path
    end: float
    """When the time is over, on the monotonic clock."""
    exact: bool
    """Whether the device has to repeat trainings bit for bit."""
    processes: Sequence[int]
    facts: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    memory: dict[Precision, dict[str, int]] = field(default_factory=dict)

    def check(self, name: str, allowed: str, look: Callable[[], tuple[bool, str]]) -> None:
        """Add a row; `look` says whether the check is passed, and what it found."""
        try:
            passed, finding = look()
            row = Check(name, passed, finding, allowed)
        except Skipped as reason:
            row = Check(name, None, str(reason), allowed)
        except BrokenOff as reason:
            row = Check(name, False, str(reason), allowed)
        except Exception as error:  # whatever it is, the other checks go on
            row = Check(name, False, line_of(error), allowed)
        self.checks.append(row)
        print(f"{outcome(row):>7}  {row.name}: {row.finding}", flush=True)

    def run(self, precisions: Sequence[Precision], perturb: float) -> None:
        """All checks."""
        with Child() as child:
            self.check("device", "can be used", lambda: self._meet(child))
            if self.checks[-1].passed is False:
                return
            for precision in precisions:
                allowed = f"at most {TOLERANCE[precision]:g}"
                self.check(f"{precision} outputs", allowed, lambda p=precision: self._outputs(child, p, perturb))
                if self.device.startswith("cuda"):
                    self.check(f"{precision} memory", "–", lambda p=precision: self._memory(child, p))
        for precision in precisions:
            self._trainings(precision)

    def _meet(self, child: Child) -> tuple[bool, str]:
        self.facts = child.ask(self._time(0.0), facts_of, self.device)
        return True, ", ".join(f"{name} {value}" for name, value in self.facts.items())

    def _trainings_of(self, precision: Precision) -> Trainings:
        return Trainings(self.networks, self.data, self.size, self.device, precision, self.end)

    def _time(self, expected: float) -> float:
        """Seconds left; raises `Skipped` if they do not suffice for what is expected."""
        left = self.end - time.monotonic()
        if left < SLACK * expected + TIME_TO_STOP:
            raise Skipped(f"{left:.0f} s left, and it may take {SLACK * expected + TIME_TO_STOP:.0f} s")
        return left

    def _require(self, precision: Precision) -> None:
        if precision == "bfloat16" and not self.facts.get("bfloat16", True):
            raise Skipped(f"compute capability {self.facts['compute capability']} has no bfloat16")

    def _outputs(self, child: Child, precision: Precision, perturb: float) -> tuple[bool, str]:
        self._require(precision)
        arguments = (self.networks, self.data, self.device, precision, perturb)
        by_exit = child.ask(self._time(0.0), output_differences, *arguments)
        return judge_outputs(by_exit, precision)

    def _trainings(self, precision: Precision) -> None:
        """The checks of one precision that train."""
        trainings = self._trainings_of(precision)
        done: dict[int, Trained] = {}
        for processes in self.processes:
            self.check(
                f"{precision} trained, {processes} at a time",
                f"no failure, accuracy at least {LEARNED:g}",
                lambda n=processes: self._train(trainings, n, done),
            )
        self.check(f"{precision} repeated", self._promise("drift is shown"), lambda: self._repeated(done))
        self.check(
            f"{precision} resumed",
            self._promise(f"{RESUMED_DRIFT:g} times the repeated"),
            lambda: self._resumed(trainings, done),
        )

    def _promise(self, otherwise: str) -> str:
        return "bit for bit" if self.is_exact else otherwise

    @property
    def is_exact(self) -> bool:
        """Whether the same training has the same weights, bit for bit."""
        return self.exact or self.device == "cpu"

    def _train(self, trainings: Trainings, processes: int, done: dict[int, Trained]) -> tuple[bool, str]:
        self._require(trainings.precision)
        earlier = [t.seconds for t in done.values()] or [s.seconds for s in self.speeds] or [FIRST_EXPECTED]
        self._time(max(earlier))
        trained = trainings.train(processes)
        failures = [f"{r.failure.kind}: {r.failure.message}" for r in trained.records if r.failure is not None]
        if failures or len(trained.records) < len(trainings.all):
            return False, "; ".join(failures) or "not all trainings ended"
        done[processes] = trained
        alone = done.get(1)
        self.speeds.append(
            Speed(
                precision=trainings.precision,
                processes=processes,
                images_per_second=trained.images_per_second,
                ratio=trained.images_per_second / alone.images_per_second if alone else None,
                seconds=trained.seconds,
            )
        )
        lowest = min(last_accuracy(record) for record in trained.records)
        return lowest >= LEARNED, f"lowest accuracy {lowest:.3f}, {trained.images_per_second:,.0f} images/s"

    def _repeated(self, done: dict[int, Trained]) -> tuple[bool, str]:
        drift = repeated_drift(done)
        return drift == 0 or not self.is_exact, describe(drift)

    def _resumed(self, trainings: Trainings, done: dict[int, Trained]) -> tuple[bool, str]:
        if not done:
            raise Skipped("no training to compare with")
        drift = 0.0 if self.is_exact else repeated_drift(done)
        whole = next(iter(done.values()))
        self._time(2 * whole.seconds / len(trainings.all))
        drifted = weight_difference(whole.weights[trainings.first_id], trainings.interrupt_and_resume())
        return drifted <= RESUMED_DRIFT * drift, describe(drifted)

    def _memory(self, child: Child, precision: Precision) -> tuple[bool, str]:
        self._require(precision)
        folder = self.data.parent / f"{precision}-memory"
        folder.mkdir()
        job = self._trainings_of(precision).job(self.networks[-1], 0, folder, epochs=1)
        peak = self.memory[precision] = child.ask(self._time(0.0), peak_memory, job)
        return True, f"at most {peak['used'] / 1e6:,.0f} MB used, {peak['reserved'] / 1e6:,.0f} MB reserved by torch"


def judge_outputs(by_exit: Sequence[Sequence[float]], precision: Precision) -> tuple[bool, str]:
    """Whether all differences of logits are within the tolerance, and the largest of each network."""
    worst = [max(exits) for exits in by_exit]
    return max(worst) <= TOLERANCE[precision], " ".join(f"{gap:.1e}" for gap in worst)


def repeated_drift(done: dict[int, Trained]) -> float:
    """The largest difference of a weight between the same trainings in different numbers of processes."""
    first, *others = done.values() or [None]
    if first is None or not others:
        raise Skipped("fewer than two to compare")
    return max(weight_difference(first.weights[id], other.weights[id]) for other in others for id in first.weights)


def describe(drift: float) -> str:
    """A difference of weights in words."""
    return f"weights differ by at most {drift:.1e}" if drift else "the same weights, bit for bit"


def last_accuracy(record: Record) -> float:
    """Accuracy of the last exit on test."""
    assert record.outputs is not None
    return float(record.outputs.test.right[-1].mean())


# ---------------------------------------------------------------------- tables, options


def outcome(check: Check) -> str:
    """Outcome of a check in one word."""
    return {True: "passed", False: "FAILED", None: "skipped"}[check.passed]


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of a table in Markdown."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def print_report(checkup: Checkup, seconds: float) -> None:
    """Print the tables and the total time."""
    print()
    rows = [(c.name, outcome(c), c.finding, c.allowed) for c in checkup.checks]
    print("\n".join(table(("check", "outcome", "found", "allowed"), rows)), end="\n\n")
    speeds = [
        (
            s.precision,
            s.processes,
            f"{s.images_per_second:,.0f}",
            "–" if s.ratio is None else f"{s.ratio:.2f}",
            f"{s.seconds:.0f}",
            f"{checkup.memory[s.precision]['used'] / 1e6:,.0f}" if s.precision in checkup.memory else "–",
        )
        for s in checkup.speeds
    ]
    heads = ("precision", "processes", "images/s", "ratio", "seconds with start-up", "peak GPU memory of one, MB")
    print("\n".join(table(heads, speeds)), end="\n\n")
    counts = {word: [outcome(c) for c in checkup.checks].count(word) for word in ("passed", "FAILED", "skipped")}
    print(f"{', '.join(f'{n} {word}' for word, n in counts.items())}; {seconds:.0f} s in all")


def document(checkup: Checkup, seconds: float) -> dict[str, Any]:
    """All that was found, for `--json`."""
    return {
        "passed": all(check.passed is not False for check in checkup.checks),
        "facts": checkup.facts,
        "size": asdict(checkup.size),
        "checks": [asdict(check) for check in checkup.checks],
        "speeds": [asdict(speed) for speed in checkup.speeds],
        "memory": checkup.memory,
        "seconds": seconds,
    }


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps; cpu makes the same checks of less data")
    parser.add_argument("--seconds", type=float, default=360.0, help="what does not fit is skipped")
    parser.add_argument("--json", type=Path, help="also write all that was found here")
    parser.add_argument("--exact", action="store_true", help="require bit for bit on the device what is on the CPU")
    parser.add_argument("--precisions", nargs="+", choices=list(TOLERANCE), default=list(TOLERANCE))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="architectures, the largest last")
    parser.add_argument("--images", type=int, help="in all, 1,797 of which differ")
    parser.add_argument("--side", type=int, help="of an image in pixels, a multiple of 8")
    parser.add_argument("--epochs", type=int, help="of each training, at least 2")
    parser.add_argument(
        "--perturb",
        type=float,
        default=0.0,
        help="noise on the device's weights before outputs are compared, as a share: 0.1 has to fail",
    )
    return parser.parse_args()


def main() -> None:
    """Make the checks, print them, and end with 1 if one failed."""
    options = read_options()
    start = time.monotonic()
    given = {name: getattr(options, name) for name in ("images", "side", "epochs") if getattr(options, name)}
    size = Size(**{**asdict(ON_CPU if options.device == "cpu" else ON_GPU), **given})
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data.safetensors"
        store.save(enlarged_digits(size.images, size.side), data)
        checkup = Checkup(
            options.networks, options.device, size, data, start + options.seconds, options.exact, options.processes
        )
        checkup.run(options.precisions, options.perturb)
    seconds = time.monotonic() - start
    print_report(checkup, seconds)
    result = document(checkup, seconds)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    raise SystemExit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
