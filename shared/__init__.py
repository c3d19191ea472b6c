"""Code that every service uses, and that belongs to no service. Begin with contract/ (types and subjects) and
bus/client.py."""
