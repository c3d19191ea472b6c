"""Runs a system on this machine: settings, data, ports, servers, processes. Begin with `up_plan.py`, which plans the
processes."""
