"""The outbox: events are stored in the transaction that causes them, until the broker has confirmed them."""

from dataclasses import dataclass
from secrets import token_hex
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from services.auth.tables import outbox
from shared.contract.subjects import ACCOUNT_DELETED, ACCOUNT_REGISTERED, MAIL_REQUESTED, Topic
from shared.telemetry import trace

E = TypeVar("E")

_TOPICS: dict[str, Topic[Any]] = {
    topic.subject: topic for topic in (ACCOUNT_REGISTERED, ACCOUNT_DELETED, MAIL_REQUESTED)
}


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One unconfirmed event. The broker deduplicates it by `key`, which is random, so that it stays unique when the
    database is replaced."""

    id: int
    key: str
    topic: Topic[Any]
    event: Any
    trace: str


def add_event(connection: sa.Connection, topic: Topic[E], event: E) -> None:
    """A step of a transaction: the event is published if, and only if, the transaction commits."""
    payload = msgspec.msgpack.encode(event)
    connection.execute(
        outbox.insert().values(key=token_hex(16), subject=topic.subject, payload=payload, trace=trace.get())
    )


def oldest(connection: sa.Connection, limit: int) -> list[OutboxEntry]:
    rows = connection.execute(sa.select(outbox).order_by(outbox.c.id).limit(limit))
    return [_entry(row) for row in rows]


def _entry(row: sa.Row[Any]) -> OutboxEntry:
    topic = _TOPICS[row.subject]
    return OutboxEntry(row.id, row.key, topic, msgspec.msgpack.decode(row.payload, type=topic.event), row.trace)


def remove(connection: sa.Connection, entries: list[int]) -> None:
    connection.execute(outbox.delete().where(outbox.c.id.in_(entries)))
