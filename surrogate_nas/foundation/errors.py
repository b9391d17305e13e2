"""What the package raises. Each message is one line: the value got, and the values allowed."""


class SurrogateNASError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SurrogateNASError, ValueError):
    """Something the user gave cannot be used (exit code 2 on the command line)."""


class JobError(SurrogateNASError, RuntimeError):
    """Valid input, but the job could not be done (exit code 1 on the command line)."""


class FieldError(InputError):
    """A field of a configuration that is wrong."""

    def __init__(self, message: str, path: list[str | int]) -> None:
        super().__init__(message)
        self.path = path
        """Names, and places in lists, that lead to the field."""
