"""`dragoman client`, the terminal client. Begin with `command.py`."""
