"""The handlers: each handles one kind of command and makes the reply. Begin with `dispatcher.py`."""
