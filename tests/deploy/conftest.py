"""An API server of Kubernetes without nodes. The tests of a module share it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.process_group import ProcessGroup
from tests.support.kubernetes import ApiServer


@pytest.fixture(scope="module")
def api_server(
    server_directory: Path, process_group: ProcessGroup, request: pytest.FixtureRequest
) -> Iterator[ApiServer]:
    directory = server_directory / f"kubernetes-{request.node.path.stem}"
    directory.mkdir()
    server = ApiServer(directory, process_group)
    try:
        server.start()
        yield server
    finally:
        server.stop()
