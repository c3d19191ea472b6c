"""A message is forwarded to several chats by one command."""

from typing import Any

import pytest
from msgspec.structs import replace

from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, pack_segments, unpack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import PostMessages
from shared.contract.model import Emoji, Image, Media, Mention, Text
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.handlers.test_history import PagedMessages

SOURCE, FIRST, SECOND, FOREIGN = map(ChatId, (5, 6, 7, 8))


@pytest.fixture
async def client(cluster: EdgeCluster) -> NativeClient:
    """A client of account 1, which is a member of all chats except one."""
    await cluster.add_edge()
    for chat in (SOURCE, FIRST, SECOND):
        cluster.backend.add_chat(chat, 1, 2)
    cluster.backend.add_chat(FOREIGN, 2)
    cluster.backend.commit_texts(SOURCE, 2, "hello")
    await cluster.run(PagedMessages(cluster).bus)
    return await connect(cluster)


def forward(client: NativeClient, *into: int, index: int = 1, nonce: str = "n") -> int:
    return client.send(op="forward", chat=SOURCE, index=index, into=into, nonce=nonce)


async def forwarded(client: NativeClient, *into: int, index: int = 1, nonce: str = "n") -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = (await client.reply(forward(client, *into, index=index, nonce=nonce)))["results"]
    return results


async def test_each_chat_has_a_result(cluster: EdgeCluster, client: NativeClient) -> None:
    found = await forwarded(client, SECOND, FOREIGN, FIRST, SECOND)
    assert [(one["chat"], one.get("index"), one.get("failure", {}).get("code")) for one in found] == [
        (SECOND, 1, None), (FOREIGN, None, "forbidden"), (FIRST, 1, None),
    ]  # fmt: skip
    for chat in (FIRST, SECOND):
        (message,) = cluster.backend.chats[chat].messages
        assert (message.sender, unpack_segments(message.body)) == (1, (Text("hello"),))
    await client.socket.until(lambda: sum(one["ev"] == "message" for one in client.events) == 2)


async def test_a_repetition_posts_nothing_again(cluster: EdgeCluster, client: NativeClient) -> None:
    first = await forwarded(client, FIRST, SECOND)
    second = await forwarded(client, FIRST, SECOND)
    assert [one["index"] for one in first + second] == [1, 1, 1, 1]
    assert [one["index"] for one in await forwarded(client, FIRST, nonce="m")] == [2]
    sent = await client.reply(client.send(op="send", chat=FIRST, text="hello", nonce="n"))
    assert sent["index"] == 3, "a name of a message is no name of a forwarded one"
    assert cluster.backend.chats[SECOND].head == 1


async def test_two_connections_at_once(cluster: EdgeCluster, client: NativeClient) -> None:
    other, gate = await connect(cluster), cluster.message.block(PostMessages)
    first = forward(client, FIRST)
    await cluster.message.until_requested(PostMessages)
    (late,) = (await other.reply(forward(other, FIRST)))["results"]
    assert (late["failure"]["code"], late["failure"]["unknown"]) == ("unavailable", True)
    gate.set()
    assert (await client.reply(first))["results"][0]["index"] == 1


async def test_one_chat_fails_alone(cluster: EdgeCluster, client: NativeClient) -> None:
    cluster.message.failures.append(Failure(ErrorCode.CONFLICT, "another message"))
    codes = [one.get("failure", {}).get("code") for one in await forwarded(client, FIRST, SECOND)]
    assert sorted(codes, key=str) == [None, "conflict"]


async def test_mentions_and_replies_become_texts(cluster: EdgeCluster, client: NativeClient) -> None:
    segments = (Text("hello "), Mention(AccountId(1), "@Ann"), Emoji(3))
    room = cluster.backend.chats[SOURCE]
    room.messages[0] = replace(room.messages[0], body=pack_segments(segments, reply_to=1))
    await forwarded(client, FIRST)
    (message,) = cluster.backend.chats[FIRST].messages
    assert message.body == pack_segments((Text("hello @Ann"), Emoji(3)))


async def test_what_cannot_be_read_is_not_forwarded(cluster: EdgeCluster, client: NativeClient) -> None:
    room = cluster.backend.chats[SOURCE]
    for body, index, text in (
        (RECALLED_BODY, 1, "this message was recalled"),
        (EXPIRED_BODY, 1, "this message has expired"),
        (EXPIRED_BODY, 2, "there is no such message"),
    ):
        room.messages[0] = replace(room.messages[0], body=body)
        error = (await client.reply(forward(client, FIRST, index=index)))["error"]
        assert (error["code"], error["text"], error["field"]) == ("not_found", text, "index")
    assert cluster.backend.chats[FIRST].head == 0


async def test_a_file_that_is_gone_is_not_forwarded(cluster: EdgeCluster, client: NativeClient) -> None:
    room, gone = cluster.backend.chats[SOURCE], Media("00" * 16, "cat.png", 5, "ab", "image/png")
    room.messages[0] = replace(room.messages[0], body=pack_segments((Image(gone),)))
    text = "a picture or file of this message is gone"
    error = (await client.reply(forward(client, FIRST)))["error"]
    assert error.pop("request")
    assert error == {"code": "invalid", "text": text, "field": "index", "reason": "gone"}
    assert cluster.backend.chats[FIRST].head == 0
