"""Requests to the operations port of a service."""

import asyncio

from shared.settings import Settings


async def ops_get(settings: Settings, path: str) -> tuple[int, str]:
    """Requests a path, and returns the status and the body. The status is 0 while the port is closed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.ops.port)
    except OSError:
        return 0, ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode()
