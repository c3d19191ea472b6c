"""The measurements of `dragoman bench`, a module for most commands. Begin with `conversations.py`, the simplest."""
