"""Reads the messages that an account missed, at the account's login. Begin with missed.py."""
