"""Results as tables, plots and one HTML page, and progress. Begin with `result.py`."""
