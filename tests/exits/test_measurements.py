"""Costs of the samples that leave at each exit."""

import numpy as np
import pytest

from surrogate_nas.exits.measurements import Spending


def test_statistics_of_what_is_spent_follow_from_who_leaves_where() -> None:
    spending = Spending(np.array([[0.9, 0.05, 0.05], [0.96, 0.0, 0.04]]), np.array([[1.0, 5.0, 9.0]]))
    assert spending.expected.tolist() == pytest.approx([1.6, 1.32])
    assert spending.p95.tolist() == [5.0, 1.0]
    assert spending.worst.tolist() == [9.0]
