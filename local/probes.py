"""Checks over loopback whether child processes are ready."""

import asyncio
import contextlib

from local.supervisor import Check

_SECONDS = 3.0


def listens(port: int) -> Check:
    """Make a check that succeeds when the process accepts a connection."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError):
            return False
        await _close(writer)
        return True

    return check


def answers_ready(host: str, port: int) -> Check:
    """Make a check that succeeds when `/readyz` on the operations port has status 200."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                return await _status(reachable(host), port) == b"200"
        except (OSError, TimeoutError):
            return False

    return check


def reachable(host: str) -> str:
    """The address by which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


async def _status(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
    finally:
        await _close(writer)
    return (line.split() + [b""] * 2)[1]


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
