"""Why a process cannot start yet, told in one sentence instead of a traceback."""


class StartupError(Exception):
    """Something must be done first; the message says what."""
