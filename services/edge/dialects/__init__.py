"""One package for each protocol. Begin with `base.py`, what a dialect does; `registry.py` lists them."""
