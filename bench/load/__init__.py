"""What workers do: runs of tasks over connections, latencies, the check of what came. Begin with `run.py`."""
