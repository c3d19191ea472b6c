"""Results as tables, plots and one HTML page. Begin with `page.py`."""
