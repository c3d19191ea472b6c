"""irctest, a suite of others, run against this version. Begin with `suite.py`."""
