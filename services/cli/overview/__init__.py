"""`dragoman dashboard`: one page for the whole system. Begin with `system_view.py`."""
