"""Store a fitted surrogate beside its archive, without pickle: XGBoost's own format inside safetensors, and JSON.

A stored fit suffices for predictions, without reading outputs or fitting curves again. It is identified by its inputs
(`FitKey`), not by computed numbers, whose last bits differ between processors. A surrogate whose state cannot be stored
(the user's, `switching`) is fitted again when it is loaded; its cross-validation is stored.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import botorch
import gpytorch
import numpy as np
import torch
import xgboost
from botorch.models.model import Model
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import first_line
from surrogate_nas.foundation.files import is_left_of, new_folder
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.calibration import Calibration
from surrogate_nas.surrogates.cross_validation import fit_whole
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.exit_model import ExitModel
from surrogate_nas.surrogates.fit import FittedSurrogate
from surrogate_nas.surrogates.metrics import Score
from surrogate_nas.surrogates.mixture import Mixture, equal_weights
from surrogate_nas.surrogates.predictor import GoingOn, Predictor
from surrogate_nas.surrogates.registry import member_named, surrogate_named
from surrogate_nas.surrogates.targets import Targets
from surrogate_nas.surrogates.validation import Validation

FORMAT = 9
"""Version of the stored format; increased also when the same outputs give another fit.
6: rows are exits, described by what they can depend on.
9: rungs of a ladder."""
PROMOTION = "promotion"
"""Name of the validation on networks of which lower rungs were known."""
GOING_ON_WEIGHTS = "going_on.weights"
NAME_DIGITS = 16
LIBRARIES = (torch, gpytorch, botorch, xgboost)
TARGETS = ("Y", "Yvar", "center", "rotation", "unknown", "learned", "dependence")
NUMBERS = ("power", "samples", "early", "gain")


@dataclass(frozen=True, kw_only=True)
class FitKey:
    """Everything that determines a fit, except the outputs of the records and the code."""

    records: Sequence[Record]
    """(n,) trained networks; their outputs are not read."""
    data: str
    """Fingerprint of the data set."""
    seed: int
    """Seed of splits and folds."""
    space: SearchSpace
    costing: Costing
    cost_table: str = ""
    """Content of the cost table of `costing`, if there is one."""
    policy: PolicyName
    temperature: bool
    """Whether each exit's logits are divided by a temperature."""
    surrogate: str
    """Name of the surrogate in the settings."""
    ladder: Ladder | None = None
    """Rungs of the records; `None` without a ladder."""

    @property
    def digest(self) -> str:
        """SHA-256 of these fields and of the libraries' releases."""
        parts = {
            "format": FORMAT,
            "libraries": {library.__name__: release(library.__version__) for library in LIBRARIES},
            "records": [r.id for r in self.records],
            "data": self.data,
            "seed": self.seed,
            "space": self.space.spec.model_dump(mode="json"),
            "charge_heads": self.costing.charge_heads,
            "cost_table": self.cost_table,
            "policy": self.policy,
            "temperature": self.temperature,
            "surrogate": self.surrogate,
            **({} if self.ladder is None else {"ladder": self.ladder.rungs}),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def release(version: str) -> str:
    """Version without its build tag.

    >>> release("2.14.1+cu130")
    '2.14.1'
    """
    return str(version).partition("+")[0]


def save(fitted: FittedSurrogate, key: FitKey, folder: Path) -> None:
    """Store a fit in `folder`, atomically, and remove earlier ones.

    Each fit has a folder of its own, named after its key, so that concurrent readers never mix two fits.
    """
    digest = key.digest
    home = folder / digest[:NAME_DIGITS]
    try:
        with new_folder(home) as partial:
            _write(fitted, digest, key.seed, partial)
            shutil.rmtree(home, ignore_errors=True)
    except OSError as error:
        if not home.is_dir():  # unless another command has just stored the same fit
            raise OSError(f"the fitted surrogate was not stored: {first_line(error)}") from None
    for other in folder.iterdir():
        if other != home and _is_fit_folder(other):
            shutil.rmtree(other, ignore_errors=True)


def _is_fit_folder(folder: Path) -> bool:
    """Whether a folder has the name of a fit, finished or unfinished; others belong to the user."""
    name = folder.name[:NAME_DIGITS]
    return re.fullmatch(f"[0-9a-f]{{{NAME_DIGITS}}}", name) is not None and (
        folder.name == name or is_left_of(folder, name)
    )


def _write(fitted: FittedSurrogate, digest: str, seed: int, folder: Path) -> None:
    predictor, targets = fitted.predictor, fitted.predictor.design.targets
    arrays = {f"targets.{name}": getattr(targets, name) for name in TARGETS}
    for name, validation in _named(fitted).items():
        arrays[f"calibration.{name}.network_variance"] = validation.calibration.network_variance
        arrays[f"calibration.{name}.residuals"] = validation.calibration.residuals
        for target, points in validation.held_out.items():
            arrays[f"held_out.{name}.{target}"] = points
    if predictor.going_on is not None and isinstance(mixture := _of_exits(predictor.going_on.model), Mixture):
        arrays[GOING_ON_WEIGHTS] = mixture.weights.numpy()
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    if _empty(predictor.kind, predictor.design) is not None:
        state = predictor.model.state_dict()
        tensors.update({f"model.{name}": tensor.clone().contiguous() for name, tensor in state.items()})
    (folder / "tensors.safetensors").write_bytes(save_tensors(tensors))
    document = {
        "fingerprint": digest,
        "kind": predictor.kind,
        "seed": seed,
        **{name: getattr(targets, name) for name in NUMBERS},
        "validations": {name: _validation_document(v) for name, v in _named(fitted).items()},
    }
    (folder / "surrogate.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def _named(fitted: FittedSurrogate) -> dict[str, Validation]:
    """Validations by the names under which they are stored."""
    promotion = {} if fitted.promotion is None else {PROMOTION: fitted.promotion}
    return {v.kind: v for v in fitted.validations} | promotion


def _of_exits(model: Model) -> Model:
    """The model of exits that a model of networks is made of."""
    return model.model if isinstance(model, ExitModel) else model


def _validation_document(validation: Validation) -> dict[str, Any]:
    scores, widening = [asdict(s) for s in validation.scores], dict(validation.calibration.widening)
    return {"kind": validation.kind, "cost_tau": validation.cost_tau, "widening": widening, "scores": scores}


def load(key: FitKey, folder: Path) -> FittedSurrogate | None:
    """The stored fit with this key, or `None` if there is none, it is stale, or it is damaged."""
    digest = key.digest
    home = folder / digest[:NAME_DIGITS]
    try:
        document = json.loads((home / "surrogate.json").read_text(encoding="utf-8"))
        if document["fingerprint"] != digest:
            return None
        tensors = load_file(home / "tensors.safetensors")
        fields: dict[str, Any] = {name: tensors[f"targets.{name}"].numpy() for name in TARGETS}
        targets = Targets(**fields, **{name: document[name] for name in NUMBERS})
        design = DesignMatrix.of(key.records, targets, key.space, key.costing, key.ladder)
        named = {name: _validation(name, v, tensors) for name, v in document["validations"].items()}
        promotion = named.pop(PROMOTION, None)
        model = _model(document["kind"], design, tensors, document["seed"])
        calibration = named[document["kind"]].calibration
        predictor = Predictor(document["kind"], design, model, calibration)
        if key.ladder is not None:
            known = calibration if promotion is None else promotion.calibration
            predictor = replace(predictor, going_on=GoingOn(_going_on(model, design, tensors), known))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, xgboost.core.XGBoostError):
        return None
    return FittedSurrogate(predictor, tuple(named.values()), promotion)


def _going_on(model: Model, design: DesignMatrix, tensors: dict[str, torch.Tensor]) -> Model:
    """The model of trainings that go on, of the members of the model of fresh ones that know of trainings."""
    own = _of_exits(model)
    if not isinstance(own, Mixture) or GOING_ON_WEIGHTS not in tensors:
        return model
    return design.whole(Mixture(list(own.members), tensors[GOING_ON_WEIGHTS].numpy()))


def _validation(name: str, document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Validation:
    kind = document["kind"]
    network_variance, residuals = (
        tensors[f"calibration.{name}.{part}"].numpy() for part in ("network_variance", "residuals")
    )
    calibration = Calibration(network_variance, residuals, document["widening"])
    held_out, start = dict[str, Floats](), f"held_out.{name}."
    for key, tensor in tensors.items():
        if key.startswith(start):
            held_out[key.removeprefix(start)] = tensor.numpy()
    scores = tuple(Score(**s) for s in document["scores"])
    return Validation(kind, scores, document["cost_tau"], calibration, held_out)


def _empty(kind: str, design: DesignMatrix) -> Model | None:
    """The unfitted model to load a stored state into; `None` if a member's state cannot be stored."""
    surrogate, training = surrogate_named(kind), design.training
    makers = [member_named(name).empty for name in surrogate.members]
    models = [make(training) for make in makers if make is not None]
    if len(models) < len(makers):
        return None
    of_exits = models[0] if len(models) == 1 else Mixture(models, equal_weights(len(models), training.outputs))
    return design.whole(of_exits)


def _model(kind: str, design: DesignMatrix, tensors: dict[str, torch.Tensor], seed: int) -> Model:
    model = _empty(kind, design)
    if model is None:
        return design.whole(fit_whole(design.training, surrogate_named(kind), seed))
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    return model.eval()
