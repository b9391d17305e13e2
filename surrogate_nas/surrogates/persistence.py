"""Keep a fitted surrogate beside its archive, without pickle: XGBoost's own format, safetensors and JSON."""

import hashlib
import json
import os
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

from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.gp import build_gp
from surrogate_nas.surrogates.predictor import Calibration, Kind, Predictor
from surrogate_nas.surrogates.validation import Fitted, Score, Validation
from surrogate_nas.surrogates.xgb import MEMBERS, XGBoostEnsemble

FORMAT = 2
NAME_DIGITS = 16


def fingerprint(design: DesignMatrix, surrogate: str) -> str:
    """What a fit depends on: the rows, their targets, the surrogate asked for, and the versions of its libraries."""
    digest = hashlib.sha256(
        json.dumps([FORMAT, design.records, surrogate, torch.__version__, xgboost.__version__]).encode()
    )
    digest.update(design.Y.tobytes())
    return digest.hexdigest()


def save(fitted: Fitted, surrogate: str, folder: Path) -> None:
    """Keep a fit in `folder`, whole or not at all, in place of those before it.

    Each fit has a folder of its own, named after what it depends on, so that whoever reads it meanwhile reads one fit.
    """
    identity = fingerprint(fitted.predictor.design, surrogate)
    home = folder / identity[:NAME_DIGITS]
    partial = folder / f"{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(fitted, identity, partial)
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
    except (OSError, xgboost.core.XGBoostError) as error:  # XGBoost writes its files itself
        shutil.rmtree(partial, ignore_errors=True)
        if not home.is_dir():  # unless another command has just kept the same fit
            raise OSError(f"surrogate not kept: {str(error).splitlines()[0]}") from None
    for other in folder.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)


def _write(fitted: Fitted, identity: str, folder: Path) -> None:
    predictor = fitted.predictor
    tensors: dict[str, torch.Tensor] = {}
    for validation in fitted.validations:
        calibration = validation.calibration
        tensors[f"calibration.{validation.kind}.network_variance"] = torch.from_numpy(calibration.network_variance)
        tensors[f"calibration.{validation.kind}.residuals"] = torch.from_numpy(calibration.residuals)
    if isinstance(predictor.model, XGBoostEnsemble):
        for i, booster in enumerate(predictor.model.boosters):
            booster.save_model(folder / f"member-{i:02d}.ubj")
    else:
        state = predictor.model.state_dict()
        tensors.update({f"model.{name}": tensor.contiguous() for name, tensor in state.items()})
    (folder / "tensors.safetensors").write_bytes(save_tensors(tensors))
    described = {
        "fingerprint": identity, "kind": predictor.kind,
        "validations": [{"kind": v.kind, "cost_tau": v.cost_tau, "scores": [asdict(s) for s in v.scores]}
                        for v in fitted.validations],
    }  # fmt: skip
    (folder / "surrogate.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


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
        model = _model(described["kind"], design, tensors, home)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, xgboost.core.XGBoostError):
        return None
    calibration = next(v.calibration for v in validations if v.kind == described["kind"])
    return Fitted(Predictor(described["kind"], design, model, calibration), validations)


def _validation(described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Validation:
    kind: Kind = described["kind"]
    prefix = f"calibration.{kind}."
    calibration = Calibration(tensors[prefix + "network_variance"].numpy(), tensors[prefix + "residuals"].numpy())
    return Validation(kind, tuple(Score(**s) for s in described["scores"]), described["cost_tau"], calibration)


def _model(kind: Kind, design: DesignMatrix, tensors: dict[str, torch.Tensor], folder: Path) -> Model:
    if kind == "xgb":
        paths = [folder / f"member-{i:02d}.ubj" for i in range(MEMBERS)]
        return XGBoostEnsemble([xgboost.Booster({"nthread": 1}, model_file=path) for path in paths], design.trend)
    model = build_gp(design)
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    return model.eval()
