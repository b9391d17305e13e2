"""Gradient-boosted trees: for each target a few boosters, each without a part of the architectures, as a BoTorch model.

The architectures that a booster left out decide how many rounds are right for the target, and the boosters' differences
are the spread of the model: the delete-a-group jackknife (Kott, Journal of Official Statistics 17, 2001). A bootstrap
would lose a third of the architectures instead of an eighth.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import xgboost
from torch import Tensor

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.threads import side_by_side
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import NETWORK_VARIANCE, TrainingSet

MEMBERS = 8
"""Boosters of a target; each leaves out one of so many parts of the architectures."""
ROUNDS = 200
"""Most rounds of boosting."""
BLOCK = 5
"""Rounds between two looks at the architectures that were left out."""
PATIENCE = 10
"""Looks without a smaller error after which boosting stops."""
PARAMETERS = {
    "max_depth": 3,
    "eta": 0.1,
    "subsample": 0.7,
    "colsample_bynode": 0.4,
    "lambda": 1.0,
    "min_child_weight": 4.0,
    "tree_method": "hist",
    "nthread": 1,
    "base_score": 0.0,
    "max_bin": 64,
}


class _Boosted(NormalModel):
    """Boosters of each target, for the residuals of linear trends over the costs and counts."""

    trends: Tensor
    """(members, 1 + d, m) weights of each member's trend, intercept first."""

    def __init__(self, inputs: Inputs, trends: Tensor, boosters: Sequence[Sequence[xgboost.Booster]] = ()) -> None:
        """Build from input columns, the trends, and the members of each target."""
        super().__init__()
        self.inputs, self.boosters = inputs, boosters
        self.register_buffer("trends", trends)

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return int(self.trends.shape[2])

    def members(self, X: Tensor) -> Tensor:
        """(members, n, m) predictions of each member at (n, d) inputs."""
        matrix = xgboost.DMatrix(self._columns(X), nthread=1)
        beyond = np.stack([[booster.predict(matrix) for booster in members] for members in self.boosters], axis=-1)
        return torch.from_numpy(beyond).to(X.dtype) + X @ self.trends[:, 1:] + self.trends[:, :1]

    def _columns(self, X: Tensor) -> Floats:
        return np.asarray(self.inputs(X)[:, self.inputs.ordinal].numpy())

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and jackknife variances at (n, d) inputs."""
        predictions = self.members(X)
        return predictions.mean(0), (len(predictions) - 1) * predictions.var(0, correction=0)

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) jackknife covariances at (…, q, d) inputs."""
        predictions = self.members(X.reshape(-1, X.shape[-1])).reshape(MEMBERS, *X.shape[:-1], -1)
        mean = predictions.mean(0)
        deviation = (predictions - mean).movedim(0, -1).movedim(-2, -3)  # (…, m, q, members)
        return mean, deviation @ deviation.mT * (MEMBERS - 1) / MEMBERS

    def subset_output(self, idcs: Sequence[int]) -> NormalModel:
        """The boosters of some of the targets."""
        return _Boosted(self.inputs, self.trends[..., list(idcs)], [self.boosters[target] for target in idcs])


class XGBoostEnsemble(_Boosted):
    """Boosters of each target, which are fitted to a training set."""

    def __init__(self, training: TrainingSet) -> None:
        """Build an unfitted model."""
        shape = (MEMBERS, 1 + training.X.shape[1], training.outputs)
        super().__init__(Inputs(training), torch.zeros(shape, dtype=torch.float64))
        self._left_out: tuple[Floats, Floats] | None = None

    def left_out(self, group: Ints, fold: Ints) -> tuple[Floats, Floats] | None:
        """(n, m) means and variances of each training row; `None` if the model was loaded.

        The mean is that of the member that left out the row's group. The variance is the mean over the rows: that of a
        row depends on this very member, and would be large where its error is.
        """
        return self._left_out

    def get_extra_state(self) -> Tensor:
        """The boosters in XGBoost's own format: their number and lengths in bytes as int64, then the bytes."""
        raw = [bytes(booster.save_raw("ubj")) for members in self.boosters for booster in members]
        lengths = np.array([len(raw), *map(len, raw)], dtype="<i8").tobytes()
        return torch.frombuffer(bytearray(b"".join([lengths, *raw])), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the boosters from the result of `get_extra_state`."""
        content = state.numpy().tobytes()
        count = int(np.frombuffer(content, "<i8", 1)[0])
        ends = 8 * (count + 1) + np.cumsum(np.frombuffer(content, "<i8", count, 8))
        boosters = []
        for start, end in itertools.pairwise([8 * (count + 1), *ends.tolist()]):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(content[start:end]))
            boosters.append(booster)
        self.boosters = [boosters[i : i + MEMBERS] for i in range(0, count, MEMBERS)]

    def fit(self, training: TrainingSet, seed: int) -> "XGBoostEnsemble":
        """Fit by weighted least squares, the targets side by side on all cores; undefined targets have weight 0."""
        columns = self._columns(torch.from_numpy(training.X))
        fitted = side_by_side(lambda j: _fit_target(columns, training.targets([j]), seed), range(training.outputs))
        self.boosters = [boosters for boosters, _, _ in fitted]
        self.trends.copy_(torch.from_numpy(np.stack([trends for _, trends, _ in fitted], axis=-1)))
        left_out = np.stack([mean for _, _, mean in fitted], axis=-1)
        _, variance = self.marginals(torch.from_numpy(training.X))
        self._left_out = left_out, np.broadcast_to(_means(variance.numpy(), training.defined), left_out.shape)
        return self


def _means(values: Floats, defined: Bools) -> Floats:
    """(m,) means of (n, m) values where they are defined; 0 where none is."""
    return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1))


class _Member:
    """A booster of one target, and of the trend that it adds to, which learn from the rows that are not left out."""

    def __init__(self, columns: Floats, training: TrainingSet, out: Bools, seed: int) -> None:
        kept = replace(training, Yvar=np.where(out[:, None], np.inf, training.Yvar))
        self.trend = kept.trend("cost", "count", "passes")[:, 0]
        self.of_trend = self.trend[0] + training.X @ self.trend[1:]
        weight = np.where(out, 0.0, _weight(training))
        weight /= max(weight.max(), 1e-12)
        self.rows = xgboost.DMatrix(columns, training.Y[:, 0] - self.of_trend, weight=weight, nthread=1)
        self.booster = xgboost.Booster({**PARAMETERS, "seed": seed}, [self.rows])

    def grow(self) -> None:
        """Boost by a block of rounds."""
        done = self.booster.num_boosted_rounds()
        for iteration in range(done, done + BLOCK):
            self.booster.update(self.rows, iteration)

    def predict(self) -> Floats:
        """(n,) predictions of the rows."""
        return np.asarray(self.booster.predict(self.rows).astype(np.float64) + self.of_trend)


def _weight(training: TrainingSet) -> Floats:
    """(n,) weight of each row for the one target; 0 where it is undefined."""
    return np.asarray(1 / (training.Yvar[:, 0] + NETWORK_VARIANCE))


def _fit_target(columns: Floats, training: TrainingSet, seed: int) -> tuple[list[xgboost.Booster], Floats, Floats]:
    """Members of a single target, cut to the rounds with the smallest error on the architectures that each left out;
    the (members, 1 + d) weights of their trends; and the (n,) prediction of each row by the member that left it out,
    or the mean of all where the target is undefined.

    These predictions are cut to the rounds with the smallest error on the other parts: the smallest error itself would
    be too small.
    """
    defined, rows = training.defined[:, 0], np.arange(len(training))
    part = np.full(len(training), MEMBERS)
    part[defined] = folds(training.group[defined], seed, MEMBERS)
    members = [_Member(columns, training, part == k, seed * MEMBERS + k) for k in range(MEMBERS)]
    looks, errors, best = list[Floats](), list[Floats](), 0
    while len(looks) < ROUNDS // BLOCK and len(looks) - best <= PATIENCE:
        for member in members:
            member.grow()
        predicted = np.stack([member.predict() for member in members])
        looks.append(np.concatenate([predicted, predicted.mean(axis=0, keepdims=True)])[part, rows])
        squares = np.where(defined, _weight(training) * (training.Y[:, 0] - looks[-1]) ** 2, 0.0)
        errors.append(np.array([squares[part == k].sum() for k in range(MEMBERS + 1)]))
        best = int(np.argmin(np.sum(errors, axis=1)))
    boosters = [member.booster[: (best + 1) * BLOCK] for member in members]
    of_others = np.sum(errors, axis=1, keepdims=True) - errors
    left_out = np.stack(looks)[of_others.argmin(axis=0)[part], rows]
    return boosters, np.stack([member.trend for member in members]), left_out
