"""Help of options. It must not wait for the import of the things it names, so the texts hold the names."""

from typing import get_args

import pytest

from surrogate_nas.cli import options
from surrogate_nas.settings import STRATEGY_NAMES, SURROGATE_NAMES


@pytest.mark.parametrize(
    ("option", "names"), [(options.Surrogate, SURROGATE_NAMES), (options.Strategy, STRATEGY_NAMES)]
)
def test_help_names_every_surrogate_and_strategy(option: object, names: tuple[str, ...]) -> None:
    words = get_args(option)[1].help.replace(",", " ").split()
    assert [word for word in words if word in names] == list(names)
