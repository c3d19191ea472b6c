"""`dragoman top`: the operations pages in a terminal. Begin with `poller.py`."""
