"""Checks of stored proposals, records and outputs: SQLite accepts values of any type, and files get damaged."""

import math
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from surrogate_nas.archive.outputs import ANSWERS, CORRECT, GROUPS, SCORES, SPLITS
from surrogate_nas.archive.record import FailureKind, Origin, Proposal, Record
from surrogate_nas.exits.policies import POLICY_NAMES
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import JobError

TYPES = {"f": "floats", "iu": "integers", "b": "booleans"}
"""Names of NumPy's dtype kinds in messages."""


def require_sound_proposal(proposal: Proposal, id: str) -> None:
    """Raise `JobError` for a value of a wrong type, an unknown origin, or an id other than the stored one."""
    for name in ("round", "rank", "seed"):
        value = getattr(proposal, name)
        _require(isinstance(value, int), f"{name} {value!r} is not an integer")
    _require(isinstance(proposal.passes, int | None), f"passes {proposal.passes!r} is not an integer")
    _require(isinstance(proposal.fidelity, str), f"fidelity {proposal.fidelity!r} is not text")
    _require_one_of("origin", proposal.origin, get_args(Origin))
    _require(isinstance(proposal.prediction, dict | None), f"prediction {proposal.prediction!r} is not a JSON object")
    _require(proposal.id == id, f"its architecture, seed, fidelity and passes have the id {proposal.id}")


def require_sound_record(record: Record) -> None:
    """Raise `JobError` for an unknown kind of failure, seconds below 0, or a value of a wrong type."""
    if record.failure is not None:
        _require_one_of("failure kind", record.failure.kind, get_args(FailureKind))
        _require(isinstance(record.failure.message, str), f"failure message {record.failure.message!r} is not text")
    seconds = record.seconds
    sound = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
    _require(sound, f"seconds {seconds!r} is not a number ≥ 0")
    _require(isinstance(record.provenance, dict), f"provenance {record.provenance!r} is not a JSON object")


def require_sound_outputs(arrays: Mapping[str, Array], exits: int, classes: int) -> None:
    """Raise `JobError` unless arrays are the complete outputs of a network, of matching shapes and without NaN.

    Args:
        arrays: arrays by their names in the archive; see `Outputs.arrays`.
        exits: number of exits of the network.
        classes: number of classes.
    """
    for split in SPLITS:
        own = {name.removeprefix(f"{split}/"): a for name, a in arrays.items() if name.startswith(f"{split}/")}
        _require("labels" in own, f"{split}/labels is missing")
        samples = own["labels"].size
        _require(samples > 0, f"{split}/labels is empty")
        _require_array(f"{split}/labels", own["labels"], "iu", (samples,), classes)
        for name in _required(own):
            _require(name in own, f"{split}/{name} is missing")
        if GROUPS in own:
            groups = own[GROUPS]
            _require_array(f"{split}/{GROUPS}", groups, "iu", (samples,))
            _require(bool((groups >= 0).all()), f"{split}/{GROUPS} has numbers below 0")
        for name in own.keys() - {"labels", GROUPS}:
            types = "iu" if name == ANSWERS else "b" if name == CORRECT else "f"
            shape = (exits, samples, classes) if name == "logits" else (exits, samples)
            _require_array(f"{split}/{name}", own[name], types, shape, classes)


def _required(own: Mapping[str, Array]) -> list[str]:
    """Names of the arrays that one split must have, besides labels."""
    if not any(name.startswith(SCORES) for name in own):
        return ["logits"]
    answers = [] if "logits" in own or ANSWERS in own else [CORRECT]
    return [*(f"{SCORES}{policy}" for policy in POLICY_NAMES), *answers]


def _require_array(name: str, array: Array, types: str, shape: tuple[int, ...], classes: int | None = None) -> None:
    """Raise `JobError` for a wrong type or shape, a number that is not finite, or an integer that is not a class."""
    _require(array.dtype.kind in types, f"{name} has type {array.dtype}, not {TYPES[types]}")
    _require(array.shape == shape, f"{name} has shape {array.shape}, not {shape}")
    if types == "f":
        _require(bool(np.isfinite(array).all()), f"{name} has values that are not finite")
    if types == "iu" and classes is not None:
        _require(bool(((array >= 0) & (array < classes)).all()), f"{name} has values that are not classes")


def _require_one_of(what: str, value: object, allowed: Sequence[str]) -> None:
    _require(value in allowed, f"{what} {value!r} is not one of {', '.join(allowed)}")


def _require(sound: bool, defect: str) -> None:
    if not sound:
        raise JobError(defect)
