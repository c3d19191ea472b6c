"""Measures the time of each stage of a message's path: `./dev stages`. Read `stages.py` first."""
