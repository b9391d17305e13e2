"""Exceptions of this package, whose one-line messages state the value got and the values allowed; and one-line texts of
other exceptions."""


class SurrogateNASError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SurrogateNASError, ValueError):
    """Invalid user input (exit code 2 on the command line)."""


class JobError(SurrogateNASError, RuntimeError):
    """Failure of a job despite valid input (exit code 1 on the command line)."""


class FieldError(InputError):
    """A configuration field with an invalid value."""

    def __init__(self, message: str, path: list[str | int], source: str = "") -> None:
        super().__init__(message)
        self.path = path
        """Field names and list indices that lead to the field."""
        self.source = source
        """File, or kind of values, that the message begins with; empty if it names none."""


def one_line(error: BaseException) -> str:
    """Whole message of an error on one line, or its type if it has no message.

    >>> one_line(ValueError("no such\\n  file")), one_line(ValueError())
    ('no such file', 'ValueError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """First line of an error's message, for errors with long messages, or its type if it has no message.

    >>> first_line(RuntimeError("no such device\\nCUDA kernel errors might be")), first_line(RuntimeError())
    ('no such device', 'RuntimeError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def line_of(error: BaseException) -> str:
    """Type of an error, and the first line of its message if it has one.

    >>> line_of(RuntimeError("no such device\\nat")), line_of(RuntimeError())
    ('RuntimeError: no such device', 'RuntimeError')
    """
    return f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__
