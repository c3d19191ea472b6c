"""The dialects: a module or package for each protocol. Begin with `base.py`, which defines a dialect; `registry.py`
lists them."""
