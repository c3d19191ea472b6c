"""The README's chat between two terminals, typed as it is printed, by an installation of the wheel."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.installed import install
from tests.system.typed_client import TypedClient

PRINTED = "ws://127.0.0.1:808"


def blocks() -> Sequence[Sequence[str]]:
    """The lines of each terminal in turn, Ann's first."""
    found = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [block.splitlines() for block in found]


def is_typed(line: str, following: str) -> bool:
    """A command, or a message, which is acknowledged by the next line."""
    return line.startswith("/") or following == "sent"


def play(client: TypedClient, lines: Sequence[str]) -> None:
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if is_typed(line, following):
            client.type(line)
        else:
            assert client.expect(line) == line


def greet(client: TypedClient, lines: Sequence[str], edge: str, number: int) -> Sequence[str]:
    """What follows the command and the greeting, which name the edge as the README does."""
    command, greeting, *rest = lines
    assert command == f"$ ./dev client {PRINTED}{number}"
    assert client.expect("connected") == greeting.replace(f"{PRINTED}{number}", edge)
    return rest


def fetch_page(edge: str) -> str:
    """The first page; its script and the client in JavaScript are there, too."""
    read = build_opener(ProxyHandler({})).open
    with (
        read(f"http{edge.removeprefix('ws')}/", timeout=10) as page,
        read(f"http{edge.removeprefix('ws')}/web/first_page.js", timeout=10) as script,
        read(f"http{edge.removeprefix('ws')}/api/dragoman.js", timeout=10) as client,
    ):
        assert script.status == client.status == 200
        return str(page.read().decode())


def test_what_it_shows_is_what_happens(tmp_path: Path) -> None:
    program = install(tmp_path) / "dragoman"
    installed = Cluster(tmp_path / "data", program=[str(program), "up"], directory=tmp_path)
    with installed as cluster, ExitStack() as stack:
        assert "One conversation" in fetch_page(cluster.edges[0])
        command = [str(program), "client"]
        terminals = [stack.enter_context(TypedClient(edge, command=command)) for edge in cluster.edges]
        played = blocks()
        assert len(played) == 4
        for number, lines in enumerate(played):
            terminal, edge = terminals[number % 2], cluster.edges[number % 2]
            play(terminal, greet(terminal, lines, edge, number) if number < 2 else lines)
        terminals[0].expect("[chat 2] user 2: Hello, Ann!")
