"""`dragoman admin`: commands on the one hand, their requests on the other. Begin with `command.py`."""
