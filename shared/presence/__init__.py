"""Presence: the nodes of each account, as hints in Redis. Begin with store.py."""
