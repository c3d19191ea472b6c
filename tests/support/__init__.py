"""Real servers, databases and processes for all tests. Read `servers.py` and `cluster.py` first."""
