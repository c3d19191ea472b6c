"""Real servers, databases and processes for all tests. Begin with `servers.py` and `cluster.py`."""
