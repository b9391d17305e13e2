"""Keep a fitted surrogate beside its archive, without pickle: XGBoost's own format, safetensors and JSON."""

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
from safetensors.torch import load_file, save_file

from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.gp import build_gp
from surrogate_nas.surrogates.predictor import Calibration, Kind, Predictor
from surrogate_nas.surrogates.validation import Fitted, Score, Validation
from surrogate_nas.surrogates.xgb import MEMBERS, XGBoostEnsemble

FORMAT = 1


def fingerprint(design: DesignMatrix, surrogate: str) -> str:
    """What a fit depends on: the rows, their targets, the surrogate asked for, and the versions of its libraries."""
    digest = hashlib.sha256(
        json.dumps([FORMAT, design.records, surrogate, torch.__version__, xgboost.__version__]).encode()
    )
    digest.update(design.Y.tobytes())
    return digest.hexdigest()


def save(fitted: Fitted, surrogate: str, folder: Path) -> None:
    """Write `folder`, whole or not at all."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    predictor = fitted.predictor
    tensors: dict[str, torch.Tensor] = {}
    for validation in fitted.validations:
        calibration = validation.calibration
        tensors[f"calibration.{validation.kind}.network_variance"] = torch.from_numpy(calibration.network_variance)
        tensors[f"calibration.{validation.kind}.residuals"] = torch.from_numpy(calibration.residuals)
    if isinstance(predictor.model, XGBoostEnsemble):
        for i, booster in enumerate(predictor.model.boosters):
            booster.save_model(partial / f"member-{i:02d}.ubj")
    else:
        state = predictor.model.state_dict()
        tensors.update({f"model.{name}": tensor.contiguous() for name, tensor in state.items()})
    save_file(tensors, partial / "tensors.safetensors")
    described = {
        "fingerprint": fingerprint(predictor.design, surrogate), "kind": predictor.kind,
        "validations": [{"kind": v.kind, "cost_tau": v.cost_tau, "scores": [asdict(s) for s in v.scores]}
                        for v in fitted.validations],
    }  # fmt: skip
    (partial / "surrogate.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load(design: DesignMatrix, surrogate: str, folder: Path) -> Fitted | None:
    """The surrogate of exactly these rows, or `None` if it was never fitted, is stale, or is damaged."""
    try:
        described = json.loads((folder / "surrogate.json").read_text(encoding="utf-8"))
        if described["fingerprint"] != fingerprint(design, surrogate):
            return None
        tensors = load_file(folder / "tensors.safetensors")
        validations = tuple(_validation(v, tensors) for v in described["validations"])
        model = _model(described["kind"], design, tensors, folder)
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
