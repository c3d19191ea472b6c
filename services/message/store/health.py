"""What the health check of message proves; see `Database.check`."""

CHECKED_TABLES = ("heads", "messages", "cursors", "revisions", "edits", "reactions")
"""The service does its work only while it can write to all of these."""
