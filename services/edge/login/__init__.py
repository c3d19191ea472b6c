"""Passwords, tokens, verification, revocations. Begin with login.py."""
