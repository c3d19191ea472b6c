"""Requests to services are coalesced and repeated; their failures become replies. Begin with `coalescer.py`."""
