"""The load generator. A *measurement* plans the work of simulated users on the measured *system*. Workers put this
*load* on the system, and each worker does it in a *run* of its task. A *report* shows the result. Begin with
`cli.py`."""
