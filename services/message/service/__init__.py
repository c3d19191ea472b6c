"""The use cases of the message service. Begin with posting.py; ports.py names the parts that are needed from
outside."""
