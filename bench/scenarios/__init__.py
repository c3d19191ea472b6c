"""What `dragoman bench` measures: a module for each of its commands. Begin with `pairs.py`, the plainest."""
