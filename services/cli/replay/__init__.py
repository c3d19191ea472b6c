"""`dragoman replay`: recorded frames, decoded or sent again. Begin with `player.py`."""
