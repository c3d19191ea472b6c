"""Connections of clients, and the order and repair of delivery on one node. Begin with `app.py`."""
