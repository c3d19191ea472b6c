"""Tests the delivery contract during faults under load: `./dev drill`. Read `drill.py` first, then `checker.py`."""
