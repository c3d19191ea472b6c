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

NOBODY = AccountId(0)
"""The actor of a connection that is not logged in."""
