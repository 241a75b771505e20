"""Errors that a command shows to its user in a single line."""


class InputError(Exception):
    """Bad input: what is wrong, where (file, key or row) and what to do, in one line.

    Front doors print it as ``error: <message>`` and exit with code 2; no stack trace is shown.
    """


class Diverged(InputError):
    """Training became non-finite and cannot recover: what happened, at which iteration, what to try.

    The run's status is then ``diverged``; a sweep counts it as failed and continues.
    """


class JobFailed(Exception):
    """A job's process failed or was killed: which one and why, in one line; ``trace`` is its stack trace, if any."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace
