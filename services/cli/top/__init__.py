"""`dragoman top`: the status pages in a terminal. Begin with `poller.py`."""
