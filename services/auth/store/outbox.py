"""The outbox: an event is stored in the transaction that causes it, until the broker has confirmed the event."""

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
    """One unconfirmed event in the form in which it was committed: a replica of a newer version may have added a field
    or a topic. The broker deduplicates the event by `key`, which is random, so that the key stays unique when the
    database is replaced."""

    id: int
    key: str
    topic: Topic[msgspec.Raw]
    event: msgspec.Raw
    trace: str


def add_event(connection: sa.Connection, topic: Topic[E], event: E) -> None:
    """A step of a transaction: the event is published only if the transaction commits."""
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
