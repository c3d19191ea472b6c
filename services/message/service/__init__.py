"""The use cases of the message service. Begin with posting.py; ports.py names what the use cases need from adapters."""
