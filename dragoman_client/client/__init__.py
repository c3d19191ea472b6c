"""A client of the dialect native. It reconnects, sends unacknowledged messages again, and gives the program the
messages of each chat once and in order. docs/build/python.md describes it."""

from dragoman_client.client.client import Dragoman
from dragoman_client.client.connection import CommandRejected
from dragoman_client.client.events import Event, KeptMessage, apply_change, text_of
from dragoman_client.client.outbox import OutboxFull, QueuedCommand
from dragoman_client.client.store import FileStore, MemoryStore, Store, StoreInUse
from dragoman_client.client.uploads import UploadedFile

__all__ = [
    "CommandRejected",
    "Dragoman",
    "Event",
    "FileStore",
    "KeptMessage",
    "MemoryStore",
    "OutboxFull",
    "QueuedCommand",
    "Store",
    "StoreInUse",
    "UploadedFile",
    "apply_change",
    "text_of",
]  # fmt: skip
