"""Runs irctest, an external test suite, against this version. Read `suite.py` first."""
