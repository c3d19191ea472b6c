"""clients.resuming in one chat with a client of an older protocol, while its edge is killed; the page's example."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from clients.resuming import CommandRejected, FileStorage, ResumingClient
from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.waiting import WAIT_SECONDS, until
from tests.system.conftest import Enter
from tests.system.restarts import AT_EACH, RESTARTED
from tests.system.users import DialectUser, NativeUser

pytestmark = pytest.mark.xdist_group("system")

TURNS = 30


@pytest.fixture
def token(connect: Enter) -> str:
    """Of a new account."""
    user = connect()
    user.register()
    return user.token


@asynccontextmanager
async def running(client: ResumingClient) -> AsyncIterator[None]:
    task = asyncio.create_task(client.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_nothing_is_lost_or_doubled_while_the_edge_is_killed(system: Cluster, token: str, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []

    def given() -> list[tuple[int, str]]:
        return [(one["index"], one["segments"][0]["text"]) for one in events if one["ev"] == "message"]

    storage = FileStorage(tmp_path / "outbox.json")
    client = ResumingClient(system.edges[0], token, events.append, storage, timeline=2 * TURNS)
    with DialectUser(system.edges[1], "pipe") as pat:
        await asyncio.to_thread(pat.register)
        async with running(client):
            await until(lambda: any(one["ev"] == "synced" for one in events))
            chat = (await client.call("open", account=pat.number))["chat"]
            sent = []
            for turn in range(TURNS):
                sent.append(asyncio.create_task(client.send(chat=chat, text=f"from Ann {turn}")))
                frame = f"send_message|0|{pat.number}|{client.account}|0|from Pat {turn}|{pat.token}"
                await asyncio.to_thread(pat.request, frame, "send_message_succ|")
                if turn == TURNS // 3:
                    await asyncio.to_thread(system.kill, "edge-1")
            replies = await asyncio.wait_for(asyncio.gather(*sent), WAIT_SECONDS)
            await until(lambda: given() and given()[-1][0] == 2 * TURNS)
    assert [one for one in events if one["ev"] == "gap"] == []
    assert [index for index, _ in given()] == [*range(1, 2 * TURNS + 1)]
    for name in ("Ann", "Pat"):
        assert [text for _, text in given() if name in text] == [f"from {name} {turn}" for turn in range(TURNS)]
    assert [reply["index"] for reply in replies] == [index for index, text in given() if "Ann" in text]


async def test_nothing_is_lost_or_doubled_at_restarts_of_every_process(system: Cluster, token: str) -> None:
    """Messages are under way when a process is told to stop."""
    events: list[dict[str, Any]] = []
    texts, sent = list[str](), list[asyncio.Task[dict[str, Any]]]()
    client = ResumingClient(system.edges[0], token, events.append)
    async with running(client):
        await until(lambda: any(one["ev"] == "synced" for one in events))
        chat = (await client.call("create", name="Fruit"))["chat"]
        for name in RESTARTED:
            for number in range(AT_EACH):
                texts.append(f"{name} {number}")
                sent.append(asyncio.create_task(client.send(chat=chat, text=texts[-1])))
                if number == AT_EACH // 2:
                    await asyncio.to_thread(system.signal, name, signal.SIGTERM)
            replies = await asyncio.wait_for(asyncio.gather(*sent), WAIT_SECONDS)
        await until(lambda: sum(one["ev"] == "message" for one in events) >= len(texts))
    given = [one for one in events if one["ev"] == "message"]
    assert [one["segments"][0]["text"] for one in given] == texts
    assert [one["index"] for one in given] == [reply["index"] for reply in replies] == [*range(1, len(texts) + 1)]
    assert [one for one in events if one["ev"] == "gap"] == []


async def test_an_outbox_is_of_one_account(system: Cluster, token: str, ann: NativeUser, tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "outbox.json")
    events: list[dict[str, Any]] = []
    async with running(ResumingClient(system.edges[0], token, events.append, storage)):
        await until(lambda: any(one["ev"] == "synced" for one in events))
    with pytest.raises(CommandRejected) as rejected:
        await ResumingClient(system.edges[0], ann.token, events.append, storage).run()
    assert rejected.value.code == "conflict"


async def test_the_example_of_the_page_runs(
    system: Cluster,
    ann: NativeUser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    chat = ann.call("create", name="Fruit")["chat"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example.replace("ws://127.0.0.1:8080", system.edges[0]).replace("chat=7", f"chat={chat}"), names)  # noqa: S102
    task = asyncio.create_task(names["main"](ann.token))
    shown = ""

    def is_shown() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return bool(shown)

    await until(is_shown)
    task.cancel()
    assert shown == f"{chat} 1 {ann.number} [{{'t': 'text', 'text': 'Hello!'}}]\n"
