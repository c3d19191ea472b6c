"""The load generator. A *measurement* plans the tasks of users on the measured *system*. Workers put the *load* on the
system, each by a *run* of its task. A *report* shows the result. Begin with `cli.py`."""
