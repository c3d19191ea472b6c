"""The database of auth, a module for each subject."""

CHECKED_TABLES = ("accounts", "secrets", "revocations", "logins", "bot_tokens", "state", "tickets", "outbox")
"""The service does its work only while it can write to all of these, as its health check proves (`Database.check`)."""
