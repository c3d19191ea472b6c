"""The database of the auth service. Each subject has a module."""

CHECKED_TABLES = ("accounts", "secrets", "revocations", "logins", "bot_tokens", "state", "tickets", "outbox")
"""The service works only while it can write to all of these tables. The health check tests this (`Database.check`)."""
