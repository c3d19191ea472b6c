"""Combines requests to services, repeats them, and turns failures into replies. Begin with `coalescer.py`."""
