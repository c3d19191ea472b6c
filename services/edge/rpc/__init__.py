"""Combines and repeats requests to services. Begin with `coalescer.py`."""
