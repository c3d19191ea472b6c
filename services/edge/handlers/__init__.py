"""One command and its reply. Begin with `dispatcher.py`."""
