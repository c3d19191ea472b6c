"""Shows results as tables, and progress. Begin with `result.py`."""
