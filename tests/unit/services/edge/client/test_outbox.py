"""A dialect holds messages back. The tests use the event loop of the product."""

import asyncio
from typing import Any, cast

import uvloop

from services.edge.client.connection import Connection
from services.edge.client.outbox import ClientOutbox
from services.edge.confirmations.confirmation import DeliveryConfirmation
from services.edge.dialects.base import ConnectionInfo
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.edge_client import FakeSocket
from tests.unit.services.edge.json_dialect import JsonDialect, frame

MESSAGE = Message(ChatId(7), 1, MessageId(1), AccountId(2), 0, b"", Nonce(1))


async def hold(*, until: float, silent: bool = False) -> list[bytes]:
    """Returns the frames that the client gets shortly after a message was held for `until` seconds."""
    info, wire = ConnectionInfo(LimitsSettings(), "http://chat.example"), FakeSocket()
    dialect = JsonDialect(info)
    dialect.decode(frame(do="hold", chat=7, until=asyncio.get_running_loop().time() + until), 0.0)
    connection = Connection(1, "192.0.2.1", dialect, (), info, 0.0)
    confirmation = DeliveryConfirmation(wire, asyncio.get_running_loop().time, 0.0)
    out = ClientOutbox(
        cast(Any, None), wire, connection, confirmation, cast(Any, None), wire.close, lambda requests: None
    )
    assert dialect.gate is not None
    dialect.gate.hold(MESSAGE, (b"{}",), 0.0)
    for _ in range(2):
        out.reschedule_wake()
    if silent:
        out.stop_sending()
    await asyncio.sleep(0.05)
    return wire.received


def test_a_message_held_until_now_is_pushed_at_once() -> None:
    assert uvloop.run(hold(until=0.0)) == [b"{}"]


def test_a_message_held_for_a_moment_is_pushed_after_it() -> None:
    assert uvloop.run(hold(until=0.01)) == [b"{}"]
    assert uvloop.run(hold(until=60.0)) == []


def test_a_closed_queue_pushes_no_held_message() -> None:
    assert uvloop.run(hold(until=0.0, silent=True)) == []
