"""A drill's client, at a server that closes the connection."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve

from clients.codec.base import ClientAccount, Destination
from clients.errors import ConnectionEnded
from tests.drills.client_profiles import V2
from tests.drills.recorded_connection import RecordedConnection, dial
from tests.drills.records import MessageAcknowledged, Record
from tests.support.waiting import WAIT_SECONDS
from tests.unit.bench.faulty_server import faulty_server, honest


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server that closes each connection at its first frame."""

    async def hang_up(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(1011, "internal error")

    async with serve(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


async def dialled(address: str) -> RecordedConnection:
    return await dial(address, lambda record: None, "1/a", "edge-1")


async def test_a_request_without_a_reply_fails_when_the_connection_ends(address: str) -> None:
    connection = await dialled(address)
    requesting = asyncio.create_task(connection.request(V2.request_status()))
    async with asyncio.timeout(WAIT_SECONDS):
        await connection.wait_ended()
        with pytest.raises(ConnectionEnded):
            await requesting


async def test_a_request_on_a_closed_connection_leaves_nothing_behind(address: str) -> None:
    forgotten: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    connection = await dialled(address)
    await connection.close()
    with suppress(ConnectionEnded):
        await connection.request(V2.request_status())
    await connection.wait_ended()
    del connection
    gc.collect()
    assert forgotten == []


async def test_events_are_recorded_in_order() -> None:
    """A login before the messages that follow it, an echo and then its acknowledgement, the end."""
    records: list[Record] = []
    account = ClientAccount("ann", "x", email="ann@b.c")
    async with faulty_server(honest) as address:
        connection = await dial(address, records.append, "1/a", "edge-1")
        account.number = (await connection.request(V2.register(account))).number
        await connection.request(V2.login(account))
        chat = (await connection.request(V2.create_group(account, ""))).chat
        connection.post(V2.post(account, Destination(chat), "hello"), chat)
        async with asyncio.timeout(WAIT_SECONDS):
            while not isinstance(records[-1], MessageAcknowledged):
                await asyncio.sleep(0.01)
        assert connection.unanswered == 0
        await connection.close()
        await connection.wait_ended()
    kinds = [type(record).__name__ for record in records]
    assert kinds == [
        "Opened",
        "Opened",
        "ChatAnnounced",
        "MessageSent",
        "MessageReceived",
        "MessageAcknowledged",
        "Closed",
    ]
