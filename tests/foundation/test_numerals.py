"""Numbers as people write them: reading is the inverse of writing, keeps the order, and refuses in one line."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.limit_table import exact_text
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation import numerals
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.foundation.machine import amount
from surrogate_nas.foundation.progress import duration
from surrogate_nas.settings import Settings

READERS: dict[str, Callable[[object], Any]] = {
    name: getattr(numerals, name) for name in ("number", "byte_count", "gigabytes", "fraction", "seconds", "hours")
}
UNITS = {
    "number": ("", "k", "K", "M", "G", "T"),
    "byte_count": ("", "B", "k", "kB", "KiB", "MB", "MiB", "GB", "GiB"),
    "gigabytes": ("kB", "KiB", "MB", "MiB", "GB", "GiB"),
    "fraction": ("", "%"),
    "seconds": ("s", "m", "min", "h", "d"),
    "hours": ("s", "m", "min", "h", "d"),
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE)
def test_a_number_is_read_as_python_writes_it_to_the_last_digit(x: float) -> None:
    for read in READERS.values():
        assert read(repr(x)) == x
        assert read(f" {x!r} ") == x


@given(FINITE)
def test_a_limit_is_read_as_messages_write_it(x: float) -> None:
    assert numerals.number(exact_text(x)) == x


@given(st.integers(-(10**12), 10**12))
def test_digits_may_be_grouped_and_stay_an_integer(n: int) -> None:
    for text in (str(n), f"{n:,}", f"{n:_}"):
        value = numerals.number(text)
        assert value == n
        assert isinstance(value, int)


@given(st.integers(0, 10**9))
def test_units_are_exact(n: int) -> None:
    assert numerals.number(f"{n}k") == numerals.number(f"{n}000") == numerals.byte_count(f"{n}kB")
    assert numerals.number(f"{n}M") == n * 10**6
    assert numerals.byte_count(f"{n}KiB") == n * 1024
    assert numerals.fraction(f"{n}%") == n / 100
    assert numerals.seconds(f"{n}m") == numerals.seconds(60 * n) == 60 * n
    assert numerals.hours(f"{n}h") == n
    assert numerals.gigabytes(f"{n}GB") == n


@given(st.integers(0, 30 * 24 * 3600))
def test_a_time_is_read_as_progress_writes_it(s: int) -> None:
    assert abs(numerals.seconds(duration(s)) - s) < (60 if s >= 3600 else 1)  # type: ignore[operator]
    h, m = divmod(s // 60, 60)
    assert numerals.seconds(f"{h}h{m}m{s % 60}s") == s
    assert numerals.hours(f"{h}h{m}m") == (s // 60) / 60


@given(st.integers(0, 10**14))
def test_bytes_are_read_as_messages_write_them_but_for_their_rounding(n: int) -> None:
    assert math.isclose(numerals.byte_count(amount(n)), n, rel_tol=0.051)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_more_of_the_same_unit_is_more(name: str, data: st.DataObject) -> None:
    less, more = sorted(data.draw(st.tuples(st.decimals(0, 10**6, places=3), st.decimals(0, 10**6, places=3))))
    for unit in UNITS[name]:
        assert READERS[name](f"{less}{unit}") <= READERS[name](f"{more}{unit}")
        assert READERS[name](f"{more} {unit}") == READERS[name](f"{more}{unit}")


@pytest.mark.parametrize("name", READERS)
@given(x=st.one_of(FINITE, st.integers(), st.booleans(), st.none()))
def test_what_is_no_text_is_left_as_it_is(name: str, x: object) -> None:
    assert READERS[name](x) is x


REFUSED = {
    "number": ("3X", "", "k", "3m", "3 4", "1,00", "1,0000", "3,5", "1__0", "0x10", "3e", "2e3k", "nan", "inf", "٣"),
    "byte_count": ("3X", "3Mb", "3mB", "3 bits", "1h"),
    "gigabytes": ("3X", "", "4 GBit", "1h"),
    "fraction": ("90 percent", "%", "90%%", "9k"),
    "seconds": ("3X", "h", "1h5", "1s1m", "1h1h", "1:30", "1e3s", "3M", ""),
    "hours": ("3X", "soon", "1,5"),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REFUSED for text in REFUSED[name]])
def test_other_text_is_refused_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an? .*; allowed: ") as caught:
        READERS[name](text)
    assert str(caught.value).startswith(repr(text))


def test_settings_take_the_same_words_and_store_plain_numbers() -> None:
    words = {
        "budget": "1k",
        "limits": {"max_macs": "3M", "max_weight_bytes": "64KiB", "min_accuracy": "90%", "max_params": "200,000"},
        "recipe": {"max_seconds": "25m", "learning_rate": "2e-1"},
        "max_hours": "1h30m",
        "max_memory_gb": "500MB",
    }
    plain = {
        "budget": 1000,
        "limits": {"max_macs": 3e6, "max_weight_bytes": 65536.0, "min_accuracy": 0.9, "max_params": 2e5},
        "recipe": {"max_seconds": 1500.0, "learning_rate": 0.2},
        "max_hours": 1.5,
        "max_memory_gb": 0.5,
    }
    assert parse(Settings, words, "here").model_dump_json() == parse(Settings, plain, "here").model_dump_json()
    assert Limits(max_macs="3M") == Limits(max_macs=3e6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limits": {"max_macs": "3X"}}, "limits.max_macs: '3X' is not a number; allowed: 200000, 200_000, 200,000"),
        ({"budget": "1.5"}, "budget: input should be a valid integer"),
        ({"max_hours": "soon"}, "max_hours: 'soon' is not a time; allowed: a number of hours, or 90s, 25m"),
        ({"limits": {"max_macs": "-3k"}}, "limits.max_macs: input should be greater than 0, got -3000"),
        ({"limits": {"max_macs": "1e999"}}, "limits.max_macs: input should be a finite number, got inf"),
    ],
)
def test_a_setting_of_wrong_text_is_one_line_that_names_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(Settings, values, "config.yaml")
    assert str(caught.value).startswith(f"config.yaml: {message}")
