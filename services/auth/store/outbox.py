"""The outbox. An event is stored in the transaction that causes it, and stays until NATS has confirmed the event."""

from dataclasses import dataclass
from secrets import token_hex
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from services.auth.tables import outbox
from shared.contract.subjects import Topic
from shared.telemetry import trace

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One unconfirmed event, encoded as it was committed, because a replica of a newer version may have added a field
    or a topic. NATS deduplicates the event by `key`. The key is random, so that it is unique even after the database
    was replaced."""

    id: int
    key: str
    topic: Topic[msgspec.Raw]
    event: msgspec.Raw
    trace: str


def add_event(connection: sa.Connection, topic: Topic[E], event: E) -> None:
    """Stores an event as a step of a transaction. The event is published only if the transaction commits."""
    payload = msgspec.msgpack.encode(event)
    connection.execute(
        outbox.insert().values(key=token_hex(16), subject=topic.subject, payload=payload, trace=trace.get())
    )


def oldest(connection: sa.Connection, limit: int) -> list[OutboxEntry]:
    rows = connection.execute(sa.select(outbox).order_by(outbox.c.id).limit(limit))
    return [
        OutboxEntry(row.id, row.key, Topic(row.subject, msgspec.Raw), msgspec.Raw(row.payload), row.trace)
        for row in rows
    ]


def remove(connection: sa.Connection, entries: list[int]) -> None:
    connection.execute(outbox.delete().where(outbox.c.id.in_(entries)))
