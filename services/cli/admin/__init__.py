"""`dragoman admin`: a module for each subject, with its commands, their requests and texts. Begin with `command.py`."""
