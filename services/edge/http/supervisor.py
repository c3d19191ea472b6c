"""Requests of the first page to the supervisor of `dragoman up`, which listens on loopback."""

import asyncio

import msgspec

from shared.contract.supervision import LINE_BYTES, SystemRequest, SystemState

_SECONDS = 7.0

_decode = msgspec.json.Decoder(SystemState).decode


class NoSupervisor(Exception):
    """There is no supervisor, or it does not answer."""


async def request_supervisor(port: int, request: SystemRequest) -> SystemState:
    """Raises NoSupervisor."""
    if not port:
        raise NoSupervisor
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE_BYTES)
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                return _decode(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError, msgspec.MsgspecError) as error:  # TimeoutError is an OSError
        raise NoSupervisor from error
