"""The measured system, and one result of what workers and processes report. Begin with `run.py`."""
