"""Restarts of the system while clients of native are connected."""

RESTARTED = ("edge-1", "message", "session", "auth", "edge-2", "edge-1")
AT_EACH = 60
"""The number of messages that are sent around each restart."""
