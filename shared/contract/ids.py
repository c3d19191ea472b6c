"""Identifiers of the canonical model. Identifiers are integers between services (a NodeId is text); each dialect has
its own form."""

from typing import NewType

AccountId = NewType("AccountId", int)
"""The OC number of an account, at least 1."""

DeviceId = NewType("DeviceId", int)
"""A device of an account that gets its own missed messages; see OpenDevice."""

NO_DEVICE = DeviceId(0)

ChatId = NewType("ChatId", int)

MessageId = NewType("MessageId", int)
"""The id of a message, unique among all messages and below 2^53."""

Nonce = NewType("Nonce", int)
"""Identifies one message before the commit, unique within chat and sender; 63 bits. A retry has the same nonce."""

NodeId = NewType("NodeId", str)
"""One process of an edge: the edge's name and a random suffix, because a restarted edge is a new node."""

NO_ACCOUNT = AccountId(0)
"""The actor of a connection without a login."""

SYSTEM_ACCOUNT = AccountId(2**31 - 1)
"""The system account, which sends the operator's announcements. Its number is the highest that every client can read.
The session service has its profile. The auth service has no such account, because it counts from 1. So nobody can log
in to it."""

SYSTEM_UUID = "433cbccd-e00b-4aee-8586-6a13d0f996b6"
"""The uuid of the system account, the same in every installation. Nobody can register it."""
