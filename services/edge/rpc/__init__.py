"""Requests to services: coalesced, repeated, their failures as replies. Begin with `coalescer.py`."""
