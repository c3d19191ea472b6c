"""The pages for beginners: a chat between two terminals with an installation of the wheel, and the programs of an
app."""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.installed import install
from tests.support.javascript import NODE, WEBSOCKETS
from tests.support.waiting import WAIT_SECONDS
from tests.system.shown_blocks import ReaderShell, blocks
from tests.system.typed_client import TypedClient

pytestmark = pytest.mark.xdist_group("system")


def is_typed(line: str, following: str) -> bool:
    """Returns whether the user types the line: it is a command, or a message, which the next line acknowledges."""
    return line.startswith("/") or following == "sent"


def play(client: TypedClient, lines: Sequence[str]) -> None:
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if is_typed(line, following):
            client.type(line)
        else:
            assert client.expect(line) == line


def test_two_terminals_chat_by_the_lines_of_the_page(tmp_path: Path) -> None:
    program = install(tmp_path) / "dragoman"
    with Cluster(tmp_path / "data", program=[str(program), "up"], directory=tmp_path) as system, ExitStack() as stack:
        command = [str(program), "client"]
        terminals = [
            stack.enter_context(TypedClient(edge, "--dialect", "service", command=command)) for edge in system.edges
        ]
        played = blocks("docs/start/first-chat.md", "console")
        assert len(played) == 4
        for number, block in enumerate(played):
            lines = block.text.splitlines()
            if number < 2:
                assert lines[0] == f"$ ./dev client ws://127.0.0.1:{8080 + number} --dialect service"
                assert terminals[number].expect("connected") == lines[1].replace(
                    f"ws://127.0.0.1:{8080 + number}", system.edges[number]
                )
                lines = lines[2:]
            play(terminals[number % 2], lines)
            if number >= 2:
                terminals[1 - number % 2].expect(lines[1])


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_programs_of_the_page_send_and_answer(system: Cluster, tmp_path: Path, language: str) -> None:
    if language == "js" and not NODE:
        pytest.skip("there is no node")
    reader = ReaderShell(tmp_path, system.edges)
    script = "\n".join(block.text for block in blocks("docs/start/build-an-app.md", "sh"))
    script = script.replace('"username": "ann"', f'"username": "ann-{language}"').replace("Ann", f"Ann {language}")
    shown = reader.run(f"{script}\necho; echo BOT_TOKEN $BOT_TOKEN; echo TOKEN $TOKEN; echo CHAT $CHAT")
    assert '"index":2' in shown
    values = dict(re.findall(r"^(BOT_TOKEN|TOKEN|CHAT) (\S+)$", shown, re.MULTILINE))
    environment = {**values, "SERVER": system.edges[0], "PYTHONPATH": str(ROOT), "no_proxy": "*"}
    sender, bot = (command(tmp_path, *block) for block in blocks("docs/start/build-an-app.md", language))
    subprocess.run(sender, cwd=tmp_path, env=environment, check=True, timeout=WAIT_SECONDS)
    with subprocess.Popen(bot, cwd=tmp_path, env=environment) as running:
        try:
            texts = answered_texts(system, values["TOKEN"], int(values["CHAT"]))
        finally:
            running.kill()
    assert {"Hello from curl", f"Hello from {'Python' if language == 'python' else 'JavaScript'}", "pong"} <= {*texts}


def command(directory: Path, language: str, program: str) -> list[str]:
    file = directory / f"program-{len(program)}.{'py' if language == 'python' else 'js'}"
    file.write_text(program)
    return [sys.executable, str(file)] if language == "python" else [NODE, *WEBSOCKETS, str(file)]


def answered_texts(system: Cluster, token: str, chat: int) -> list[str]:
    """Waits until the bot has answered a ping, and returns the texts of the chat.

    The first pings may come before the bot is connected.
    """
    for number in itertools.count():
        call(system, token, "send", {"chat": chat, "text": "ping", "nonce": f"ping-{number}"})
        page = call(system, token, "history", {"chat": chat, "count": 100})
        texts = [segment["text"] for message in page["messages"] for segment in message["segments"]]
        if "pong" in texts or number > WAIT_SECONDS:
            return texts
        time.sleep(1)
    raise AssertionError


def call(system: Cluster, token: str, operation: str, parameters: Mapping[str, object]) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    address = f"http{system.edges[0].removeprefix('ws')}/api/v1/{operation}"
    request = Request(address, json.dumps(parameters).encode(), headers)  # noqa: S310
    with build_opener(ProxyHandler({})).open(request, timeout=WAIT_SECONDS) as response:
        return json.load(response)
