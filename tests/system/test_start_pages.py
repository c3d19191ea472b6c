"""The pages for beginners: the programs of an app. test_packages.py types what two terminals show."""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.javascript import NODE, WEBSOCKETS
from tests.support.waiting import WAIT_SECONDS
from tests.system.shown_blocks import ReaderShell, blocks

pytestmark = pytest.mark.xdist_group("system")


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
