"""How many users a machine carries: measured costs, and the arithmetic on them. Begin with `arithmetic.py`."""
