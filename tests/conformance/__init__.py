"""Tests native's client libraries with a scripted server. Read `case_run.py` first."""
