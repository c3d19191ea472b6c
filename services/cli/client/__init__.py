"""`dragoman client`, the terminal client. Begin with `session.py`."""
