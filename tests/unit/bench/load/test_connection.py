"""A client's connection when things go wrong."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.load.connection import Deaf, Trouble, dial
from bench.tongues import V2
from bench.tongues.base import Asked, Person
from tests.unit.bench.faulty_server import doctored, honest

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@asynccontextmanager
async def _shaking_hands_only() -> AsyncIterator[str]:
    """A server that ends every connection with its handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = (line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324 (so says RFC 6455)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_connection_that_is_ended_at_once_is_trouble() -> None:
    async with _shaking_hands_only() as address:
        for _ in range(5):
            with pytest.raises(Trouble, match="ended the connection"):
                await _dial_and_ask(address)


async def _dial_and_ask(address: str) -> None:
    line = await dial(address, V2, Deaf())
    await line.ask(b"{}", Asked.LOGIN, seconds=5)


async def test_silence_is_trouble_and_closing_twice_is_not() -> None:
    async with doctored(honest) as address:
        line = await dial(address, V2, Deaf())
        with pytest.raises(Trouble, match=r"no answer to a chat within 0\.05 s"):
            await line.ask(b'{"code":12}', Asked.CHAT, seconds=0.05)
        await line.close()
        await line.close()
        with pytest.raises(Trouble, match="ended the connection"):
            await line.ask(b'{"code":12}', Asked.CHAT)


async def test_answers_come_to_whoever_asked() -> None:
    async with doctored(honest) as address:
        line = await dial(address, V2, Deaf())
        made, there = await asyncio.gather(
            line.ask(V2.registration(Person("ann", "x")), Asked.REGISTRATION),
            line.ask(V2.login(Person("ann", "x", 7)), Asked.LOGIN),
        )
        assert (made.ocid, there.ocid) == (1, 7)
        await line.close()
