"""The database of auth, a module for each subject."""

CHECKED_TABLES = ("accounts", "secrets", "revocations", "logins", "bot_tokens", "state", "tickets", "outbox")
"""The service works only while it can write to all of these tables, as the service's health check proves
(`Database.check`)."""
