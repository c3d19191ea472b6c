"""Tests dragoman.js in node, in one chat with a client of an older protocol, and the examples on its pages.

tests/sdk/test_soak.py ends and kills the processes.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.javascript import NODE, WEBSOCKETS, needs_node
from tests.support.native_http import register
from tests.support.waiting import WAIT_SECONDS
from tests.system.typed_client import TypedClient
from tests.system.users import DialectUser

pytestmark = [pytest.mark.xdist_group("system"), needs_node]

PROGRAM = (NODE, *WEBSOCKETS, str(Path(__file__).with_name("javascript_user.mjs")))
PINGS = 10
LONG, TIMELINE = 45, 20
BROWSER = """
globalThis.localStorage = { length: 0, getItem: () => null, setItem: () => {} };
const { log } = console;
const shown = new Promise((resolve) => { console.log = (line) => { log(line); resolve(); }; });
"""


def examples(page: str) -> list[str]:
    return re.findall(r"```js\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


class JavaScriptUser(TypedClient):
    """A program with dragoman.js that is connected to the first edge."""

    def __init__(self, system: Cluster) -> None:
        super().__init__(system.edges[0], command=PROGRAM)
        self.type("register Ann")
        self.number = int(self.expect("account ").split()[1])

    def report(self, index: int) -> dict[str, Any]:
        """Waits until the client has given the message with this index. Returns all messages that it has given."""
        self.type(f"until {index}")
        found: dict[str, Any] = json.loads(self.expect("report ").partition(" ")[2])
        return found


@pytest.fixture
def ann(system: Cluster) -> Iterator[JavaScriptUser]:
    with JavaScriptUser(system) as user:
        yield user


@pytest.fixture
def pat(system: Cluster) -> Iterator[DialectUser]:
    """A user of pipe on the second edge."""
    with DialectUser(system.edges[1], "pipe") as user:
        yield user.register()


def open_chat(ann: JavaScriptUser, pat: DialectUser) -> int:
    ann.type(f"open {pat.number}")
    return int(ann.expect("chat ").split()[1])


def post(pat: DialectUser, ann: JavaScriptUser, text: str) -> None:
    pat.request(f"send_message|0|{pat.number}|{ann.number}|0|{text}|{pat.token}", "send_message_succ|")


def test_a_long_absence_has_a_named_gap(ann: JavaScriptUser, pat: DialectUser) -> None:
    chat = open_chat(ann, pat)
    post(pat, ann, "before")
    ann.report(1)
    ann.type("leave")
    ann.expect("state ended")
    for number in range(LONG):
        post(pat, ann, f"meanwhile {number}")
    ann.type(f"come {TIMELINE}")
    seen = ann.report(LONG + 1)
    ((first, last),) = seen["gaps"]
    given = [index for index, *_ in seen["given"]]
    assert [*given[:1], *range(first, last + 1), *given[1:]] == [*range(1, LONG + 2)]
    assert len(given) == 1 + TIMELINE
    ann.type(f"send {chat} hello")
    ann.report(LONG + 2)
    ann.type(f"edit {chat} {LONG + 2} goodbye")
    ann.expect(f"changed {LONG + 2} edit goodbye")


def test_the_example_of_the_page_runs(system: Cluster, tmp_path: Path) -> None:
    (example,) = examples("build/javascript.md")
    module = (ROOT / "clients" / "javascript" / "dragoman.js").as_uri()
    text = example.replace("/api/dragoman.js", module).replace("wss://chat.example", system.edges[0])
    file = tmp_path / "example.mjs"
    file.write_text(f"{BROWSER}\n{text}\nawait shown;\nclient.close();\n")
    done = subprocess.run(
        [NODE, *WEBSOCKETS, file], capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"chat \d+, message 1 of \d+: Hello!\n", done.stdout), done.stdout


def test_the_bot_of_the_page_answers_each_message_once_while_its_edge_is_killed(
    system: Cluster, ann: JavaScriptUser, tmp_path: Path
) -> None:
    bot = examples("start/build-an-app.md")[-1]
    account = register(system.edges[0])
    module = (ROOT / "clients" / "javascript" / "dragoman.js").as_uri()
    file = tmp_path / "bot.mjs"
    file.write_text(bot.replace("./dragoman.js", module))
    environment = {**os.environ, "SERVER": system.edges[1], "BOT_TOKEN": account["token"]}
    with subprocess.Popen([NODE, *WEBSOCKETS, file], env=environment) as process:
        try:
            ann.type(f"open {account['account']}")
            chat = int(ann.expect("chat ").split()[1])
            for turn in range(PINGS):
                ann.type(f"send {chat} ping")
                if turn == 2:
                    system.kill("edge-2")
            seen = ann.report(2 * PINGS)
        finally:
            process.kill()
    texts = [text for _, _, text in seen["given"]]
    assert (texts.count("ping"), texts.count("pong")) == (PINGS, PINGS)
