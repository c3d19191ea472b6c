"""`dragoman admin`. Each subject has a module with its commands, requests and texts. Begin with `command.py`."""
