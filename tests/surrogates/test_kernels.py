"""Kernels of the Gaussian processes."""

import pytest
import torch

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.gp import GaussianProcesses
from surrogate_nas.surrogates.kernels import VIEWS, View, covariances
from surrogate_nas.surrogates.training_set import TrainingSet
from tests.helpers.outputs import SHAPE, problem, records

PROBLEM = problem()


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    views = PROBLEM.views.trained(records(PROBLEM, 21))
    return DesignMatrix.build(views, PROBLEM.space, Costing(SHAPE)).training


@pytest.mark.parametrize("view", VIEWS)
def test_covariances_are_those_of_gpytorch_to_the_last_bit(view: View, training: TrainingSet) -> None:
    model = GaussianProcesses(training, view).eval().blocks[0]
    draw = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
    kernel, rows = model.gp.covar_module, model.gp.train_inputs[0][0]
    asked = model.inputs(torch.rand(12, training.X.shape[1], generator=draw, dtype=torch.float64))
    batched = asked.reshape(4, 1, 3, -1)  # batch, targets, points, columns
    with torch.no_grad():
        for x1, x2 in ((rows, rows), (asked, rows), (batched, rows), (batched, batched)):
            assert torch.equal(covariances(kernel, x1, x2), kernel(x1, x2).to_dense())
        assert torch.equal(covariances(kernel, asked, asked, diag=True), kernel(asked, diag=True))
