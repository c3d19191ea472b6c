"""Identifiers of the canonical model. All are integers on the bus; dialects write them as they like."""

from typing import NewType

AccountId = NewType("AccountId", int)
"""The OC number, 1 or more."""

ChatId = NewType("ChatId", int)

MessageId = NewType("MessageId", int)
"""Globally unique, below 2^53."""

Nonce = NewType("Nonce", int)
"""Names one attempt to say something, unique per chat and sender; 63 bits. It is also the frame's trace id."""

NodeId = NewType("NodeId", str)
"""One run of one edge process: its name and a random suffix, so that a restarted edge is a new node."""

NO_ACCOUNT = AccountId(0)
"""The actor of a connection that is not logged in."""

SYSTEM_ACCOUNT = AccountId(2**31 - 1)
"""The system's own account, which tells people the operator's notices: the highest number that every client can read.
Session has its profile; auth, which counts from 1, has no such account, so that nobody can log in as it."""

SYSTEM_UUID = "433cbccd-e00b-4aee-8586-6a13d0f996b6"
"""In every installation; nobody can register it."""
