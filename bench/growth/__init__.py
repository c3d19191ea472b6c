"""Costs and latencies as one size grows (rate, edges, replicas, accounts). Begin with `measurement.py`."""
