"""Keep a fitted surrogate beside its archive, without pickle: XGBoost's own format inside safetensors, and JSON.

A surrogate without a state of its own (the user's, `switching`) is fitted again when it is loaded; what
cross-validation said of it is kept.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import xgboost
from botorch.models.model import Model
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import first_line
from surrogate_nas.foundation.files import new_folder
from surrogate_nas.surrogates.calibration import Calibration
from surrogate_nas.surrogates.cross_validation import fit_whole
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import Fitted
from surrogate_nas.surrogates.metrics import Score
from surrogate_nas.surrogates.mixture import Mixture, equal_weights
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.registry import member_named, surrogate_named
from surrogate_nas.surrogates.validation import Validation

FORMAT = 3
NAME_DIGITS = 16


def fingerprint(design: DesignMatrix, surrogate: str) -> str:
    """What a fit depends on: the rows, their targets, the surrogate asked for, and the versions of its libraries."""
    digest = hashlib.sha256(
        json.dumps([FORMAT, design.records, surrogate, torch.__version__, xgboost.__version__]).encode()
    )
    digest.update(design.training.Y.tobytes())
    return digest.hexdigest()


def save(fitted: Fitted, surrogate: str, seed: int, folder: Path) -> None:
    """Keep a fit in `folder`, whole or not at all, in place of those before it.

    Each fit has a folder of its own, named after what it depends on, so that whoever reads it meanwhile reads one fit.
    """
    identity = fingerprint(fitted.predictor.design, surrogate)
    home = folder / identity[:NAME_DIGITS]
    try:
        with new_folder(home) as partial:
            _write(fitted, identity, seed, partial)
            shutil.rmtree(home, ignore_errors=True)
    except OSError as error:
        if not home.is_dir():  # unless another command has just kept the same fit
            raise OSError(f"surrogate not kept: {first_line(error)}") from None
    for other in folder.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)


def _write(fitted: Fitted, identity: str, seed: int, folder: Path) -> None:
    predictor = fitted.predictor
    tensors: dict[str, torch.Tensor] = {}
    for validation in fitted.validations:
        calibration = validation.calibration
        tensors[f"calibration.{validation.kind}.network_variance"] = torch.from_numpy(calibration.network_variance)
        tensors[f"calibration.{validation.kind}.residuals"] = torch.from_numpy(calibration.residuals)
        for target, points in validation.held_out.items():
            tensors[f"held_out.{validation.kind}.{target}"] = torch.from_numpy(points)
    if _empty(predictor.kind, predictor.design) is not None:
        state = predictor.model.state_dict()
        tensors.update({f"model.{name}": tensor.clone().contiguous() for name, tensor in state.items()})
    (folder / "tensors.safetensors").write_bytes(save_tensors(tensors))
    described = {
        "fingerprint": identity,
        "kind": predictor.kind,
        "seed": seed,
        "validations": [_described(v) for v in fitted.validations],
    }
    (folder / "surrogate.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def _described(validation: Validation) -> dict[str, Any]:
    scores, widening = [asdict(s) for s in validation.scores], dict(validation.calibration.widening)
    return {"kind": validation.kind, "cost_tau": validation.cost_tau, "widening": widening, "scores": scores}


def load(design: DesignMatrix, surrogate: str, folder: Path) -> Fitted | None:
    """The surrogate of exactly these rows, or `None` if it was never fitted, is stale, or is damaged."""
    identity = fingerprint(design, surrogate)
    home = folder / identity[:NAME_DIGITS]
    try:
        described = json.loads((home / "surrogate.json").read_text(encoding="utf-8"))
        if described["fingerprint"] != identity:
            return None
        tensors = load_file(home / "tensors.safetensors")
        validations = tuple(_validation(v, tensors) for v in described["validations"])
        model = _model(described["kind"], design, tensors, described["seed"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, xgboost.core.XGBoostError):
        return None
    calibration = next(v.calibration for v in validations if v.kind == described["kind"])
    return Fitted(Predictor(described["kind"], design, model, calibration), validations)


def _validation(described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Validation:
    kind = described["kind"]
    network_variance, residuals = (
        tensors[f"calibration.{kind}.{name}"].numpy() for name in ("network_variance", "residuals")
    )
    calibration = Calibration(network_variance, residuals, described["widening"])
    shown, start = dict[str, Floats](), f"held_out.{kind}."
    for name, tensor in tensors.items():
        if name.startswith(start):
            shown[name.removeprefix(start)] = tensor.numpy()
    scores = tuple(Score(**s) for s in described["scores"])
    return Validation(kind, scores, described["cost_tau"], calibration, shown)


def _empty(kind: str, design: DesignMatrix) -> Model | None:
    """The model before its state is loaded, if it has one."""
    surrogate, training = surrogate_named(kind), design.training
    makers = [member_named(name).empty for name in surrogate.members]
    models = [make(training) for make in makers if make is not None]
    if len(models) < len(makers):
        return None
    return models[0] if len(models) == 1 else Mixture(models, equal_weights(len(models), training.outputs))


def _model(kind: str, design: DesignMatrix, tensors: dict[str, torch.Tensor], seed: int) -> Model:
    model = _empty(kind, design)
    if model is None:
        return fit_whole(design.training, surrogate_named(kind), {}, seed)
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    return model.eval()
