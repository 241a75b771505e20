"""The one error that a front door shows to its user as a single line."""


class InputError(Exception):
    """Bad input: what is wrong, where (file, key or row) and what to do, in one line.

    Front doors print it as ``error: <message>`` and exit with code 2; no stack trace is shown.
    """
