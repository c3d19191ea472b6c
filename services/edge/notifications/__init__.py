"""The events that session and auth push to this node. Begin with social.py."""
