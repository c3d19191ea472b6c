"""The load generator. A *measurement* plans who does what on the measured *system*; workers put the *load* on it,
each by a *run* of its task; a *report* shows the result. Begin with `cli.py`."""
