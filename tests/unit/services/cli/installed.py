"""A data directory as a `dragoman up` leaves it for other commands."""

import os
from pathlib import Path

import msgspec

from services.cli.data import Run, write_run
from services.cli.embedded.credentials import Credentials, write_private
from services.cli.installation import Installation, find
from tests.support.servers import NatsServer, ValkeyServer


def beside(server: NatsServer, directory: Path, valkey: ValkeyServer | None = None) -> Installation:
    """What a command finds in this data directory, where this test seems to run a `dragoman up`."""
    credentials = Credentials(server.passwords, valkey.passwords if valkey else {})
    write_run(directory, Run(os.getpid(), server.settings("admin").url, True, [], valkey.port if valkey else 0))
    write_private(directory / "credentials.json", msgspec.json.encode(credentials))
    return find(None, (), {"data": str(directory)})
