"""Accounts: registration, logins, passwords, tokens (JWTs: adapters/signing_keys.py), bots, mail. Begin at app.py."""
