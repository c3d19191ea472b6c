"""What ends a run with one sentence to the user."""


class BenchError(Exception):
    """The run cannot go on: the system does not start, a process of the load died, a measurement is no good."""
