"""`dragoman doctor`: the checks of an installation, each with a remedy. Begin with `command.py`."""
