"""Tests the configuration of the embedded Valkey with a real server."""

import time
from pathlib import Path

from local.process_group import ProcessGroup
from tests.support.servers import ValkeyServer


def test_valkey_ends_soon(process_group: ProcessGroup, tmp_path: Path) -> None:
    """Valkey checks for SIGTERM at fixed intervals.

    The fastest of three ends counts, because the machine may be loaded.
    """
    server, ends = ValkeyServer(tmp_path / "valkey", process_group), []
    for _ in range(3):
        server.start()
        began = time.monotonic()
        server.stop()
        ends.append(time.monotonic() - began)
    assert min(ends) < 0.5
