"""The operator's commands. Each command has a module or package. Begin with `preflight.py`, which starts `dragoman
up`."""
