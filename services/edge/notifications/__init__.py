"""The events that the session and auth services push to this node. Begin with social.py."""
