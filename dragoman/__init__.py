"""The command line, which imports all other packages. Begin with `main.py`."""
