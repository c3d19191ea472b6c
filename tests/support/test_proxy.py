"""Tests the proxy with a server that echoes data."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import TcpProxy
from tests.support.waiting import WAIT_SECONDS

_PAUSE_SECONDS = 0.2


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = TcpProxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echoed(self, data: bytes) -> float:
        """Sends data, and returns the seconds until all of it has come back."""
        began = time.monotonic()
        self.writer.write(data)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await self.reader.readexactly(len(data)) == data
        return time.monotonic() - began

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(_PAUSE_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def caller(proxy: TcpProxy) -> AsyncIterator[Caller]:
    caller = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    yield caller
    caller.writer.close()


async def test_without_toxics_it_is_transparent(caller: Caller) -> None:
    await caller.echoed(b"x" * 300_000)
    caller.writer.write_eof()
    assert await caller.reader.read() == b""


async def test_latency_delays_each_direction(proxy: TcpProxy, caller: Caller) -> None:
    proxy.up.latency_seconds, proxy.down.latency_seconds = 0.1, 0.2
    assert await caller.echoed(b"x") >= 0.3


async def test_latency_takes_no_bandwidth(proxy: TcpProxy, caller: Caller) -> None:
    proxy.up.latency_seconds = 0.2
    assert 0.2 <= await caller.echoed(b"x" * 500_000) < 2.0


async def test_bandwidth_and_slices(proxy: TcpProxy, caller: Caller) -> None:
    proxy.up.bytes_per_second, proxy.up.slice_bytes = 1000.0, 1
    assert await caller.echoed(b"x" * 300) >= 0.3


async def test_toxics_may_change_under_way(proxy: TcpProxy, caller: Caller) -> None:
    proxy.up.slice_bytes, data = 1, bytes(number % 251 for number in range(20_000))
    caller.writer.write(data)
    echo = await caller.reader.readexactly(100)
    proxy.clear()
    async with asyncio.timeout(WAIT_SECONDS):
        assert echo + await caller.reader.readexactly(len(data) - 100) == data


async def test_a_limit_ends_a_connection(proxy: TcpProxy, caller: Caller) -> None:
    proxy.down.limit_bytes = 3
    caller.writer.write(b"four")
    async with asyncio.timeout(WAIT_SECONDS):
        assert await caller.reader.read() == b"fou"


async def test_a_reset_comes_at_once(proxy: TcpProxy, caller: Caller) -> None:
    await caller.echoed(b"x")
    proxy.down.latency_seconds = 3.0
    caller.writer.write(b"under way")
    assert await caller.is_silent()
    assert proxy.reset_peer() == 1
    with pytest.raises(ConnectionResetError):
        await caller.reader.read()


async def test_a_partition_delays_data_and_ends(proxy: TcpProxy, caller: Caller) -> None:
    await caller.echoed(b"x")
    proxy.time_out()
    caller.writer.write(b"later")
    caller.writer.write_eof()
    assert await caller.is_silent()
    proxy.clear()
    async with asyncio.timeout(WAIT_SECONDS):
        assert await caller.reader.read() == b"later"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_partition_of_one_direction(proxy: TcpProxy, caller: Caller, direction: str) -> None:
    await caller.echoed(b"x")
    getattr(proxy, direction).time_out()
    caller.writer.write(b"y")
    assert await caller.is_silent()
    proxy.clear()
    assert await caller.reader.readexactly(1) == b"y"


async def test_a_server_that_is_away_shows_as_a_reset(proxy: TcpProxy) -> None:
    away = TcpProxy(1)
    await away.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", away.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await away.close()
