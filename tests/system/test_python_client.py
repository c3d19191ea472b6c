"""The Python client on a real system: its login, its uploads, the types of its events and replies, and the bot on its
page. tests/sdk/test_soak.py ends and kills the processes.
"""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from dragoman_client.client import CommandRejected, Dragoman, FileStore, KeptMessage, MemoryStore, apply_change, text_of
from tests.sdk.typed_replies import EVENTS, event_faults, reply_faults
from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.proxy import TcpProxy
from tests.support.waiting import until
from tests.system.conftest import Enter
from tests.system.shown_blocks import blocks
from tests.system.users import NativeUser

pytestmark = pytest.mark.xdist_group("system")


@pytest.fixture
def token(connect: Enter) -> str:
    """Registers an account, and returns its token."""
    user = connect()
    user.register()
    return user.token


class EventReader:
    """Reads a client's events until the test ends."""

    def __init__(self, client: Dragoman) -> None:
        self.events: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._take(client))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["ev"] == kind]

    async def synced(self) -> None:
        await until(lambda: bool(self.of("synced")))

    async def _take(self, client: Dragoman) -> None:
        async for event in client:
            self.events.append(dict(event))


async def test_a_store_is_of_one_account(system: Cluster, token: str, ann: NativeUser, tmp_path: Path) -> None:
    async with Dragoman(system.edges[0], FileStore(tmp_path / "client.db"), token=token) as client:
        await client.call("unread")
    async with Dragoman(system.edges[0], FileStore(tmp_path / "client.db"), token=ann.token) as client:
        with pytest.raises(CommandRejected) as rejected:
            await client.call("unread")
    assert rejected.value.code == "conflict"


async def test_a_login_is_kept_and_refreshed(system: Cluster, tmp_path: Path) -> None:
    async with Dragoman(system.edges[0]) as client:
        with pytest.raises(CommandRejected) as rejected:
            await client.login("nobody", "orange juice")
        assert rejected.value.code == "unauthenticated"
    store = FileStore(tmp_path / "client.db")
    async with Dragoman(system.edges[0], store) as client:
        account = (await client.register("Ann", "orange juice", device="laptop"))["account"]
        await client.call("unread")
        copy = MemoryStore()
        copy.write(store.load())
        await client.refresh()
        after = store.load()["login"]
    assert after != copy.load()["login"]
    # this client has the state that it would have if the reply to the refresh had been lost
    async with Dragoman(system.edges[0], copy) as client:
        await client.refresh()
        assert client.account == account
        assert json.loads(copy.load()["login"])["refresh"] == json.loads(after)["refresh"]
    async with Dragoman(system.edges[0], FileStore(tmp_path / "client.db")) as client:
        assert [one["device"] for one in (await client.call("sessions"))["sessions"]] == ["laptop"]
        await client.call("logout")
    async with Dragoman(system.edges[0], FileStore(tmp_path / "client.db")) as client:
        with pytest.raises(CommandRejected):
            await client.login("nobody", "orange juice")


async def test_an_upload_goes_on_after_each_break(system: Cluster, token: str, tmp_path: Path) -> None:
    file, sent = tmp_path / "holiday.bin", list[tuple[int, int]]()
    size = 7_000_000
    file.write_bytes(os.urandom(size))
    proxy = TcpProxy(int(system.edges[0].rpartition(":")[2]))
    async with AsyncExitStack() as stack:
        await proxy.start()
        stack.push_async_callback(proxy.close)
        proxy.up.limit_bytes = 3_000_000
        client = await stack.enter_async_context(Dragoman(f"ws://127.0.0.1:{proxy.port}", token=token))
        media = await client.upload(file, nonce="holiday", progress=lambda *at: sent.append(at))
        assert (media["name"], media["size"]) == ("holiday.bin", size)
        assert sent[-1] == (size, size)
        assert len(sent) < 2 * size / 65536, "little is sent twice"
        assert (await client.upload(file, nonce="holiday"))["id"] == media["id"]
        chat = (await client.call("create", name="Fruit"))["chat"]
        await client.send(chat=chat, segments=[{"t": "file", "media": media["id"]}])


async def test_replies_and_events_have_their_types(system: Cluster, token: str, ann: NativeUser) -> None:
    """Applies the events about changes to a page of history.

    The result must equal the page that is fetched afterwards.
    """

    async def call(op: str, **members: Any) -> dict[str, Any]:
        reply: dict[str, Any] = await client._call(op, members)
        assert reply_faults(op, reply) == []
        return reply

    async with Dragoman(system.edges[0], token=token) as client:
        reader = EventReader(client)
        await reader.synced()
        chat = (await call("create", name="Fruit", members=[ann.number]))["chat"]
        await call("link", chat=chat)
        for text in ("apple", "pear", "plum"):
            assert reply_faults("send", dict(await client.send(chat=chat, text=text))) == []
        page = await call("history", chat=chat)
        kept = [cast(KeptMessage, {**one, "rev": page["rev"]}) for one in page["messages"]]
        client.edit(chat=chat, index=1, text="apples")
        client.read(chat, 3)
        ann.do("react", chat=chat, index=2, emoji="👍")
        await call("react", chat=chat, index=2, emoji="🍐")
        await call("recall", chat=chat, index=3)
        await call("pin", chat=chat, index=1)
        ann.call("send", chat=chat, text="cherry", nonce="c")
        for op in (
            "hello",
            "ping",
            "sessions",
            "made",
            "settings",
            "unread",
            "friends",
            "requests",
            "blocks",
            "export",
        ):
            await call(op)
        for op in ("chat", "members", "history", "changes", "draft", "links", "hooks", "outgoing_hooks", "bans"):
            await call(op, chat=chat)
        for op in ("reactors", "readers"):
            await call(op, chat=chat, index=2)
        await call("profile", account=ann.number)
        await call("profiles", accounts=[ann.number])
        await call("find", query=str(ann.number))
        await call("set_settings", language="de")
        await call("set_draft", chat=chat, text="wa")
        await until(lambda: len(reader.of("changed")) >= 5 and len(reader.of("message")) == 4)
        for change in reader.of("changed"):
            kept = [apply_change(one, change, client.account) for one in kept]  # type: ignore[arg-type]
        fresh = (await call("history", chat=chat))["messages"]
        assert [{**one, "rev": 0} for one in kept] == [{**one, "rev": 0} for one in fresh if one["index"] < 4]
    faults = {fault for event in reader.events if event["ev"] in EVENTS for fault in event_faults(event)}
    assert faults <= {"message.rev is unknown"}, "the client adds it"


def test_the_bot_of_the_page_answers_each_message_once_though_it_is_killed(
    system: Cluster, ann: NativeUser, tmp_path: Path
) -> None:
    (_, program), *_ = blocks("docs/build/python.md", "python")
    (tmp_path / "bot.py").write_text(program)
    chat = ann.call("create", name="Fruit")["chat"]
    bot = ann.call("create_bot", nickname="Echo", nonce="b")["account"]
    scopes = ["send", "read", "manage"]
    token = ann.call("create_bot_token", account=bot, name="laptop", scopes=scopes, nonce="t")["token"]
    link = ann.call("link", chat=chat, nonce="l")["link"]
    environment = {"BOT_TOKEN": token, "SERVER": system.edges[0], "PYTHONPATH": str(ROOT), "no_proxy": "*"}
    with NativeUser(system.edges[1]) as echo:
        echo.do("token", token=token)
        echo.do("join_link", link=link)
    pings, answers = 0, 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "bot.py"], cwd=tmp_path, env=environment) as running:
            try:
                for _ in range(4):
                    pings += 1
                    ann.call("send", chat=chat, text="ping", nonce=f"{pings}")
                    while answers < pings - 1:  # when the bot is killed, its last ping may get no reply
                        answers += ann.event("message")["segments"][0]["text"] == "pong"
            finally:
                running.kill()
    for _ in range(25):  # one sync gives fewer messages than these
        pings += 1
        ann.call("send", chat=chat, text="ping", nonce=f"{pings}")
    with subprocess.Popen([sys.executable, "bot.py"], cwd=tmp_path, env=environment) as running:
        try:
            while answers < pings:
                answers += ann.event("message")["segments"][0]["text"] == "pong"
        finally:
            running.kill()
    messages = ann.call("history", chat=chat, count=100)["messages"]
    assert [text_of(one) for one in messages].count("pong") == pings
