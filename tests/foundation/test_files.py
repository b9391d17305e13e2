"""Files that are written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas.training.checkpoint import write


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write(tmp_path / "missing" / "state", {"a": torch.zeros(3)})
    write(tmp_path / "state", {"a": torch.arange(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert np.isclose((tmp_path / "state").stat().st_size, 8 * 3, atol=100)
