"""The work of workers: tasks over connections, latencies, and the check of received messages. Begin with `run.py`."""
