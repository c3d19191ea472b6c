"""Errors that end a process at its start with one sentence instead of a traceback."""


class StartupError(Exception):
    """A precondition of the start is missing; the message says what to do."""
