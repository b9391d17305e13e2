"""A study's file of fitted curves, so that only new networks are fitted.

A curve is identified by everything that it follows from: the network's scores and answers themselves (and so its
record, the images, their split, the policy and its temperatures), the grid, the power and the version of the code.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Array, Floats
from surrogate_nas.foundation.files import replaced
from surrogate_nas.surrogates.curve_fit import PARTS, FittedCurves, fit_curves
from surrogate_nas.surrogates.curves import CurveBasis

FORMAT = 2
"""Version of the file; increased also when the same outputs give other curves."""
FILE = "curves.safetensors"
Kept = dict[bytes, FittedCurves]


def curves_of(basis: CurveBasis, exits: Sequence[Exits], thresholds: Floats, folder: Path | None) -> FittedCurves:
    """Curves of n networks: those in the folder's file, and new fits, which are then stored.

    They are the same bits as those of `fit_curves`. A damaged file is ignored and replaced. Of several commands that
    store at once the last one wins; the others' new curves are fitted again when they are needed.

    Args:
        basis: the coefficients to fit.
        exits: exits of the networks on tune.
        thresholds: (T, E − 1) grid.
        folder: folder of the file; `None` fits all and stores nothing.
    """
    if folder is None:
        return fit_curves(basis, exits, thresholds)
    kept, keys = _read(folder / FILE, basis.size), [_key(basis, view, thresholds) for view in exits]
    missing = {key: view for key, view in zip(keys, exits, strict=True) if key not in kept}
    if missing:
        fits = fit_curves(basis, list(missing.values()), thresholds)
        kept |= {key: fits.network(i) for i, key in enumerate(missing)}
        with suppress(OSError):  # without write permission they are fitted again each time
            _write(folder / FILE, _latest(kept, keys))
    return FittedCurves.stack([kept[key] for key in keys])


def _key(basis: CurveBasis, view: Exits, thresholds: Floats) -> bytes:
    """SHA-256 of everything that a curve follows from."""
    digest = hashlib.sha256(repr((FORMAT, basis, view.policy, view.samples, thresholds.shape)).encode())
    exits = view.present
    parts: list[Array] = [thresholds, exits, view.scores[exits], view.correct[exits]]
    for part in parts if view.clusters is None else [*parts, view.clusters]:
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _latest(kept: Mapping[bytes, FittedCurves], keys: Sequence[bytes]) -> Mapping[bytes, FittedCurves]:
    """The curves asked for, and at most as many others: those of another policy, or of networks that are not asked
    for now."""
    others = [key for key in kept if key not in set(keys)]
    return {key: kept[key] for key in [*dict.fromkeys(keys), *others[: len(keys)]]}


def _write(path: Path, curves: Mapping[bytes, FittedCurves]) -> None:
    fits = FittedCurves.stack(list(curves.values()))
    arrays = {"keys": np.frombuffer(b"".join(curves), dtype=np.uint8).reshape(len(curves), -1)}
    arrays |= {name: np.ascontiguousarray(getattr(fits, name)) for name in PARTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        partial.write_bytes(save({**arrays, "digest": _digest(arrays)}))


def _read(path: Path, size: int) -> Kept:
    """Curves of `size` coefficients in a file; none if there is no such file, or it is damaged."""
    try:
        arrays = load_file(path)
        if not np.array_equal(arrays.pop("digest"), _digest(arrays)) or arrays["values"].shape[1] != size:
            return {}
        fits = FittedCurves(*(arrays[name] for name in PARTS))
        return {key.tobytes(): fits.network(i) for i, key in enumerate(arrays["keys"])}
    except (OSError, ValueError, KeyError, IndexError, SafetensorError):
        return {}


def _digest(arrays: Mapping[str, Array]) -> Array:
    """SHA-256 of arrays, as bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
