"""Ephemeral events, which nobody stores: typing, presence, reads. Begin with hub.py."""
