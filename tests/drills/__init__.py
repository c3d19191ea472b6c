"""Faults under load, and the delivery contract: `./dev drill`. Begin with `drill.py`, then `checker.py`."""
