"""The tables of early-exit networks that the repository holds, and the source distribution does not."""

from pathlib import Path

import pytest

from surrogate_nas.search.tabular.layout import NETWORKS

EENN_TABLE = Path(__file__).parents[2] / "data" / "eenn-cifar10"
needs_eenn_table = pytest.mark.skipif(
    not (EENN_TABLE / NETWORKS).is_file(), reason="the source distribution is without the table of CIFAR-10"
)
TABLES = sorted(path.parent for path in EENN_TABLE.parent.glob(f"*/{NETWORKS}"))
"""Folders of all tables that are here."""
