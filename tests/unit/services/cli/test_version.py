"""Tests the shown versions of the servers that are installed with the product."""

import re
from pathlib import Path

from local import nats, valkey
from services.cli.up import version_of


def test_both_servers_name_their_version() -> None:
    for command in (nats.command(Path("file")), valkey.command(Path("file"))):
        assert re.fullmatch(r"\d+\.\d+\.\d+", version_of(command[0]))


def test_a_program_without_a_version_has_none() -> None:
    assert version_of("/nowhere/nats-server") == ""
    assert version_of("true") == ""
