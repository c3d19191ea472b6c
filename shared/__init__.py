"""Code of all services. Begin with contract/ (types and subjects) and bus/client.py."""
