"""Handles logins by password and token, verification and revocations. Begin with login.py."""
