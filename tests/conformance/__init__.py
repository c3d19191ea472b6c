"""Both clients of native against a scripted server. Begin with `case_run.py`."""
