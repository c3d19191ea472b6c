"""The use cases. Begin with posting.py; ports.py names what they need from outside."""
