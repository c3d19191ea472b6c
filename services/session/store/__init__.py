"""Session's transactions: each is a plain function of a connection.

Rows are locked in one order, each kind by ascending id: chats, then profiles. So transactions cannot deadlock. A change
of a membership locks the chat's row and increments its version; a change of a friendship locks both profiles.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]

CHECKED_TABLES = (
    "profile", "chat", "member", "friendship", "friend_request", "application", "block", "ban", "silence",
    "own_settings", "push_subscription", "push_removed", "push_chat", "push_notification",
)  # fmt: skip
"""The service works only while it can write to all of these tables. The health check tests it (`Database.check`)."""
