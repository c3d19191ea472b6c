"""What the health check of session proves; see `Database.check`."""

CHECKED_TABLES = ("profile", "chat", "member", "friendship", "friend_request", "application", "block", "ban", "silence")
"""The service does its work only while it can write to all of these."""
