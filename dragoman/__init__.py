"""The command line, which imports all other packages. Begin with `main.py`, which has the command `dragoman`."""
