"""A data directory as a `dragoman up` leaves it for other commands."""

import os
from pathlib import Path

import msgspec

from services.cli.data import Run, write_run
from services.cli.embedded.credentials import Credentials, write_private
from services.cli.installation import Installation, find
from tests.servers import NatsServer


def beside(server: NatsServer, directory: Path) -> Installation:
    """What a command finds in this data directory, where this test seems to run a `dragoman up`."""
    write_run(directory, Run(os.getpid(), server.settings("admin").url, True, []))
    write_private(directory / "credentials.json", msgspec.json.encode(Credentials(server.passwords, {})))
    return find(None, (), {"data": str(directory)})
