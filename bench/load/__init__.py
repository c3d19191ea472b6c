"""The worker processes run tasks, record latencies, and check received messages. Begin with `run.py`."""
