"""The operator's commands, a module or package for each. Begin with `preflight.py`, which starts `dragoman up`."""
