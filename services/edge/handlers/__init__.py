"""Each handler makes the replies to one kind of command. Begin with `dispatcher.py`."""
