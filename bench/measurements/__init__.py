"""What `dragoman bench` measures: a module for most of its commands. Begin with `pairs.py`, the plainest."""
