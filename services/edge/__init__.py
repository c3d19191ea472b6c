"""Holds the clients' connections, and orders and repairs delivery on one node. Begin with `app.py`."""
