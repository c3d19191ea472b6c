"""The README's chat between two terminals, as a reader repeats it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.drills.cluster import ROOT, Cluster

_VARYING = {"time", "token"}


def blocks() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Which terminal, `>` or `<`, and the frame, in the order of the page."""
    terminal = 0
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$"):
                terminal = int(line.rsplit(":", 1)[1]) - 8080
            else:
                yield terminal if "members" not in block else 0, line[0], json.loads(line[1:])


def settled(frame: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from run to run."""
    return {key: type(value) if key in _VARYING else value for key, value in frame.items()}


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[ClientConnection]]:
    with Cluster(tmp_path / "data") as cluster, connect(cluster.edges[0]) as ann, connect(cluster.edges[1]) as bob:
        yield [ann, bob]


def test_what_it_shows_is_what_happens(terminals: list[ClientConnection]) -> None:
    played = list(blocks())
    assert [kind for _, kind, _ in played] == [">", "<"] * 4
    for terminal, kind, frame in played:
        if kind == ">":
            terminals[terminal].send(json.dumps(frame))
        else:
            assert settled(json.loads(terminals[terminal].recv(10))) == settled(frame)
    assert settled(json.loads(terminals[1].recv(10))) == played[5][2]
    assert settled(json.loads(terminals[1].recv(10))) == settled(played[7][2])
