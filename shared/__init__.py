"""Code that every service uses and no service owns. Begin with contract/ (types and subjects) and bus/client.py."""
