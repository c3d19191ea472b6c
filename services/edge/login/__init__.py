"""Passwords, tokens, verification and revocations. Begin with login.py."""
