"""Presence: the nodes of each account, in Redis. Begin with store.py."""
