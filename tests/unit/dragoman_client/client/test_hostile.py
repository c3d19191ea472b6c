"""Tests dragoman_client.client with wrong behaviour of servers.

The client in JavaScript passes the same table of situations (clients/javascript/hostile.test.mjs).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dragoman_client.client import CommandRejected, Dragoman, MemoryStore, Store
from dragoman_client.client.store import Changes
from dragoman_client.errors import ClientError
from tests.support.waiting import until
from tests.unit.dragoman_client.client.played_server import PlayedServer, played

TABLE = json.loads((Path(__file__).parents[3] / "sdk" / "hostile_replies.json").read_text())
_CLIENT, _CONNECTION = "dragoman_client.client.client", "dragoman_client.client.connection"


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_CLIENT, _CONNECTION, "dragoman_client.client.client"):
        monkeypatch.setattr(f"{module}.RETRY_MS", 10)
    monkeypatch.setattr(f"{_CLIENT}._FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(f"{_CONNECTION}.PING_SECONDS", 0.2)
    monkeypatch.setattr(f"{_CONNECTION}._FAULT_MS", 10)
    monkeypatch.setattr(f"{_CONNECTION}._DAY_MS", 1000)


class KeptStore(MemoryStore):
    """A store in memory that keeps its entries when its client is closed."""


class FailingStore(MemoryStore):
    def write(self, changes: Changes) -> None:
        raise OSError("no space left on device")


class User:
    """A running client, and the events that it has given to its user."""

    def __init__(self, client: Dragoman) -> None:
        self.events: list[dict[str, Any]] = []
        self.client = client

    def send(self, text: object, **draft: Any) -> asyncio.Task[str]:
        """Starts to send a text. The returned task has the result of the command."""
        return asyncio.create_task(_result_of(lambda: self.client.send(chat=5, text=text, **draft)))

    def given(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["ev"] == kind]

    async def is_online(self) -> None:
        await until(lambda: bool(self.given("synced")))

    async def take(self) -> None:
        async for event in self.client:
            self.events.append(dict(event))


async def _result_of(send: Callable[[], Awaitable[Any]]) -> str:
    try:
        await send()
    except CommandRejected as error:
        return f"refused: {error.code}"
    return "stored"


@asynccontextmanager
async def running(server: PlayedServer, store: Store | None = None) -> AsyncIterator[User]:
    async with Dragoman(server.url, store, token="t") as client:
        user = User(client)
        task = asyncio.create_task(user.take())
        await user.is_online()
        yield user
        assert not task.done(), "only the test ends it"


@pytest.mark.parametrize("case", TABLE["replies"], ids=lambda case: case["name"])
async def test_replies(case: dict[str, Any]) -> None:
    async with played() as server, running(server) as user:
        first, second = user.send("first", nonce="first"), user.send("second", nonce="second")
        sent = await server.sent()
        await sent.push(*case["frames"])
        if "end" in case:
            await sent.end(*case["end"])
        if is_again := case["then"] == "sent again":
            assert (await server.store())["nonce"] == "first"
        assert (await server.store(4))["nonce"] == "second"
        assert [await first, await second] == ["stored" if is_again else case["then"], "stored"]
        assert server.is_idle
        await until(lambda: len(user.given("outcome")) == 2)
        results = [(one["draft"]["text"], one["error"].code if "error" in one else "") for one in user.given("outcome")]
        assert results == [("first", case["then"].partition("refused: ")[2]), ("second", "")]


async def store_that_fails(server: PlayedServer) -> None:
    async with running(server, FailingStore()) as user:
        sent = user.send("hello")
        await server.store()
        assert await sent == "stored"
        assert {str(event["error"]) for event in user.given("store")} == {"no space left on device"}


async def socket_that_closes(server: PlayedServer) -> None:
    async with running(server) as user:
        first = user.send("first")
        sent = await server.sent()
        closing = asyncio.create_task(sent.end(1012, "restarting"))
        others = [user.send(f"{number}") for number in range(5)]
        await closing
        for index in range(1, 7):
            await server.store(index)
        assert {await one for one in (first, *others)} == {"stored"}
        assert not user.given("gap")


async def client_that_is_closed(server: PlayedServer) -> None:
    store = KeptStore()
    async with running(server, store) as user:
        sent = user.client.send(chat=5, text="hello", nonce="n")
        await server.sent()
    with pytest.raises(CommandRejected) as rejected:
        await sent
    assert rejected.value.unknown
    async with running(server, store):
        assert (await server.store())["nonce"] == "n"
        await until(lambda: not [name for name in store.load() if name.startswith("outbox/")])


async def group_that_may_exist_already(server: PlayedServer) -> None:
    unknown: dict[str, Any] = {"re": "$id", "error": {"code": "unavailable", "unknown": True}}
    async with running(server) as user:
        made = asyncio.create_task(user.client.call("create", name="Fruit"))
        first = await server.sent("create")
        await first.push(unknown)
        second = await server.sent("create")
        await second.end(1006, "")
        third = await server.sent("create")
        await third.push({"re": "$id", "error": {"code": "rate_limited", "retry_ms": 1}})
        fourth = await server.sent("create")
        await fourth.reply(chat=7)
        assert (await made)["chat"] == 7
        assert len({sent.command["nonce"] for sent in (first, second, third, fourth)}) == 1
        rejected_for_good: dict[str, Any] = {"re": "$id", "error": {"code": "limit"}}
        for op, answer in (("kick", unknown), ("create", rejected_for_good)):
            called = asyncio.create_task(_result_of(partial(user.client._call, op, {"chat": 7, "nonce": "mine"})))
            sent = await server.sent(op)
            await sent.push(answer)
            assert (await called, sent.command["nonce"]) == (f"refused: {answer['error']['code']}", "mine")
        last = asyncio.create_task(user.client.call("link", chat=7))
        await server.sent("link")
        assert server.is_idle
    with pytest.raises(CommandRejected) as rejected:
        await last
    assert rejected.value.unknown


async def nonce_twice(server: PlayedServer) -> None:
    async with running(server) as user:
        sent = [user.send("hello", nonce="n") for _ in range(2)]
        await server.store()
        assert [await one for one in sent] == ["stored", "stored"]
        assert server.is_idle


async def nonce_of_another_text(server: PlayedServer) -> None:
    async with running(server) as user:
        sent = user.send("hello", nonce="n")
        assert await user.send("goodbye", nonce="n") == "refused: conflict"
        await server.store()
        assert await sent == "stored"


async def message_that_is_no_json(server: PlayedServer) -> None:
    async with running(server, KeptStore()) as user:
        for text in (object(), "\ud800", {5j: 1}):
            assert await user.send(text) == "refused: invalid"
        assert await user.send("x" * 70_000) == "refused: too_large"
        with pytest.raises((TypeError, ClientError)):
            await user.client._call("unread", {"text": object()})
        sent = user.send("hello", nonce=None)
        assert (await server.store())["nonce"]
        assert await sent == "stored"


async def message_that_is_changed_afterwards(server: PlayedServer) -> None:
    async with running(server) as user:
        segments = [{"t": "text", "text": "hello"}]
        sent = asyncio.create_task(_result_of(lambda: user.client.send(chat=5, segments=segments)))
        await asyncio.sleep(0)
        segments[0]["text"] = "goodbye"
        assert (await server.store())["segments"][0]["text"] == "hello"
        assert await sent == "stored"


async def id_and_operation_of_the_caller(server: PlayedServer) -> None:
    async with running(server) as user:
        sent = user.send("hello", id="mine", op="recall")
        await server.store()
        called = asyncio.create_task(user.client._call("unread", {"id": 1}))
        await (await server.sent("unread")).reply(total=0)
        assert await sent == "stored"
        assert (await called)["total"] == 0


async def token_in_a_reply(server: PlayedServer) -> None:
    async with running(server) as user:
        for op in ("create_bot_token", "join_link"):
            called = asyncio.create_task(user.client._call(op, {"token": "a link's"}))
            sent = await server.sent(op)
            await sent.reply(token="a bot's")
            assert (await called)["token"] == "a bot's"
        await sent.end(1006, "")
        await until(lambda: len(server.tokens) == 2)
        assert server.tokens == ["t", "t"]


async def caller_that_gives_up(server: PlayedServer) -> None:
    async with running(server) as user:
        sent = user.client.send(chat=5, text="hello", nonce="n")
        message = await server.sent()
        sent.cancel()
        again = user.send("hello", nonce="n")
        await message.reply(chat=5, index=1, id=1, time=1)
        assert await again == "stored"
        edited = asyncio.create_task(user.client.call("edit", chat=5, index=1, text="goodbye", nonce="e"))
        edit = await server.sent("edit")
        edited.cancel()
        await edit.reply(rev=1, time=1)
        changes = await server.sent("changes")
        change = {"chat": 5, "rev": 1, "index": 1, "kind": "edit"}
        await changes.reply(changes=[change], rev=1, more=False)
        await until(lambda: bool(user.given("changed")))
        assert [event["index"] for event in user.given("message")] == [1]


SITUATIONS: dict[str, Callable[[PlayedServer], Awaitable[None]]] = {
    "a storage that fails": store_that_fails,
    "a socket that closes": socket_that_closes,
    "a client that is closed": client_that_is_closed,
    "a group that may exist already": group_that_may_exist_already,
    "a nonce twice": nonce_twice,
    "a nonce of another text": nonce_of_another_text,
    "a message that is no JSON": message_that_is_no_json,
    "a message that is changed afterwards": message_that_is_changed_afterwards,
    "an id and an operation of the caller": id_and_operation_of_the_caller,
    "a token in a reply": token_in_a_reply,
    "a caller that gives up": caller_that_gives_up,
}


@pytest.mark.parametrize("name", [name for name, languages in TABLE["situations"].items() if "python" in languages])
async def test_situations(name: str) -> None:
    async with played() as server:
        await SITUATIONS[name](server)
