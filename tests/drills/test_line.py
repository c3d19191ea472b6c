"""A drill's client, at a server that hangs up."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.drills.line import Line, dial


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Where everybody is hung up on at the first word."""

    async def hang_up(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(1011, "internal error")

    async with serve(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


async def dialled(address: str) -> Line:
    return await dial(address, lambda record: None, "1/a", "edge-1")


async def test_who_waits_for_an_answer_hears_of_the_end(address: str) -> None:
    line = await dialled(address)
    asking = asyncio.create_task(line.ask({"code": 12}))
    async with asyncio.timeout(5):
        await line.listen()
        with pytest.raises(ConnectionClosed):
            await asking


async def test_who_could_not_even_ask_waits_for_nothing(address: str) -> None:
    forgotten: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    line = await dialled(address)
    await line.close()
    with suppress(ConnectionClosed):
        await line.ask({"code": 12})
    await line.listen()
    del line
    gc.collect()
    assert forgotten == []
