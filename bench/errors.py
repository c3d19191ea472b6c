"""Errors that end a benchmark with one sentence for the user."""


class BenchError(Exception):
    """The run cannot continue, because the system did not start, a worker process died, or a measurement is
    unusable."""
