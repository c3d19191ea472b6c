"""Finds messages by their words. Begin with service/following.py and service/answering.py."""
