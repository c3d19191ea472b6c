"""Session's transactions. Each step of a transaction is a plain function of a connection.

All transactions lock rows in the same order: first chats, then profiles, each by ascending id. So transactions cannot
deadlock. A change of a membership locks the chat's row and increments its version; a change of a friendship locks both
profiles.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]

CHECKED_TABLES = (
    "profile", "chat", "member", "friendship", "friend_request", "application", "block", "ban", "silence",
    "own_settings", "push_subscription", "push_removed", "push_chat", "push_notification",
)  # fmt: skip
"""The service works only while it can write to all of these tables. The health check tests this (`Database.check`)."""
