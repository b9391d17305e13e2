"""The time of a study that is searched by time: what it was given, what it has spent, and what is planned.

A file in the study's folder has it, so that it survives kills, and any other process can read it.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from surrogate_nas.foundation.errors import JobError, one_line
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.progress import duration
from surrogate_nas.study.paths import TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePlan:
    """Time and plan of a study."""

    granted: float
    """Seconds given by all commands with `--time`."""
    spent: float
    """Seconds in which a command was running."""
    written: float
    """Unix time at which this was written, every few seconds while a command runs."""
    top: int
    """Number of the rung that networks are trained to, from 1."""
    planned: tuple[float, ...] = ()
    """Numbers of networks that are expected at each rung when the time ends."""
    running: Mapping[str, float]
    """Finished share of each training that runs."""

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self.granted - self.spent, 0.0)

    @property
    def ends(self) -> float:
        """Unix time at which a running command ends."""
        return self.written + self.left

    def text(self, *, running: bool) -> str:
        """Time that is spent and left, in words, and while a command runs, when it ends and what it trains."""
        spent = f"{duration(min(self.spent, self.granted))} of {duration(self.granted)} spent"
        if not running:
            return f"{spent}; " + (f"{duration(self.left)} left for the next run" if self.left else "none left")
        at = ", ".join(f"{id} {share:.0%}" for id, share in self.running.items())
        clock = time.strftime("%H:%M:%S", time.localtime(self.ends))
        return f"{spent}, ends about {clock}" + (f"; training {at}" if at else "")

    @classmethod
    def read(cls, study: Path) -> "TimePlan | None":
        """The plan of a study; `None` for one that is not searched by time.

        Raises:
            JobError: for a damaged file.
        """
        path = study / TIME
        try:
            values = json.loads(path.read_text("utf-8"))
            numbers = {name: float(values[name]) for name in ("granted", "spent", "written")}
            planned = tuple(float(n) for n in values["planned"])
            running = {str(id): float(share) for id, share in values["running"].items()}
            return cls(**numbers, top=int(values["top"]), planned=planned, running=running)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise JobError(f"{path} is damaged: {one_line(error)}; without it, the study has no time left") from None

    def write(self, study: Path) -> None:
        """Write the file atomically."""
        with replaced(study / TIME) as partial:
            partial.write_text(json.dumps(asdict(self)), "utf-8")


class Stopwatch:
    """Time of a study while a command runs."""

    def __init__(self, study: Path, granted: float) -> None:
        """Add to the time of a study, from now."""
        before = TimePlan.read(study)
        self.study, self._began = study, time.monotonic()
        self._before = 0.0 if before is None else before.spent
        self.granted = granted + (0.0 if before is None else before.granted)
        self.top, self.planned = 1, tuple[float, ...]()
        self.running: dict[str, float] = {}
        """Finished share of each training that runs."""

    @property
    def spent(self) -> float:
        """Seconds spent, by this and earlier commands."""
        return self._before + time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.granted - self.spent

    def note(self) -> None:
        """Write the plan; a full disk loses the seconds of this command alone."""
        plan = TimePlan(
            granted=self.granted,
            spent=self.spent,
            written=time.time(),
            top=self.top,
            planned=self.planned,
            running=dict(self.running),
        )
        with suppress(OSError):
            plan.write(self.study)
