"""A client of the dialect native that reconnects, sends unacknowledged messages again, and gives the messages of each
chat in order, once. docs/python.md describes it.
"""

from clients.resuming.client import ResumingClient
from clients.resuming.connection import CommandRejected
from clients.resuming.outbox import FileStorage, MemoryStorage, OutboxStorage

__all__ = ["CommandRejected", "FileStorage", "MemoryStorage", "OutboxStorage", "ResumingClient"]
