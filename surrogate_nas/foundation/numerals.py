"""Read numbers as people write them: `200_000`, `2e5`, `3M`, `64KiB`, `1h30m`, `90%`.

One rule for settings, Python arguments and the command line. Every function passes on a value that is not text, and
raises `ValueError` with the text got and the forms allowed.
"""

import re
from collections.abc import Mapping

DIGITS = r"[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d*)?|\.\d+)"
"""Digits with a decimal point, perhaps grouped by `_` or, in threes, by commas."""
NUMBER = re.compile(rf"({DIGITS})(?:([eE][+-]?\d+)|\s*([a-zA-Z%]+))?", re.ASCII)
"""A number with an exponent, a unit, or neither."""
DURATION = re.compile(r"\s*".join(rf"(?:({DIGITS})\s*{unit})?" for unit in ("d", "h", "m(?:in)?", "s")), re.ASCII)
THOUSANDS: Mapping[str, str] = {"k": "e3", "K": "e3", "M": "e6", "G": "e9", "T": "e12"}
"""Powers of ten, as exponents: `float("2.3e6")` is rounded once, a product would be rounded twice."""
DECIMAL: Mapping[str, str] = {"B": "", **THOUSANDS, **{f"{unit}B": power for unit, power in THOUSANDS.items()}}
BINARY: Mapping[str, int] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
SECONDS = (86_400, 3600, 60, 1)
"""Seconds of a day, an hour, a minute and a second."""
GIGABYTE, HOUR = 1e9, 3600
LONGEST_INT = 18
"""Digits of the longest number that is read as an `int`."""

NUMBER_FORMS = "a number; allowed: 200000, 200_000, 200,000, 2e5, 200k, 3M, 1.5G and the like"
BYTE_FORMS = (
    "a number of bytes; allowed: 200000, 200kB, 1.5MB (powers of ten), 64KiB, 2MiB (powers of two) and the like"
)
GIGABYTE_FORMS = "an amount of memory; allowed: a number of GB, or 500MB, 4GB (powers of ten), 4GiB and the like"
FRACTION_FORMS = "a fraction; allowed: 0.9, 90% and the like"
DURATION_FORMS = "a time; allowed: a number of {}, or 90s, 25m, 2.5h, 1h30m and the like"


def number(value: object) -> object:
    """A number, perhaps in thousands (k), millions (M), 10⁹ (G) or 10¹² (T); an `int` where only digits are written.

    >>> number("200_000"), number("200,000"), number("2e5"), number("3M"), number("1.5G"), number(7)
    (200000, 200000, 200000.0, 3000000.0, 1500000000.0, 7)
    """
    return _scaled(value, THOUSANDS, {}, NUMBER_FORMS)


def byte_count(value: object) -> object:
    """A number of bytes: k, M, G and T are powers of ten, with or without a B, and KiB, MiB, GiB and TiB of two.

    >>> byte_count("64KiB"), byte_count("64 kB"), byte_count("64k"), byte_count("2MiB")
    (65536.0, 64000.0, 64000.0, 2097152.0)
    """
    return _scaled(value, DECIMAL, BINARY, BYTE_FORMS)


def gigabytes(value: object) -> object:
    """A number of 10⁹ bytes, or bytes with their unit.

    >>> gigabytes("4"), gigabytes("500MB"), gigabytes("2G")
    (4.0, 0.5, 2.0)
    """
    if not _has_unit(value):
        return _plain(value, GIGABYTE_FORMS)
    count = _scaled(value, DECIMAL, BINARY, GIGABYTE_FORMS)
    assert isinstance(count, int | float)
    return count / GIGABYTE


def fraction(value: object) -> object:
    """A fraction, or a percentage of one.

    >>> fraction("0.9"), fraction("90%"), fraction("99.5 %")
    (0.9, 0.9, 0.995)
    """
    return _scaled(value, {"%": "e-2"}, {}, FRACTION_FORMS)


def seconds(value: object) -> object:
    """A number of seconds, or a time in days, hours, minutes and seconds.

    >>> seconds("90"), seconds("90s"), seconds("25m"), seconds("1h30m"), seconds("2.5h"), seconds("1 min 30 s")
    (90.0, 90.0, 1500.0, 5400.0, 9000.0, 90.0)
    """
    return _duration(value, 1, "seconds")


def hours(value: object) -> object:
    """A number of hours, or a time in days, hours, minutes and seconds.

    >>> hours("2"), hours("90m"), hours("1h30m"), hours("1d")
    (2.0, 1.5, 1.5, 24.0)
    """
    return _duration(value, HOUR, "hours")


def _scaled(value: object, exponents: Mapping[str, str], factors: Mapping[str, int], allowed: str) -> object:
    """A number with one of these units, given by their exponents of ten or their factors."""
    if not isinstance(value, str):
        return value
    match = NUMBER.fullmatch(value.strip())
    digits, exponent, unit = match.groups("") if match else ("", "", "?")
    digits = digits.replace(",", "").replace("_", "")
    if unit in factors:
        return float(digits) * factors[unit]
    if unit and unit not in exponents:
        raise ValueError(f"{value!r} is not {allowed}")
    exponent += exponents.get(unit, "")
    whole = digits.lstrip("+-").isdigit() and not exponent and len(digits) <= LONGEST_INT
    return int(digits) if whole else float(digits + exponent)


def _plain(value: object, allowed: str) -> object:
    """A number without a unit, as a `float`."""
    count = _scaled(value, {}, {}, allowed)
    return float(count) if isinstance(value, str) and isinstance(count, int | float) else count


def _has_unit(value: object) -> bool:
    return isinstance(value, str) and value.strip()[-1:].isalpha()


def _duration(value: object, unit: int, name: str) -> object:
    if not isinstance(value, str) or not _has_unit(value):
        return _plain(value, DURATION_FORMS.format(name))
    match = DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not {DURATION_FORMS.format(name)}")
    parts = [float(part.replace(",", "").replace("_", "")) for part in match.groups("0")]
    return sum(part * length for part, length in zip(parts, SECONDS, strict=True)) / unit
