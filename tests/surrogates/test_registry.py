"""Every name that settings allow has a surrogate, and every surrogate a name."""

from typing import get_args

import pytest

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.settings import SURROGATE_NAMES, Settings, SurrogateName
from surrogate_nas.surrogates.registry import AUTO, BY_SIZE, DEFAULT, MEMBERS, SURROGATES, surrogate_named


def test_every_name_has_a_surrogate() -> None:
    assert set(SURROGATES) == set(get_args(SurrogateName))
    assert {"auto", *SURROGATES} == set(SURROGATE_NAMES)
    assert {*AUTO, DEFAULT, BY_SIZE} <= set(SURROGATES)


def test_surrogates_are_made_of_members_that_are_there() -> None:
    for surrogate in SURROGATES.values():
        assert set(surrogate.members) <= set(MEMBERS)


def test_any_other_name_is_the_users_own_function() -> None:
    assert surrogate_named("package.module:function").members == ("package.module:function",)


@pytest.mark.parametrize("field", ["surrogate", "strategy"])
def test_a_name_that_is_neither_is_refused_with_those_allowed(field: str) -> None:
    with pytest.raises(InputError) as error:
        Settings().updated({field: "nonsense"})
    assert f"'nonsense' is not a {field}; allowed: " in str(error.value)
    assert str(error.value).endswith(", package.module:function")
