"""Measures the time of each stage of a message: `./dev stages`. Begin with `stages.py`."""
