"""Ephemeral events: typing, watched presence, reads. Begin with hub.py."""
