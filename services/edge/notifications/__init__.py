"""What session and auth push to this node. Begin with receiver.py."""
