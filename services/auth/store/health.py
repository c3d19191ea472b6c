"""What the health check of auth proves; see `Database.check`."""

CHECKED_TABLES = ("accounts", "secrets", "revocations", "logins", "bot_tokens", "state", "tickets", "outbox")
"""The service does its work only while it can write to all of these."""
