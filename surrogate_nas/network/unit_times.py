"""Timing of each unit of a space on this machine: one thread, one image, by the modules of the network."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from surrogate_nas.architecture.architecture import FLOAT_BITS
from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.layers import Map
from surrogate_nas.architecture.units import AnyUnit, GivenUnit
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import require_output
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.network.backbone import make, split
from surrogate_nas.network.network import module_of
from surrogate_nas.space.costs import units_in
from surrogate_nas.space.space import SearchSpace

MICROSECONDS = "µs"
PASSES = 5
"""Number of passes over all units, in random order, so that a slow period of the machine affects all units alike."""
RUNS = 9
"""Number of timed runs of a unit in each pass."""
LEAST_SECONDS = 2e-4
"""Least duration of one timed run; shorter units run several times in it."""
WRITE_EVERY = 5.0
OnUnit = Callable[[int, int], None]
"""Callback with the number of timings done, and their total."""


def time_units(
    space: SearchSpace,
    costing: Costing,
    path: Path,
    *,
    runs: int = RUNS,
    passes: int = PASSES,
    on_unit: OnUnit = lambda done, of: None,
) -> CostTable:
    """Time every distinct unit, and write the table. Units that are already in the file are not timed again.

    Args:
        space: the space with the units.
        costing: accounting, with the shape of images.
        path: CSV file that is read if it exists, and written every few seconds and at the end.
        runs: number of timed runs of a unit in each pass.
        passes: number of passes over all units.
        on_unit: callback for progress.

    Raises:
        InputError: for quantised networks, which this machine cannot time, and for a file that cannot be written or is
            not a table of times.
    """
    require_output(path)
    if min(space.spec.bits) < FLOAT_BITS:
        raise InputError(
            f"space {space.spec.name!r} has networks of {min(space.spec.bits)} bits, but this machine computes in 32; "
            "use a cost table from the target machine"
        )
    table = CostTable.read(path) if path.is_file() else CostTable(MICROSECONDS, {}, str(path))
    if table.name != MICROSECONDS:
        raise InputError(f"{path} has costs in {table.name}, but {MICROSECONDS} are measured; give another file")
    missing = table.missing(units_in(space, costing))
    entries, times = dict(table.entries), {str(unit): list[float]() for unit in missing}
    runners = {str(unit): _Runner(module, x) for unit, (module, x) in _modules(missing, costing).items()}
    total, done, last_write = passes * len(missing), 0, time.monotonic()
    rng = np.random.default_rng(0)
    try:
        with one_thread():
            for n in range(passes):
                for key in rng.permutation(sorted(times)):
                    times[key] += runners[key].seconds(runs)
                    done += 1
                    on_unit(done, total)
                    if n == passes - 1:
                        entries[key] = _entry(times[key])
                        if time.monotonic() - last_write > WRITE_EVERY:
                            CostTable(MICROSECONDS, entries).write(path)
                            last_write = time.monotonic()
    finally:
        timed_table = CostTable(MICROSECONDS, entries, str(path))
        timed_table.write(path)
    return timed_table


def _entry(seconds: Sequence[float]) -> Entry:
    median = statistics.median(seconds)
    low, _, high = statistics.quantiles(seconds, n=4)
    return Entry(1e6 * median, (high - low) / median, len(seconds))


class _Runner:
    """A module with an input, run several times per timing if one run is short."""

    def __init__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.module, self.inputs, self.loops = module.eval(), inputs, 0

    @torch.inference_mode()
    def seconds(self, runs: int) -> list[float]:
        """Seconds per run of `runs` timings, after a warm-up."""
        self._time(2)
        if not self.loops:
            self.loops = max(1, round(LEAST_SECONDS / max(self._time(3), 1e-9)))
        return [self._time(self.loops) for _ in range(runs)]

    def _time(self, loops: int) -> float:
        start = time.perf_counter_ns()
        for _ in itertools.repeat(None, loops):
            self.module(*self.inputs)
        return (time.perf_counter_ns() - start) * 1e-9 / loops


def _modules(units: Sequence[AnyUnit], costing: Costing) -> Mapping[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Module of each unit, with inputs for it, by the unit's text form."""
    modules: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {}
    given_modules = _given_modules(costing) if any(isinstance(unit, GivenUnit) for unit in units) else {}
    for unit in units:
        modules[str(unit)] = (
            given_modules[str(unit)]
            if isinstance(unit, GivenUnit)
            else (module_of(unit).to(memory_format=torch.channels_last), (_image(unit.input),))
        )
    return modules


def _image(x: Map) -> Tensor:
    return torch.rand(1, x.channels, x.side, x.side).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def _given_modules(costing: Costing) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Segments of a user's backbone, each with its inputs, by the unit's text form."""
    backbone = costing.backbone
    assert backbone is not None
    network = split(
        make(backbone.factory, backbone.folder, backbone.classes), [segment.name for segment in backbone.segments[:-1]]
    ).eval()
    values: tuple[Tensor, ...] = (_image(Map(backbone.channels, backbone.side)),)
    modules: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {}
    for name, segment in zip(network.names, network.segments, strict=True):
        modules[f"{backbone.factory} to {name}"] = segment, values
        values = segment(*values)
    return modules
