"""What the package raises. Each message is one line: the value got, and the values allowed."""


class SurrogateNASError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SurrogateNASError, ValueError):
    """Something the user gave cannot be used (exit code 2 on the command line)."""


class JobError(SurrogateNASError, RuntimeError):
    """Valid input, but the job could not be done (exit code 1 on the command line)."""
