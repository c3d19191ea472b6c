"""The attacker of the flood measurement: `python -m tests.drills.flood_source PORT FLOOD`. It sends from its own
address until its process is ended.

The attacker plays the part of another machine. So that it takes no CPU time from the server, it has the lowest priority
and its own process session.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_HOST, _ATTACKER = "127.0.0.1", "127.0.0.2"
_CONNECTIONS = 50
_BYTES_PER_SECOND = 7_000_000
"""The bytes per second of all connections together."""
_DIALS_PER_SECOND = 200
_HOLD_SECONDS = 5.0
_LOWEST_PRIORITY = 19
_UPGRADE = (
    b"GET /ws/ourchat-v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK = bytes(4)
_AT_ONCE = 1000

Write = Callable[[bytes], Awaitable[None]]
Attack = Callable[[Write], Awaitable[None]]


class Pace:
    """Spreads events evenly over time, with at most `per_second` events in a second."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = time.monotonic()

    async def wait(self, count: int = 1) -> None:
        now = time.monotonic()
        begins = max(now, self._free_at)
        self._free_at = begins + count / self._per_second
        if begins > now:
            await asyncio.sleep(begins - now)


def _frames(first: bytes, repeated: bytes) -> Attack:
    async def attack(write: Write) -> None:
        await write(_UPGRADE + first)
        while True:
            await write(repeated * _AT_ONCE)

    return attack


async def _half_messages(write: Write) -> None:
    await write(_UPGRADE + b"\x01\xfe\xea\x60" + _MASK + bytes(60_000))
    await asyncio.sleep(_HOLD_SECONDS)


async def _connections(write: Write) -> None:
    await write(_UPGRADE)


def _requests(path: str) -> Attack:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async def attack(write: Write) -> None:
        while True:
            await write(request * 10)

    return attack


FLOODS: dict[str, Attack] = {
    "pings": _frames(b"", b"\x89\x80" + _MASK),
    "pongs": _frames(b"", b"\x8a\x80" + _MASK),
    "empty fragments": _frames(b"\x01\x80" + _MASK, b"\x00\x80" + _MASK),
    "cheap requests": _frames(b"", b"\x81\x8b" + _MASK + b'{"code":10}'),
    "half messages": _half_messages,
    "connections": _connections,
    "links": _requests("/verify/ticket.code"),
    "avatars": _requests("/avatar/account/1.png"),
}


async def attack_for_ever(port: int, attack: Attack, sent: Pace, dialled: Pace) -> None:
    """Attacks over one connection after another."""
    while True:
        await dialled.wait()
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(_HOST, port, local_addr=(_ATTACKER, 0))
            draining = asyncio.create_task(_discard(reader, writer))

            async def write(data: bytes, writer: asyncio.StreamWriter = writer) -> None:
                await sent.wait(len(data))
                writer.write(data)
                await writer.drain()

            try:
                await attack(write)
            finally:
                draining.cancel()
                writer.transport.abort()


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads and drops what the server sends. If the server closes the connection, it ends, as for any client."""
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass
    writer.transport.abort()


async def flood(port: int, attack: Attack) -> None:
    sent, dialled = Pace(_BYTES_PER_SECOND), Pace(_DIALS_PER_SECOND)
    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(attack_for_ever(port, attack, sent, dialled))


def lower_priority() -> None:
    """Gives this process the lowest priority, in a process session of its own.

    Linux (autogroup) first shares the cores between process sessions. In the session of its parent, this process would
    take as much CPU time from the server as the parent may take.
    """
    os.nice(_LOWEST_PRIORITY)
    with contextlib.suppress(OSError):
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(_LOWEST_PRIORITY))


if __name__ == "__main__":
    lower_priority()
    asyncio.run(flood(int(sys.argv[1]), FLOODS[sys.argv[2]]))
