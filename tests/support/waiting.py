"""The longest wait for an event that must come."""

WAIT_SECONDS = 60.0
"""A machine may stop a process for many seconds, or give it a tenth of a core."""
