"""Writes a data directory like that of a running `dragoman up`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from local.atomic_file import write_private
from local.credentials import Credentials
from local.data import Run, write_run
from local.installation import Installation, find
from shared.bus.client import Bus
from tests.support.servers import NatsServer, ValkeyServer


def write_installation(server: NatsServer, directory: Path, valkey: ValkeyServer | None = None) -> Installation:
    """Writes the installation that commands find in this directory. Its supervisor is the process of the test."""
    credentials = Credentials(server.passwords, valkey.passwords if valkey else {})
    write_run(directory, Run(os.getpid(), server.settings("admin").url, True, [], valkey.port if valkey else 0))
    write_private(directory / "credentials.json", msgspec.json.encode(credentials))
    return find(None, (), {"data": str(directory)})


@asynccontextmanager
async def installed(server: NatsServer, directory: Path, *buses: Bus) -> AsyncIterator[Installation]:
    """Does the same as `write_installation`, and runs these services inside this context."""
    await asyncio.gather(*(bus.start() for bus in buses))
    try:
        yield write_installation(server, directory)
    finally:
        await asyncio.gather(*(bus.stop() for bus in buses))
