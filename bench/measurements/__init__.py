"""The measurements of `dragoman bench`. Begin with `conversations.py`, the simplest."""
