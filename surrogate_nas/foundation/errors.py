"""The package's exceptions, each with a one-line message (the value got, and the values allowed), and the messages of
other exceptions as one line."""


class SurrogateNASError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SurrogateNASError, ValueError):
    """Something the user gave cannot be used (exit code 2 on the command line)."""


class JobError(SurrogateNASError, RuntimeError):
    """Valid input, but the job could not be done (exit code 1 on the command line)."""


class FieldError(InputError):
    """A configuration field with an invalid value."""

    def __init__(self, message: str, path: list[str | int], source: str = "") -> None:
        super().__init__(message)
        self.path = path
        """Names, and indices in lists, that lead to the field."""
        self.source = source
        """File, or kind of values, that the message begins with; empty if it names none."""


def one_line(error: BaseException) -> str:
    """The whole message of an error on one line; its type where it has no message.

    >>> one_line(ValueError("no such\\n  file")), one_line(ValueError())
    ('no such file', 'ValueError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for errors with long messages; its type where it has no message.

    >>> first_line(RuntimeError("no such device\\nCUDA kernel errors might be")), first_line(RuntimeError())
    ('no such device', 'RuntimeError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def line_of(error: BaseException) -> str:
    """An error's type, and the first line of its message.

    >>> line_of(RuntimeError("no such device\\nat")), line_of(RuntimeError())
    ('RuntimeError: no such device', 'RuntimeError')
    """
    return f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__
