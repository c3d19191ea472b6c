"""What a worker does: connections, tasks, latencies, and the check of what it got. Begin with `worker.py`."""
