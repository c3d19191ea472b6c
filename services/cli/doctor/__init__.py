"""`dragoman doctor`: checks, each with its remedy. Begin with `command.py`."""
