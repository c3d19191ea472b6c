"""Measures how costs grow with one size, such as the number of edges. Begin with `measurement.py`."""
